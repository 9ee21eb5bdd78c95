"""How an emulated timing receiver comes to know position, time and leap seconds, and loses them again.

One step per second, at the pulse. The ladder follows the start-up behaviour of u-blox timing receivers:
time from the first satellite, a 3D fix, confirmation, leap data with the next almanac page that carries it
(up to 12.5 min after a cold start), survey-in, then time-only mode in which one satellite is enough.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

GPS_LEAP_PAGE_PERIOD_S: Final = 750
"""Subframe 4 page 18 comes once in 25 frames of 30 s (IS-GPS-200, 20.3.3.5)."""
_BRIDGED_S: Final = 1
"""So long a fix outlives its satellites."""
_CONFIRM_AFTER_S: Final = 10
_MIN_SATELLITES_3D: Final = 4
_START_MEAN_V_MM2: Final = 25_000_000.0
_TIME_ACCURACY_NS: Final = 8
_MAX_ACCURACY_NS: Final = 4_000_000_000
_COAST_NS_PER_S: Final = 30
"""The receiver's crystal while it has no satellites."""


class Start(Enum):
    """What the receiver still knows when it starts: seconds to time and to a 3D fix."""

    COLD = (10, 26)
    WARM = (2, 24)
    HOT = (1, 2)


class TimeMode(NamedTuple):
    """CFG-TMODE."""

    mode: int
    """0 off, 1 survey-in, 2 fixed position."""
    min_duration_s: int
    limit_01mm: int


class NavState(NamedTuple):
    """What the receiver knows at one pulse."""

    second_tai_s: int
    fix_type: int
    """UBX-NAV-PVT fixType."""
    fix_ok: bool
    time_known: bool
    confirmed: bool
    leap_known: bool
    satellites_used: int
    time_accuracy_ns: int
    pulse_locked: bool
    survey_active: bool
    survey_valid: bool
    survey_s: int
    mean_v_mm2: int
    first_fix_ms: int
    uptime_ms: int


class Navigation:
    """The ladder. ``step`` is called once per second."""

    def __init__(self, start: Start, leap_page_phase_s: int) -> None:
        """``leap_page_phase_s``: when, in each 750 s, the page with leap data is sent."""
        self._leap_page_phase_s = leap_page_phase_s % GPS_LEAP_PAGE_PERIOD_S
        self.restart(start)

    def restart(self, start: Start, keep_uptime: bool = False) -> None:
        """Begin again; a GNSS-only restart keeps counting uptime."""
        self._needs = start.value
        self._tracking_s = 0
        self._lost_s = 0
        self._fix = False
        self._fix_s = 0
        self._time_known = False
        self._leap_known = start is not Start.COLD
        self._accuracy_ns = _MAX_ACCURACY_NS
        self._first_fix_ms = 0
        if not keep_uptime:
            self._uptime_s = 0
        self._mode: TimeMode | None = None
        self._survey_s = 0
        self._survey_done = False

    def end_survey(self) -> None:
        """What was found is given up; the mode of the next second begins anew."""
        self._mode = None

    def step(self, second_tai_s: int, satellites: int, mode: TimeMode) -> NavState:
        """The next second, with ``satellites`` of usable signal."""
        if mode != self._mode:
            self._mode, self._survey_s, self._survey_done = mode, 0, False
        self._uptime_s += 1
        time_mode = mode.mode == 2 or self._survey_done
        enough = satellites >= (1 if time_mode and self._time_known else _MIN_SATELLITES_3D)
        self._tracking_s = self._tracking_s + 1 if satellites > 0 else 0
        self._lost_s = 0 if enough else self._lost_s + 1
        self._take_fix(enough)
        self._know_time(second_tai_s)
        self._survey(mode)
        time_mode = mode.mode == 2 or self._survey_done
        return NavState(
            second_tai_s=second_tai_s,
            fix_type=(5 if time_mode else 3) if self._fix else 0,
            fix_ok=self._fix,
            time_known=self._time_known,
            confirmed=self._time_known and self._first_fix_ms > 0 and self._fix_s >= _CONFIRM_AFTER_S,
            leap_known=self._leap_known,
            satellites_used=satellites if self._fix else 0,
            time_accuracy_ns=self._accuracy_ns,
            pulse_locked=self._fix and self._time_known,
            survey_active=mode.mode == 1 and not self._survey_done,
            survey_valid=self._survey_done,
            survey_s=self._survey_s,
            mean_v_mm2=self._mean_v_mm2(),
            first_fix_ms=self._first_fix_ms,
            uptime_ms=self._uptime_s * 1000,
        )

    def _take_fix(self, enough: bool) -> None:
        if self._fix:
            self._fix = self._lost_s <= _BRIDGED_S
        elif enough and self._tracking_s >= self._needs[1]:
            self._fix = True
            self._needs = Start.HOT.value  # a short interruption costs no more than this
            if not self._first_fix_ms:
                self._first_fix_ms = self._uptime_s * 1000
        if self._fix:
            self._fix_s += 1
            self._accuracy_ns = _TIME_ACCURACY_NS
        elif self._time_known:
            self._accuracy_ns = min(_MAX_ACCURACY_NS, self._accuracy_ns + _COAST_NS_PER_S)

    def _know_time(self, second_tai_s: int) -> None:
        if self._tracking_s >= self._needs[0] and not self._time_known:
            self._time_known = True
            self._accuracy_ns = min(self._accuracy_ns, 1_000_000)
        if (
            self._fix
            and not self._leap_known
            and second_tai_s % GPS_LEAP_PAGE_PERIOD_S == self._leap_page_phase_s
        ):
            self._leap_known = True

    def _survey(self, mode: TimeMode) -> None:
        if mode.mode != 1 or self._survey_done or not self._fix:
            return
        self._survey_s += 1
        sigma_01mm = self._mean_v_mm2() ** 0.5 * 10
        self._survey_done = self._survey_s >= mode.min_duration_s and sigma_01mm <= mode.limit_01mm

    def _mean_v_mm2(self) -> int:
        """Variance of the mean position: independent fixes about every minute."""
        return round(_START_MEAN_V_MM2 / (1.0 + self._survey_s / 60.0)) if self._survey_s else 0
