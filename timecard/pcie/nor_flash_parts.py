"""What a SPI-NOR flash tells of itself: JEDEC id and SFDP table, read as untrusted bytes.

Source: JEDEC JESD216B. Only what reading, 4 KiB erasing and page programming need is taken from it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

NAMES: Final[Mapping[bytes, str]] = MappingProxyType(
    {
        bytes.fromhex("20ba18"): "mt25ql128",
        bytes.fromhex("20ba19"): "mt25ql256",
        bytes.fromhex("20bb19"): "mt25qu256",
        bytes.fromhex("c22019"): "mx25l25645g",
    }
)
THREE_BYTE_LIMIT: Final = 1 << 24
ERASE_SIZE: Final = 4096
_HEADER: Final = struct.Struct("<4sBBBB")
_BASIC: Final = 0x00
_MAX_HEADERS: Final = 8
_BASIC_WORDS: Final = 9
_SIZES: Final = (1 << 20, 1 << 28)


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """How to use the part."""

    size: int
    erase_opcode: int
    """For 4 KiB, with three address bytes."""


def known_geometry(jedec_id: bytes) -> Geometry:
    """By the id alone: the parts fitted so far have 2^n bytes for a third byte of n, and erase by 0x20."""
    return Geometry(size=1 << jedec_id[2], erase_opcode=0x20)


def read_sfdp(read: Callable[[int, int], bytes]) -> Geometry | None:
    """Geometry by the table; ``read`` takes offset and size. None where there is none.

    Raises ``ValueError`` that says what in the table is impossible.
    """
    magic, _, major, last_header, _ = _HEADER.unpack(read(0, _HEADER.size))
    if magic != b"SFDP" or major != 1:
        return None
    for index in range(min(last_header + 1, _MAX_HEADERS)):
        header = read(8 + 8 * index, 8)
        if header[0] == _BASIC and header[7] in (0xFF, 0x00):
            words, pointer = header[3], int.from_bytes(header[4:7], "little")
            if words < _BASIC_WORDS:
                raise ValueError(f"its basic table has {words} words, at least {_BASIC_WORDS} are needed")
            return _basic(struct.unpack(f"<{_BASIC_WORDS}I", read(pointer, 4 * _BASIC_WORDS)))
    return None


def _basic(words: tuple[int, ...]) -> Geometry:
    density = words[1]
    # Bits less one; with bit 31 a power of two of bits, which only parts beyond 256 MiB need.
    size = 0 if density >> 31 else (density + 1) // 8
    if not _SIZES[0] <= size <= _SIZES[1] or size & (size - 1):
        raise ValueError(f"its table gives a size of {size} bytes")
    types = struct.pack("<2I", words[7], words[8])
    for exponent, opcode in zip(types[::2], types[1::2], strict=True):
        if 1 << min(exponent, 32) == ERASE_SIZE:
            return Geometry(size=size, erase_opcode=opcode)
    raise ValueError(f"its table has no erase of {ERASE_SIZE} bytes")
