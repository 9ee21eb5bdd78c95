"""What temperature may do unseen is inside the bound, and the forecast tells it beforehand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from appliance.timescale.estimator import Estimator
from appliance.timescale.holdover import BoundForecast, k_of
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.servo import SteeringRecord
from appliance.timescale.tracking import Tracker
from appliance.timescale.transition import DAY_S
from appliance.timescale.unfelt import Unfelt
from timecard.timescale import NS_PER_S

OCXO, DUAL = OSCILLATORS["ocxo"], GNSS["f9t_dual"]
SWING_DEGC = 2.0


def _tracker(*, temperature_degc: float | None = None, swing_degc: float = SWING_DEGC) -> Tracker:
    """Followed for ten minutes, the last pulse at second 600."""
    estimator = Estimator(OCXO, DUAL, phase_ns=0.0, phase_sigma_ns=10.0, frequency_sigma_ppb=1.0)
    tracker = Tracker(
        estimator, SteeringRecord(0, 0.0), 0, temperature_degc=temperature_degc, swing_degc=swing_degc
    )
    for second in range(1, 601):
        tracker.sample(second * NS_PER_S, 0.0, 0.09)
    return tracker


@pytest.mark.parametrize("hours", [0.1, 1.0, 5.0, 12.0, 24.0, 30.0])
def test_it_is_the_worst_that_a_daily_wave_can_do(hours: float) -> None:
    """Against sums over every phase of the wave, with the frequency known where it begins."""
    seconds = np.linspace(0.0, hours * 3600.0, 4_001)
    worst_ns = 0.0
    for phase in np.linspace(0.0, 2.0 * math.pi, 721):
        wave = np.sin(2.0 * math.pi * seconds / DAY_S + phase)
        worst_ns = max(worst_ns, abs(float(np.trapezoid(wave - wave[0], seconds))))
    assert math.sqrt(float(Unfelt(swing_ppb=1.0).growth_ns2(seconds[-1]))) == pytest.approx(
        worst_ns, rel=1e-4
    )


def test_it_begins_where_it_was_and_never_falls() -> None:
    whole = Unfelt(0.04).growth_ns2(np.arange(0.0, 5 * DAY_S, 600.0))
    parts = [
        float(Unfelt(0.04, since).growth_ns2(600.0)) for since in np.arange(0.0, 5 * DAY_S - 600.0, 600.0)
    ]
    assert np.all(np.diff(whole) >= 0.0)
    assert np.cumsum(parts) == pytest.approx(whole[1:])


@pytest.mark.parametrize(("told", "swing_degc"), [(None, 0.0), (40.0, 2.0)])
def test_nothing_is_added_where_the_temperature_is_told_or_constant(
    told: float | None, swing_degc: float
) -> None:
    tracker = _tracker(temperature_degc=told, swing_degc=swing_degc)
    plain = tracker.estimator.save()
    tracker.coast(4_200 * NS_PER_S)
    sigma_ns = tracker.estimator.phase_sigma_ns
    tracker.estimator.restore(plain)
    tracker.estimator.advance(3_600, 0.0)
    assert sigma_ns == tracker.estimator.phase_sigma_ns


def test_holdover_without_a_thermometer_becomes_what_the_forecast_said() -> None:
    """An hour, second by second, with a restart in the middle of it."""
    tracker = _tracker()
    forecast = BoundForecast(OCXO, 0.999)
    growth = forecast.growth(tracker.estimator.covariance, phase_ns=0.0, bias_ns=0.0, unfelt=tracker.unfelt())
    constant = forecast.growth(tracker.estimator.covariance, phase_ns=0.0, bias_ns=0.0)
    for second in range(601, 2_401):
        tracker.coast(second * NS_PER_S)
    record = json.loads(json.dumps(tracker.to_record(2_400 * NS_PER_S)))
    tracker = Tracker.from_record(record, OCXO, DUAL, SteeringRecord(0, 0.0), swing_degc=SWING_DEGC)
    for second in range(2_401, 4_201):
        tracker.coast(second * NS_PER_S)
    claim = forecast.claim(
        tracker.estimator.covariance,
        elapsed_s=0.0,
        phase_ns=0.0,
        rate_ppb=0.0,
        bias_ns=0.0,
        unfelt=tracker.unfelt(),
    )
    assert growth.crossings_s(np.array([claim.sigma_ns]))[0] == pytest.approx(3_600.0, rel=2e-3)
    assert constant.crossings_s(np.array([claim.sigma_ns]))[0] > 3_800.0
    wave_ns2 = float(Unfelt(OCXO.tempco_per_degc * 1e9 * SWING_DEGC).growth_ns2(3_600.0))
    assert claim.sigma_ns**2 > wave_ns2 > 15.0**2
    assert claim.bound_ns == pytest.approx(k_of(0.999) * claim.sigma_ns)


def test_a_sample_ends_it_and_a_roll_back_begins_it_earlier() -> None:
    tracker = _tracker()
    tracker.coast(900 * NS_PER_S)
    assert tracker.unfelt().since_s == 300.0
    given_up_s = tracker.roll_back(600 * NS_PER_S, 900 * NS_PER_S)
    assert tracker.unfelt().since_s == pytest.approx(300.0 + given_up_s)
    tracker.sample(901 * NS_PER_S, 0.0, 0.09)
    assert tracker.unfelt().since_s == 0.0
