"""Does the receiver's time go on as time does? Epochs and dates against the host's clock.

The host's monotonic clock does not know what time it is, but it knows how much has passed since an epoch that
was believed. Messages may be late on a slow line or in a busy host; they are never early.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from timecard.gnss.integrity_rules import AlarmBoard, IntegrityOptions, day_text, time_text
from timecard.timescale import NS_PER_S, S_PER_WEEK
from timecard.values import FixType, GnssFix

_HALF_S_NS: Final = NS_PER_S // 2
_HOST_RATE: Final = 1e-4
"""How wrong the host's clock may run."""
_ROLLOVER_S: Final = 1024 * S_PER_WEEK
_ROLLOVERS: Final = (1, 2)
_NEAR_S: Final = 86_400
_PLAUSIBLE_S: Final = 15 * 31_557_600
"""Nobody runs a receiver for longer than this after the earliest date that its driver believes."""
_UNSET_BEFORE_S: Final = 946_684_800
"""2000-01-01. No receiver in use was ever told by a satellite that it is earlier."""
_RECENT_EPOCHS: Final = 8
_NO_FIX: Final = frozenset({FixType.NONE, FixType.DEAD_RECKONING})


class TimeWatch:
    """Epochs, in the order in which they were read."""

    def __init__(self, options: IntegrityOptions, board: AlarmBoard) -> None:
        self._options = options
        self._board = board
        self._anchor: tuple[int, int] | None = None
        """The newest epoch that was on time: TAI and when it was read, both ns."""
        self._firm = False
        self._last: tuple[int, int] | None = None
        self._recent: deque[int] = deque(maxlen=_RECENT_EPOCHS)
        self._was_valid = False
        self._was_fixed = False
        self._was_resolved = False
        self._caught_up_ns = 0
        self.fix: GnssFix | None = None
        """The newest."""

    @property
    def ever_valid(self) -> bool:
        """A valid time was told since the start."""
        return self._was_valid

    def tai_ns(self, now_ns: int) -> int | None:
        """TAI at a monotonic instant, as it goes on from what was believed; late by a message's delay."""
        return None if self._anchor is None else self._anchor[0] + now_ns - self._anchor[1]

    def forgive(self) -> None:
        """Whatever the receiver says next is where time begins."""
        self._anchor, self._firm, self._last = None, False, None
        self._recent.clear()

    def on_time(self, now_ns: int) -> bool:
        """What is read now is of this second."""
        return now_ns >= self._caught_up_ns and not self._board.shown("stale-epoch")

    def resumed(self, now_ns: int) -> None:
        """After a pause in reading: what comes now may be old."""
        self._caught_up_ns = now_ns + _HALF_S_NS

    def take_fix(self, fix: GnssFix, started_ns: int) -> None:
        """A navigation epoch."""
        board, now_ns = self._board, fix.read_mono_ns
        self.fix = fix
        refused_ns = fix.refused_tai_ns
        if refused_ns is not None:
            self._refused(refused_ns, now_ns)
        else:
            for name in ("time-1970", "week-rollover", "time-implausible"):
                board.good(name, now_ns)
        overdue = now_ns - started_ns > self._options.first_time_s * NS_PER_S
        known = fix.time_valid or refused_ns is not None
        board.judge(
            "time-invalid",
            not known and (self._was_valid or overdue),
            lambda: f"date or time marked invalid, fix {fix.fix.name}",
            now_ns,
        )
        self._was_valid |= fix.time_valid
        fixed = fix.fix_ok and fix.fix not in _NO_FIX
        board.judge(
            "fix-lost",
            not fixed and self._was_fixed,
            lambda: f"fix {fix.fix.name}, valid={fix.fix_ok}, {fix.satellites_used} satellites used",
            now_ns,
        )
        self._was_fixed |= fixed
        self._was_resolved |= fix.utc_resolved
        board.judge(
            "leap-unknown",
            self._was_resolved and not fix.utc_resolved and fix.time_valid,
            lambda: "UTC not resolved although it was before",
            now_ns,
        )
        accuracy_ns, limit_ns = fix.time_accuracy_ns, self._options.max_time_accuracy_ns
        if accuracy_ns is not None and fixed:
            board.judge(
                "time-inaccurate",
                accuracy_ns > limit_ns,
                lambda: f"estimated time error {accuracy_ns:.0f} ns, limit {limit_ns:.0f} ns",
                now_ns,
            )
        if fix.epoch_tai_ns is not None and fix.time_valid:
            self._epoch(fix.epoch_tai_ns, fix, now_ns)

    # ------------------------------------------------------------------ the date

    def _refused(self, tai_ns: int, now_ns: int) -> None:
        said_s = tai_ns // NS_PER_S
        name, why = "time-implausible", "no number of 1024 weeks makes it right"
        if said_s < _UNSET_BEFORE_S:
            name, why = "time-1970", "an unset clock"
        else:
            for count in _ROLLOVERS:
                for right_s in (said_s + count * _ROLLOVER_S, said_s - count * _ROLLOVER_S):
                    if self._fits(right_s, now_ns):
                        name, why = "week-rollover", f"{count * 1024} weeks from {day_text(right_s)}"
        self._board.bad(name, f"says {day_text(said_s)}: {why}", now_ns)

    def _fits(self, tai_s: int, now_ns: int) -> bool:
        known_ns = self.tai_ns(now_ns)
        if known_ns is not None:
            return abs(tai_s - known_ns // NS_PER_S) < _NEAR_S
        return 0 <= tai_s - self._options.earliest_tai_s < _PLAUSIBLE_S

    # ------------------------------------------------------------------ epochs

    def _epoch(self, tai_ns: int, fix: GnssFix, now_ns: int) -> None:
        anchor, last = self._anchor, self._last
        self._last = (tai_ns, now_ns)
        seen = tai_ns in self._recent
        self._recent.append(tai_ns)
        if anchor is None or last is None:
            self._anchor = (tai_ns, now_ns)
            return
        late_ns = now_ns - anchor[1] - (tai_ns - anchor[0])
        tolerance_ns = _HALF_S_NS + round((now_ns - anchor[1]) * _HOST_RATE)
        if not self._firm:
            # What is read first may have waited in a buffer: time is known once epochs come as they happen.
            on_time = abs(late_ns) < tolerance_ns and now_ns - last[1] > 0.4 * self._period_ns
            if on_time and fix.fix_ok and fix.time_confirmed is not False:
                self._firm = True
            if on_time or late_ns < 0 or not seen:
                self._anchor = (tai_ns, now_ns)
            return
        running = tai_ns - last[0] == self._period_ns and now_ns - last[1] > 0.4 * self._period_ns
        if seen and not running and self._options.epoch_period_s >= 1.0:
            ago_s = (now_ns - last[1]) / NS_PER_S
            self._board.bad(
                "stale-epoch",
                f"{time_text(tai_ns)} is told again, {ago_s:.2f} s after the last epoch",
                now_ns,
            )
        elif late_ns >= tolerance_ns and (now_ns < self._caught_up_ns or self._is_late(now_ns)):
            text = f"{time_text(tai_ns)} was read {late_ns / NS_PER_S:.2f} s late"
            self._board.bad("stale-epoch", text, now_ns)
        elif abs(late_ns) >= tolerance_ns:
            way = "back" if late_ns > 0 else "ahead"
            text = f"{time_text(tai_ns)} is {abs(late_ns) / NS_PER_S:.1f} s {way} of what follows from before"
            self._board.bad("time-jump", text, now_ns)
            self._board.good("stale-epoch", now_ns)
        else:
            self._anchor = (tai_ns, now_ns)
            self._board.good("stale-epoch", now_ns)
            self._board.good("time-jump", now_ns)

    def _is_late(self, now_ns: int) -> bool:
        """Known to be late, and not because the time was set back."""
        return self._board.shown("stale-epoch") and "late" in self._board.active["stale-epoch"]

    @property
    def _period_ns(self) -> int:
        return round(self._options.epoch_period_s * NS_PER_S)
