"""The time that the FPGA counts: the card's 10 MHz times five, with drift, slew and jumps.

Card time is kept as ``true TAI + base_ns + error_ns``, a whole number and a small float, so that nothing of a
nanosecond is lost however far the clock is from the truth. The core adjusts in single nanoseconds spread over
20 ns ticks; here that is a straight line, which differs from it by less than a nanosecond.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

from timecard.timescale import NS_PER_S

TICK_NS: Final = 20
"""50 MHz."""
SAMPLE_NS: Final = 5
"""Timestampers sample at 200 MHz."""
_REBASE_NS: Final = 1e6
_ROUNDING_NS: Final = 1e-3
_SLOPE_NS: Final = 10_000_000
"""A shorter move tells little about how fast the clock runs."""


class Oscillator(Protocol):
    """The card's 10 MHz."""

    def phase_ns(self, t_ns: int) -> float:
        """Phase error since the start, ns; positive when it has been fast."""
        ...


class Counter:
    """Adjustable counter; every call first moves to its ``t_ns``, which never goes back."""

    def __init__(self, oscillator: Oscillator, t_ns: int, card_ns: int, tick_ns: int = TICK_NS) -> None:
        self._phase_at = oscillator.phase_ns
        self._tick_ns = tick_ns
        self._t_ns = t_ns
        self._phase_ns = oscillator.phase_ns(t_ns)
        self.running = True
        self.frozen = False
        """Stopped by a fault: it shows its last time and does not start again by itself."""
        self._stopped_ns = 0
        """What it shows while it does not run."""
        self._base_ns = card_ns - t_ns
        self._error_ns = 0.0
        self._drift = 0.0
        self._slew = 0.0
        self._slew_left_ns = 0.0
        self._slope = 0.0
        """How fast the error grew lately, ns per ns: for looking back."""

    def move(self, t_ns: int) -> None:
        """Count up to ``t_ns``."""
        if t_ns == self._t_ns:
            return
        phase_ns = self._phase_at(t_ns)
        gained_ns = phase_ns - self._phase_ns
        counted_ns = (t_ns - self._t_ns) + gained_ns
        error_ns = self._error_ns + gained_ns + self._drift * counted_ns
        if self._slew_left_ns:
            slewed_ns = self._slew * counted_ns
            if abs(slewed_ns) >= abs(self._slew_left_ns):
                slewed_ns = self._slew_left_ns
                self._slew = 0.0
            self._slew_left_ns -= slewed_ns
            error_ns += slewed_ns
        if t_ns - self._t_ns > _SLOPE_NS:
            self._slope = (error_ns - self._error_ns) / (t_ns - self._t_ns)
        if abs(error_ns) > _REBASE_NS:
            whole_ns = round(error_ns)
            self._base_ns += whole_ns
            error_ns -= whole_ns
        self._t_ns, self._phase_ns, self._error_ns = t_ns, phase_ns, error_ns

    # --- reading ---

    def phase_ns(self, t_ns: int) -> float:
        """How far the 10 MHz itself has gained, without what the counter adds."""
        self.move(t_ns)
        return self._phase_ns

    def card_ns(self, t_ns: int) -> int:
        """The clock at ``t_ns``."""
        self.move(t_ns)
        return t_ns + self._base_ns + math.floor(self._error_ns) if self.running else self._stopped_ns

    def error_ns(self, t_ns: int) -> float:
        """The clock minus true TAI; exact only while they are within some hours of one another."""
        self.move(t_ns)
        return self._base_ns + self._error_ns if self.running else float(self._stopped_ns - t_ns)

    def snapshot_ns(self, t_ns: int) -> int:
        """The clock at the tick that follows ``t_ns``."""
        self.move(t_ns)
        if not self.running:
            return self._stopped_ns
        tick_ns = self._tick_ns
        into_tick_ns = (t_ns % tick_ns + self._phase_ns) % tick_ns
        return t_ns + self._base_ns + math.floor(self._error_ns + tick_ns - into_tick_ns)

    def stamp_ns(self, t_ns: int, ago_ns: float, sample_ns: int = SAMPLE_NS) -> int:
        """The clock at the edge ``ago_ns`` before ``t_ns``: the middle of the sample that it fell into."""
        self.move(t_ns)
        if not self.running:
            return self._stopped_ns
        counted_ns = ago_ns * (1.0 + self._slope)
        into_sample_ns = (t_ns % sample_ns + self._phase_ns - counted_ns) % sample_ns
        edge_ns = self._error_ns - counted_ns - into_sample_ns + sample_ns / 2
        return t_ns + self._base_ns + math.floor(edge_ns + 0.5)

    def made_edge(self, t_ns: int, wanted_ns: int) -> tuple[int, float] | None:
        """An edge that the FPGA makes when the clock shows ``wanted_ns``; None when it is not there yet.

        The edge leaves with the first sampling edge from then on. Returns the clock's time of it and how long
        before ``t_ns`` it left.
        """
        self.move(t_ns)
        past_ns = t_ns + self._base_ns - wanted_ns + self._error_ns
        if past_ns < -_ROUNDING_NS or not self.running:
            return None
        at_wanted_ns = (t_ns % SAMPLE_NS + self._phase_ns - past_ns) % SAMPLE_NS
        wait_ns = (SAMPLE_NS - at_wanted_ns) % SAMPLE_NS
        return wanted_ns + math.floor(wait_ns), past_ns - wait_ns

    def next_second(self, t_ns: int) -> tuple[int, int]:
        """The clock's next whole second, and about when it comes (true TAI)."""
        self.move(t_ns)
        second = (t_ns + self._base_ns + math.floor(self._error_ns)) // NS_PER_S + 1
        return second, self.reaches(t_ns, second * NS_PER_S)

    def reaches(self, t_ns: int, card_ns: int) -> int:
        """About when (true TAI) the clock will show ``card_ns``; the next ns when it is past that."""
        self.move(t_ns)
        left_ns = card_ns - (t_ns + self._base_ns) - self._error_ns
        speed = 1.0 + self._drift
        if self._slew_left_ns:
            if left_ns > self._slew_left_ns + speed * self._slew_left_ns / self._slew:
                left_ns -= self._slew_left_ns
            else:
                speed += self._slew
        return t_ns + max(1, math.ceil(left_ns / speed))

    # --- adjusting ---

    def stop(self, t_ns: int) -> None:
        """Stop and forget time and adjustments."""
        self.move(t_ns)
        self.running = False
        self._stopped_ns = 0
        self._drift = self._slew = self._slew_left_ns = 0.0

    def freeze(self, t_ns: int) -> None:
        """Stop, showing the last time, until ``thaw``."""
        self._stopped_ns = self.card_ns(t_ns)
        self.running, self.frozen = False, True

    def thaw(self, t_ns: int) -> None:
        """Go on from the time shown."""
        self.frozen = False
        self.load(t_ns, self._stopped_ns)

    def count_from(self, t_ns: int, oscillator: Oscillator) -> None:
        """Another oscillator from now on; the time stays continuous."""
        self.move(t_ns)
        self._phase_at = oscillator.phase_ns
        self._phase_ns = oscillator.phase_ns(t_ns)

    def load(self, t_ns: int, card_ns: int) -> None:
        """Set the time; also starts a stopped counter."""
        self.move(t_ns)
        self.running = True
        self._base_ns, self._error_ns = card_ns - t_ns, 0.0

    def jump(self, t_ns: int, offset_ns: int) -> None:
        """Add an offset at once; a slew under way ends."""
        self.move(t_ns)
        self._base_ns += offset_ns
        self._slew = self._slew_left_ns = 0.0

    def slew(self, t_ns: int, offset_ns: int, interval_ns: int) -> None:
        """Add an offset evenly over an interval; replaces a slew under way."""
        self.move(t_ns)
        self._slew_left_ns = float(offset_ns)
        self._slew = offset_ns / interval_ns

    def set_drift(self, t_ns: int, drift: float) -> None:
        """Run faster by ``drift`` ns per counted ns."""
        self.move(t_ns)
        self._drift = drift
