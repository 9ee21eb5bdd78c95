"""The clock map: from the host's CLOCK_MONOTONIC_RAW to the card's TAI, with what it may be wrong by.

Samples are comparisons of both clocks (PTM, a read bracket, a pulse into a NIC). Two errors are kept apart:

* A sample's half-width is a *bias*: the truth lies within it, averaging does not shrink it. The sharpest
  sample of the last seconds bounds the offset.
* What samples scatter is *variance*: it averages out. It decides how well the slope is known, hence how fast
  the bound grows from the sharpest sample until the map is made anew.

Packet stamps, which are CLOCK_REALTIME, are turned into CLOCK_MONOTONIC_RAW where they are read, so that
steps and slews of the host's clock do not enter.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from timecard.timescale import NS_PER_S
from timecard.values import CrossTimestamp

WINDOW_S: Final = 64.0
"""For the slope: long enough for brackets of some us to give it to some ppb."""
SHORT_S: Final = 8.0
"""A slope of this window has to agree; else a rate has changed, and it counts alone."""
SHARP_S: Final = 1.0
"""Where the sharpest sample is looked for."""
KNOT_S: Final = 0.5
"""Of each such time only the sharpest sample counts for the slope."""
MIN_SPAN_S: Final = 0.5
BINNED_SPAN_S: Final = 4.0
VALID_S: Final = 3.0
"""A map older than this translates nothing: samples come ten times a second."""
UNKNOWN_RATE_PPB: Final = 100_000.0
"""Rate error while no slope is known: the worst crystal of a server."""
CHANGED_RATE_PPB: Final = 500.0
"""What a change of the rate since the last sample, of either clock, may look like before it is a step."""
WANDER_PPB: Final = 30.0
"""What a server's crystal may change between slope and use (temperature under load)."""
JUMP_NS: Final = 20_000.0
"""A residual beyond this is a step of the card's clock, never noise."""
TOLERANCE_NS: Final = 30.0
"""Samples that are less sharp than the sharpest by no more than this count as much."""
WEIGHT_FLOOR_NS: Final = 10.0
"""What samples scatter however sharp they are: the card's tick."""
K: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MapState:
    """One line: ``tai = anchor_tai + (raw - anchor_raw) * (1 + rate)``."""

    anchor_raw_ns: int
    anchor_tai_ns: int
    rate_ppb: float
    error_ns: float
    """Bound on the translation error until the next sample is due."""
    rate_error_ppb: float
    """What ``rate_ppb`` may be wrong by: how the error grows when no next sample comes."""
    half_width_ns: float
    """Of the sharpest sample: the part of ``error_ns`` that is bias."""
    method: str
    valid_until_raw_ns: int

    def tai_ns(self, raw_ns: int) -> int:
        """TAI of the card at a host instant."""
        elapsed_ns = raw_ns - self.anchor_raw_ns
        return self.anchor_tai_ns + elapsed_ns + round(elapsed_ns * self.rate_ppb * 1e-9)


@dataclass(frozen=True, slots=True)
class _Line:
    """The slope of a regression line."""

    rate_ppb: float
    rate_sigma_ppb: float


class ClockMap:
    """Keeps the last minute of samples, and the line through them."""

    def __init__(
        self,
        *,
        wander_ppb: float = WANDER_PPB,
        window_s: float = WINDOW_S,
        tolerance_ns: float = TOLERANCE_NS,
    ) -> None:
        """``wander_ppb``: what the rate may change between slope and use."""
        self._wander_ppb = wander_ppb
        self._window_s = window_s
        self._tolerance_ns = tolerance_ns
        self._samples: deque[CrossTimestamp] = deque()
        self._knots: deque[CrossTimestamp] = deque()
        self.jumps = 0
        self.jump_ns = 0
        """Size of the newest jump."""
        self.state: MapState | None = None

    def reset(self) -> None:
        """Forget everything: the card's clock was stepped."""
        self._samples.clear()
        self._knots.clear()
        self.state = None

    def add(self, sample: CrossTimestamp) -> MapState:
        """Take a comparison; returns the line in force from now on."""
        if self.state is not None:
            predicted_ns = self.state.tai_ns(sample.mono_raw_ns)
            elapsed_s = (sample.mono_raw_ns - self.state.anchor_raw_ns) / NS_PER_S
            slack_ns = (
                JUMP_NS
                + sample.half_width_ns
                + self.state.half_width_ns
                + elapsed_s * max(CHANGED_RATE_PPB, self.state.rate_error_ppb)
            )
            jump_ns = sample.card_tai_ns - predicted_ns
            if abs(jump_ns) > slack_ns:
                self.jumps += 1
                self.jump_ns = jump_ns
                self.reset()
        self._samples.append(sample)
        _keep(self._samples, SHORT_S)
        self._add_knot(sample)
        self.state = self._fit()
        return self.state

    def _add_knot(self, sample: CrossTimestamp) -> None:
        knots = self._knots
        if knots and _bin(knots[-1]) == _bin(sample):
            if sample.half_width_ns < knots[-1].half_width_ns:
                knots[-1] = sample
        else:
            knots.append(sample)
        _keep(knots, self._window_s)

    def _fit(self) -> MapState:
        newest = self._samples[-1]
        line, rate_error_ppb = self._slope(newest)

        def doubt_ns(sample: CrossTimestamp) -> float:
            age_s = (newest.mono_raw_ns - sample.mono_raw_ns) / NS_PER_S
            return sample.half_width_ns + rate_error_ppb * age_s

        horizon_ns = newest.mono_raw_ns - round(SHARP_S * NS_PER_S)
        recent = [(doubt_ns(s), s) for s in self._samples if s.mono_raw_ns >= horizon_ns]
        least_ns, sharpest = min(recent, key=lambda pair: pair[0])
        # The truth lies within the half-width of each of these, hence also of their median, which in addition
        # does not follow a single one that was not as good as it claimed.
        sharp = [(doubt, _point(s, newest)) for doubt, s in recent if doubt <= least_ns + self._tolerance_ns]
        here_ns = median(y_ns - line.rate_ppb * t_s for _, (t_s, y_ns) in sharp)
        return MapState(
            anchor_raw_ns=newest.mono_raw_ns,
            anchor_tai_ns=newest.card_tai_ns + round(here_ns),
            rate_ppb=line.rate_ppb,
            error_ns=max(doubt for doubt, _ in sharp) + rate_error_ppb * self._due_s() + 0.5,
            rate_error_ppb=rate_error_ppb,
            half_width_ns=sharpest.half_width_ns,
            method=newest.method,
            valid_until_raw_ns=newest.mono_raw_ns + round(VALID_S * NS_PER_S),
        )

    def _slope(self, newest: CrossTimestamp) -> tuple[_Line, float]:
        """The line, and what its rate may be wrong by (ppb)."""
        samples = self._samples
        span_s = (newest.mono_raw_ns - samples[0].mono_raw_ns) / NS_PER_S
        if len(samples) < 3 or span_s < MIN_SPAN_S:
            rate_ppb, error_ppb = 0.0, UNKNOWN_RATE_PPB
            if span_s > 0:
                oldest = samples[0]
                rate_ppb = -_point(oldest, newest)[1] / span_s
                doubt_ns = newest.half_width_ns + oldest.half_width_ns + 100.0
                error_ppb = min(UNKNOWN_RATE_PPB, doubt_ns / span_s)
            return _Line(rate_ppb, error_ppb / K), error_ppb
        # The newest knot may still become sharper; it counts as it is.
        if span_s < BINNED_SPAN_S:
            line = _regression(samples, newest)
            return line, K * line.rate_sigma_ppb + self._wander_ppb
        horizon_ns = newest.mono_raw_ns - round(SHORT_S * NS_PER_S)
        short = _regression([s for s in self._knots if s.mono_raw_ns >= horizon_ns], newest)
        long = _regression(self._knots, newest)
        apart_ppb = abs(short.rate_ppb - long.rate_ppb)
        if apart_ppb > K * (short.rate_sigma_ppb + long.rate_sigma_ppb) + self._wander_ppb:
            return short, K * short.rate_sigma_ppb + self._wander_ppb + apart_ppb
        return long, K * long.rate_sigma_ppb + self._wander_ppb

    def _due_s(self) -> float:
        """How old the line is when the next one replaces it: two mean times between samples, or not known."""
        if len(self._samples) < 2:
            return VALID_S
        first, last = self._samples[0], self._samples[-1]
        return 2 * (last.mono_raw_ns - first.mono_raw_ns) / NS_PER_S / (len(self._samples) - 1)


def _bin(sample: CrossTimestamp) -> int:
    return sample.mono_raw_ns // round(KNOT_S * NS_PER_S)


def _keep(samples: deque[CrossTimestamp], window_s: float) -> None:
    horizon_ns = samples[-1].mono_raw_ns - round(window_s * NS_PER_S)
    while samples[0].mono_raw_ns < horizon_ns:
        samples.popleft()


def _point(sample: CrossTimestamp, origin: CrossTimestamp) -> tuple[float, float]:
    """Seconds and ns (card minus host) from ``origin``; small, so that a float is exact."""
    raw_ns = sample.mono_raw_ns - origin.mono_raw_ns
    return raw_ns / NS_PER_S, float(sample.card_tai_ns - origin.card_tai_ns - raw_ns)


def _regression(samples: Sequence[CrossTimestamp], origin: CrossTimestamp) -> _Line:
    """Weighted least squares; the scatter about the line gives the slope's sigma.

    A midpoint scatters as its bracket is wide, so that interrupted readings weigh next to nothing.
    """
    points = [(*_point(s, origin), (s.half_width_ns + WEIGHT_FLOOR_NS) ** -2) for s in samples]
    total = sum(w for _, _, w in points)
    mean_s = sum(w * t for t, _, w in points) / total
    mean_ns = sum(w * y for _, y, w in points) / total
    sxx = sum(w * (t - mean_s) ** 2 for t, _, w in points)
    if len(points) < 3 or sxx <= 0:
        return _Line(0.0, UNKNOWN_RATE_PPB)
    rate_ppb = sum(w * (t - mean_s) * (y - mean_ns) for t, y, w in points) / sxx
    scatter2 = sum(w * (y - mean_ns - rate_ppb * (t - mean_s)) ** 2 for t, y, w in points) / (len(points) - 2)
    # Stamps are whole ns on both sides.
    rounding2 = total / len(points) / 6
    return _Line(rate_ppb, math.sqrt((scatter2 + rounding2) / sxx))
