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
from appliance.timescale.unfelt import Unfelt

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
CONSTANT: Final = Unfelt()
"""Of a temperature that is told, or does not change."""


def k_of(p: float) -> float:
    """Two-sided normal quantile: 3.29 for 99.9 %."""
    if not 0.0 < p < 1.0:
        raise ValueError(f"probability {p} is not between 0 and 1")
    return NormalDist().inv_cdf((1.0 + p) / 2.0)


def k_of_kinds(p: float) -> tuple[tuple[str, float], ...]:
    """The quantiles of both kinds of a forecast with probability ``p``.

    Not exceeded *up to* T: a random walk that ends outside with probability q has been outside with at most
    2q, hence the quantile of half the miss probability.
    """
    return ("at", k_of(p)), ("up_to", k_of((1.0 + p) / 2.0))


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


@dataclass(frozen=True, slots=True)
class Growth:
    """The bound without a reference: ``base_ns + k * sigma_ns``, by seconds from now."""

    base_ns: float
    """Biases and the phase to be slewed out."""
    now_ns: float
    """Sigma now."""
    seconds: Array
    sigma_ns: Array
    """Never falling."""

    def crossings_s(self, sigma_ns: Array) -> Array:
        """When sigma passes each value: 0 if it has, infinity if it does not before the end.

        Between two points it is nearly a power of time.
        """
        allowed, grown = np.maximum(sigma_ns, math.sqrt(_LEAST_NS2)), np.log(self.sigma_ns)
        times = np.exp(np.interp(np.log(allowed), grown, np.log(self.seconds)))
        times[allowed > self.sigma_ns[-1]] = math.inf
        times[sigma_ns <= self.now_ns] = 0.0
        return np.asarray(times)


class BoundForecast:
    """Bounds ahead of a filter's covariance, without touching the filter."""

    def __init__(self, oscillator: OscillatorModel, p: float) -> None:
        self.p = p
        self._k = k_of(p)
        self._kinds = tuple(
            (each, kind, k) for each in dict.fromkeys((p, *FORECAST_P)) for kind, k in k_of_kinds(each)
        )
        self._k_of_kinds = np.array([[k] for _, _, k in self._kinds])
        self._near = PhaseGrowth(oscillator, np.arange(NEAR_S + 1, dtype=np.float64))
        self._far = PhaseGrowth(oscillator, np.geomspace(1.0, _HORIZON_S, 120))

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
        unfelt: Unfelt = CONSTANT,
    ) -> Claim:
        """The bound ``elapsed_s`` after the covariance's time, rounded up to a whole second.

        ``phase_ns`` is the predicted phase now and ``rate_ppb`` how it moves, ``suspect_rate_ppb`` how fast
        the clock may be running off unseen; ``scale`` widens sigma where the innovations are larger than the
        model says; ``unfelt`` is what temperature may do besides.
        """
        first = min(max(0, math.ceil(elapsed_s)), NEAR_S - VOID_AFTER_S - 1)
        variance = scale * scale * self._near.variance_ns2(covariance, temperature_degc)
        sigma = np.sqrt(variance + unfelt.growth_ns2(self._near.horizons_s))[first:]
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

    def growth(
        self,
        covariance: Array,
        *,
        phase_ns: float,
        bias_ns: float,
        scale: float = 1.0,
        temperature_degc: float = 0.0,
        unfelt: Unfelt = CONSTANT,
    ) -> Growth:
        """How the bound grows from now on without a reference."""
        variance = np.maximum(self._far.variance_ns2(covariance, temperature_degc), _LEAST_NS2)
        variance = scale * scale * variance + unfelt.growth_ns2(self._far.horizons_s)
        return Growth(
            base_ns=bias_ns + abs(phase_ns),
            now_ns=scale * math.sqrt(max(float(covariance[0, 0]), _LEAST_NS2)),
            seconds=self._far.horizons_s,
            sigma_ns=np.sqrt(np.maximum.accumulate(variance)),
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
        unfelt: Unfelt = CONSTANT,
    ) -> tuple[HoldoverLimit, ...]:
        """When the bound passes each limit without a reference, for both kinds of each probability.

        The bound's own probability comes first, then the others.
        """
        growth = self.growth(
            covariance,
            phase_ns=phase_ns,
            bias_ns=bias_ns,
            scale=scale,
            temperature_degc=temperature_degc,
            unfelt=unfelt,
        )
        spare_ns = np.asarray(limits_ns, dtype=np.float64) - growth.base_ns
        crossings = growth.crossings_s(spare_ns / self._k_of_kinds).tolist()
        return tuple(
            HoldoverLimit(limit_ns=limit_ns, p=p, kind=kind, seconds=seconds)
            for (p, kind, _), row in zip(self._kinds, crossings, strict=True)
            for limit_ns, seconds in zip(limits_ns, row, strict=True)
        )


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
