"""Bounds and their growth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.snapshot import VOID_AFTER_S, ClockState
from appliance.timescale.estimator import Estimator
from appliance.timescale.holdover import BoundForecast, k_of, not_ready_reasons, total_bias_ns
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.transition import transition
from tests.unit.timescale.clock_data import expected

DUAL = GNSS["f9t_dual"]


def _locked(name: str, seconds: int = 3_600) -> Estimator:
    estimator = Estimator(
        OSCILLATORS[name], DUAL, phase_ns=0.0, phase_sigma_ns=1000.0, frequency_sigma_ppb=0.1
    )
    for _ in range(seconds):
        estimator.advance(1, 0.0)
        estimator.update(0.0, 0.09)
    return estimator


@pytest.mark.parametrize(("p", "k"), [(0.9, 1.645), (0.99, 2.576), (0.999, 3.291), (0.9999, 3.891)])
def test_quantiles(p: float, k: float) -> None:
    assert k_of(p) == pytest.approx(k, abs=5e-4)


def test_quantile_of_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="probability 1"):
        k_of(1.0)


def test_an_uncalibrated_chain_counts_fifty_nanoseconds() -> None:
    common = {"delay_uncertainty_ns": 3.0, "resolution_ns": 5.0}
    assert total_bias_ns(DUAL, calibrated=True, **common) == pytest.approx(3.0 + 2.0 + 2.5)
    assert total_bias_ns(DUAL, calibrated=False, **common) == pytest.approx(50.0 + 2.0 + 2.5)
    worse = {"delay_uncertainty_ns": 80.0, "resolution_ns": 0.0}
    assert total_bias_ns(DUAL, calibrated=False, **worse) == pytest.approx(82.0)


@pytest.mark.parametrize("name", ["sa53", "ocxo", "tcxo"])
@pytest.mark.parametrize("settled", [True, False])
def test_growth_is_never_less_than_the_truth_supports(name: str, settled: bool) -> None:
    """At every moment until the claim is void, the line lies above the exact prediction."""
    estimator = _locked(name, 600 if settled else 5)
    oscillator = OSCILLATORS[name]
    forecast = BoundForecast(oscillator, 0.999)
    claim = forecast.claim(estimator.covariance, elapsed_s=0.4, phase_ns=-3.0, rate_ppb=-0.2, bias_ns=54.5)
    p = estimator.covariance
    for ahead_s in np.arange(0.0, VOID_AFTER_S + 0.01, 0.25):
        f, q = transition(oscillator, DUAL, 0.4 + float(ahead_s))
        sigma = math.sqrt((f @ p @ f.T + q)[0, 0])
        truth = 54.5 + abs(-3.0 - 0.2 * ahead_s)
        for k, bound in ((k_of(0.999), claim.bound_ns), (5.0, claim.bound_wide_ns)):
            assert bound + claim.drift_ppb * ahead_s >= truth + k * sigma - 1e-9


def test_growth_that_flattens_is_covered_from_its_steep_beginning() -> None:
    """White FM from an exactly known phase: sigma goes with the root of time, above every long chord."""
    csac = OSCILLATORS["csac"]
    exact = Estimator(csac, DUAL, phase_ns=0.0, phase_sigma_ns=0.0, frequency_sigma_ppb=0.0)
    forecast = BoundForecast(csac, 0.999)
    claim = forecast.claim(exact.covariance, elapsed_s=0, phase_ns=0.0, rate_ppb=0.0, bias_ns=0.0)
    for ahead_s in (1.0, 2.0, 3.0, 5.0):
        f, q = transition(csac, DUAL, ahead_s)
        sigma = math.sqrt((f @ exact.covariance @ f.T + q)[0, 0])
        assert claim.bound_wide_ns + claim.drift_ppb * ahead_s >= 5.0 * sigma - 1e-9


def test_a_phase_on_its_way_to_zero_does_not_make_the_bound_grow() -> None:
    estimator = _locked("sa53", 600)
    forecast = BoundForecast(OSCILLATORS["sa53"], 0.999)
    homeward = forecast.claim(estimator.covariance, elapsed_s=0, phase_ns=300.0, rate_ppb=-1.0, bias_ns=0.0)
    outward = forecast.claim(estimator.covariance, elapsed_s=0, phase_ns=300.0, rate_ppb=1.0, bias_ns=0.0)
    assert outward.drift_ppb - homeward.drift_ppb == pytest.approx(1.0)
    assert homeward.bound_ns == pytest.approx(outward.bound_ns)


def test_larger_innovations_widen_the_bound() -> None:
    estimator = _locked("sa53", 600)
    forecast = BoundForecast(OSCILLATORS["sa53"], 0.999)
    plain, wide = (
        forecast.claim(
            estimator.covariance, elapsed_s=0, phase_ns=0.0, rate_ppb=0.0, bias_ns=0.0, scale=scale
        )
        for scale in (1.0, 2.0)
    )
    assert wide.bound_ns == pytest.approx(2.0 * plain.bound_ns)


def test_times_to_a_limit_agree_with_the_theory(shared_dir: Path) -> None:
    """Hours until the 99 % bound passes a limit, GNSS lost a day after a cold start."""
    table = expected(shared_dir)["holdover"]["ocxo"]["time_to_limit_p99_h"]["24h_lock"]
    estimator = Estimator(
        OSCILLATORS["ocxo"], DUAL, phase_ns=0.0, phase_sigma_ns=1000.0, frequency_sigma_ppb=1.5
    )
    for _ in range(86_400):
        estimator.advance(1, 0.0)
        estimator.update(0.0, 0.09)
    found = BoundForecast(OSCILLATORS["ocxo"], 0.99).limits(
        estimator.covariance, phase_ns=0.0, bias_ns=0.0, limits_ns=[100.0, 400.0, 1000.0]
    )
    limits = [limit for limit in found if limit.p == 0.99]
    at = {limit.limit_ns: limit.seconds / 3600.0 for limit in limits if limit.kind == "at"}
    for limit_ns, hours in at.items():
        assert hours == pytest.approx(table[str(int(limit_ns))], rel=0.03)
    up_to = {limit.limit_ns: limit.seconds / 3600.0 for limit in limits if limit.kind == "up_to"}
    assert all(up_to[limit_ns] < at[limit_ns] for limit_ns in at)


def test_limits_that_are_passed_or_never_reached() -> None:
    estimator = _locked("sa53", 600)
    forecast = BoundForecast(OSCILLATORS["sa53"], 0.999)
    limits = forecast.limits(estimator.covariance, phase_ns=10.0, bias_ns=54.5, limits_ns=[60.0, 100.0, 1e12])
    assert {limit.seconds for limit in limits if limit.limit_ns == 60.0} == {0.0}
    assert all(limit.seconds > 600.0 for limit in limits if limit.limit_ns == 100.0)
    assert {limit.seconds for limit in limits if limit.limit_ns == 1e12} == {math.inf}


def test_a_forecast_is_told_for_several_probabilities_and_the_surer_the_sooner() -> None:
    forecast = BoundForecast(OSCILLATORS["sa53"], 0.95)
    covariance = _locked("sa53", 600).covariance
    limits = forecast.limits(covariance, phase_ns=0.0, bias_ns=0.0, limits_ns=[100.0])
    assert [limit.p for limit in limits if limit.kind == "at"] == [0.95, 0.5, 0.9, 0.99, 0.999]
    for kind in ("at", "up_to"):
        by_p = sorted((limit.p, limit.seconds) for limit in limits if limit.kind == kind)
        assert [seconds for _, seconds in by_p] == sorted((s for _, s in by_p), reverse=True)
    pairs = zip(limits[::2], limits[1::2], strict=True)
    assert all((at.kind, up_to.kind) == ("at", "up_to") and up_to.seconds < at.seconds for at, up_to in pairs)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, None),
        ({"oscillator_locked": None}, None),
        ({"state": ClockState.HOLDOVER}, None),
        ({"state": ClockState.RECOVERING}, None),
        ({"state": ClockState.ACQUIRING}, "not locked"),
        ({"state": ClockState.HOLDOVER_EXPIRED}, "not locked"),
        ({"state": ClockState.FREE_RUN, "frequency_sigma_ppb": None, "bound_ns": None}, "not locked"),
        ({"watched_for_s": 100.0}, "watched for 100 s"),
        ({"samples_fit": False}, "scatter"),
        ({"bound_ns": 531.0}, "half of the budget"),
        ({"bound_ns": 66.0, "budget_ns": 80.0}, None),
        ({"bound_ns": None}, "nothing is claimed"),
        ({"frequency_sigma_ppb": 0.1}, "known to 0.1 ppb"),
        ({"frequency_sigma_ppb": None}, "not known"),
        ({"oscillator_locked": False}, "module not locked"),
    ],
)
def test_readiness_says_what_is_missing(change: dict[str, Any], says: str | None) -> None:
    facts: dict[str, Any] = {
        "state": ClockState.LOCKED,
        "watched_for_s": 900.0,
        "learn_s": 600.0,
        "frequency_sigma_ppb": 2.5e-3,
        "samples_fit": True,
        "bound_ns": 60.0,
        "bias_ns": 55.0,
        "budget_ns": 1000.0,
        "oscillator_locked": True,
    }
    reasons = not_ready_reasons(OSCILLATORS["sa53"], **(facts | change))
    if says is None:
        assert reasons == ()
    else:
        assert len(reasons) == 1
        assert says in reasons[0]
