"""The manufacturing record of ART cards: packed, texts padded with NUL or blanks, a CRC-8 at its end.

Layout: oscillatord's ``utils/eeprom.h``. Contents are untrusted: a card was seen with text in the record's
place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MAGIC: Final = b"\xfb\xfb"
VERSION: Final = 3
SIZE: Final = 196
CRC_POLYNOMIAL: Final = 0x31
CRC_START: Final = 0xFF
_VERSION_AT: Final = 2
_CRC_AT: Final = SIZE - 1

_TEXTS: Final = (
    ("product_name", 0x03, 20),
    ("product_part_number", 0x17, 8),
    ("system_assembly_part_number", 0x1F, 12),
    ("pcba_part_number_customer", 0x2B, 12),
    ("pcb_part_number_customer", 0x37, 12),
    ("pcba_part_number", 0x43, 13),
    ("pcba_serial_number", 0x50, 13),
    ("product_serial_number", 0x60, 13),
    ("asset_tag", 0x6D, 12),
    ("manufacturer", 0x79, 8),
    ("pcb_manufacturer", 0x85, 8),
    ("assembled_at", 0x8D, 8),
    ("local_mac", 0x95, 12),
    ("extended_mac_base", 0xA1, 12),
    ("location", 0xAF, 20),
)
_NUMBERS: Final = (
    ("production_state", 0x5D, 1),
    ("product_version", 0x5E, 1),
    ("product_sub_version", 0x5F, 1),
    ("year", 0x81, 2),
    ("month", 0x83, 1),
    ("day", 0x84, 1),
    ("extended_mac_count", 0xAD, 2),
)
_LARGEST: Final = {1: 0xFF, 2: 0xFFFF}


def crc8(data: bytes) -> int:
    """CRC-8, most significant bit first, polynomial 0x31, start 0xFF, no final inversion."""
    crc = CRC_START
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ CRC_POLYNOMIAL if crc & 0x80 else crc << 1) & 0xFF
    return crc


def text_of(raw: bytes) -> str | None:
    """The text of a padded field; None when it is not printable ASCII. Blank or erased is ``""``."""
    stripped = raw.rstrip(b"\xff").rstrip(b"\0 ").lstrip(b" ")
    if not stripped.isascii():
        return None
    text = stripped.decode("ascii")
    return text if text.isprintable() else None


def decode_record(raw: bytes) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Fields of the record, and what is wrong with it; no fields unless magic, version and CRC agree."""
    if len(raw) != SIZE:
        return {}, (f"manufacturing record: {len(raw)} bytes instead of {SIZE}",)
    if raw in (b"\xff" * SIZE, b"\0" * SIZE):
        return {}, ("manufacturing record: blank",)
    if raw[:2] != MAGIC:
        return {}, (_not_a_record(raw),)
    if raw[_VERSION_AT] != VERSION:
        return {}, (f"manufacturing record: format version {raw[_VERSION_AT]}, known is {VERSION}",)
    if crc8(raw[:_CRC_AT]) != raw[_CRC_AT]:
        wanted = crc8(raw[:_CRC_AT])
        return {}, (f"manufacturing record: CRC {raw[_CRC_AT]:#04x}, computed {wanted:#04x}: damaged",)
    fields: dict[str, str] = {}
    problems: list[str] = []
    for name, at, size in _TEXTS:
        text = text_of(raw[at : at + size])
        if text is None:
            problems.append(f"manufacturing record: {name} is not text: {raw[at : at + size].hex()}")
        elif text:
            fields[name] = text
    for name, at, size in _NUMBERS:
        fields[name] = str(int.from_bytes(raw[at : at + size], "little"))
    return fields, tuple(problems)


def encode_record(fields: Mapping[str, str]) -> bytes:
    """The record with these fields, others blank or 0; raises ``ValueError`` that names the field."""
    out = bytearray(SIZE)
    out[:2] = MAGIC
    out[_VERSION_AT] = VERSION
    unknown = set(fields) - {name for name, _, _ in (*_TEXTS, *_NUMBERS)}
    if unknown:
        raise ValueError(f"manufacturing record: unknown field {', '.join(sorted(unknown))}")
    for name, at, size in _TEXTS:
        text = fields.get(name, "")
        if not (text.isascii() and text.isprintable()) or len(text) > size:
            raise ValueError(f"manufacturing record: {name} {text!r} is not up to {size} ASCII characters")
        out[at : at + size] = text.encode("ascii").ljust(size, b"\0")
    for name, at, size in _NUMBERS:
        text = fields.get(name, "0")
        if not (text.isascii() and text.isdigit()) or int(text) > _LARGEST[size]:
            raise ValueError(f"manufacturing record: {name} {text!r} is not a number up to {_LARGEST[size]}")
        out[at : at + size] = int(text).to_bytes(size, "little")
    out[_CRC_AT] = crc8(bytes(out[:_CRC_AT]))
    return bytes(out)


def _not_a_record(raw: bytes) -> str:
    text = text_of(raw.split(b"\0", 1)[0].split(b"\n", 1)[0])
    if text and "=" in text:
        return f"manufacturing record: configuration text in its place ({text[:40]!r}): no serial number"
    return f"manufacturing record: magic {raw[:2].hex()} instead of {MAGIC.hex()}"
