"""Bounds: what may be claimed now, how fast it grows, and when a limit will be passed.

``bound = biases + |phase| + k * sigma``: constant calibration uncertainties add by root-sum-square among
themselves, then biases add linearly, random parts in quadrature inside sigma. The phase that is still to be
slewed out counts in full.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from appliance.snapshot import VOID_AFTER_S, ClockState, HoldoverLimit
from appliance.timescale.models import GnssModel, OscillatorModel
from appliance.timescale.transition import DAY_S, Array, PhaseGrowth

WIDE_K: Final = 5.0
"""Announced accuracy uses five sigma plus biases."""
UNCALIBRATED_NS: Final = 50.0
"""An antenna chain that nobody measured may be wrong by this."""
FORECAST_P: Final = (0.5, 0.9, 0.99, 0.999)
"""Probabilities of the forecast, beside that of the bound."""
NEAR_S: Final = 40
"""Seconds ahead for which the variance is kept second by second."""
_HORIZON_S: Final = 90 * DAY_S
_LEAST_NS2: Final = 1e-12


def k_of(p: float) -> float:
    """Two-sided normal quantile: 3.29 for 99.9 %."""
    if not 0.0 < p < 1.0:
        raise ValueError(f"probability {p} is not between 0 and 1")
    return NormalDist().inv_cdf((1.0 + p) / 2.0)


def total_bias_ns(
    gnss: GnssModel, *, delay_uncertainty_ns: float, calibrated: bool, resolution_ns: float
) -> float:
    """What no averaging removes: antenna chain, slow GNSS error, half a step of the timestamper."""
    chain_ns = delay_uncertainty_ns if calibrated else max(delay_uncertainty_ns, UNCALIBRATED_NS)
    return chain_ns + gnss.slow_bias_ns + resolution_ns / 2.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A bound now and its growth until the snapshot is void."""

    bound_ns: float
    bound_wide_ns: float
    sigma_ns: float
    drift_ppb: float


class BoundForecast:
    """Bounds ahead of a filter's covariance, without touching the filter."""

    def __init__(self, oscillator: OscillatorModel, p: float) -> None:
        self.p = p
        self._k = k_of(p)
        # Not exceeded *up to* T: a random walk that ends outside with probability q has been outside with at
        # most 2q, hence the quantile of half the miss probability.
        self._kinds = tuple(
            (each, kind, k_of(quantile))
            for each in dict.fromkeys((p, *FORECAST_P))
            for kind, quantile in (("at", each), ("up_to", (1.0 + each) / 2.0))
        )
        self._k_of_kinds = np.array([[k] for _, _, k in self._kinds])
        self._near = PhaseGrowth(oscillator, np.arange(NEAR_S + 1, dtype=np.float64))
        self._far = PhaseGrowth(oscillator, np.geomspace(1.0, _HORIZON_S, 120))
        self._log_horizons = np.log(self._far.horizons_s)

    def claim(
        self,
        covariance: Array,
        *,
        elapsed_s: float,
        phase_ns: float,
        rate_ppb: float,
        bias_ns: float,
        suspect_rate_ppb: float = 0.0,
        scale: float = 1.0,
        temperature_degc: float = 0.0,
    ) -> Claim:
        """The bound ``elapsed_s`` after the covariance's time, rounded up to a whole second.

        ``phase_ns`` is the predicted phase now and ``rate_ppb`` how it moves, ``suspect_rate_ppb`` how fast
        the clock may be running off unseen; ``scale`` widens sigma where the innovations are larger than the
        model says.
        """
        first = min(max(0, math.ceil(elapsed_s)), NEAR_S - VOID_AFTER_S - 1)
        sigma = scale * np.sqrt(self._near.variance_ns2(covariance, temperature_degc)[first:])
        base_ns = bias_ns + abs(phase_ns)
        # Sigma may rise steeply at first and flatten (white FM): the steepest chord covers every moment.
        ahead = np.arange(1, VOID_AFTER_S + 2)
        rise = float(np.max((sigma[ahead] - sigma[0]) / ahead)) * WIDE_K
        moved_ns = abs(phase_ns + rate_ppb * VOID_AFTER_S) - abs(phase_ns)
        now_ns = float(sigma[0])
        return Claim(
            bound_ns=base_ns + self._k * now_ns,
            bound_wide_ns=base_ns + WIDE_K * now_ns,
            sigma_ns=now_ns,
            drift_ppb=max(0.0, rise) + max(0.0, moved_ns / VOID_AFTER_S) + suspect_rate_ppb,
        )

    def limits(
        self,
        covariance: Array,
        *,
        phase_ns: float,
        bias_ns: float,
        limits_ns: Sequence[float],
        scale: float = 1.0,
        temperature_degc: float = 0.0,
    ) -> tuple[HoldoverLimit, ...]:
        """When the bound passes each limit without a reference, for both kinds of each probability.

        The bound's own probability comes first, then the others.
        """
        variance = self._far.variance_ns2(covariance, temperature_degc)
        log_sigma = np.log(scale * np.sqrt(np.maximum.accumulate(np.maximum(variance, _LEAST_NS2))))
        log_now = math.log(scale * math.sqrt(max(float(covariance[0, 0]), _LEAST_NS2)))
        spare_ns = np.asarray(limits_ns, dtype=np.float64) - bias_ns - abs(phase_ns)
        crossings = self._crossings_s(log_sigma, log_now, spare_ns / self._k_of_kinds)
        return tuple(
            HoldoverLimit(limit_ns=limit_ns, p=p, kind=kind, seconds=seconds)
            for (p, kind, _), row in zip(self._kinds, crossings, strict=True)
            for limit_ns, seconds in zip(limits_ns, row, strict=True)
        )

    def _crossings_s(self, log_sigma: Array, log_now: float, allowed_ns: Array) -> list[list[float]]:
        """First times at which sigma passes each value; between grid points it is nearly a power of time."""
        log_allowed = np.log(np.maximum(allowed_ns, 1e-30))
        log_times = np.interp(log_allowed, log_sigma, self._log_horizons)
        times = np.exp(log_times)
        times[log_allowed > log_sigma[-1]] = math.inf
        times[log_allowed <= log_now] = 0.0
        crossings: list[list[float]] = times.tolist()
        return crossings


READY_STATES: Final = frozenset({ClockState.LOCKED, ClockState.HOLDOVER, ClockState.RECOVERING})
"""States with a filter that has learnt something. A short gap leaves what was learnt as it was."""
READY_BUDGET_SHARE: Final = 0.5
"""Of the budget beyond the constant biases: so much may be spent."""
READY_SIGMA: Final = 1.5
"""Of the frequency, in units of what the part reaches after a long lock."""


def not_ready_reasons(
    oscillator: OscillatorModel,
    *,
    state: ClockState,
    watched_for_s: float,
    learn_s: float,
    frequency_sigma_ppb: float | None,
    samples_fit: bool,
    bound_ns: float | None,
    bias_ns: float,
    budget_ns: float,
    oscillator_locked: bool | None,
) -> tuple[str, ...]:
    """Why being without the reference would be carried worse than this oscillator can; empty when ready.

    Judged by what the filter knows, in its covariance, and not by the state: a gap that the clock bridges
    costs nothing, one that wears the knowledge or half of the budget out does.
    """
    if state not in READY_STATES:
        return ("not locked",)
    reasons: list[str] = []
    if watched_for_s < learn_s:
        reasons.append(f"oscillator watched for {watched_for_s:.0f} s, wants {learn_s:.0f} s")
    wanted_ppb = READY_SIGMA * oscillator.settled_ppb
    if frequency_sigma_ppb is None:
        reasons.append("frequency of the oscillator not known")
    elif frequency_sigma_ppb > wanted_ppb:
        reasons.append(f"frequency known to {frequency_sigma_ppb:.2g} ppb, wants {wanted_ppb:.2g} ppb")
    if not samples_fit:
        reasons.append("samples scatter more than the model allows")
    if bound_ns is None:
        reasons.append("nothing is claimed")
    elif bound_ns - bias_ns > READY_BUDGET_SHARE * (budget_ns - bias_ns):
        reasons.append(f"bound is {bound_ns:.0f} ns: half of the budget of {budget_ns:g} ns is spent")
    if oscillator_locked is False:
        reasons.append("oscillator module not locked")
    return tuple(reasons)
