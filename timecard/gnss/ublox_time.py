"""From a u-blox receiver's weeks, times of week and UTC dates to TAI.

TAI is taken from GPS time of week wherever possible, so that nothing depends on leap data that the receiver
has not got yet. Time bases: u-blox F9 interface description, UBX-TIM-TP and UBX-NAV-TIMELS.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from timecard.timescale import (
    GPS_EPOCH_UNIX_S,
    NS_PER_S,
    S_PER_WEEK,
    TAI_MINUS_GPS_S,
    TAI_MINUS_UTC_2017_S,
    gps_to_tai_ns,
    nearest_second_ns,
    tai_to_gps,
)
from timecard.values import LeapInfo

_WEEK_ZERO_TAI_S: Final = {
    0: 315_964_819,  # GPS: 1980-01-06
    2: 1_136_073_633,  # BeiDou: 2006-01-01
    3: 935_280_019,  # Galileo: 1999-08-22
}
_WEEK_ZERO_UTC_S: Final = GPS_EPOCH_UNIX_S + TAI_MINUS_GPS_S
"""Plus the leap seconds."""
_WEEK_ZERO_GLONASS_S: Final = _WEEK_ZERO_UTC_S - 3 * 3600
"""Plus the leap seconds: GLONASS time is UTC + 3 h."""
_GLONASS: Final = 1
_LEAP_GUARD_S: Final = 2
"""So close to a leap second a label that counts UTC is ambiguous."""
_ROLLOVER_S: Final = 1024 * S_PER_WEEK
_LABEL_TOLERANCE_NS: Final = 1_000_000
_SATELLITE_SOURCES: Final = {1: "GPS-GLONASS", 2: "GPS", 3: "SBAS", 4: "BeiDou", 5: "Galileo"}
"""UBX-NAV-TIMELS srcOfCurrLs. The firmware's default (0), aiding (6) and a configured value (7) do not
count."""


EARLIEST_TAI_S: Final = 1_735_689_637
"""2025-01-01: the product is younger than no date that a receiver may rightly tell."""
_UNNAMED_SOURCE: Final = 255
_CHANGE_SOURCES: Final = {2: "GPS", 3: "SBAS", 4: "BeiDou", 5: "Galileo", 6: "GLONASS"}
"""UBX-NAV-TIMELS srcOfLsChange."""


class ReceiverTime:
    """Turns labels and epochs into TAI; remembers leap data and refuses implausible dates."""

    def __init__(self, earliest_tai_s: int) -> None:
        """Dates are believed in the 1024 weeks from ``earliest_tai_s`` on; others are a rolled-over week."""
        self._earliest_s = earliest_tai_s
        self._leap_s: int | None = None
        self._event_mono_ns: int | None = None
        self.leap_pending = False
        """A leap second is announced and still to come."""
        self.problem: str | None = None
        """Why the latest time was refused; None when it was not."""
        self.refused_tai_ns: int | None = None
        """The latest time, if it was refused."""

    def forget_leap(self) -> None:
        """After a restart the receiver must learn leap data again."""
        self._leap_s = None
        self._event_mono_ns = None
        self.leap_pending = False

    def label_tai_ns(self, message: Any, read_mono_ns: int) -> int | None:
        """TAI of the pulse that a TIM-TP names, a whole second; None while it cannot be known."""
        zero_s = self._week_zero_tai_s(message, read_mono_ns)
        if zero_s is None:
            return None
        tai_ns = (zero_s + message.week * S_PER_WEEK) * NS_PER_S + message.towMS * 1_000_000
        tai_ns += round(message.towSubMS * 1e6)
        second_ns = nearest_second_ns(tai_ns)
        if abs(second_ns - tai_ns) > _LABEL_TOLERANCE_NS:
            return None
        return self._believed(second_ns)

    def epoch_from_utc_ns(self, message: Any) -> int | None:
        """TAI of an epoch from its GPS time of week; its UTC date only tells which week."""
        self.refused_tai_ns = None
        try:
            # Seconds do not matter here, and 60 would be none for the calendar.
            utc = datetime(message.year, message.month, message.day, message.hour, message.min, tzinfo=UTC)
        except ValueError:
            return None
        near_tai_ns = (int(utc.timestamp()) + TAI_MINUS_UTC_2017_S) * NS_PER_S
        week, tow_ns = tai_to_gps(near_tai_ns)
        week += round((tow_ns - message.iTOW * 1_000_000) / (S_PER_WEEK * NS_PER_S))
        return self.epoch_from_gps_ns(week, message.iTOW)

    def epoch_from_gps_ns(self, week: int, itow_ms: int) -> int | None:
        """TAI of an epoch given by full GPS week and time of week."""
        return self._believed(nearest_second_ns(gps_to_tai_ns(week, itow_ms * 1_000_000)))

    def leap_info(self, message: Any, read_mono_ns: int) -> LeapInfo:
        """NAV-TIMELS. Only what came from a satellite counts as known."""
        source = _leap_source(message) if message.validCurrLs else None
        self._leap_s = message.currLs if source else None
        announced = bool(message.validTimeToLsEvent) and message.lsChange in (-1, 1)
        to_event_s: int | None = message.timeToLsEvent if announced else None
        self.leap_pending = to_event_s is not None and to_event_s >= 0
        if to_event_s is not None and to_event_s >= -_LEAP_GUARD_S:
            self._event_mono_ns = read_mono_ns + to_event_s * NS_PER_S
        return LeapInfo(
            tai_minus_utc_s=message.currLs + TAI_MINUS_GPS_S if source else None,
            change_s=message.lsChange if self.leap_pending else 0,
            seconds_to_event=to_event_s if self.leap_pending else None,
            source=source or "none",
            read_mono_ns=read_mono_ns,
        )

    def _week_zero_tai_s(self, message: Any, read_mono_ns: int) -> int | None:
        """TAI of week 0 of the label's time base."""
        if not message.timeBase and message.timeRefGnss != _GLONASS:
            return _WEEK_ZERO_TAI_S.get(message.timeRefGnss)
        if self._leap_s is None or (message.timeBase and not message.utc):
            return None
        event_ns = self._event_mono_ns
        if event_ns is not None and abs(read_mono_ns - event_ns) <= _LEAP_GUARD_S * NS_PER_S:
            return None
        return (_WEEK_ZERO_UTC_S if message.timeBase else _WEEK_ZERO_GLONASS_S) + self._leap_s

    def _believed(self, tai_ns: int) -> int | None:
        second = tai_ns // NS_PER_S
        if self._earliest_s <= second < self._earliest_s + _ROLLOVER_S:
            self.problem = self.refused_tai_ns = None
            return tai_ns
        self.refused_tai_ns = tai_ns
        self.problem = (
            f"the receiver says {_day(second)}, outside the 1024 weeks from {_day(self._earliest_s)} on: "
            "GPS week rollover or wrong time, not used"
        )
        return None


def _leap_source(message: Any) -> str | None:
    """The satellite system that told the leap seconds.

    A recorded M8T names no source (255) as soon as GLONASS tells it the next change: leap data
    have come from the sky then, and the firmware's own figure would have been named (0).
    """
    if message.srcOfCurrLs == _UNNAMED_SOURCE and message.validTimeToLsEvent:
        return _CHANGE_SOURCES.get(message.srcOfLsChange)
    return _SATELLITE_SOURCES.get(message.srcOfCurrLs)


def _day(tai_s: int) -> str:
    return datetime.fromtimestamp(tai_s, UTC).date().isoformat()
