"""Regulator: sign, limits, sigma-delta; and the record of what was in force."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.timescale.servo import Servo, ServoLimits, SteeringRecord
from timecard.timescale import NS_PER_S

S = NS_PER_S


def _servo(steering_time_s: float = 20.0, **limits: float) -> Servo:
    return Servo(steering_time_s, ServoLimits(**{"max_ppb": 1000.0, "resolution_ppb": 0.0, **limits}))


def test_a_clock_ahead_and_an_oscillator_fast_are_both_slowed() -> None:
    assert _servo().command(0.0, 10.0) == pytest.approx(-0.5)
    assert _servo().command(3.0, 0.0) == pytest.approx(-3.0)
    assert _servo().command(-3.0, -10.0) == pytest.approx(3.5)


def test_a_large_phase_is_slewed_at_the_default_rate() -> None:
    assert _servo().slew_ppb(500.0) == -1.0
    assert _servo().slew_ppb(-500.0) == 1.0


@pytest.mark.parametrize("steering_time_s", [2.0, 30.0])
@pytest.mark.parametrize("phase_ns", [100.0, 900.0, 5_000.0, 60_000.0])
def test_a_slew_ends_within_fifteen_minutes(phase_ns: float, steering_time_s: float) -> None:
    servo, left = _servo(steering_time_s), phase_ns
    seconds = 0
    while left > 1.0:
        left += servo.slew_ppb(left)
        seconds += 1
    assert seconds <= 900
    assert servo.slew_ppb(500.0) == -1.0, "the default rate holds again afterwards"


def test_the_largest_rate_is_never_passed() -> None:
    assert _servo().slew_ppb(1e7) == -100.0
    assert _servo().slew_ppb(1e7, fast=True) == -100.0
    assert _servo(slew_ns_per_s=1.0, max_slew_ns_per_s=5.0).slew_ppb(1e6) == -5.0


def test_frequency_is_not_limited_by_the_slew_rate() -> None:
    assert _servo().command(300.0, 0.0) == -300.0


def test_actuator_limit_does_not_wind_up() -> None:
    servo = _servo(max_ppb=20.0, resolution_ppb=0.001)
    for _ in range(100):
        assert servo.command(50.0, 0.0) == -20.0
        assert servo.saturated
    assert servo.command(5.0, 0.0) == pytest.approx(-5.0, abs=0.001)
    assert not servo.saturated


@pytest.mark.parametrize("step_ppb", [1.0, 3e-3, 1 / 65536])
def test_sigma_delta_averages_to_the_wanted_frequency(step_ppb: float) -> None:
    """Half a step frozen would be 1.5e-12, 130 ns in a day, for the mRO-50."""
    servo = _servo(resolution_ppb=step_ppb)
    wanted_ppb = -0.3721
    commands = np.array([servo.command(-wanted_ppb, 0.0) for _ in range(2_000)])
    np.testing.assert_allclose(commands / step_ppb, np.round(commands / step_ppb), atol=1e-6)
    assert abs(commands.mean() - wanted_ppb) <= step_ppb / 2_000
    error_ns = np.cumsum(commands - wanted_ppb)
    assert np.abs(error_ns).max() <= step_ppb


@pytest.mark.parametrize("step_ppb", [1e-6, 1.0])
def test_what_the_actuator_rounded_itself_comes_back(step_ppb: float) -> None:
    """A resolution that nobody told: the difference to what was asked shows it."""
    servo = _servo(resolution_ppb=0.0)
    applied = []
    for _ in range(1_000):
        in_force = round(servo.command(0.37 * step_ppb, 0.0) / step_ppb) * step_ppb
        servo.applied(in_force)
        applied.append(in_force)
    assert np.mean(applied) == pytest.approx(-0.37 * step_ppb, rel=0.01)


def test_an_actuator_that_stops_short_does_not_wind_the_residue_up() -> None:
    servo = _servo(resolution_ppb=0.0)
    for _ in range(100):
        servo.command(30.0, 0.0)
        servo.applied(-20.0)
    assert servo.command(5.0, 0.0) == pytest.approx(-5.0, abs=1.5)


def test_steering_record_integrates_piece_by_piece() -> None:
    record = SteeringRecord(10 * S, 2.0)
    record.apply(-5.0, 13 * S)
    record.apply(1.0, 14 * S)
    assert record.frequency_ppb == 1.0
    assert record.phase_ns(10 * S) == 0.0
    assert record.phase_ns(12 * S) == pytest.approx(4.0)
    assert record.phase_ns(14 * S) == pytest.approx(6.0 - 5.0)
    assert record.phase_ns(20 * S) == pytest.approx(7.0)
    assert record.spread_ppb(20 * S, 7.0) == 6.0


def test_a_late_report_does_not_rewrite_the_past() -> None:
    record = SteeringRecord(0, 0.0)
    record.apply(1.0, 10 * S)
    record.apply(3.0, 5 * S)
    assert record.phase_ns(12 * S) == pytest.approx(6.0)


def test_no_frequency_is_refused() -> None:
    with pytest.raises(ValueError, match="nan ppb"):
        SteeringRecord(0).apply(float("nan"), 1)
