"""The card's PCI configuration space: what identifies it and what a driver may write.

Layout: PCI Local Bus Specification 3.0, 6.1; PCI Express Base Specification, 7.5 to 7.9. Capabilities: power
management, MSI (32 vectors) or MSI-X, PCI Express endpoint; extended: device serial number and, with PTM,
the precision time measurement requester.
"""

from __future__ import annotations

import struct
from typing import Final

from timecard.boards import FB
from timecard.pcie.bus import CAP_MSI, CAP_MSIX, EXT_CAP_PTM, EXT_CAP_SERIAL

SIZE: Final = 4096
VECTORS: Final = 32
MSIX_BAR_SIZE: Final = 4096
VENDOR, DEVICE = 0x1D9B, 0x0400
CLASS_OTHER_MEMORY: Final = 0x058000
_PM, _MSI, _MSIX, _EXPRESS, _SERIAL, _PTM = 0x40, 0x50, 0x70, 0x80, 0x100, 0x110
_PTM_GRANULARITY_NS: Final = 8


class ConfigSpace:
    """4 KiB of configuration space with a mask of writable bits."""

    def __init__(self, serial: int, *, msix: bool, ptm: bool) -> None:
        """``serial``: the 64-bit device serial number; ``msix``: MSI-X in BAR2 instead of MSI."""
        self._data = bytearray(SIZE)
        self._writable = bytearray(SIZE)
        put = self._put
        put(0x00, "<HH", VENDOR, DEVICE)
        put(0x04, "<HH", 0, 0x0010, writable=(0x0546, 0))
        put(0x08, "<I", CLASS_OTHER_MEMORY << 8)
        put(0x0C, "<BBBB", 0, 0, 0, 0, writable=(0xFF, 0xFF, 0, 0))
        put(0x10, "<I", 0, writable=(0xFFFF_FFFF & -FB.bar0_size,))
        put(0x18, "<I", 0, writable=(0xFFFF_FFFF & -MSIX_BAR_SIZE if msix else 0,))
        put(0x2C, "<HH", 0x10EE, 0x0007)
        put(0x34, "<B", _PM)
        put(0x3C, "<BB", 0, 0, writable=(0xFF, 0))
        first = _MSIX if msix else _MSI
        put(_PM, "<BBHI", 0x01, first, 0x0003, 0x0008, writable=(0, 0, 0, 0x8003))
        if msix:
            put(_MSIX, "<BBHII", CAP_MSIX, _EXPRESS, VECTORS - 1, 0x002, 0x802, writable=(0, 0, 0xC000, 0, 0))
        else:
            # 64-bit address, 2^5 messages.
            put(
                _MSI,
                "<BBHIIHH",
                CAP_MSI,
                _EXPRESS,
                0x008A,
                0,
                0,
                0,
                0,
                writable=(0, 0, 0x0071, 0xFFFF_FFFC, 0xFFFF_FFFF, 0xFFFF, 0),
            )
        # Endpoint, version 2: 128-byte payload, 2.5 GT/s, one lane, as the card's link is.
        put(_EXPRESS, "<BBHI", 0x10, 0, 0x0002, 0x0000_8000)
        put(_EXPRESS + 8, "<HH", 0x2810, 0, writable=(0x7FFF, 0))
        put(_EXPRESS + 12, "<IHH", 0x0000_0011, 0, 0x0011, writable=(0, 0x00FB, 0))
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
