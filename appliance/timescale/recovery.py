"""Back from holdover: whether this is the reference that was lost, and where the clock stands against it.

Offsets of half a minute are collected before anything is believed. They must lie inside the reported bound,
without the constant calibration part of it, which is the same before and after.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Final

from appliance.timescale.holdover import WIDE_K
from appliance.timescale.innovation import line_through
from appliance.timescale.models import GnssModel
from appliance.timescale.tracking import Tracker
from timecard.timescale import NS_PER_S

NEED: Final = 30
MISLED_NEED: Final = 600
"""After the reference has led the clock away: what it does now must be told from what it did then."""
GAP_S: Final = 3.0
SLOPE_ALLOWANCE_PPB: Final = 0.5
"""What coloured pulse noise may look like over half a minute; less over longer."""
SCATTER: Final = 6.0
"""Median absolute deviation, in units of the pulse noise, that a healthy reference does not exceed."""


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
    misplaced: bool
    """It is where the clock cannot be, or where a reference that was found out has been before."""
    steady: bool
    """It runs level with the clock, and its pulses do not scatter."""


class ReturnCheck:
    """Collects residuals against the holdover prediction and judges them."""

    def __init__(self, gnss: GnssModel, *, resolution_ns: float) -> None:
        self._noise_ns = gnss.sigma_ns + gnss.sawtooth_pp_ns / 2.0
        # GNSS now against GNSS before: constant calibration errors are the same in both.
        self._bias_ns = 2.0 * gnss.slow_bias_ns + 3.0 * gnss.sigma_ns + resolution_ns
        self._at_rest_ns = 3.0 * gnss.sigma_ns
        self._residuals: deque[tuple[float, float]] = deque(maxlen=MISLED_NEED)
        self._disagrees_since_s: float | None = None

    def reset(self) -> None:
        """The reference is away again, or believed."""
        self._residuals.clear()
        self._disagrees_since_s = None

    def disagrees_for_s(self, mono_ns: int) -> float:
        """How long a steady reference has been outside what can be believed."""
        since_s = self._disagrees_since_s
        return 0.0 if since_s is None else mono_ns / NS_PER_S - since_s

    def offer(
        self,
        tracker: Tracker,
        mono_ns: int,
        sample_ns: float,
        *,
        need: int = NEED,
        lie_ns: float | None = None,
    ) -> Return | None:
        """Take one pulse; the judgement of the newest ``need`` once they were collected, else None.

        ``lie_ns``: where it was, by this clock, when it had moved.
        """
        at_s = mono_ns / NS_PER_S
        if self._residuals and at_s - self._residuals[-1][0] > GAP_S:
            self.reset()
        self._residuals.append((at_s, sample_ns - tracker.phase_ns(mono_ns)))
        if len(self._residuals) < need:
            return None
        sigma_ns = tracker.estimator.phase_sigma_ns * tracker.statistics.scale
        newest = list(self._residuals)[-need:]
        limit_ns = WIDE_K * sigma_ns + self._bias_ns
        judged = self._judge(newest, limit_ns, lie_ns, tracker.estimator.oscillator_sigma_ppb)
        if judged.problem is not None and self._disagrees_since_s is None:
            self._disagrees_since_s = at_s
        return judged

    def _judge(
        self, newest: list[tuple[float, float]], limit_ns: float, lie_ns: float | None, slope_sigma_ppb: float
    ) -> Return:
        last_s = newest[-1][0]
        points = [(at_s - last_s, residual_ns) for at_s, residual_ns in newest]
        slope_ppb, latest_ns = line_through(points)
        offset_ns = median(residual_ns for _, residual_ns in points)
        scatter_ns = median(abs(v - latest_ns - slope_ppb * t) for t, v in points)
        slope_limit_ppb = SLOPE_ALLOWANCE_PPB * NEED / len(points) + 5.0 * slope_sigma_ppb
        outside = abs(offset_ns) > limit_ns
        # What is likelier: that it has not moved since, or that it is back and the clock went so far?
        unmoved = lie_ns is not None and abs(offset_ns - lie_ns) < max(abs(offset_ns), self._at_rest_ns)
        drifts, scatters = abs(slope_ppb) > slope_limit_ppb, scatter_ns > SCATTER * self._noise_ns
        problems = (
            (outside, f"it is {offset_ns:.0f} ns from the clock, the bound allows {limit_ns:.0f} ns"),
            (
                drifts,
                f"it drifts by {slope_ppb:.2f} ns/s, the clock's own share is below {slope_limit_ppb:.2f}",
            ),
            (scatters, f"its pulses scatter by {scatter_ns:.0f} ns"),
            (unmoved, f"it is {offset_ns:.0f} ns from the clock, still where it had moved to"),
        )
        return Return(
            offset_ns,
            latest_ns,
            slope_ppb,
            len(points),
            problem=next((text for holds, text in problems if holds), None),
            misplaced=outside or unmoved,
            steady=not (drifts or scatters),
        )
