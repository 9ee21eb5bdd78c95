"""What the analysis finds is what was put in, and no gap, outlier or trend is passed off as noise."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.analysis.analysis import Analysis, Gaps, Settings, analyse
from appliance.analysis.deviations import STATISTICS, averaging_factors
from appliance.analysis.errors import AnalysisError
from appliance.analysis.masks import MASKS
from appliance.analysis.series import Detrend
from appliance.analysis.time_error import time_error
from appliance.analysis.units import Kind
from tests.unit.analysis.worlds import noise, phase

ALL = Settings(statistics=tuple(STATISTICS))


def values(analysis: Analysis, name: str) -> list[float]:
    return [found.value for row in analysis.rows if (found := row.deviations[name])]


def test_white_phase_noise_has_the_theoretical_deviations() -> None:
    analysis = analyse(phase(noise(40_000)), Settings(taus=(1.0, 10.0, 100.0)))
    for row in analysis.rows:
        allan, tdev = row.deviations["oadev"], row.deviations["tdev"]
        assert allan is not None
        assert tdev is not None
        assert allan.low is not None
        assert allan.high is not None
        assert allan.value == pytest.approx(np.sqrt(3) * 1e-9 / row.tau_s, rel=0.05)
        assert tdev.value == pytest.approx(1 / np.sqrt(row.tau_s), rel=0.1)
        assert allan.low < allan.value < allan.high
        assert row.noise is not None
        assert row.noise.name == "white PM"
        assert row.noise.exponent == pytest.approx(2, abs=0.3)


def test_confidence_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """White FM, whose Allan deviation is sigma / sqrt(tau): 400 independent series, 90 % intervals."""
    inside = 0
    for seed in range(400):
        walk = np.cumsum(noise(300, seed))
        row = analyse(phase(walk), Settings(taus=(16.0,), statistics=("oadev",), confidence=0.9)).rows[0]
        found = row.deviations["oadev"]
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 1e-9 / 4.0 <= found.high
    assert 0.82 < inside / 400 < 0.96


def test_nothing_crosses_a_gap() -> None:
    """A microsecond of step during a gap is in no figure of stability; the same without a gap is in all."""
    first, second = noise(3000, 1), noise(3000, 2)
    level = analyse(phase(first, second), ALL)
    stepped = analyse(phase(first, second + 1000.0), ALL)
    for name in STATISTICS:
        assert values(stepped, name) == pytest.approx(values(level, name), rel=1e-6)
    assert [row.mtie_ns for row in stepped.rows] == pytest.approx([row.mtie_ns for row in level.rows])
    assert (stepped.gaps[0].after_s, stepped.gaps[0].missing) == (2999.0, 10)
    joined = analyse(phase(np.concatenate([first, second + 1000.0])), ALL)
    assert joined.rows[-1].mtie_ns is not None
    assert joined.rows[-1].mtie_ns > 900


def test_pieces_are_pooled_by_their_terms_or_left_out() -> None:
    quiet, loud = noise(4000, 1), 3.0 * noise(2000, 2)
    once = Settings(taus=(1.0,), statistics=("oadev",))
    pooled = analyse(phase(quiet, loud), once).rows[0].deviations["oadev"]
    alone = analyse(phase(quiet, loud), replace(once, gaps=Gaps.LONGEST)).rows[0].deviations["oadev"]
    whole = analyse(phase(quiet), once).rows[0].deviations["oadev"]
    assert alone == whole
    assert pooled is not None
    assert whole is not None
    assert pooled.terms == whole.terms + 1998
    assert pooled.value == pytest.approx(np.sqrt(3 * (4000 + 9 * 2000) / 6000) * 1e-9, rel=0.05)


def test_two_halves_pooled_are_about_as_sure_as_the_whole() -> None:
    samples = np.cumsum(noise(4000))
    once = Settings(taus=(8.0,), statistics=("oadev",))
    whole = analyse(phase(samples), once).rows[0].deviations["oadev"]
    halves = analyse(phase(samples[:2000], samples[2000:]), once).rows[0].deviations["oadev"]
    assert whole is not None
    assert halves is not None
    assert halves.value == pytest.approx(whole.value, rel=0.02)
    assert halves.degrees_of_freedom == pytest.approx(whole.degrees_of_freedom, rel=0.05)


def test_a_trend_is_told_and_removed_over_gaps() -> None:
    t = np.arange(20_000.0)
    curve = 50.0 + 2e-3 * t + 0.5 * (8.64e-9 / 86_400 * 1e9) * t**2 + noise(20_000)
    series = phase(curve[:8000], curve[9000:], gap=1000)
    told = analyse(series, Settings()).trend
    assert told.drift_per_day == pytest.approx(8.64e-9, rel=0.01)
    for detrend, worst_ns in ((Detrend.NONE, 19_000), (Detrend.FREQUENCY, 4000), (Detrend.DRIFT, 6)):
        error = analyse(series, Settings(detrend=detrend)).time_error
        assert error is not None
        assert worst_ns / 2 < error.max_abs_ns < 1.3 * worst_ns
    centred = analyse(series, Settings(detrend=Detrend.PHASE)).time_error
    assert centred is not None
    assert centred.mean_ns == pytest.approx(0, abs=1e-6)


def test_frequency_is_integrated_and_tells_no_time() -> None:
    walk = np.cumsum(noise(5000))
    frequency = replace(phase(np.diff(walk) * 1e-9), kind=Kind.FREQUENCY)
    from_frequency = analyse(frequency, replace(ALL, masks=(MASKS["PRTC-A"],)))
    from_phase = analyse(phase(walk), ALL)
    for name in STATISTICS:
        assert values(from_frequency, name) == pytest.approx(values(from_phase, name), rel=1e-6)
    assert from_frequency.time_error is None
    assert from_frequency.verdicts[0].parts[0].passed is None
    assert from_frequency.span_s == 4999
    drifting = frequency.mapped(lambda piece: piece.values + 3e-8 + 1e-12 * np.arange(4999.0))
    trend = analyse(drifting, ALL).trend
    assert trend.drift_per_day == pytest.approx(8.64e-8, rel=0.05)
    flat = analyse(drifting, replace(ALL, detrend=Detrend.DRIFT))
    assert flat.trend == trend
    assert flat.rows[-1].mtie_ns is not None
    assert flat.rows[-1].mtie_ns < 300


@pytest.mark.parametrize("resolution_ns", [0.0, 5.0])
def test_outliers_are_counted_and_removed_only_when_asked(resolution_ns: float) -> None:
    samples = noise(5000) if not resolution_ns else resolution_ns * np.round(noise(5000) / resolution_ns)
    bad = samples.copy()
    bad[[700, 2000, 2001, 2002]] += 500.0
    bad[3000:] += 60.0  # a step is none: it stays
    kept = analyse(phase(bad), Settings())
    assert kept.outliers == 4
    assert kept.gaps == ()
    removed = analyse(phase(bad), Settings(remove_outliers=True))
    assert [gap.missing for gap in removed.gaps] == [1, 3]
    assert removed.time_error is not None
    assert removed.time_error.max_abs_ns < 80


def test_clean_noise_has_no_outliers() -> None:
    for seed in range(5):
        assert analyse(phase(noise(50_000, seed)), Settings(taus=(1.0,))).outliers == 0
    assert analyse(phase(np.zeros(100)), Settings()).outliers == 0


def test_time_error_has_its_constant_and_its_dynamic_part() -> None:
    t = np.arange(6000.0)
    slow, fast = 20.0 * np.sin(2 * np.pi * t / 600), 8.0 * np.cos(np.pi * t)
    error = time_error(phase(40.0 + slow + fast))
    assert error.max_abs_ns == pytest.approx(68, abs=0.1)
    assert error.mean_ns == pytest.approx(40, abs=0.01)
    # 20 ns of ten minutes, averaged over 1000 s, is 20 sinc(5/3) = 3.3 ns
    assert error.constant_max_ns == pytest.approx(43.31, abs=0.05)
    assert error.constant_min_ns == pytest.approx(36.69, abs=0.05)
    # Half the sampling rate passes a first-order filter of this gain as gain / (2 - gain).
    gain = 1 - np.exp(-0.2 * np.pi)
    assert error.dynamic_low_peak_to_peak_ns == pytest.approx(40 + 16 * gain / (2 - gain), abs=0.2)
    assert error.dynamic_high_peak_to_peak_ns is not None
    assert 10 < error.dynamic_high_peak_to_peak_ns < 16
    short = time_error(phase(np.zeros(999), np.ones(999)))
    assert short.constant_max_ns is None
    assert short.max_abs_at_s == 1009
    assert time_error(phase(t, interval_s=5.0)).dynamic_low_std_ns is None


def test_long_averaging_times_are_marked_and_do_not_decide() -> None:
    samples = noise(1000)
    samples[:300] += 200.0  # a step: MTIE sees it at every tau, TDEV at long ones
    analysis = analyse(phase(samples), Settings(taus="many", masks=(MASKS["PRTC-A"],)))
    assert [row.tau_s for row in analysis.rows if not row.quotable] == [
        row.tau_s for row in analysis.rows if row.tau_s > 200
    ]
    _, widest, tdev = analysis.verdicts[0].parts
    assert widest.passed is False
    assert tdev.tested_to_s is not None
    assert tdev.tested_to_s <= 200
    assert analysis.passed is False


def test_lists_of_averaging_times() -> None:
    assert averaging_factors("octave", 100, 1.0) == (1, 2, 4, 8, 16, 32)
    assert averaging_factors("decade", 900, 0.1) == (1, 2, 4, 10, 20, 40, 100, 200, 400)
    assert len(averaging_factors("many", 200_000, 1.0)) > 80
    assert averaging_factors([0.5, 0.2, 50.0], 100, 0.1) == (2, 5)
    with pytest.raises(ValueError, match="no multiple of the interval of 2 s"):
        averaging_factors([3.0], 100, 2.0)
    for wrong in ((1.5,), (1e6,)):
        with pytest.raises(AnalysisError, match="made: "):
            analyse(phase(noise(100)), Settings(taus=wrong))


def test_the_answer_is_a_frozen_value_that_can_be_sent() -> None:
    analysis = analyse(phase(noise(500)), replace(ALL, masks=(MASKS["ePRTC"],)))
    assert pickle.loads(pickle.dumps(analysis)) == analysis
    with pytest.raises(FrozenInstanceError):
        analysis.samples = 3  # type: ignore[misc]  # that is what is tested


@given(st.lists(st.integers(4, 60), min_size=1, max_size=6), st.floats(0.01, 1e3), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_any_pieces_give_figures_in_proportion(lengths: list[int], scale: float, seed: int) -> None:
    pieces = [noise(length, seed + k) for k, length in enumerate(lengths)]
    one = analyse(phase(*pieces), ALL)
    other = analyse(phase(*(scale * piece + 7.0 for piece in pieces)), ALL)
    for name in STATISTICS:
        assert values(other, name) == pytest.approx([scale * value for value in values(one, name)], rel=1e-6)
    assert one.samples == sum(lengths)
    assert sum(gap.missing for gap in one.gaps) == 10 * (len(lengths) - 1)
