"""EEPROM chips on a card's I2C bus: reading in pieces, page writes that are waited for and read back.

Page sizes and word addresses: data sheets of AT24C02, AT24C08 and AT24MAC402; the write cycle takes 5 ms,
during which a chip does not acknowledge its address.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from timecard.boards.board import Board, EepromChip
from timecard.card_values import BoardIdentity
from timecard.eeprom import decode_identity
from timecard.errors import DeviceAbsentError, RefusedError, UnsupportedError
from timecard.pcie.i2c_bus import I2cMaster, wait_until

READ_PIECE: Final = 128
WRITE_LIMIT_S: Final = 0.025
"""As the kernel's at24 driver waits."""
POLL_S: Final = 0.0005
BLOCK: Final = 256
"""Bytes behind one I2C address: the word address is one byte."""


@dataclass(frozen=True, slots=True)
class _Part:
    page: int
    """Bytes that one write cycle may take; they do not cross a multiple of it."""
    read_only: range
    """Offsets that are locked by the maker."""


_PARTS: Final = MappingProxyType(
    {
        "24c02": _Part(8, range(0)),
        "24c08": _Part(16, range(0)),
        # The serial number and EUI-48 block; the ordinary memory of the part answers at another address.
        "24mac402": _Part(16, range(256)),
    }
)


class I2cEeprom:
    """``Memory`` on a chip; ``write`` changes only pages that differ, and reads each back."""

    def __init__(self, i2c: I2cMaster, chip: EepromChip) -> None:
        part = _PARTS.get(chip.part)
        if part is None:
            raise UnsupportedError(i2c.name, "open memory", f"no EEPROM of the type {chip.part} is known")
        self.name = f"{i2c.name} {chip.part}@{chip.address:#04x}"
        self.size = chip.size
        self._i2c = i2c
        self._address = chip.address
        self._part = part

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes; raises ``DeviceAbsentError`` when the chip does not answer."""
        self._check("read", offset, size)
        out = bytearray()
        while len(out) < size:
            at = offset + len(out)
            piece = min(size - len(out), READ_PIECE, BLOCK - at % BLOCK)
            out += self._i2c.transfer(self._address + at // BLOCK, bytes((at % BLOCK,)), piece)
        return bytes(out)

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes; returns when they are stored and were read back.

        Raises ``RefusedError`` for a place that is locked or write-protected.
        """
        self._check("write", offset, len(data))
        if set(range(offset, offset + len(data))) & set(self._part.read_only):
            raise RefusedError(
                self.name, f"write {offset:#x}", "the maker locked this memory: it can only be read"
            )
        page = self._part.page
        start = offset
        while start < offset + len(data):
            end = min(offset + len(data), (start // page + 1) * page)
            self._write_page(start, data[start - offset : end - offset])
            start = end

    # --- internals ---

    def _write_page(self, at: int, data: bytes) -> None:
        before = self.read(at, len(data))
        if before == data:
            return
        address = self._address + at // BLOCK
        self._i2c.transfer(address, bytes((at % BLOCK,)) + data, 0)
        self._wait_for_cycle(address)
        after = self.read(at, len(data))
        if after == data:
            return
        if after == before:
            raise RefusedError(
                self.name,
                f"write {at:#x}",
                "the chip takes the bytes and keeps the old ones: it is write-protected "
                "(FB: bit 4 EEPROM_WP of the word at 0x100008; ART: a jumper)",
            )
        raise RefusedError(
            self.name,
            f"write {at:#x}",
            f"reads back as {after.hex()} instead of {data.hex()}: is the chip worn out?",
        )

    def _wait_for_cycle(self, address: int) -> None:
        def answers() -> bool:
            try:
                self._i2c.transfer(address, b"", 0)
            except DeviceAbsentError:
                return False
            return True

        wait_until(
            self._i2c.timebase, answers, WRITE_LIMIT_S, POLL_S, self.name, "the write cycle does not end"
        )

    def _check(self, operation: str, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise RefusedError(
                self.name, operation, f"{size} bytes at {offset:#x}: the chip has {self.size} bytes"
            )


def memory_on(i2c: I2cMaster, chip: EepromChip) -> I2cEeprom:
    """The memory of a chip; touches nothing yet. Raises ``UnsupportedError`` for an unknown part."""
    return I2cEeprom(i2c, chip)


def chip_at(board: Board, address: int, name: str) -> EepromChip:
    """The chip of a board at an I2C address; raises ``UnsupportedError`` when it has none there."""
    for chip in board.i2c.chips:
        if chip.address == address:
            return chip
    known = ", ".join(f"{chip.address:#04x}" for chip in board.i2c.chips)
    raise UnsupportedError(
        name, "open memory", f"{board.product} has no EEPROM at {address:#x}, only at {known}"
    )


def read_identity(i2c: I2cMaster, board: Board) -> BoardIdentity:
    """What the chips say; one that cannot be read is a problem of the identity, not an error.

    ``DeviceLostError`` is raised: then there is no card to describe.
    """
    return decode_identity(board, lambda address: memory_on(i2c, chip_at(board, address, i2c.name)))
