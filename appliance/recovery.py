"""Back from holdover: whether this is the reference that was lost, and where the clock stands against it.

Offsets of half a minute are collected before anything is believed. They must lie inside the reported bound,
without the constant calibration part of it, which is the same before and after.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np

NEED: Final = 30
GAP_S: Final = 3.0
SLOPE_ALLOWANCE_PPB: Final = 0.5
"""What coloured pulse noise may look like over half a minute."""
SCATTER: Final = 6.0
"""Median absolute deviations of the pulse noise that a healthy reference may show."""


@dataclass(frozen=True, slots=True)
class Return:
    """What half a minute of a returned reference showed."""

    offset_ns: float
    """Median of measured minus predicted phase."""
    latest_ns: float
    """The same at the last pulse, from a line through all: for a reference that moves meanwhile."""
    slope_ppb: float
    samples: int
    problem: str | None
    """Why it is not believed; None when it is."""


class ReturnCheck:
    """Collects residuals against the holdover prediction."""

    def __init__(self, noise_ns: float, need: int = NEED) -> None:
        self._noise_ns = noise_ns
        self._residuals: deque[tuple[float, float]] = deque(maxlen=need)
        self.disagrees_since_s: float | None = None

    def reset(self) -> None:
        """The reference is away again."""
        self._residuals.clear()
        self.disagrees_since_s = None

    def offer(
        self, at_s: float, residual_ns: float, limit_ns: float, slope_sigma_ppb: float
    ) -> Return | None:
        """Take one residual; the judgement once enough were collected, else None."""
        if self._residuals and at_s - self._residuals[-1][0] > GAP_S:
            self.reset()
        self._residuals.append((at_s, residual_ns))
        if len(self._residuals) < (self._residuals.maxlen or NEED):
            return None
        judged = self._judge(limit_ns, slope_sigma_ppb)
        if judged.problem is None:
            self.reset()
        elif self.disagrees_since_s is None:
            self.disagrees_since_s = at_s
        return judged

    def _judge(self, limit_ns: float, slope_sigma_ppb: float) -> Return:
        times = np.array([t for t, _ in self._residuals])
        values = np.array([v for _, v in self._residuals])
        offset_ns = float(median(values.tolist()))
        slope_ppb, latest_ns = (float(v) for v in np.polyfit(times - times[-1], values, 1))
        scatter_ns = float(np.median(np.abs(values - latest_ns - slope_ppb * (times - times[-1]))))
        slope_limit_ppb = SLOPE_ALLOWANCE_PPB + 5.0 * slope_sigma_ppb
        problem = None
        if abs(offset_ns) > limit_ns:
            problem = f"it is {offset_ns:.0f} ns from the clock, the bound allows {limit_ns:.0f} ns"
        elif abs(slope_ppb) > slope_limit_ppb:
            problem = (
                f"it drifts by {slope_ppb:.2f} ns/s, the clock's own share is below {slope_limit_ppb:.2f}"
            )
        elif scatter_ns > SCATTER * self._noise_ns:
            problem = f"its pulses scatter by {scatter_ns:.0f} ns"
        return Return(offset_ns, latest_ns, slope_ppb, len(values), problem)
