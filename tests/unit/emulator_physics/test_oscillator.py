"""The oscillator's noise against its own formula, and its phase under steering, temperature and playback."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import allantools
import numpy as np
import pytest

from timecard.emulator.models import OSCILLATORS, OscillatorModel
from timecard.emulator.oscillator import (
    HISTORY,
    NoiseGrid,
    OscillatorPhysics,
    RecordedGrid,
    model_oscillator,
)
from timecard.emulator.series import Playback, read_frequency_ppb
from timecard.emulator.temperature import TemperatureWorld

S = 1_000_000_000
START = 1_700_000_000 * S
DAY_S = 86_400.0


def model_adev(model: OscillatorModel, tau: float) -> float:
    """AVAR = q1/tau + sum of Gauss-Markov terms + q2 tau/3, written down independently of the generator."""
    q2 = 3 * model.random_walk_adev_1day**2 / DAY_S
    s2 = model.flicker_fm_floor**2 * math.log(10) / (2 * math.log(2))
    ladder = 0.0
    for decade in range(7):
        a = tau / (3.0 * 10.0**decade)
        ladder += (
            s2 / a**2 * (2 * a - 3 + 4 * math.exp(-a) - math.exp(-2 * a))
            if a > 1e-2
            else s2 * (2 / 3 * a - a * a / 2)
        )
    return math.sqrt(model.white_fm_adev_1s**2 / tau + ladder + q2 * tau / 3)


@pytest.mark.parametrize("name", sorted(OSCILLATORS))
def test_allan_deviation_follows_the_model(name: str) -> None:
    model, seconds, seeds = OSCILLATORS[name], 60_000, 3
    taus = [1, 10, 100, 1000]
    variances = []
    for seed in range(seeds):
        grid = NoiseGrid(model, seed, 0)
        phase_s = np.cumsum([grid.increment_ns(k) for k in range(seconds)]) * 1e-9
        _, adev, _, _ = allantools.oadev(phase_s, rate=1.0, data_type="phase", taus=taus)
        variances.append(adev**2)
    for tau, adev in zip(taus, np.sqrt(np.mean(variances, axis=0)), strict=True):
        freedom = 0.8 * seeds * seconds / tau
        tolerance = 4 / math.sqrt(2 * freedom)
        assert adev == pytest.approx(model_adev(model, tau), rel=tolerance), f"tau {tau} s"


def test_flicker_floor_is_flat_where_white_noise_has_gone() -> None:
    model = OSCILLATORS["ocxo"]
    assert model_adev(model, 30) == pytest.approx(model.flicker_fm_floor, rel=0.15)


def test_same_seed_same_phase_and_other_seed_another() -> None:
    def phases(seed: int) -> list[float]:
        physics = model_oscillator(OSCILLATORS["sa53"], seed, START)
        return [physics.phase_ns(START + k * 977_777_777) for k in range(5000)]

    assert phases(7) == phases(7)
    assert phases(7) != phases(8)


def test_phase_does_not_depend_on_how_often_it_is_read() -> None:
    often = model_oscillator(OSCILLATORS["ocxo"], 3, START)
    for k in range(40_000):
        often.phase_ns(START + k * 250_000_000)
    seldom = model_oscillator(OSCILLATORS["ocxo"], 3, START)
    assert seldom.phase_ns(START + 10_000 * S) == often.phase_ns(START + 10_000 * S)


def test_phase_starts_at_zero_inside_a_second() -> None:
    physics = model_oscillator(OSCILLATORS["tcxo"], 1, START + 123_456_789)
    assert physics.phase_ns(START + 123_456_789) == pytest.approx(0.0, abs=1e-12)


def test_initial_offset_can_be_overridden() -> None:
    model = OSCILLATORS["sa53"]
    plain = model_oscillator(model, 1, START)
    fast = model_oscillator(model, 1, START, offset_ppb=10.0)
    t = START + 1000 * S
    gained = fast.phase_ns(t) - plain.phase_ns(t)
    assert gained == pytest.approx((10.0 - model.initial_offset * 1e9) * 1000)


def test_steering_is_exact_and_continuous_at_any_nanosecond() -> None:
    grid = RecordedGrid(Playback(np.zeros(4), START // S, repeat=True))
    physics = OscillatorPhysics(grid, START)
    rng = np.random.default_rng(1)
    t, expected, ppb = START, 0.0, 0.0
    for _ in range(400):
        dt = int(rng.integers(1, 3 * S))
        t += dt
        expected += ppb * dt * 1e-9
        before = physics.phase_ns(t)
        assert before == pytest.approx(expected, abs=1e-9)
        ppb = float(rng.normal(0, 50))
        physics.set_steering_ppb(t, ppb)
        assert physics.phase_ns(t) == pytest.approx(before, abs=1e-12)


def test_the_past_is_still_known_and_unchanged_by_later_steering() -> None:
    physics = model_oscillator(OSCILLATORS["sa53"], 4, START)
    seen = {}
    for k in range(200):
        t = START + k * 700_000_000
        seen[t] = physics.phase_ns(t)
        physics.set_steering_ppb(t + 100, 0.1 * (k % 7) - 0.3)
    for t, phase in seen.items():
        assert physics.phase_ns(t) == pytest.approx(phase, abs=1e-9)
    with pytest.raises(ValueError, match="before the start"):
        physics.phase_ns(START - 2 * S)
    physics.phase_ns(START + 3 * HISTORY * S)
    with pytest.raises(ValueError, match="too long ago"):
        physics.phase_ns(START + HISTORY * S)


def test_disturbance_adds_to_steering_and_goes_away() -> None:
    physics = OscillatorPhysics(RecordedGrid(Playback(np.zeros(2), START // S, repeat=True)), START)
    physics.set_steering_ppb(START, 1.0)
    physics.set_disturbance_ppb(START + 10 * S, 40.0)
    physics.set_disturbance_ppb(START + 20 * S, 0.0)
    assert physics.phase_ns(START + 30 * S) == pytest.approx(30 * 1.0 + 10 * 40.0)
    assert physics.steering_ppb == 1.0
    assert physics.free_phase_ns(START + 30 * S) == pytest.approx(10 * 40.0)


def test_disturbances_of_several_causes_add_up() -> None:
    physics = OscillatorPhysics(RecordedGrid(Playback(np.zeros(2), START // S, repeat=True)), START)
    physics.set_disturbance_ppb(START, 2.0, "a")
    physics.set_disturbance_ppb(START, 3.0, "b")
    physics.set_disturbance_ppb(START + 10 * S, 0.0, "a")
    assert physics.phase_ns(START + 20 * S) == pytest.approx(10 * 5.0 + 10 * 3.0)


def test_recorded_series_is_exact_at_whole_seconds(shared_dir: Path) -> None:
    path = shared_dir / "data/clocks/ocxo_vs_hmaser_frequency_hz.txt.gz"
    values = read_frequency_ppb(path)
    physics = OscillatorPhysics(RecordedGrid(Playback(values, START // S, repeat=True)), START)
    phase = np.concatenate(([0.0], np.cumsum(values)))
    for k in (1, 2, 500, len(values) - 1, len(values)):
        assert physics.phase_ns(START + k * S) == pytest.approx(phase[k], abs=1e-6)
    assert physics.phase_ns(START + (len(values) + 7) * S) == pytest.approx(phase[-1] + phase[7], abs=1e-6)
    assert physics.series_end_tai_ns() is None


def test_recorded_series_that_ends_says_when() -> None:
    physics = OscillatorPhysics(
        RecordedGrid(Playback(np.array([1.0, 2.0, 3.0]), START // S, repeat=False)), START
    )
    assert physics.series_end_tai_ns() == START + 3 * S
    assert physics.phase_ns(START + 3 * S) == pytest.approx(6.0)
    assert physics.phase_ns(START + 5 * S) == pytest.approx(12.0)  # the last value goes on


def test_temperature_step_pulls_frequency_with_the_thermal_lag() -> None:
    grid = RecordedGrid(Playback(np.zeros(2), START // S, repeat=True))
    physics = OscillatorPhysics(grid, START, tempco_ppb_per_c=0.005, thermal_lag_s=900.0)
    physics.phase_ns(START + 100 * S + 5)
    physics.step_temperature(START + 100 * S + 5, 10.0)
    at = START + 101 * S
    assert physics.phase_ns(at) == 0.0
    # Integral of c * step * (1 - exp(-t/lag)) over 900 s = c * step * lag / e.
    assert physics.phase_ns(at + 900 * S) == pytest.approx(0.005 * 10 * 900 / math.e, rel=1e-9)
    assert physics.temperature_c(at + 900 * S) == pytest.approx(35 + 10 * (1 - 1 / math.e))


def test_daily_wave_is_lagged_and_its_integral_matches() -> None:
    world = TemperatureWorld(base_c=30.0, daily_amplitude_c=4.0)
    lag = 1200.0
    steps = np.arange(0, 90_000, 5.0)
    values = [world.lagged_c(t, lag) - 30.0 for t in steps]
    assert world.lagged_integral_cs(90_000, lag) == pytest.approx(float(np.sum(values)) * 5.0, abs=50)
    slope = (world.lagged_c(50_001, lag) - world.lagged_c(49_999, lag)) / 2
    assert slope == pytest.approx((world.air_c(50_000) - world.lagged_c(50_000, lag)) / lag, rel=1e-6)


def test_cold_start_decays() -> None:
    model = OSCILLATORS["ocxo"]
    warm = model_oscillator(model, 1, START)
    cold = model_oscillator(model, 1, START, cold=True)
    extra = [cold.phase_ns(START + k * S) - warm.phase_ns(START + k * S) for k in (0, 1, 2, 5000, 5001)]
    rates = [b - a for a, b in pairwise(extra)]
    assert rates[0] == pytest.approx(model.warmup_offset * 1e9, rel=0.01)
    assert abs(rates[-1]) < 1e-6
    assert extra[-1] == pytest.approx(model.warmup_offset * 1e9 * model.warmup_tau_s, rel=1e-6)
