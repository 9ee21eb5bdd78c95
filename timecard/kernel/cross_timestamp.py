"""A PTP hardware clock against CLOCK_MONOTONIC_RAW, by the best way that the kernel offers.

In order: the hardware's own comparison (PTM); brackets of CLOCK_MONOTONIC_RAW (kernels since 6.12);
brackets of CLOCK_REALTIME, which two readings of our own turn into CLOCK_MONOTONIC_RAW. Half a bracket
bounds the error and averaging does not shrink it, so it is told as it is and the narrowest of a few counts.

``ptp_ocp`` moves the end of its bracket earlier by ``ts_window_adjust``, 3/32 of a register read measured
at probe. Two things go wrong with that. Mainline from 6.12 until before 7.3 computes -3, kept as 4 294 967
293: every bracket ends 4.29 s before it begins. And a probe that was interrupted measures far too much:
then the bracket is too narrow, and the truth may lie outside. Both are undone here; the driver's own
correction stays where it is small enough to be one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from timecard.errors import ProtocolError, RefusedError, TimeCardError, UnsupportedError
from timecard.kernel.phc import MONOTONIC_RAW, REALTIME, Phc
from timecard.kernel.phc_values import Bracket
from timecard.timescale import NS_PER_S
from timecard.values import CrossTimestamp

SAMPLES: Final = 5
"""Readings of which the narrowest counts: most are undisturbed, so few suffice."""
WORD: Final = 1 << 32
BROKEN_ADJUST_NS: Final = WORD - 3
MAX_BRACKET_NS: Final = NS_PER_S
ADJUST_SHARE: Final = (3, 32)
"""Of one register read; a bracket holds at least that read."""
PTM_RESIDUAL_NS: Final = 50.0
"""What the drivers' documents leave open: granularity of both ends and asymmetry of one link."""
STEP_NS: Final = 2_000
"""CLOCK_REALTIME against CLOCK_MONOTONIC_RAW may slew this much within one comparison."""
_ATTEMPTS: Final = 3
_MAX_MISSES: Final = 3
"""So many failures of the hardware's comparison in a row, and it is asked no more."""

HostClocks = Callable[[], tuple[int, int]]


class HostSteppedError(ProtocolError):
    """CLOCK_REALTIME was stepped during each attempt: there is no comparison, and the device is all right."""


@dataclass(frozen=True, slots=True)
class UndoneBracket:
    """A bracket that surely holds the clock's reading."""

    bracket: Bracket
    repaired: bool
    """The driver's correction was taken back."""


def undo_window_adjust(bracket: Bracket, adjust_ns: int | None) -> UndoneBracket | None:
    """Take back a correction of the trailing stamp that cannot be right; None for a hopeless bracket.

    ``adjust_ns`` is the driver's ``ts_window_adjust``; None where there is none or it cannot be read.
    """
    width_ns = bracket.after_ns - bracket.before_ns
    if adjust_ns is None:
        if width_ns >= 0:
            return UndoneBracket(bracket, False) if width_ns < MAX_BRACKET_NS else None
        subtracted_ns = BROKEN_ADJUST_NS
    else:
        subtracted_ns = adjust_ns % WORD
        share, whole = ADJUST_SHARE
        if width_ns >= 0 and (adjust_ns < 0 or subtracted_ns * whole <= (width_ns + subtracted_ns) * share):
            # Plausible, or somebody has just put another value in force.
            return UndoneBracket(bracket, False) if width_ns < MAX_BRACKET_NS else None
    if not 0 <= width_ns + subtracted_ns < MAX_BRACKET_NS:
        return None
    return UndoneBracket(Bracket(bracket.before_ns, bracket.clock_ns, bracket.after_ns + subtracted_ns), True)


def host_clocks() -> tuple[int, int]:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC_RAW, and half the width of that reading; the narrowest of four."""
    readings = []
    for _ in range(4):
        before_ns = time.clock_gettime_ns(MONOTONIC_RAW)
        real_ns = time.clock_gettime_ns(REALTIME)
        after_ns = time.clock_gettime_ns(MONOTONIC_RAW)
        readings.append(((after_ns - before_ns + 1) // 2, real_ns - (before_ns + after_ns) // 2))
    half_ns, ahead_ns = min(readings)
    return ahead_ns, half_ns


class CrossComparer:
    """Comparisons of one clock, of a Time Card or of a NIC."""

    def __init__(
        self,
        phc: Phc,
        *,
        window_adjust: Callable[[], int | None] = lambda: None,
        tick_ns: int = 0,
        clocks: HostClocks = host_clocks,
    ) -> None:
        """Ask nothing yet; a clock that is open for reading only will do.

        ``window_adjust`` tells what ``undo_window_adjust`` is to undo: 0 for a driver that moves no stamp.
        ``tick_ns`` is the clock's granularity, where a reading is that of the next tick; else 0.
        """
        self._phc = phc
        self._window_adjust = window_adjust
        self._tick_ns = tick_ns
        self._clocks = clocks
        self._has_precise: bool | None = None
        self._precise_is_fresh = False
        self._misses = 0
        self._raw_brackets = True
        self.repaired = 0
        """Comparisons in which the driver's correction was taken back."""

    def cross_timestamp(self) -> CrossTimestamp:
        """One comparison; ``HostSteppedError`` when it takes CLOCK_REALTIME, and that was stepped."""
        if self._has_precise is None:
            self._has_precise = self._phc.capabilities().cross_timestamping
        if self._has_precise:
            try:
                stamp = self._precise()
            except (UnsupportedError, ProtocolError):
                # Claimed, and not kept: a root port without PTM, or PTM switched off. That stays so.
                self._has_precise = False
            except TimeCardError:
                # A NIC's PTM dialogue may time out, and the kernel says that there is no such device while
                # its own time comes from another counter. A clock that has gone refuses brackets as well.
                self._misses += 1
                self._has_precise = self._misses < _MAX_MISSES
                self._precise_is_fresh = False
            else:
                self._misses = 0
                return stamp
        return self._bracketed()

    # --- internals ---

    def _precise(self) -> CrossTimestamp:
        if not self._precise_is_fresh:
            # The driver pairs this dialogue's times with the last one's: the very first has none.
            self._phc.precise()
            self._precise_is_fresh = True
        clock_ns, _, raw_ns = self._phc.precise()
        if clock_ns <= 0 or raw_ns <= 0:
            raise ProtocolError(self._phc.name, "cross timestamp", "success without data: PTM is off")
        return CrossTimestamp(
            card_tai_ns=clock_ns, mono_raw_ns=raw_ns, half_width_ns=PTM_RESIDUAL_NS, method="ptm"
        )

    def _bracketed(self) -> CrossTimestamp:
        if self._raw_brackets:
            try:
                return self._stamp(self._narrowest(MONOTONIC_RAW), 0, 0.0)
            except (RefusedError, UnsupportedError):
                # Before 6.12 the clock is refused. A driver that cannot do brackets says so before that.
                self._raw_brackets = False
        moved_ns = 0
        for _ in range(_ATTEMPTS):
            ahead_ns, half_ns = self._clocks()
            try:
                best = self._narrowest(REALTIME)
            except UnsupportedError:
                best = min(self._phc.plain_brackets(SAMPLES), key=_width_ns)
            ahead_after_ns, half_after_ns = self._clocks()
            moved_ns = abs(ahead_after_ns - ahead_ns)
            if moved_ns <= STEP_NS + half_ns + half_after_ns:
                spread_ns = max(half_ns, half_after_ns) + moved_ns / 2
                return self._stamp(best, (ahead_ns + ahead_after_ns) // 2, spread_ns)
        raise HostSteppedError(
            self._phc.name, "cross timestamp", f"the host's clock was stepped by {moved_ns} ns meanwhile"
        )

    def _narrowest(self, clock: int) -> Bracket:
        adjust_ns = self._window_adjust()
        undone = [undo_window_adjust(b, adjust_ns) for b in self._phc.brackets(SAMPLES, clock)]
        good = [u for u in undone if u is not None]
        if not good:
            raise ProtocolError(
                self._phc.name, "cross timestamp", "every bracket ends before it begins, or a second later"
            )
        best = min(good, key=lambda u: _width_ns(u.bracket))
        self.repaired += best.repaired
        return best.bracket

    def _stamp(self, bracket: Bracket, ahead_ns: int, spread_ns: float) -> CrossTimestamp:
        tick_ns = self._tick_ns
        return CrossTimestamp(
            # The reading is that of the tick after the request, half a tick late on average.
            card_tai_ns=bracket.clock_ns - tick_ns // 2,
            mono_raw_ns=(bracket.before_ns + bracket.after_ns) // 2 - ahead_ns,
            half_width_ns=_width_ns(bracket) / 2 + tick_ns / 2 + spread_ns,
            method="bracket",
        )


def _width_ns(bracket: Bracket) -> int:
    return bracket.after_ns - bracket.before_ns
