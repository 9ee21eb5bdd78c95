"""Names the protocol of a line on which no UBX frame was found, so that the error says what is connected.

Sync patterns: Septentrio SBF reference guide ("$@", CRC-16/CCITT, length a multiple of 4), Trimble TSIP
(DLE id ... DLE ETX, bytes 0x10 doubled), Unicore binary (AA 44 B5).
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from typing import Final

_SENTENCE: Final = re.compile(rb"\$[A-Z]{5},[\x20-\x7e]*\*[0-9A-Fa-f]{2}\r?\n")
_TSIP: Final = re.compile(rb"\x10[\x13-\xf9](?:[^\x10]|\x10\x10){2,250}\x10\x03(?=\x10|\Z)")


def protocol_name(sample: bytes) -> str | None:
    """What ``sample`` looks like, or None; a few hundred bytes are enough."""
    if _has_sbf_block(sample):
        return "Septentrio SBF"
    if b"\xaa\x44\xb5" in sample:
        return "Unicore binary"
    if len(_TSIP.findall(sample)) >= 2:
        return "Trimble TSIP"
    if _SENTENCE.search(sample):
        return "NMEA"
    return None


def _has_sbf_block(sample: bytes) -> bool:
    start = sample.find(b"$@")
    while start >= 0:
        length = int.from_bytes(sample[start + 6 : start + 8], "little")
        block = sample[start : start + length]
        if length >= 8 and length % 4 == 0 and len(block) == length:
            crc = int.from_bytes(block[2:4], "little")
            if crc_hqx(block[4:], 0) == crc:
                return True
        start = sample.find(b"$@", start + 2)
    return False
