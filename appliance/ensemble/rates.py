"""Slopes of a source's readings over windows of minutes to hours, each with an honest half-width.

Readings are collected into medians of ten seconds; a line through those of a window gives its slope. Its
uncertainty has two parts: scatter, which falls with the window's length to the power 3/2, and the slow wander
that the source is allowed, which falls with the length itself.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Final

import numpy as np

from timecard.timescale import NS_PER_S

BIN_S: Final = 10
WINDOWS_S: Final = (100, 300, 1000, 3000, 10_000)
K: Final = 4.0
MEDIAN_FACTOR: Final = 1.2533
"""sqrt(pi / 2): a median of Gaussian samples scatters by so much more than their mean."""
WANDER_SLOPE: Final = 1.7
"""The slope of a Gauss-Markov process of sigma 1 is, at the worst correlation time, about this / window."""
PRESENT: Final = 0.7
"""Part of a window that must have been read."""
NOISE_BINS: Final = 100


@dataclass(frozen=True, slots=True)
class Slope:
    """Of one window; ``half_ppb`` is ``K`` sigma."""

    window_s: int
    ppb: float
    half_ppb: float


class SlopeMeter:
    """Slopes of one source."""

    def __init__(self, wander_ns: float) -> None:
        self._wander_ns = wander_ns
        self._bins: deque[float] = deque(maxlen=WINDOWS_S[-1] // BIN_S)
        self._bin: int | None = None
        self._now: list[float] = []
        self._sigma_ns = 0.0
        self._found: list[Slope] | None = None

    def add(self, mono_ns: int, offset_ns: float, sigma_ns: float) -> None:
        """Take a reading; one of an earlier bin than the newest is left out."""
        index = mono_ns // (BIN_S * NS_PER_S)
        if self._bin is None or index - self._bin > WINDOWS_S[-1] // BIN_S:
            self.clear()
            self._bin = index
        while self._bin < index:
            self._bins.append(median(self._now) if self._now else math.nan)
            self._now.clear()
            self._bin += 1
            self._found = None
        if index == self._bin:
            self._now.append(offset_ns)
            self._sigma_ns = sigma_ns

    def stepped(self, delta_ns: float) -> None:
        """Our clock was stepped."""
        self._now = [value + delta_ns for value in self._now]
        self._bins = deque((value + delta_ns for value in self._bins), self._bins.maxlen)

    def clear(self) -> None:
        """Forget everything."""
        self._bins.clear()
        self._now.clear()
        self._bin = None
        self._found = None

    def slopes(self) -> list[Slope]:
        """Of all windows that are full, shortest first."""
        if self._found is None:
            self._found = self._fit() if self._bins else []
        return self._found

    def _fit(self) -> list[Slope]:
        noise_ns = self._noise_ns()
        found: list[Slope] = []
        for window_s in WINDOWS_S:
            count = window_s // BIN_S
            if count > len(self._bins):
                break
            values = np.array(list(islice(self._bins, len(self._bins) - count, None)))
            there = ~np.isnan(values)
            if there.sum() < PRESENT * count:
                continue
            times = np.arange(count, dtype=np.float64)[there] * BIN_S
            times -= times.mean()
            spread = float(times @ times)
            ppb = float(times @ values[there]) / spread
            sigma_ppb = math.hypot(noise_ns / math.sqrt(spread), WANDER_SLOPE * self._wander_ns / window_s)
            found.append(Slope(window_s, ppb, K * sigma_ppb))
        return found

    def _noise_ns(self) -> float:
        """Scatter of one bin: as claimed, or measured from bin to bin, which no ramp enters."""
        recent = np.array(list(islice(self._bins, max(0, len(self._bins) - NOISE_BINS), None)))
        steps = np.diff(recent[~np.isnan(recent)])
        claimed_ns = MEDIAN_FACTOR * self._sigma_ns / math.sqrt(BIN_S)
        if len(steps) < 5:
            return claimed_ns
        robust_ns = float(1.4826 * np.median(np.abs(steps - np.median(steps)))) / math.sqrt(2.0)
        return max(claimed_ns, robust_ns)
