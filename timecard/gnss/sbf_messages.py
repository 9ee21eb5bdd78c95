"""SBF blocks in use: numbers, the bytes each needs at least, and decoding by pysbf2.

Layouts: Septentrio mosaic-X5 reference guide, chapter SBF Reference. A block with a right CRC may still be
shorter than its own layout; that is corrupt data and not an exception.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from pysbf2 import (
    VALNONE,
    SBFMessageError,
    SBFParseError,
    SBFReader,
    SBFStreamError,
    SBFTypeError,
)

from timecard.gnss.framing import SbfBlock
from timecard.values import CorruptData

PVT_CARTESIAN: Final = 4006
PVT_GEODETIC: Final = 4007
CHANNEL_STATUS: Final = 4013
RECEIVER_STATUS: Final = 4014
MEAS_EPOCH: Final = 4027
GAL_UTC: Final = 4031
QUALITY_IND: Final = 4082
RF_STATUS: Final = 4092
BDS_UTC: Final = 4121
GAL_AUTH_STATUS: Final = 4245
GPS_UTC: Final = 5894
RECEIVER_SETUP: Final = 5902
POS_COV_CARTESIAN: Final = 5905
POS_COV_GEODETIC: Final = 5906
PPS_OFFSET: Final = 5911
RECEIVER_TIME: Final = 5914

_NEEDED: Final = {
    PVT_CARTESIAN: 88, PVT_GEODETIC: 88, CHANNEL_STATUS: 20, RECEIVER_STATUS: 32, MEAS_EPOCH: 20, GAL_UTC: 37,
    QUALITY_IND: 16, RF_STATUS: 20, BDS_UTC: 32, GAL_AUTH_STATUS: 52, GPS_UTC: 37, RECEIVER_SETUP: 248,
    POS_COV_CARTESIAN: 56, POS_COV_GEODETIC: 56, PPS_OFFSET: 20, RECEIVER_TIME: 22,
}  # fmt: skip
"""Bytes of the whole block up to the last field in use, in the oldest revision that has it."""
_GROUPS: Final = {
    RECEIVER_STATUS: (32, 28, 29, 4),
    RF_STATUS: (20, 14, 15, 8),
    QUALITY_IND: (16, 14, None, 2),
}
"""Where groups begin, where their number and their length are told, and their bytes at least."""
_IMPOSSIBLE: Final = 1 << 16
"""More than a block can have: its groups are shorter than their fields."""
_TIME: Final = struct.Struct("<IH")
_NO_TOW: Final = 0xFFFFFFFF
_NO_WEEK: Final = 0xFFFF
_TOW_END_MS: Final = 604_800_000
NO_FLOAT: Final = -1e10
"""Do-not-use of floating-point fields is -2e10."""


def time_stamp(block: SbfBlock) -> tuple[int | None, int | None]:
    """Week and time of week in ms of the receiver's time; None where the receiver does not know."""
    tow_ms, week = _TIME.unpack_from(block.raw, 8)
    return (
        None if week == _NO_WEEK else week,
        None if tow_ms == _NO_TOW or tow_ms >= _TOW_END_MS else tow_ms,
    )


def parse(block: SbfBlock, read_mono_ns: int) -> Any:
    """The block as pysbf2 names its fields, or ``CorruptData``."""
    short = too_short(block, read_mono_ns)
    if short is not None:
        return short
    try:
        return SBFReader.parse(block.raw, validate=VALNONE)
    except (SBFMessageError, SBFParseError, SBFStreamError, SBFTypeError, ValueError, struct.error) as exc:
        return corrupt(block, str(exc), read_mono_ns)


def too_short(block: SbfBlock, read_mono_ns: int) -> CorruptData | None:
    """``CorruptData`` when the block does not hold what its layout and its own numbers announce."""
    if len(block.raw) >= _needed_bytes(block):
        return None
    return corrupt(block, f"{len(block.raw)} bytes are too short", read_mono_ns)


def corrupt(block: SbfBlock, reason: str, read_mono_ns: int) -> CorruptData:
    """A block that says nothing usable."""
    return CorruptData(
        length=len(block.raw), reason=f"SBF {block.number}: {reason}"[:200], read_mono_ns=read_mono_ns
    )


def _needed_bytes(block: SbfBlock) -> int:
    needed = _NEEDED.get(block.number, 0)
    raw = block.raw
    if block.number not in _GROUPS or len(raw) < needed:
        return needed
    begin, count_at, length_at, least = _GROUPS[block.number]
    length = least if length_at is None else raw[length_at]
    if length < least and raw[count_at]:
        return _IMPOSSIBLE
    return max(needed, begin + raw[count_at] * length)
