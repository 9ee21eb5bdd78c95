"""Leap seconds as satellite systems announce them: a week of eight bits, a day, and the offset after it.

Source: IS-GPS-200, 20.3.3.5.2.4 (coordinated universal time parameters); the same scheme in the Galileo OS
SIS ICD, 5.1.7, and in the BeiDou B1I ICD, 5.2.4.18, whose days count from 0 and whose weeks from 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from timecard.timescale import NS_PER_S, S_PER_WEEK, TAI_MINUS_GPS_S
from timecard.values import LeapInfo

_S_PER_DAY: Final = 86_400
_REFRESH_NS: Final = 10 * NS_PER_S
_BEIDOU_WEEK: Final = 1356
_BEIDOU_BEHIND_GPS_S: Final = 14
_LEAP_RANGE: Final = range(10, 60)
"""GPS minus UTC was 18 s in 2017; what is outside is no leap data."""


class LeapNotice(NamedTuple):
    """What one system broadcasts, in its own numbers."""

    system: str
    leap_s: int
    """System time minus UTC now."""
    week_256: int
    day: int
    next_leap_s: int
    """After the end of that day."""


class LeapState:
    """What is known of UTC, from notices and from the receiver's own word."""

    def __init__(self) -> None:
        self.tai_minus_utc_s: int | None = None
        self._source = "none"
        self._event_gps_s: int | None = None
        self._change_s = 0
        self._told: tuple[tuple[int | None, int, str], int] | None = None

    def told(self, leap_s: int | None, gps_s: int | None, read_mono_ns: int) -> Sequence[LeapInfo]:
        """The receiver says what GPS minus UTC is (None: not known) at ``gps_s``."""
        if leap_s is None or leap_s not in _LEAP_RANGE:
            self.tai_minus_utc_s = None
            self._source = "none"
        else:
            self.tai_minus_utc_s = leap_s + TAI_MINUS_GPS_S
            if self._source == "none":
                self._source = "receiver"
        return self._tell(gps_s, read_mono_ns)

    def announced(self, notice: LeapNotice, gps_s: int, read_mono_ns: int) -> Sequence[LeapInfo]:
        """A system's own parameters, at ``gps_s`` seconds of GPS time since its week 0."""
        beidou = notice.system == "BeiDou"
        behind_s = _BEIDOU_BEHIND_GPS_S if beidou else 0
        leap_s, next_s = notice.leap_s + behind_s, notice.next_leap_s + behind_s
        # GPS and Galileo number days from 1, so that their number is also the midnight that ends the day.
        midnight = notice.day + 1 if beidou else notice.day
        if leap_s not in _LEAP_RANGE or abs(next_s - leap_s) > 1 or not 1 <= midnight <= 7:
            return ()
        week_zero = _BEIDOU_WEEK if beidou else 0
        week = _nearest_week(notice.week_256 + week_zero, gps_s // S_PER_WEEK)
        # Midnight of UTC, when the new difference is in force.
        event_gps_s = week * S_PER_WEEK + midnight * _S_PER_DAY + next_s
        past = gps_s >= event_gps_s
        self.tai_minus_utc_s = (next_s if past else leap_s) + TAI_MINUS_GPS_S
        self._source = notice.system
        self._change_s = 0 if past else next_s - leap_s
        self._event_gps_s = event_gps_s if self._change_s else None
        return self._tell(gps_s, read_mono_ns)

    def _tell(self, gps_s: int | None, read_mono_ns: int) -> Sequence[LeapInfo]:
        """A change at once, a countdown each time, the same again after a while."""
        left_s = None if self._event_gps_s is None or gps_s is None else self._event_gps_s - gps_s
        if left_s is not None and left_s < 0:
            self._event_gps_s, self._change_s, left_s = None, 0, None
        state = (self.tai_minus_utc_s, self._change_s, self._source)
        told = self._told
        same = told is not None and told[0] == state and read_mono_ns - told[1] < _REFRESH_NS
        if same and left_s is None:
            return ()
        self._told = (state, read_mono_ns)
        return (
            LeapInfo(
                tai_minus_utc_s=self.tai_minus_utc_s,
                change_s=self._change_s if left_s is not None else 0,
                seconds_to_event=left_s,
                source=self._source,
                read_mono_ns=read_mono_ns,
            ),
        )


def _nearest_week(week_256: int, now: int) -> int:
    """The full week nearest to now that has these eight bits."""
    return now + (week_256 - now + 128) % 256 - 128
