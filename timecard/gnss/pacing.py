"""When the frames of a recording without host times were read: told by the times within the frames.

Seconds of the receiver are seconds of the host, so that everything in a decoder that lasts a while does so in
a replay too. What the result means is only the distance between two frames, never a date.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from timecard.gnss import nmea_sentences as nmea
from timecard.gnss.framing import Item, NmeaSentence, SbfBlock, UbxFrame
from timecard.gnss.sbf_messages import time_stamp
from timecard.timescale import NS_PER_S, S_PER_WEEK

_ITOW_AT: Final[Mapping[int, int]] = {0x0113: 4, 0x0114: 4, 0x013B: 4, 0x013C: 4, 0x0162: 4, 0x0164: 4}
"""UBX-NAV messages whose time of week is not their first field: HPPOSECEF, HPPOSLLH, SVIN, RELPOSNED, PL,
TIMETRUSTED."""
_NAV: Final = 0x01
_WEEK_MS: Final = S_PER_WEEK * 1_000
_DAY_MS: Final = 86_400_000
_MAX_STEP_MS: Final = 60_000
"""A larger step, or one backwards, is another recording stuck on, or noise: it counts as one second."""
_CLOCKED: Final = (b"RMC", b"GGA", b"GNS", b"ZDA", b"GLL", b"GST", b"GBS", b"GRS")


class EpochPacer:
    """Calls with the frames in order give a monotonic time that never goes back."""

    def __init__(self) -> None:
        self._mono_ns = 0
        self._source = ""
        self._last_ms = 0

    def __call__(self, item: Item) -> int:
        """Nanoseconds from the first frame."""
        source, clock_ms, wrap_ms = _clock(item)
        if clock_ms is None or (source == "nmea" and self._source not in ("", "nmea")):
            return self._mono_ns
        if source == self._source:
            step_ms = (clock_ms - self._last_ms) % wrap_ms
            if step_ms > _MAX_STEP_MS:
                step_ms = 1_000
            self._mono_ns += step_ms * NS_PER_S // 1_000
        # A binary protocol takes over from NMEA: its clock is another one.
        self._source = source
        self._last_ms = clock_ms
        return self._mono_ns


def _clock(item: Item) -> tuple[str, int | None, int]:
    if isinstance(item, UbxFrame):
        return "ubx", _itow_ms(item), _WEEK_MS
    if isinstance(item, SbfBlock):
        return "sbf", time_stamp(item)[1], _WEEK_MS
    if isinstance(item, NmeaSentence) and item.raw[3:6] in _CLOCKED:
        texts = nmea.fields(item)
        at = 5 if texts[0].endswith("GLL") else 1
        clock_ns = nmea.time_of_day_ns(texts[at]) if len(texts) > at else None
        return "nmea", None if clock_ns is None else clock_ns // 1_000_000, _DAY_MS
    return "", None, 1


def _itow_ms(frame: UbxFrame) -> int | None:
    at = 6 + _ITOW_AT.get(frame.key, 0)
    if frame.key >> 8 != _NAV or len(frame.raw) < at + 6:
        return None
    itow_ms = int.from_bytes(frame.raw[at : at + 4], "little")
    return itow_ms if itow_ms < _WEEK_MS else None
