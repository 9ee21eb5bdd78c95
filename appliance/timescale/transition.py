"""Exact discrete form of the clock model: transition and process noise over any interval.

State vector, phase in ns, frequencies in 1e-12, drift in 1e-12 per day:

====  =====================================================================
0     x, phase of the card's clock against TAI
1     y, frequency of the free-running oscillator (random walk)
2     d, its drift
3     c, its slope against temperature, 1e-12 per degree
4     w, what is left of a warm-up: decays, without noise of its own
5..   flicker ladder: seven Gauss-Markov frequencies, one per decade of time constant
..    Gauss-Markov errors of the GNSS pulse, ns
-2:   daily wave of the GNSS pulse, ns, as a quadrature pair of slowly changing amplitude
====  =====================================================================

The three-state part with its noise is the classic one (Zucca and Tavella, IEEE T-UFFC 2005). Seven
Gauss-Markov states of variance ``floor^2 ln(10) / (2 ln 2)`` make an Allan deviation that is flat within
about 6 % from seconds to a month.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.timescale.models import GnssModel, OscillatorModel

Array = NDArray[np.float64]

DAY_S: Final = 86_400.0
UNIT: Final = 1e-12
"""Frequency unit of the state vector."""
NS_PER_UNIT_S: Final = 1e-3
"""One frequency unit makes this many ns of phase in a second; also ppb per unit."""
LADDER_S: Final = tuple(3.0 * 10.0**decade for decade in range(7))
DAILY_COHERENCE_S: Final = 5 * DAY_S
"""Memory of the daily wave's amplitude."""

PHASE: Final = 0
FREQUENCY: Final = 1
DRIFT: Final = 2
TEMPCO: Final = 3
WARMUP: Final = 4
LADDER: Final = 5
GNSS_FIRST: Final = LADDER + len(LADDER_S)
OSCILLATOR_STATES: Final = GNSS_FIRST

_TAUS: Final = np.array(LADDER_S)
_TEMPCO_WALK: Final = 0.2
"""The slope may wander by this share of its prior in a day."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Densities of the state equation, derived from the model tables."""

    q1: float
    """White FM, ns^2/s."""
    q2: float
    """Random walk of frequency, unit^2/s."""
    q3: float
    """Random walk of drift, (unit/day)^2/s."""
    ladder: float
    """Variance of each ladder state, unit^2."""


def densities(
    white_fm_1s: float, random_walk_1day: float, flicker_floor: float
) -> tuple[float, float, float]:
    """q1, q2 and ladder variance of ``Noise``: q1 = ADEV(1 s)^2, q2 = 3 ADEV(tau)^2 / tau."""
    return (
        (white_fm_1s * 1e9) ** 2,
        3.0 * (random_walk_1day / UNIT) ** 2 / DAY_S,
        (flicker_floor / UNIT) ** 2 * math.log(10.0) / (2.0 * math.log(2.0)),
    )


def noise_of(oscillator: OscillatorModel) -> Noise:
    """Densities from Allan deviations."""
    q1, q2, ladder = densities(oscillator.white_fm_1s, oscillator.random_walk_1day, oscillator.flicker_floor)
    q3 = (oscillator.aging_walk_30d / UNIT) ** 2 / (30.0 * DAY_S)
    return Noise(q1=q1, q2=q2, q3=q3, ladder=ladder)


def state_size(gnss: GnssModel) -> int:
    """Length of the state vector."""
    return GNSS_FIRST + len(gnss.gauss_markov) + 2


def measurement_row(gnss: GnssModel) -> Array:
    """H: what a pulse shows is phase, plus each coloured error, plus the daily wave."""
    row = np.zeros(state_size(gnss))
    row[PHASE] = 1.0
    row[GNSS_FIRST:-1] = 1.0
    return row


def _ladder_phase_variance(seconds: Array) -> Array:
    """Phase variance of ladder states of unit variance after ``seconds`` (rows) per state (columns), s^2.

    The closed form cancels to nothing for short intervals; a series replaces it there.
    """
    a = seconds[:, None] / _TAUS
    phi = np.exp(-a)
    closed = 2.0 * a - 3.0 + 4.0 * phi - phi * phi
    series = a**3 * (2.0 / 3.0 - 0.5 * a + 7.0 / 30.0 * a * a)
    return np.asarray(_TAUS**2 * np.where(a < 1e-2, series, closed))


def transition(oscillator: OscillatorModel, gnss: GnssModel, seconds: float) -> tuple[Array, Array]:
    """F and Q over ``seconds``; the entries that depend on temperature are left zero."""
    t, n, noise = seconds, state_size(gnss), noise_of(oscillator)
    k, per_day = NS_PER_UNIT_S, 1.0 / DAY_S
    f, q = np.eye(n), np.zeros((n, n))
    f[PHASE, FREQUENCY] = k * t
    f[PHASE, DRIFT] = k * t * t * per_day / 2.0
    f[FREQUENCY, DRIFT] = t * per_day
    drift_q = per_day * per_day * noise.q3
    q[PHASE, PHASE] = noise.q1 * t + k * k * (noise.q2 * t**3 / 3.0 + drift_q * t**5 / 20.0)
    q[PHASE, FREQUENCY] = k * (noise.q2 * t * t / 2.0 + drift_q * t**4 / 8.0)
    q[PHASE, DRIFT] = k * per_day * noise.q3 * t**3 / 6.0
    q[FREQUENCY, FREQUENCY] = noise.q2 * t + drift_q * t**3 / 3.0
    q[FREQUENCY, DRIFT] = per_day * noise.q3 * t * t / 2.0
    q[DRIFT, DRIFT] = noise.q3 * t
    q[TEMPCO, TEMPCO] = (_TEMPCO_WALK * oscillator.tempco_per_degc / UNIT) ** 2 * t / DAY_S
    cooled = -math.expm1(-t / oscillator.warmup_tau_s)
    f[WARMUP, WARMUP] = 1.0 - cooled
    f[PHASE, WARMUP] = k * oscillator.warmup_tau_s * cooled
    rungs = np.arange(LADDER, GNSS_FIRST)
    decay = -np.expm1(-t / _TAUS)
    f[rungs, rungs] = 1.0 - decay
    f[PHASE, rungs] = k * _TAUS * decay
    q[rungs, rungs] = noise.ladder * -np.expm1(-2.0 * t / _TAUS)
    q[PHASE, rungs] = k * noise.ladder * _TAUS * decay * decay
    q[PHASE, PHASE] += k * k * noise.ladder * _ladder_phase_variance(np.array([t])).sum()
    for index, (sigma, tau) in enumerate(gnss.gauss_markov, start=GNSS_FIRST):
        f[index, index] = math.exp(-t / tau)
        q[index, index] = sigma * sigma * -math.expm1(-2.0 * t / tau)
    angle, memory = 2.0 * math.pi * t / DAY_S, math.exp(-t / DAILY_COHERENCE_S)
    c, s = memory * math.cos(angle), memory * math.sin(angle)
    f[-2:, -2:] = ((c, s), (-s, c))
    daily = gnss.daily_amplitude_ns**2 / 2.0 * -math.expm1(-2.0 * t / DAILY_COHERENCE_S)
    q[-2, -2] = q[-1, -1] = daily
    return f, np.triu(q) + np.triu(q, 1).T


def prior_covariance(
    oscillator: OscillatorModel, gnss: GnssModel, *, phase_ns: float, frequency_ppb: float, cold: bool
) -> Array:
    """Start covariance: phase and frequency as told, drift and slope from the part, the rest stationary."""
    p = np.zeros((state_size(gnss),) * 2)
    p[PHASE, PHASE] = phase_ns**2
    p[FREQUENCY, FREQUENCY] = (frequency_ppb / NS_PER_UNIT_S) ** 2
    p[DRIFT, DRIFT] = (oscillator.aging_per_day / UNIT) ** 2
    p[TEMPCO, TEMPCO] = (oscillator.tempco_per_degc / UNIT) ** 2
    p[WARMUP, WARMUP] = (oscillator.warmup_ppb / NS_PER_UNIT_S) ** 2 if cold else 0.0
    rungs = np.arange(LADDER, GNSS_FIRST)
    p[rungs, rungs] = noise_of(oscillator).ladder
    for index, (sigma, _) in enumerate(gnss.gauss_markov, start=GNSS_FIRST):
        p[index, index] = sigma * sigma
    p[-2, -2] = p[-1, -1] = gnss.daily_amplitude_ns**2 / 2.0
    return p


class PhaseGrowth:
    """Phase variance at a fixed set of horizons, in one matrix product.

    ``variance_ns2(P)`` is ``(F P F' + Q)[0, 0]`` for each horizon: what was not known, and what happens
    afterwards.
    """

    def __init__(self, oscillator: OscillatorModel, horizons_s: Array) -> None:
        noise, k, per_day = noise_of(oscillator), NS_PER_UNIT_S, 1.0 / DAY_S
        t = self.horizons_s = np.asarray(horizons_s, dtype=np.float64)
        self._rows = np.zeros((len(t), OSCILLATOR_STATES))
        self._rows[:, PHASE] = 1.0
        self._rows[:, FREQUENCY] = k * t
        self._rows[:, DRIFT] = k * t * t * per_day / 2.0
        tau = oscillator.warmup_tau_s
        self._rows[:, WARMUP] = k * tau * -np.expm1(-t / tau)
        self._rows[:, LADDER:] = k * _TAUS * -np.expm1(-t[:, None] / _TAUS)
        self._q = (
            noise.q1 * t
            + k * k * (noise.q2 * t**3 / 3.0 + per_day * per_day * noise.q3 * t**5 / 20.0)
            + k * k * noise.ladder * _ladder_phase_variance(t).sum(axis=1)
        )

    def phase_ns(self, mean: Array, temperature_degc: float = 0.0) -> Array:
        """Expected phase at each horizon, without steering."""
        self._rows[:, TEMPCO] = NS_PER_UNIT_S * self.horizons_s * temperature_degc
        return np.asarray(self._rows @ mean[:OSCILLATOR_STATES])

    def variance_ns2(self, covariance: Array, temperature_degc: float = 0.0) -> Array:
        """Variance at each horizon; ``temperature_degc`` above the reference is assumed to stay."""
        self._rows[:, TEMPCO] = NS_PER_UNIT_S * self.horizons_s * temperature_degc
        p = covariance[:OSCILLATOR_STATES, :OSCILLATOR_STATES]
        return np.asarray(np.maximum(((self._rows @ p) * self._rows).sum(axis=1) + self._q, 0.0))
