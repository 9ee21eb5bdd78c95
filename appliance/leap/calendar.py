"""When a leap second may be, and what UTC calls a second of TAI."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from timecard.leap_list import ComingLeap

S_PER_DAY: Final = 86_400
MAX_AHEAD_S: Final = 184 * S_PER_DAY
"""A leap second is decided for the end of the running half-year (IERS Bulletin C, January and July)."""
_MONTHS: Final = (1, 4, 7, 10)
"""A leap second ends the month before: June or December, else March or September (ITU-R TF.460-6, 2.1)."""
_NEAR_S: Final = 3


def leap_at(change_s: int, at_tai_s: int, tai_minus_utc_s: int) -> ComingLeap | None:
    """The leap second that a source means by a second known to some seconds; None when there can be none.

    ``tai_minus_utc_s`` is the difference before it. What comes back is in force from its ``at_tai_s`` on,
    which is midnight of UTC.
    """
    after_s = tai_minus_utc_s + change_s
    midnight_s = (at_tai_s - after_s + S_PER_DAY // 2) // S_PER_DAY * S_PER_DAY
    if change_s not in (-1, 1) or abs(midnight_s + after_s - at_tai_s) > _NEAR_S:
        return None
    date = _date(midnight_s)
    if date is None or date.day != 1 or date.month not in _MONTHS:
        return None
    return ComingLeap(change_s, midnight_s + after_s)


def utc_text(tai_s: int, tai_minus_utc_s: int, coming: ComingLeap | None) -> str:
    """Date and time of UTC; second 60 exists. ``tai_minus_utc_s`` is what is in force at ``tai_s``."""
    inserted = coming is not None and coming.change_s > 0 and tai_s == coming.at_tai_s - 1
    date = _date(tai_s - tai_minus_utc_s - inserted)
    if date is None:
        return f"second {tai_s} of TAI"
    return f"{date:%Y-%m-%dT%H:%M:}{date.second + inserted:02d}Z"


def day_text(tai_s: int) -> str:
    """The date of an instant, to a minute."""
    date = _date(tai_s)
    return f"second {tai_s} of TAI" if date is None else f"{date:%Y-%m-%d}"


def leap_text(leap: ComingLeap, tai_minus_utc_s: int) -> str:
    """``+1 s at the end of 2026-12-31``; ``tai_minus_utc_s`` is the difference before it."""
    last_day_s = leap.at_tai_s - tai_minus_utc_s - leap.change_s - 1
    return f"{leap.change_s:+d} s at the end of {day_text(last_day_s)}"


def _date(utc_s: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(utc_s, UTC)
    except (ValueError, OverflowError, OSError):
        return None
