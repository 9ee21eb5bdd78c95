"""The card's SPI-NOR flash from user space: ``FlashDevice`` on either SPI master.

A part that is not in the board's list is refused: its commands and its protection may differ. Parts beyond 16
MiB are used with four-byte commands, never switched to four-byte mode, in which the FPGA could not start from
them. Protection bits are never changed: they may guard the golden image. Commands: data sheets of Micron's
MT25Q and Macronix' MX25L25645G.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Protocol

from timecard.boards.board import SpiKind
from timecard.errors import (
    DeviceAbsentError,
    DeviceLostError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
from timecard.pcie.nor_flash_parts import (
    ERASE_SIZE,
    NAMES,
    THREE_BYTE_LIMIT,
    Geometry,
    known_geometry,
    read_sfdp,
)
from timecard.pcie.spi_altera import AlteraSpiMaster
from timecard.pcie.spi_axi import AxiSpiMaster
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

PAGE: Final = 256
MAX_READ: Final = 4096
ERASE_LIMIT_S: Final = 3.0
"""A 4 KiB erase takes 0.05 s, and 0.4 s when the part is old and cold."""
PROGRAM_LIMIT_S: Final = 0.5
READY_LIMIT_S: Final = 3.0
_ERASE_POLL_S: Final = 2e-3
_PROGRAM_POLL_S: Final = 50e-6
_WRITE_ENABLE, _WRITE_DISABLE, _READ_STATUS, _READ_ID, _READ_SFDP = 0x06, 0x04, 0x05, 0x9F, 0x5A
_READ_FLAGS, _CLEAR_FLAGS, _READ_SECURITY = 0x70, 0x50, 0x2B
_WIP, _WEL = 0x01, 0x02
_MICRON: Final = 0x20
_MACRONIX: Final = 0xC2
_VERDICTS: Final = MappingProxyType({_MICRON: (_READ_FLAGS, 0x32), _MACRONIX: (_READ_SECURITY, 0x60)})
"""Manufacturer: command that reads how the last operation ended, bits for failed or protected."""
_NOBODY: Final = (b"\xff\xff\xff", b"\x00\x00\x00")


class SpiMaster(Protocol):
    """Full-duplex transfers with the chip."""

    name: str

    def transfer(self, out: bytes) -> bytes:
        """Send ``out`` in one selection of the chip; as many bytes come back."""
        ...


class NorFlash:
    """The chip as bytes. Every call returns when the chip has finished, or raises within a time limit."""

    erase_size = ERASE_SIZE

    def __init__(self, master: SpiMaster, timebase: Timebase, accepted: tuple[bytes, ...]) -> None:
        """Identify the chip. ``accepted``: JEDEC ids that are known to work.

        Raises ``DeviceAbsentError`` when no chip answers and ``UnsupportedError``, with the id, for an
        unknown one.
        """
        self._transfer = master.transfer
        self._timebase = timebase
        self.name = f"{master.name} flash"
        self._wait_ready("open", READY_LIMIT_S, _ERASE_POLL_S)
        self.jedec_id = self._command(_READ_ID, reply=3)
        """Manufacturer, type, capacity."""
        if self.jedec_id in _NOBODY:
            raise DeviceAbsentError(self.name, "identify", f"no chip answers (id {self.jedec_id.hex()})")
        if self.jedec_id not in accepted:
            known = ", ".join(part.hex() for part in accepted)
            raise UnsupportedError(
                self.name,
                "identify",
                f"JEDEC id {self.jedec_id.hex()} is not a part that this board is known to carry ({known}); "
                "report it with the card's model, so that it can be added to the board's file",
            )
        self.part = NAMES.get(self.jedec_id, self.jedec_id.hex())
        geometry = self._geometry()
        self.size = geometry.size
        four = self.size > THREE_BYTE_LIMIT
        self._address_bytes = 4 if four else 3
        self._read_opcode = 0x13 if four else 0x03
        self._program_opcode = 0x12 if four else 0x02
        self._erase_opcode = 0x21 if four else geometry.erase_opcode
        self._verdict = _VERDICTS.get(self.jedec_id[0])
        if self.jedec_id[0] == _MICRON:
            self._command(_CLEAR_FLAGS)

    # --- FlashDevice ---

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes."""
        self._check("read", offset, size)
        out = bytearray()
        for start in range(offset, offset + size, MAX_READ):
            count = min(MAX_READ, offset + size - start)
            out += self._command(self._read_opcode, self._address(start), reply=count)
        return bytes(out)

    def erase(self, offset: int) -> None:
        """Erase the 4 KiB at ``offset``."""
        self._check("erase", offset, ERASE_SIZE)
        if offset % ERASE_SIZE:
            raise RefusedError(self.name, f"erase {offset:#x}", f"not a multiple of {ERASE_SIZE}")
        where = self._address(offset)
        self._change(f"erase {offset:#x}", self._erase_opcode, where, ERASE_LIMIT_S, _ERASE_POLL_S)

    def program(self, offset: int, data: bytes) -> None:
        """Programme bytes; each call of any length is done page by page."""
        self._check("program", offset, len(data))
        done = 0
        while done < len(data):
            at = offset + done
            page = data[done : done + PAGE - at % PAGE]
            if page.strip(b"\xff"):
                tail = self._address(at) + page
                self._change(f"program {at:#x}", self._program_opcode, tail, PROGRAM_LIMIT_S, _PROGRAM_POLL_S)
            done += len(page)

    # --- internals ---

    def _geometry(self) -> Geometry:
        def read(offset: int, size: int) -> bytes:
            return self._command(_READ_SFDP, offset.to_bytes(3, "big") + b"\x00", reply=size)

        expected = known_geometry(self.jedec_id)
        try:
            found = read_sfdp(read)
        except ValueError as error:
            raise ProtocolError(self.name, "identify", f"SFDP: {error}") from error
        if found is not None and found.size != expected.size:
            raise ProtocolError(
                self.name,
                "identify",
                f"id {self.jedec_id.hex()} means {expected.size} bytes, its SFDP table says {found.size}",
            )
        return found or expected

    def _change(self, operation: str, opcode: int, tail: bytes, limit_s: float, poll_s: float) -> None:
        """One erase or program command, from write enable to its end."""
        self._wait_ready(operation, READY_LIMIT_S, poll_s)
        self._command(_WRITE_ENABLE)
        status = self._status(operation)
        if not status & _WEL:
            raise RefusedError(
                self.name, operation, f"write-protected (status {status:#04x} after write enable)"
            )
        self._command(opcode, tail)
        status = self._wait_ready(operation, limit_s, poll_s)
        if self._verdict is not None:
            opcode, failures = self._verdict
            flags = self._command(opcode, reply=1)[0]
            if flags & failures:
                if opcode == _READ_FLAGS:
                    self._command(_CLEAR_FLAGS)
                told = f"flags {flags:#04x}, status {status:#04x}"
                raise RefusedError(self.name, operation, f"the chip failed, or is protected there ({told})")
        if status & _WEL:
            self._command(_WRITE_DISABLE)
            raise RefusedError(
                self.name, operation, f"protected there: the chip ignored it (status {status:#04x})"
            )

    def _wait_ready(self, operation: str, limit_s: float, poll_s: float) -> int:
        timebase = self._timebase
        deadline_ns = timebase.mono_ns() + round(limit_s * NS_PER_S)
        while True:
            status = self._status(operation)
            if not status & _WIP:
                return status
            if timebase.mono_ns() > deadline_ns:
                raise DeviceTimeoutError(
                    self.name, operation, f"busy for more than {limit_s:g} s (status {status:#04x})"
                )
            timebase.sleep_s(poll_s)

    def _status(self, operation: str) -> int:
        status = self._command(_READ_STATUS, reply=1)[0]
        if status == 0xFF:
            raise DeviceLostError(self.name, operation, "the status register reads 0xff: no chip answers")
        return status

    def _command(self, opcode: int, tail: bytes = b"", reply: int = 0) -> bytes:
        out = bytes((opcode,)) + tail
        return self._transfer(out + bytes(reply))[len(out) :]

    def _address(self, offset: int) -> bytes:
        return offset.to_bytes(self._address_bytes, "big")

    def _check(self, operation: str, offset: int, size: int) -> None:
        if not 0 <= offset <= offset + size <= self.size:
            reason = f"{size} bytes from there are not inside of {self.size:#x} bytes"
            raise RefusedError(self.name, f"{operation} {offset:#x}", reason)


def open_flash(bus: RegisterBus, timebase: Timebase) -> NorFlash:
    """The flash of the card behind ``bus``. Takes the SPI block over: no kernel driver may be using it.

    Raises ``UnsupportedError`` for a board without one and for an unknown part, ``TimeCardError`` for the
    rest.
    """
    board = bus.board
    if not board.has("spi_flash"):
        raise UnsupportedError(bus.name, "open flash", f"{board.product} has no SPI master in its table")
    master: SpiMaster
    if board.flash.kind is SpiKind.AXI_QUAD_SPI:
        master = AxiSpiMaster(bus, timebase)
    else:
        master = AlteraSpiMaster(bus, timebase)
    return NorFlash(master, timebase, board.flash.jedec_ids)
