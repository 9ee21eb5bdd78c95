"""The card's PCI configuration space: what identifies it and what a driver may write.

Layout: PCI Local Bus Specification 3.0, 6.1; PCI Express Base Specification, 7.5 to 7.9. Capabilities: power
management, MSI or MSI-X, PCI Express endpoint, where FB cards have them; extended: device serial number and,
with PTM, the precision time measurement requester. MSI-X lies in BAR0 where the board has it (LitePCIe),
else, as an addition of the emulator, in a BAR2 of its own.
"""

from __future__ import annotations

import struct
from typing import Final

from timecard.boards import FB, Board
from timecard.emulator.fpga_msix import PENDING, TABLE
from timecard.emulator.fpga_profile import profile_of
from timecard.pcie.bus import CAP_MSI, CAP_MSIX, EXT_CAP_PTM, EXT_CAP_SERIAL

SIZE: Final = 4096
MSIX_BAR_SIZE: Final = 4096
MSIX_BAR_PENDING: Final = 0x800
_PM, _MSI, _EXPRESS, _MSIX, _SERIAL, _PTM = 0x40, 0x48, 0x60, 0xA0, 0x100, 0x110
_PTM_GRANULARITY_NS: Final = 8


class ConfigSpace:
    """4 KiB of configuration space with a mask of writable bits."""

    def __init__(self, serial: int, *, msix: bool, ptm: bool, board: Board = FB) -> None:
        """``serial``: the 64-bit device serial number; ``msix``: MSI-X instead of MSI."""
        self._data = bytearray(SIZE)
        self._writable = bytearray(SIZE)
        profile = profile_of(board)
        vendor, device = board.pci_ids[0]
        bar2_size = MSIX_BAR_SIZE if msix and not board.msix else 0
        put = self._put
        put(0x00, "<HH", vendor, device)
        put(0x04, "<HH", 0, 0x0010, writable=(0x0546, 0))
        put(0x08, "<I", board.pci_class << 8 | board.pci_revision)
        put(0x0C, "<BBBB", 0, 0, 0, 0, writable=(0xFF, 0xFF, 0, 0))
        put(0x10, "<I", 0, writable=(0xFFFF_FFFF & -board.bar0_size,))
        put(0x18, "<I", 0, writable=(0xFFFF_FFFF & -bar2_size,))
        put(0x2C, "<HH", *profile.subsystem)
        put(0x34, "<B", _PM)
        put(0x3C, "<BB", 0, 0, writable=(0xFF, 0))
        first = _MSIX if msix else _MSI
        put(_PM, "<BBHI", 0x01, first, 0x0003, 0x0008, writable=(0, 0, 0, 0x8003))
        if msix:
            places = (TABLE, PENDING) if board.msix else (0x002, MSIX_BAR_PENDING | 2)
            last = board.message_vectors - 1
            put(_MSIX, "<BBHII", CAP_MSIX, _EXPRESS, last, *places, writable=(0, 0, 0xC000, 0, 0))
        else:
            # 64-bit address; the number of messages as an exponent.
            messages = (board.message_vectors - 1).bit_length()
            put(
                _MSI,
                "<BBHIIHH",
                CAP_MSI,
                _EXPRESS,
                0x0080 | messages << 1,
                0,
                0,
                0,
                0,
                writable=(0, 0, 0x0071, 0xFFFF_FFFC, 0xFFFF_FFFF, 0xFFFF, 0),
            )
        # Endpoint, version 2: 128-byte payload, 2.5 GT/s.
        link = profile.lanes << 4 | 1
        put(_EXPRESS, "<BBHI", 0x10, 0, 0x0002, 0x0000_8000)
        put(_EXPRESS + 8, "<HH", 0x2810, 0, writable=(0x7FFF, 0))
        put(_EXPRESS + 12, "<IHH", link, 0, link, writable=(0, 0x00FB, 0))
        put(
            _SERIAL,
            "<III",
            EXT_CAP_SERIAL | 1 << 16 | (_PTM if ptm else 0) << 20,
            serial & 0xFFFF_FFFF,
            serial >> 32,
        )
        if ptm:
            put(
                _PTM,
                "<III",
                EXT_CAP_PTM | 1 << 16,
                1 | _PTM_GRANULARITY_NS << 8,
                0,
                writable=(0, 0, 0xFF01),
            )
        self._reset = bytes(self._data)

    def reset(self) -> None:
        """As after a function reset."""
        self._data[:] = self._reset

    def read(self, offset: int, size: int) -> bytes:
        """Any number of bytes; beyond the end they read 0."""
        return bytes(self._data[offset : offset + size]).ljust(size, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        """Change the writable bits."""
        for i, byte in enumerate(data[: max(0, SIZE - offset)], offset):
            mask = self._writable[i]
            self._data[i] = self._data[i] & ~mask | byte & mask

    def _put(self, offset: int, layout: str, *values: int, writable: tuple[int, ...] = ()) -> None:
        struct.pack_into(layout, self._data, offset, *values)
        if writable:
            struct.pack_into(layout, self._writable, offset, *writable)
