"""The filter against truth it knows, figures of others, and bad records."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.timescale.estimator import Estimator
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.transition import FREQUENCY, GNSS_FIRST, PHASE, transition
from tests.unit.timescale.clock_data import expected, filter_alone, folder, load_series, rms
from tests.unit.timescale.closed_loop import make_world

DUAL = GNSS["f9t_dual"]
SETTLED_S = 21_600


def _fresh(name: str = "sa53", **changes: Any) -> Estimator:
    options = {"phase_ns": 0.0, "phase_sigma_ns": 50.0} | changes
    return Estimator(OSCILLATORS[name], DUAL, **options)


def _phase_ratio(shared_dir: Path, name: str, *, with_qerr: bool, hours: int) -> tuple[float, float, float]:
    """Steered rms over that of the optimum on the same file, mean NIS, TDEV(10 s) ratio."""
    import allantools

    series = {
        k: v[: hours * 3600] for k, v in load_series(folder(shared_dir) / f"series_{name}.csv.xz").items()
    }
    steered, _, nis = filter_alone(series, OSCILLATORS[name], DUAL, with_qerr=with_qerr)
    golden = expected(shared_dir)["series"][name]
    field = "optimal_predict_before_sample" if with_qerr else "no_qerr_optimal_predict"
    ratio = rms(steered[SETTLED_S:]) / golden["this_file_rms_ns"][field]
    _, tdev, _, _ = allantools.tdev(steered[SETTLED_S:] * 1e-9, rate=1.0, data_type="phase", taus=[10])
    return (
        ratio,
        float(np.nanmean(nis)),
        tdev[0] * 1e9 / golden["golden"]["optimal_output_error"]["tdev"]["10"],
    )


@pytest.mark.parametrize("name", ["sa53", "ocxo"])
def test_steered_phase_is_within_ten_percent_of_the_optimum(shared_dir: Path, name: str) -> None:
    ratio, nis, tdev_ratio = _phase_ratio(shared_dir, name, with_qerr=True, hours=48)
    assert ratio <= 1.10
    assert nis == pytest.approx(1.0, abs=0.02)
    assert tdev_ratio <= 1.5


@pytest.mark.full
@pytest.mark.parametrize("name", ["mro50", "csac", "tcxo"])
def test_phase_marks_of_the_other_oscillators(shared_dir: Path, name: str) -> None:
    ratio, nis, tdev_ratio = _phase_ratio(shared_dir, name, with_qerr=True, hours=24)
    assert ratio <= 1.10
    assert nis == pytest.approx(1.0, abs=0.02)
    assert name != "mro50" or tdev_ratio <= 1.5


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "hours"), [("sa53", 48), ("mro50", 24), ("csac", 24), ("ocxo", 48), ("tcxo", 24)]
)
def test_phase_marks_without_sawtooth_correction(shared_dir: Path, name: str, hours: int) -> None:
    ratio, _, _ = _phase_ratio(shared_dir, name, with_qerr=False, hours=hours)
    assert ratio <= 1.15


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "limit_1h", "limit_4h"),
    [("sa53", 1.2, 1.25), ("mro50", 1.2, 1.25), ("csac", 1.3, 1.7), ("ocxo", 1.2, 1.25), ("tcxo", 1.2, 1.25)],
)
def test_pseudo_outages(shared_dir: Path, name: str, limit_1h: float, limit_4h: float) -> None:
    """Predict from many instants of the locked file, as if GNSS had ended there."""
    series = load_series(folder(shared_dir) / f"series_{name}.csv.xz")
    sample, truth = series["z_raw"] + series["qerr"], series["x_true"]
    estimator = Estimator(
        OSCILLATORS[name], DUAL, phase_ns=float(sample[0]), phase_sigma_ns=50.0, frequency_sigma_ppb=1.0
    )
    variance = estimator.sample_variance_ns2(sawtooth_removed=True, resolution_ns=0.0)
    rows = {h: transition(OSCILLATORS[name], DUAL, float(h))[0][PHASE] for h in (3600, 14_400)}
    errors: dict[int, list[float]] = {h: [] for h in rows}
    for k in range(len(sample)):
        if k:
            estimator.advance(1, 0.0)
        estimator.update(float(sample[k]), variance)
        if k >= SETTLED_S and k % 600 == 0:
            mean = estimator.save().mean
            for horizon, row in rows.items():
                if k + horizon < len(truth):
                    errors[horizon].append(float(row @ mean) - truth[k + horizon])
    golden = expected(shared_dir)["series"][name]["pseudo_outage_rms_ns"]
    assert rms(np.array(errors[3600])) / golden["3600"]["optimal"] <= limit_1h
    assert rms(np.array(errors[14_400])) / golden["14400"]["optimal"] <= limit_4h


def test_reported_holdover_sigma_is_that_of_the_theory(shared_dir: Path) -> None:
    """A day of lock from a cold prior; the covariance does not depend on the samples."""
    table = expected(shared_dir)["holdover"]["sa53"]["horizons_h"]
    estimator = Estimator(
        OSCILLATORS["sa53"], DUAL, phase_ns=0.0, phase_sigma_ns=1000.0, frequency_sigma_ppb=0.1
    )
    for _ in range(86_400):
        estimator.advance(1, 0.0)
        estimator.update(0.0, 0.09)
    state = estimator.save()
    for hours in (1, 4, 24, 72):
        estimator.restore(state)
        estimator.advance(hours * 3600.0, 0.0)
        assert estimator.phase_sigma_ns == pytest.approx(table[str(hours)]["after_24h_lock_rms_ns"], rel=0.02)


def test_covariance_stays_symmetric_and_positive() -> None:
    estimator = _fresh("ocxo", phase_sigma_ns=1e6, cold=True)
    for k in range(5_000):
        estimator.advance(1, 0.1)
        if k % 7:
            estimator.update(0.0, 2.0, gate_sigma=1e9)
    p = estimator.covariance
    np.testing.assert_allclose(p, p.T, rtol=1e-9, atol=1e-12)
    scale = np.sqrt(np.where(np.diag(p) > 0.0, np.diag(p), 1.0))
    assert np.linalg.eigvalsh(p / np.outer(scale, scale)).min() > -1e-9


def test_a_second_at_a_time_is_the_same_as_one_long_interval() -> None:
    one, many = _fresh("ocxo"), _fresh("ocxo")
    for estimator in (one, many):
        estimator.update(3.0, 1.0)
    one.advance(600.0, 60.0, temperature_degc=2.0)
    for _ in range(600):
        many.advance(1, 0.1, temperature_degc=2.0)
    assert many.phase_ns == pytest.approx(one.phase_ns, rel=1e-9)
    assert many.phase_sigma_ns == pytest.approx(one.phase_sigma_ns, rel=1e-3)


def test_signs_of_sample_steering_and_step() -> None:
    estimator = _fresh("sa53", frequency_ppb=5.0, frequency_sigma_ppb=0.001, phase_sigma_ns=0.1)
    assert estimator.oscillator_ppb() == pytest.approx(5.0)
    estimator.advance(1, 0.0)  # a fast oscillator makes the clock read ahead
    assert estimator.phase_ns == pytest.approx(5.0)
    estimator.advance(1, -5.0)  # steering slower holds it
    assert estimator.phase_ns == pytest.approx(5.0)
    estimator.step(-5.0)
    assert estimator.phase_ns == pytest.approx(0.0)
    wide = _fresh("sa53", phase_sigma_ns=1000.0)
    wide.update(20.0, 1.0)  # the clock showed 20 ns past the second at the pulse: it is ahead
    assert wide.phase_ns == pytest.approx(20.0, rel=0.01)


def test_rejected_is_missing() -> None:
    estimator = _fresh(frequency_sigma_ppb=0.01)
    for _ in range(100):
        estimator.advance(1, 0.0)
        assert estimator.update(0.0, 0.1).accepted
    estimator.advance(1, 0.0)
    before = estimator.save()
    innovation = estimator.update(500.0, 0.1)
    assert not innovation.accepted
    assert innovation.residual_ns == pytest.approx(500.0, abs=1.0)
    np.testing.assert_array_equal(estimator.save().mean, before.mean)
    np.testing.assert_array_equal(estimator.save().covariance, before.covariance)


def test_returned_phase_leaves_frequency_alone() -> None:
    estimator = _fresh(frequency_ppb=3.0, frequency_sigma_ppb=0.002)
    for _ in range(300):
        estimator.advance(1, -3.0)
        estimator.update(0.0, 0.1)
    estimator.advance(3600.0, -3600 * 3.0)
    frequency, sigma = estimator.oscillator_ppb(), estimator.oscillator_sigma_ppb
    estimator.replace_phase(400.0, samples=30)
    assert estimator.phase_ns == 400.0
    assert estimator.oscillator_ppb() == frequency
    assert estimator.oscillator_sigma_ppb == sigma
    # The error of the new phase is that of GNSS: what the next pulse will show is known better than either.
    assert 0.5 < estimator.phase_sigma_ns < 2.0
    assert math.sqrt(estimator.update(400.0, 0.1).variance_ns2) < 1.2


def test_temperature_is_learnt_and_used() -> None:
    """A slope of 4e-12 per degree shows while the temperature goes up and down, and predicts afterwards."""
    slope_ppb, estimator = 4e-3, _fresh("mro50", frequency_sigma_ppb=0.01)
    truth = 0.0
    for k in range(7_200):
        warmer = 5.0 * math.sin(2 * math.pi * k / 3_600)
        truth += slope_ppb * warmer
        estimator.advance(1, 0.0, temperature_degc=warmer)
        estimator.update(truth, 0.1)
    gained_ppb = estimator.oscillator_ppb(10.0) - estimator.oscillator_ppb(0.0)
    assert gained_ppb == pytest.approx(10.0 * slope_ppb, rel=0.1)


def test_coverage_and_nis_over_many_worlds() -> None:
    """Forty worlds, half an hour of lock and a quarter of an hour without: one independent error each."""
    within, nis = {1: 0, 2: 0, 3: 0}, []
    worlds = 40
    for seed in range(worlds):
        name = ("sa53", "mro50", "ocxo", "tcxo")[seed % 4]
        oscillator = OSCILLATORS[name]
        world = make_world(oscillator, DUAL, 2_700, seed)
        estimator = Estimator(
            oscillator, DUAL, phase_ns=0.0, phase_sigma_ns=1.0, frequency_sigma_ppb=oscillator.settled_ppb
        )
        for k in range(1_800):
            if k:
                estimator.advance(1, 0.0)
            innovation = estimator.update(float(world.phase_ns[k] + world.pulse_ns[k]), 0.09)
            if k > 600:
                nis.append(innovation.normalised_squared)
        estimator.advance(899.0, 0.0)
        error = abs(estimator.phase_ns - world.phase_ns[1_799 + 899])
        for k_sigma in within:
            within[k_sigma] += error <= k_sigma * estimator.phase_sigma_ns
    assert np.mean(nis) == pytest.approx(1.0, abs=2.6 * math.sqrt(2.0 / len(nis)) + 0.01)
    # 99.9 % bands of a binomial with 40 draws at 68.3, 95.4 and 99.7 %.
    assert 17 <= within[1] <= 36
    assert within[2] >= 33
    assert within[3] >= 38


def test_record_round_trip() -> None:
    estimator = _fresh("ocxo")
    for _ in range(50):
        estimator.advance(1, 0.3)
        estimator.update(1.0, 0.1)
    record = json.loads(json.dumps(estimator.to_record()))
    again = Estimator.from_record(record, OSCILLATORS["ocxo"], DUAL)
    np.testing.assert_array_equal(again.save().mean, estimator.save().mean)
    np.testing.assert_array_equal(again.save().covariance, estimator.save().covariance)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("oscillator", "sa53", "oscillator is 'sa53'"),
        ("gnss", None, "gnss is None"),
        ("mean", [1.0, 2.0], "mean has shape"),
        ("mean", "words", "mean is not a list"),
        ("mean", None, "mean has shape"),
        ("covariance", [[float("nan")] * 16] * 16, "not finite"),
        ("mean", [1e300] * 16, "far too large"),
        ("mean", [10**400] * 16, "not a list of numbers"),
        ("covariance", (-np.eye(16)).tolist(), "not symmetric"),
        ("covariance", np.triu(np.ones((16, 16))).tolist(), "not symmetric"),
    ],
)
def test_bad_records_are_named(field: str, value: object, says: str) -> None:
    record = _fresh("ocxo").to_record()
    assert len(record["mean"]) == 16
    with pytest.raises(ValueError, match=says):
        Estimator.from_record(record | {field: value}, OSCILLATORS["ocxo"], DUAL)


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="cannot go back"):
        _fresh().advance(-1.0, 0.0)


def test_state_order_is_as_documented() -> None:
    assert (PHASE, FREQUENCY) == (0, 1)
    assert len(_fresh().save().mean) == GNSS_FIRST + len(DUAL.gauss_markov) + 2
