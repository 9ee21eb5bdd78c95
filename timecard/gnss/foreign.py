"""Names the protocol of a line without frames of a supported one: the error says what is connected.

Frame layouts: Septentrio SBF reference guide ("$@", CRC-16/CCITT, length a multiple of 4); Trimble TSIP
(DLE id ... DLE ETX, bytes 0x10 doubled); Unicore reference commands manual (AA 44 B5, header of 24 bytes,
CRC-32; the same in text, "#NAME,...;...*CRC"); NovAtel OEM7 reference (AA 44 12); SiRF binary protocol
(A0 A2 ... B0 B3); SkyTraq binary messages (A0 A1 ... 0D 0A); Allystar binary protocol (F1 D9, checksum as
UBX).
"""

from __future__ import annotations

import re
from binascii import crc32, crc_hqx
from collections.abc import Callable
from typing import Final

from timecard.gnss.checksums import fletcher8

_SENTENCE: Final = re.compile(rb"\$[A-Z]{5},[\x20-\x7e]*\*[0-9A-Fa-f]{2}\r?\n")
_TSIP: Final = re.compile(rb"\x10[\x13-\xf9](?:[^\x10]|\x10\x10){2,250}\x10\x03(?=\x10|\Z)")
_UNICORE_TEXT: Final = re.compile(
    rb"#[A-Z0-9]{3,20},[\x20-\x7e]{10,1000};[\x20-\x7e]{1,2000}\*[0-9A-Fa-f]{8}\r?\n"
)
_MAX_BYTES: Final = 4096


def protocol_name(sample: bytes) -> str | None:
    """What ``sample`` looks like, or None; a few hundred bytes are enough."""
    for name, sync, is_frame in _BINARY:
        start = sample.find(sync)
        while start >= 0:
            if is_frame(sample[start : start + _MAX_BYTES]):
                return name
            start = sample.find(sync, start + 1)
    if _UNICORE_TEXT.search(sample):
        return "Unicore ASCII"
    if len(_TSIP.findall(sample)) >= 2:
        return "Trimble TSIP"
    if _SENTENCE.search(sample):
        return "NMEA"
    return None


def _is_sbf(data: bytes) -> bool:
    length = int.from_bytes(data[6:8], "little")
    block = data[:length]
    if length < 8 or length % 4 or len(block) != length:
        return False
    return crc_hqx(block[4:], 0) == int.from_bytes(block[2:4], "little")


def _is_unicore(data: bytes) -> bool:
    return _has_crc32(data, 24 + int.from_bytes(data[6:8], "little"))


def _is_novatel(data: bytes) -> bool:
    return len(data) > 3 and _has_crc32(data, data[3] + int.from_bytes(data[8:10], "little"))


def _has_crc32(data: bytes, length: int) -> bool:
    if not 24 <= length <= len(data) - 4:
        return False
    # Without the inversions before and after that the usual CRC-32 has.
    crc = crc32(data[:length], 0xFFFFFFFF) ^ 0xFFFFFFFF
    return crc == int.from_bytes(data[length : length + 4], "little")


def _is_sirf(data: bytes) -> bool:
    length = int.from_bytes(data[2:4], "big")
    body = data[4 : 4 + length]
    check = int.from_bytes(data[4 + length : 6 + length], "big")
    return data[6 + length : 8 + length] == b"\xb0\xb3" and sum(body) & 0x7FFF == check


def _is_skytraq(data: bytes) -> bool:
    length = int.from_bytes(data[2:4], "big")
    check = 0
    for byte in data[4 : 4 + length]:
        check ^= byte
    return data[4 + length : 7 + length] == bytes((check,)) + b"\r\n"


def _is_allystar(data: bytes) -> bool:
    end = 6 + int.from_bytes(data[4:6], "little")
    return len(data) >= end + 2 and fletcher8(data[2:end]) == (data[end], data[end + 1])


_BINARY: Final[tuple[tuple[str, bytes, Callable[[bytes], bool]], ...]] = (
    ("Septentrio SBF", b"$@", _is_sbf),
    ("Unicore binary", b"\xaa\x44\xb5", _is_unicore),
    ("NovAtel binary", b"\xaa\x44\x12", _is_novatel),
    ("SiRF binary", b"\xa0\xa2", _is_sirf),
    ("SkyTraq binary", b"\xa0\xa1", _is_skytraq),
    ("Allystar binary", b"\xf1\xd9", _is_allystar),
)
