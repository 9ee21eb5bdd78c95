"""Checksums of the receiver protocols that the standard library lacks."""

from __future__ import annotations

from itertools import accumulate
from typing import Final


def fletcher8(body: bytes | bytearray) -> tuple[int, int]:
    """The two check bytes of UBX (u-blox F9 interface description, "UBX checksum")."""
    return sum(body) & 0xFF, sum(accumulate(body)) & 0xFF


def _crc24q_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte << 16
        for _ in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
        table.append(crc & 0xFFFFFF)
    return tuple(table)


_CRC24Q: Final = _crc24q_table()


def crc24q(data: bytes | bytearray) -> int:
    """CRC-24Q of RTCM 10403; over a frame together with its own CRC it is zero."""
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFFFF) ^ _CRC24Q[crc >> 16 ^ byte]
    return crc
