"""The discrete model is exact: intervals compose, and its Allan deviations are those of the tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.transition import (
    FREQUENCY,
    LADDER,
    OSCILLATOR_STATES,
    PHASE,
    PhaseGrowth,
    prior_covariance,
    transition,
)

SA53, OCXO, DUAL = OSCILLATORS["sa53"], OSCILLATORS["ocxo"], GNSS["f9t_dual"]


@pytest.mark.parametrize("name", ["sa53", "ocxo", "tcxo", "unknown"])
@pytest.mark.parametrize(
    ("first_s", "second_s"), [(1.0, 1.0), (1.0, 29.0), (0.25, 3599.75), (600.0, 85_800.0)]
)
def test_two_intervals_make_the_whole(name: str, first_s: float, second_s: float) -> None:
    oscillator = OSCILLATORS[name]
    f1, q1 = transition(oscillator, DUAL, first_s)
    f2, q2 = transition(oscillator, DUAL, second_s)
    f, q = transition(oscillator, DUAL, first_s + second_s)
    np.testing.assert_allclose(f2 @ f1, f, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(f2 @ q1 @ f2.T + q2, q, rtol=1e-7, atol=1e-13)


def test_covariance_of_noise_is_positive() -> None:
    for oscillator in OSCILLATORS.values():
        for gnss in GNSS.values():
            _, q = transition(oscillator, gnss, 1.0)
            scale = np.sqrt(np.where(np.diag(q) > 0.0, np.diag(q), 1.0))
            assert np.linalg.eigvalsh(q / np.outer(scale, scale)).min() > -1e-9


def _ladder_allan_deviation(floor: float, tau_s: float) -> float:
    """Of the ladder alone, from the exact second difference of its stationary phase."""
    oscillator = OSCILLATORS["sa53"]
    f, q = transition(oscillator, DUAL, tau_s)
    p = prior_covariance(oscillator, DUAL, phase_ns=0.0, frequency_ppb=0.0, cold=False)
    keep = [PHASE, *range(LADDER, OSCILLATOR_STATES)]
    f, p = f[np.ix_(keep, keep)], p[np.ix_(keep, keep)]
    q = q[np.ix_(keep, keep)]
    q[PHASE, PHASE] -= (oscillator.white_fm_1s * 1e9) ** 2 * tau_s
    walk = 3.0 * (oscillator.random_walk_1day * 1e12) ** 2 / 86_400.0
    q[PHASE, PHASE] -= 1e-6 * walk * tau_s**3 / 3.0
    first = f @ p @ f.T + q
    row = f[PHASE].copy()
    row[PHASE] -= 2.0  # x(2 tau) - 2 x(tau), x(0) = 0
    variance = row @ first @ row + q[PHASE, PHASE]
    return math.sqrt(variance / 2.0) / tau_s * 1e-9 / floor


def test_the_ladder_is_flat() -> None:
    for tau_s in (30.0, 300.0, 3_000.0, 30_000.0):
        assert _ladder_allan_deviation(SA53.flicker_floor, tau_s) == pytest.approx(1.0, abs=0.08)


def test_growth_is_the_first_row_of_the_exact_prediction() -> None:
    horizons = np.array([1.0, 5.0, 3600.0, 86_400.0])
    p = prior_covariance(OCXO, DUAL, phase_ns=3.0, frequency_ppb=0.01, cold=True)
    p[PHASE, FREQUENCY] = p[FREQUENCY, PHASE] = 7.0
    growth = PhaseGrowth(OCXO, horizons)
    for index, horizon_s in enumerate(horizons):
        f, q = transition(OCXO, DUAL, float(horizon_s))
        assert growth.variance_ns2(p)[index] == pytest.approx((f @ p @ f.T + q)[PHASE, PHASE], rel=1e-9)


def test_temperature_widens_the_growth_by_the_slope_that_is_not_known() -> None:
    horizon_s, warmer_degc = 3600.0, 10.0
    p = prior_covariance(SA53, DUAL, phase_ns=0.0, frequency_ppb=0.0, cold=False)
    growth = PhaseGrowth(SA53, np.array([horizon_s]))
    extra = growth.variance_ns2(p, warmer_degc)[0] - growth.variance_ns2(p)[0]
    assert math.sqrt(extra) == pytest.approx(SA53.tempco_per_degc * 1e9 * warmer_degc * horizon_s, rel=1e-6)
