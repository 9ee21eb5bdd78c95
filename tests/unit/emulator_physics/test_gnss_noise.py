"""The receiver's pulse: statistics of its model, sawtooth, disturbances, recorded phase."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from timecard.emulator.gnss_noise import GnssPhysics, ModelPulses, RecordedPulses, model_gnss
from timecard.emulator.models import GNSS_RECEIVERS
from timecard.emulator.series import Playback, read_phase_ns

START_S = 1_700_000_000


def run(name: str, seed: int, seconds: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    physics = model_gnss(GNSS_RECEIVERS[name], seed, START_S)
    pulses = [physics.edge(START_S + k) for k in range(seconds)]
    return np.array([p.error_ns for p in pulses]), np.array([p.qerr_ns for p in pulses])


@pytest.mark.parametrize("name", sorted(GNSS_RECEIVERS))
@pytest.mark.parametrize("lag", [1, 10, 60, 300])
def test_corrected_pulse_has_the_models_structure_function(name: str, lag: int) -> None:
    model = GNSS_RECEIVERS[name]
    seen = []
    for seed in range(3):
        error, qerr = run(name, seed, 40_000)
        clean = error + qerr
        seen.append(np.mean((clean[lag:] - clean[:-lag]) ** 2))
    wave = model.diurnal_amplitude_ns**2 / 2
    expected = 2 * model.white_ns**2 + sum(
        2 * sigma**2 * -math.expm1(-lag / tau) for sigma, tau in model.markov_ns_s
    )
    expected += 2 * wave * (1 - math.exp(-lag / 432_000) * math.cos(2 * math.pi * lag / 86_400))
    freedom = 3 * 40_000 / max(1, 2 * lag)
    assert np.mean(seen) == pytest.approx(expected, rel=5 / math.sqrt(freedom / 2))


def test_single_band_has_a_daily_wave_of_the_models_size() -> None:
    model = GNSS_RECEIVERS["f9t_single"]
    half_day = []
    for seed in range(12):
        source = ModelPulses(model, seed, START_S)
        values = [source.pulse(START_S + k) for k in range(0, 86_400, 600)]
        clean = np.array([p.error_ns + p.qerr_ns for p in values])
        half_day.append(np.mean((clean[72:] - clean[:-72]) ** 2) / 4)
    other = model.white_ns**2 + sum(sigma**2 for sigma, _ in model.markov_ns_s)
    expected = model.diurnal_amplitude_ns**2 / 2 + other / 2
    assert np.mean(half_day) == pytest.approx(expected, rel=0.6)
    assert np.mean(half_day) > 4 * other


def test_quantisation_error_removes_the_sawtooth() -> None:
    error, qerr = run("f9t_dual", 5, 20_000)
    assert np.max(np.abs(qerr)) <= 4.0
    assert np.std(qerr) == pytest.approx(8 / math.sqrt(12), rel=0.1)
    assert np.std(np.diff(error + qerr)) < 0.3 * np.std(np.diff(error))
    assert np.std(np.diff(error - qerr)) > 1.5 * np.std(np.diff(error))
    # It is reported in whole ps (UBX-TIM-TP), and by exactly that much the pulse is displaced.
    assert np.max(np.abs(qerr * 1e3 - np.rint(qerr * 1e3))) < 1e-6


def test_pulses_sit_on_the_ticks_of_a_slowly_drifting_clock() -> None:
    error, _ = run("f9t_dual", 6, 20_000)
    moved = (np.diff(error) + 4.0) % 8.0 - 4.0
    assert np.max(np.abs(moved)) < 2.0
    assert np.max(np.abs(np.diff(moved))) < 0.02


def test_sawtooth_has_hanging_bridges() -> None:
    _, qerr = run("f9t_dual", 7, 50_000)
    minutes = np.abs(qerr[: len(qerr) // 60 * 60].reshape(-1, 60).mean(axis=1))
    assert np.max(minutes) > 2.0
    assert np.median(minutes) < 1.0


def test_reproducible_and_readable_again() -> None:
    one = model_gnss(GNSS_RECEIVERS["f9t_dual"], 9, START_S)
    two = model_gnss(GNSS_RECEIVERS["f9t_dual"], 9, START_S)
    first = [one.edge(START_S + k) for k in range(3000)]
    assert first == [two.edge(START_S + k) for k in range(3000)]
    assert one.edge(START_S + 2500) == first[2500]
    assert two.edge(START_S + 20_000) == one.edge(START_S + 20_000)
    with pytest.raises(ValueError, match="too far back"):
        one.edge(START_S)


def test_antenna_delay_makes_every_pulse_late() -> None:
    plain = model_gnss(GNSS_RECEIVERS["f9t_dual"], 1, START_S)
    cable = model_gnss(GNSS_RECEIVERS["f9t_dual"], 1, START_S, antenna_delay_ns=150.0)
    assert cable.edge(START_S).error_ns == pytest.approx(plain.edge(START_S).error_ns + 150.0)


def test_the_newest_error_is_that_of_the_latest_second_asked_for() -> None:
    physics = model_gnss(GNSS_RECEIVERS["f9t_dual"], 1, START_S)
    assert physics.newest_error_ns is None
    latest = physics.edge(START_S + 7).error_ns
    physics.edge(START_S + 3)
    assert physics.newest_error_ns == latest


def test_disturbances() -> None:
    quiet = RecordedPulses(Playback(np.zeros(2), START_S, repeat=True))
    physics = GnssPhysics(quiet)

    def errors(*seconds: int) -> list[float]:
        return [physics.edge(START_S + k).error_ns for k in seconds]

    physics.glitch(START_S + 10, 500.0, count=2)
    assert errors(9, 10, 11, 12) == [0, 500, 500, 0]
    step = physics.step(START_S + 20, 300.0)
    assert errors(19, 20, 21) == [0, 300, 300]
    physics.end(step, START_S + 25)
    assert errors(24, 25) == [300, 0]
    ramp = physics.ramp(START_S + 30, 2.0)
    assert errors(30, 31, 40) == [0, 2, 20]
    physics.end(ramp, START_S + 50)
    stop = physics.stop(START_S + 60)
    assert [physics.edge(START_S + k).present for k in (59, 60, 61)] == [True, False, False]
    physics.end(stop, START_S + 62)
    assert physics.edge(START_S + 62).present


def test_recorded_phase_is_exact_and_has_no_quantisation_error(shared_dir: Path) -> None:
    values = read_phase_ns(shared_dir / "data/clocks/gps_1pps_vs_hmaser_phase_s.txt.gz")
    assert 240_000 < len(values) < 242_000
    assert float(np.mean(values)) == pytest.approx(276, abs=2)
    physics = GnssPhysics(RecordedPulses(Playback(values, START_S, repeat=False)))
    for k in (0, 1, 1000, len(values) - 1):
        pulse = physics.edge(START_S + k)
        assert (pulse.error_ns, pulse.present, pulse.qerr_valid) == (values[k], True, False)
    assert physics.series_end_s() == START_S + len(values)
    assert not physics.edge(START_S + len(values)).present
