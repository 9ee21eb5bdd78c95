"""UBX frames: making them, and the framing of the stream that carries them (``timecard.gnss.framing``)."""

from __future__ import annotations

from timecard.gnss.checksums import fletcher8 as checksum
from timecard.gnss.framing import (
    MAX_CORRUPT_RUN,
    MAX_FRAME_BYTES,
    MAX_SENTENCE_BYTES,
    PATIENCE_NS,
    Framer,
    Item,
    NmeaSentence,
    Rtcm3Frame,
    SbfBlock,
    UbxFrame,
    without_header,
)

__all__ = [
    "MAX_CORRUPT_RUN",
    "MAX_FRAME_BYTES",
    "MAX_SENTENCE_BYTES",
    "PATIENCE_NS",
    "Framer",
    "Item",
    "NmeaSentence",
    "Rtcm3Frame",
    "SbfBlock",
    "UbxFrame",
    "checksum",
    "encode",
    "without_header",
]


def encode(key: int, payload: bytes = b"") -> bytes:
    """A UBX frame; an empty payload polls the message."""
    body = key.to_bytes(2, "big") + len(payload).to_bytes(2, "little") + payload
    return b"\xb5\x62" + body + bytes(checksum(body))
