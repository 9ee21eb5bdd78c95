"""SPI-NOR parts that Time Cards carry, as an emulated chip needs them: ids, sizes, times and the SFDP table.

Ids and times: data sheets of Micron MT25QL128/MT25QL256/MT25QU256 and Macronix MX25L25645G. Table: JEDEC
JESD216B (basic flash parameters, revision 1.6; 4-byte address instructions, revision 1.0).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

MICRON: Final = 0x20
MACRONIX: Final = 0xC2
THREE_BYTE_LIMIT: Final = 1 << 24
"""Beyond 16 MiB an address needs four bytes."""
_BASIC_AT: Final = 0x30
_FOUR_BYTE_AT: Final = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashPart:
    """One part; times are the typical ones of its data sheet."""

    name: str
    jedec_id: bytes
    """Manufacturer, type, capacity."""
    more_id: bytes
    """What RDID returns after those."""
    size: int
    program_ns: int
    """Page program, 256 bytes."""
    erase_4k_ns: int
    erase_64k_ns: int
    status_ns: int
    """Write of the status register."""

    @property
    def micron(self) -> bool:
        """It has Micron's flag status register."""
        return self.jedec_id[0] == MICRON

    @property
    def four_byte(self) -> bool:
        """It needs four address bytes for its upper part."""
        return self.size > THREE_BYTE_LIMIT


def _micron(name: str, jedec_id: str, size: int) -> FlashPart:
    return FlashPart(
        name=name,
        jedec_id=bytes.fromhex(jedec_id),
        more_id=bytes.fromhex("104400"),
        size=size,
        program_ns=120_000,
        erase_4k_ns=50_000_000,
        erase_64k_ns=150_000_000,
        status_ns=1_300_000,
    )


_ROWS: Final = (
    _micron("mt25ql128", "20ba18", 16 << 20),
    _micron("mt25ql256", "20ba19", 32 << 20),
    _micron("mt25qu256", "20bb19", 32 << 20),
    FlashPart(
        name="mx25l25645g",
        jedec_id=bytes.fromhex("c22019"),
        more_id=b"",
        size=32 << 20,
        program_ns=250_000,
        erase_4k_ns=30_000_000,
        erase_64k_ns=280_000_000,
        status_ns=40_000_000,
    ),
)
PARTS: Final[Mapping[bytes, FlashPart]] = MappingProxyType({part.jedec_id: part for part in _ROWS})


def sfdp(part: FlashPart) -> bytes:
    """The table that command 0x5A reads, blank bytes between its parts."""
    headers = [_parameter_header(0xFF00, 6, 16, _BASIC_AT)]
    if part.four_byte:
        headers.append(_parameter_header(0xFF84, 0, 2, _FOUR_BYTE_AT))
    table = bytearray(b"\xff" * 0x100)
    top = struct.pack("<4sBBBB", b"SFDP", 6, 1, len(headers) - 1, 0xFF) + b"".join(headers)
    table[: len(top)] = top
    basic = struct.pack("<16I", *_basic_words(part))
    table[_BASIC_AT : _BASIC_AT + len(basic)] = basic
    if part.four_byte:
        # Bits: read 0x13, fast read 0x0C, page program 0x12, erase types 1 and 2; then their opcodes.
        words = struct.pack("<I4B", 1 << 0 | 1 << 1 | 1 << 6 | 1 << 9 | 1 << 10, 0x21, 0xDC, 0xFF, 0xFF)
        table[_FOUR_BYTE_AT : _FOUR_BYTE_AT + len(words)] = words
    return bytes(table)


def _parameter_header(number: int, minor: int, words: int, at: int) -> bytes:
    return (
        struct.pack("<BBBB", number & 0xFF, minor, 1, words)
        + at.to_bytes(3, "little")
        + bytes((number >> 8,))
    )


def _basic_words(part: FlashPart) -> tuple[int, ...]:
    address_bytes = 0b01 if part.four_byte else 0b00
    erase_4k_units, erase_64k_units = part.erase_4k_ns // 16_000_000, part.erase_64k_ns // 16_000_000
    program_units = part.program_ns // 8_000
    return (
        # 4 KiB erase with 0x20, page write; reads with one data line only.
        0b01 | 1 << 2 | 0b111 << 5 | 0x20 << 8 | address_bytes << 17 | 0x1FF << 23,
        part.size * 8 - 1,
        0,
        0,
        0xFFFF_FFEE,
        0x0000_FFFF,
        0x0000_FFFF,
        12 | 0x20 << 8 | 16 << 16 | 0xD8 << 24,
        0,
        # Most is ten times typical; units of 16 ms.
        4 | erase_4k_units << 4 | 1 << 9 | erase_64k_units << 11 | 1 << 16,
        # Pages of 2^8 bytes; most is ten times typical; units of 8 us; chip erase of minutes.
        4 | 8 << 4 | program_units << 8 | 0x7F << 24,
        1 << 31,
        0,
        # Busy is bit 0 of the status register, on Micron parts bit 7 of the flag status register as well.
        1 << 31 | 1 << 2 | (1 << 3 if part.micron else 0),
        0,
        # Four-byte mode by 0xB7, left by 0xE9; reset by 0x66 and 0x99.
        (1 << 24 | 1 << 14 if part.four_byte else 0) | 1 << 12,
    )
