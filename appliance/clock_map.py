"""The clock map: from the host's CLOCK_MONOTONIC_RAW to the card's TAI, with what it may be wrong by.

Samples are comparisons of both clocks (PTM, or a read bracket). The map is a line through the newest good
sample with the slope of the last seconds. A bracket's half-width is a *bias*: averaging does not remove it,
so it is added to the error, while scatter shows as residuals. Packet stamps, which are CLOCK_REALTIME, are
turned into CLOCK_MONOTONIC_RAW where they are read, so that steps and slews of the host's clock do not enter.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from timecard.timescale import NS_PER_S
from timecard.values import CrossTimestamp

WINDOW_S: Final = 8.0
"""Long enough for the slope to average bracket noise, short enough to follow the host crystal's wander."""
MIN_SPAN_S: Final = 0.5
VALID_S: Final = 3.0
"""A map older than this translates nothing: samples come ten times a second."""
UNKNOWN_RATE_PPB: Final = 100_000.0
"""Rate error while no slope is known: the worst crystal of a server."""
WANDER_PPB: Final = 50.0
"""What a server's crystal may change between slope and use (temperature under load)."""
JUMP_NS: Final = 20_000.0
"""A residual beyond this is a step of the card's clock, never noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapState:
    """One line: ``tai = anchor_tai + (raw - anchor_raw) * (1 + rate)``."""

    anchor_raw_ns: int
    anchor_tai_ns: int
    rate_ppb: float
    error_ns: float
    """Bound on the translation error until ``valid_until_raw_ns``."""
    half_width_ns: float
    method: str
    valid_until_raw_ns: int

    def tai_ns(self, raw_ns: int) -> int:
        """TAI of the card at a host instant."""
        elapsed_ns = raw_ns - self.anchor_raw_ns
        return self.anchor_tai_ns + elapsed_ns + round(elapsed_ns * self.rate_ppb * 1e-9)


class ClockMap:
    """Keeps the last seconds of samples and the line through them."""

    def __init__(self) -> None:
        self._samples: deque[CrossTimestamp] = deque()
        self.jumps = 0
        self.state: MapState | None = None

    def reset(self) -> None:
        """Forget everything: the card's clock was stepped."""
        self._samples.clear()
        self.state = None

    def add(self, sample: CrossTimestamp) -> MapState:
        """Take a comparison; returns the line in force from now on."""
        if self.state is not None:
            predicted_ns = self.state.tai_ns(sample.mono_raw_ns)
            elapsed_s = (sample.mono_raw_ns - self.state.anchor_raw_ns) / NS_PER_S
            slack_ns = (
                JUMP_NS
                + sample.half_width_ns
                + elapsed_s * (UNKNOWN_RATE_PPB if len(self._samples) < 2 else 10 * WANDER_PPB)
            )
            if abs(sample.card_tai_ns - predicted_ns) > slack_ns:
                self.jumps += 1
                self.reset()
        self._samples.append(sample)
        horizon_ns = sample.mono_raw_ns - round(WINDOW_S * NS_PER_S)
        while self._samples[0].mono_raw_ns < horizon_ns:
            self._samples.popleft()
        self.state = self._fit()
        return self.state

    def _fit(self) -> MapState:
        """The line through the sharpest recent samples.

        With brackets only those near the window's minimum half-width count: a wide one was interrupted, and
        its midpoint says little.
        """
        narrowest_ns = min(s.half_width_ns for s in self._samples)
        good = [s for s in self._samples if s.half_width_ns <= 1.5 * narrowest_ns + 50.0]
        newest = good[-1]
        raw_s = [(s.mono_raw_ns - newest.mono_raw_ns) / NS_PER_S for s in good]
        diff_ns = [
            float((s.card_tai_ns - newest.card_tai_ns) - (s.mono_raw_ns - newest.mono_raw_ns)) for s in good
        ]
        n = len(good)
        span_s = -raw_s[0]
        if n < 3 or span_s < MIN_SPAN_S:
            rate_ppb, intercept_ns, residual_ns, rate_error_ppb = 0.0, 0.0, 0.0, UNKNOWN_RATE_PPB
            if n >= 2 and span_s > 0:
                rate_ppb = (diff_ns[-1] - diff_ns[0]) / span_s
                rate_error_ppb = min(UNKNOWN_RATE_PPB, 2 * (newest.half_width_ns + 50.0) / span_s)
        else:
            mean_s = sum(raw_s) / n
            mean_ns = sum(diff_ns) / n
            sxx = sum((t - mean_s) ** 2 for t in raw_s)
            rate_ppb = sum((t - mean_s) * (d - mean_ns) for t, d in zip(raw_s, diff_ns, strict=True)) / sxx
            intercept_ns = mean_ns - rate_ppb * mean_s
            residual_ns = max(
                abs(d - intercept_ns - rate_ppb * t) for t, d in zip(raw_s, diff_ns, strict=True)
            )
            rate_error_ppb = 2 * residual_ns / max(span_s, 1.0) + WANDER_PPB
        error_ns = newest.half_width_ns + residual_ns + rate_error_ppb * (self._interval_s() or VALID_S)
        return MapState(
            anchor_raw_ns=newest.mono_raw_ns,
            anchor_tai_ns=newest.card_tai_ns + round(intercept_ns),
            rate_ppb=rate_ppb,
            error_ns=error_ns,
            half_width_ns=newest.half_width_ns,
            method=newest.method,
            valid_until_raw_ns=newest.mono_raw_ns + round(VALID_S * NS_PER_S),
        )

    def _interval_s(self) -> float | None:
        """Mean time between samples: how old the line is when the next one replaces it."""
        if len(self._samples) < 2:
            return None
        first, last = self._samples[0], self._samples[-1]
        return 2 * (last.mono_raw_ns - first.mono_raw_ns) / NS_PER_S / (len(self._samples) - 1)
