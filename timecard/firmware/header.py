"""The header of a firmware file: 16 bytes, big-endian, as the kernel's ``ptp_ocp`` reads it.

``OCPC``, PCI vendor u16, PCI device u16, payload size u32, hardware revision u16, CRC-16 u16 of the payload.
Source: ``drivers/ptp/ptp_ocp.c`` (``struct ptp_ocp_firmware_header``, ``ptp_ocp_devlink_fw_image``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"OCPC"
LAYOUT: Final = struct.Struct(">4sHHIHH")
SIZE: Final = 16
_POLYNOMIAL: Final = 0xA001
"""0x8005, bits reversed."""


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        rows.append(crc)
    return tuple(rows)


_TABLE: Final = _table()


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS: begins with 0xFFFF, bits reflected, not inverted; of b"123456789" it is 0x4B37."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the header says."""

    vendor: int
    device: int
    size: int
    """Bytes of the payload."""
    revision: int
    """Hardware revision; nobody checks it."""
    crc: int

    def pack(self) -> bytes:
        """The 16 bytes."""
        return LAYOUT.pack(MAGIC, self.vendor, self.device, self.size, self.revision, self.crc)


def read_header(data: bytes) -> Header | None:
    """The header at the beginning of ``data``; None where there is none."""
    if len(data) < SIZE or not data.startswith(MAGIC):
        return None
    _, vendor, device, size, revision, crc = LAYOUT.unpack_from(data)
    return Header(vendor=vendor, device=device, size=size, revision=revision, crc=crc)


def with_header(payload: bytes, vendor: int, device: int, revision: int = 0) -> bytes:
    """A firmware file around ``payload``."""
    crc = crc16(payload)
    header = Header(vendor=vendor, device=device, size=len(payload), revision=revision, crc=crc)
    return header.pack() + payload
