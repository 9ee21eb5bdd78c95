"""TAI, UTC and GPS time as integer nanoseconds.

TAI counts from 1970-01-01 00:00:00 TAI, as a PTP clock does (IEEE 1588-2019, 7.2.1). GPS time is
TAI minus 19 s, always; UTC is TAI minus an offset that only a source with leap data may tell.
"""

from __future__ import annotations

from typing import Final

NS_PER_S: Final = 1_000_000_000
S_PER_WEEK: Final = 604_800
GPS_EPOCH_UNIX_S: Final = 315_964_800
"""1980-01-06 00:00:00 UTC as Unix seconds: GPS week 0."""
TAI_MINUS_GPS_S: Final = 19
TAI_MINUS_UTC_2017_S: Final = 37
"""In force since 2017-01-01. Used for the host's clock only, never announced as learnt from GNSS."""


def gps_to_tai_ns(week: int, tow_ns: int) -> int:
    """TAI of a full GPS week number and time of week."""
    return (GPS_EPOCH_UNIX_S + TAI_MINUS_GPS_S + week * S_PER_WEEK) * NS_PER_S + tow_ns


def tai_to_gps(tai_ns: int) -> tuple[int, int]:
    """GPS week number and time of week in ns of a TAI instant."""
    return divmod(tai_ns - (GPS_EPOCH_UNIX_S + TAI_MINUS_GPS_S) * NS_PER_S, S_PER_WEEK * NS_PER_S)


def nearest_second_ns(tai_ns: int) -> int:
    """The whole second nearest to an instant."""
    return (tai_ns + NS_PER_S // 2) // NS_PER_S * NS_PER_S
