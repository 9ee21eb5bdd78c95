"""What the FPGA's time-of-day slave makes of the receiver's messages: it listens on the same line.

It needs NAV-TIMEUTC and NAV-TIMELS; NAV-STATUS, NAV-SAT and MON-HW feed its status words. What has not been
heard for 3 s is invalid.
"""

from __future__ import annotations

import calendar
import struct
from typing import Final, NamedTuple

from timecard.timescale import NS_PER_S, TAI_MINUS_GPS_S

HEARD_NS: Final = 3 * NS_PER_S
UNKNOWN_LEAP_S: Final = 0x7FFFFFFF
_NAV_STATUS, _NAV_TIMEUTC, _NAV_TIMELS, _NAV_SAT, _MON_HW = 0x0103, 0x0121, 0x0126, 0x0135, 0x0A09
_HEARD: Final = frozenset({_NAV_STATUS, _NAV_TIMEUTC, _NAV_TIMELS, _NAV_SAT, _MON_HW})
_SV_USED: Final = 8


class TodStatus(NamedTuple):
    """Fields of the slave's registers (utc_status, time_to_leap, gnss_status, num_sat)."""

    tai_s: int | None
    """TAI of the last epoch's pulse, decoded from UTC; None without valid NAV-TIMEUTC and leap data."""
    time_error_s: int
    """``tai_s`` minus the second in which it was really sent; 0 while ``tai_s`` is None."""
    utc_offset_s: int
    """TAI - UTC as last heard, valid or not."""
    utc_offset_valid: bool
    leap_announced: bool
    leap_59: bool
    leap_61: bool
    leap_valid: bool
    seconds_to_leap: int
    antenna: int
    jamming: int
    jam_indicator: int
    antenna_valid: bool
    fix_ok: bool
    fix: int
    spoofing: int
    fix_valid: bool
    satellites_seen: int
    satellites_used: int
    satellites_valid: bool


class TodTap:
    """Remembers the latest payload of each message that the slave understands."""

    def __init__(self) -> None:
        self._heard: dict[int, tuple[int, bytes]] = {}

    def observe(self, key: int, payload: bytes, t_ns: int) -> None:
        """A frame goes by, complete at ``t_ns``."""
        if key in _HEARD:
            self._heard[key] = (t_ns, payload)

    def status(self, t_ns: int) -> TodStatus:
        """The registers at ``t_ns``."""
        offset_s, offset_valid, leap_valid = 0, False, False
        change, to_leap_s = 0, UNKNOWN_LEAP_S
        timels, fresh = self._latest(_NAV_TIMELS, t_ns)
        if timels:
            leap_s, change, to_event = struct.unpack_from("<bxbi", timels, 9)
            offset_s = leap_s + TAI_MINUS_GPS_S
            offset_valid = fresh and bool(timels[23] & 1)
            leap_valid = fresh and bool(timels[23] & 2)
            announced = leap_valid and change != 0 and to_event >= 0
            to_leap_s = to_event if announced else UNKNOWN_LEAP_S
            change = change if announced else 0
        hw, hw_fresh = self._latest(_MON_HW, t_ns)
        status, status_fresh = self._latest(_NAV_STATUS, t_ns)
        sat, sat_fresh = self._latest(_NAV_SAT, t_ns)
        flags = sat[16::12][: sat[5]] if sat else b""
        tai_s, error_s = self._time(t_ns, offset_s) if offset_valid else (None, 0)
        return TodStatus(
            tai_s=tai_s,
            time_error_s=error_s,
            utc_offset_s=offset_s,
            utc_offset_valid=offset_valid,
            leap_announced=change != 0,
            leap_59=change < 0,
            leap_61=change > 0,
            leap_valid=leap_valid,
            seconds_to_leap=to_leap_s,
            antenna=hw[20] if hw else 0,
            jamming=hw[22] >> 2 & 3 if hw else 0,
            jam_indicator=hw[45] if hw else 0,
            antenna_valid=hw_fresh,
            fix_ok=bool(status[5] & 1) if status else False,
            fix=status[4] if status else 0,
            spoofing=status[7] >> 3 & 3 if status else 0,
            fix_valid=status_fresh,
            satellites_seen=sat[5] if sat else 0,
            satellites_used=sum(1 for flag in flags if flag & _SV_USED),
            satellites_valid=sat_fresh,
        )

    def _latest(self, key: int, t_ns: int) -> tuple[bytes, bool]:
        heard_ns, payload = self._heard.get(key, (0, b""))
        return payload, bool(payload) and t_ns - heard_ns < HEARD_NS

    def _time(self, t_ns: int, offset_s: int) -> tuple[int | None, int]:
        heard_ns, timeutc = self._heard.get(_NAV_TIMEUTC, (0, b""))
        if not timeutc or t_ns - heard_ns >= HEARD_NS or timeutc[19] & 7 != 7:
            return None, 0
        year, *fields = struct.unpack_from("<H5B", timeutc, 12)
        tai_s = calendar.timegm((year, *fields)) + offset_s
        return tai_s, tai_s - heard_ns // NS_PER_S
