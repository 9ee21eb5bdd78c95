"""The discipline learns its unit: noise while locked, habits over a restart, slope against temperature."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from appliance.snapshot import ClockState
from appliance.timescale.discipline import Discipline
from appliance.timescale.discipline_record import read_record
from appliance.timescale.estimator import Estimator
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.noise_fit import common_start
from appliance.timescale.transition import FREQUENCY, GNSS_FIRST, LADDER
from bench.timescale_worlds import play_warm
from tests.scenario.discipline_worlds import alarms, errors, first, loop, names, violations
from tests.unit.timescale.closed_loop import World
from tests.unit.timescale.fast_world import fast_world

SA53, DUAL = OSCILLATORS["sa53"], GNSS["f9t_dual"]


def _noisy_world(seconds: int, y0_ppb: float) -> World:
    """An SA53 whose white noise is four times its sheet's, with a constant offset."""
    noisy = replace(SA53, white_fm_1s=4.0 * SA53.white_fm_1s)
    truth, pulse = fast_world(noisy, DUAL, seconds + 5, np.random.default_rng(11))
    return World(truth + y0_ppb * np.arange(len(truth)), pulse, np.zeros(len(truth)))


def test_a_unit_noisier_than_its_sheet_is_learnt_and_remembered() -> None:
    """Six hours on: the figures are the unit's, nothing moved by it, and the next boot begins with them."""
    played = loop("C", "sa53", _noisy_world(23_200, 5.0), loop_with_qerr=True, timestamper_resolution_ns=1.0)
    rows = played.play(21_900)
    discipline = played.discipline
    assert discipline.counters["noise_learnt"] == 1
    assert names(rows) == ["free-run", "acquiring", "locked"]
    learnt = discipline.pilot.oscillator
    assert learnt.white_fm_1s == pytest.approx(4.0 * SA53.white_fm_1s, rel=0.4)
    assert learnt.aging_per_day == SA53.aging_per_day
    assert violations(rows) == []
    steps = np.abs(np.diff([row.snapshot.frequency_ppb for row in rows[-400:]]))
    assert steps.max() < 0.5, "new figures, no jump"
    record = json.loads(json.dumps(discipline.learnt_record()))
    assert record["frequency_ppb"]["value"] == pytest.approx(5.0, abs=0.05)

    again = Discipline(played.config, played.mono_ns(21_900.0), learnt=record)
    assert again.alarms == {}
    assert again.pilot.oscillator == learnt
    assert again.learnt_record() is None, "nothing new is known yet"
    played.discipline = again
    rows = played.play(600)
    assert first(rows, "locked") - rows[0].second <= 90
    tracker = again.pilot.tracker
    assert tracker is not None
    assert tracker.estimator.known(FREQUENCY)[0] == pytest.approx(5_000.0, abs=50.0)
    assert violations(rows) == []


def test_a_record_of_another_oscillator_is_dropped_with_an_alarm() -> None:
    played = loop("C", "sa53", _noisy_world(900, 0.0), timestamper_resolution_ns=1.0)
    played.play(900)
    record = played.discipline.learnt_record()
    assert record is not None
    for wrong, says in (
        ({"oscillator": "ocxo"}, "it is of oscillator 'ocxo'"),
        ({"version": 7}, "version is 7"),
    ):
        other = Discipline(played.config, played.mono_ns(900.0), learnt=record | wrong)
        assert says in other.alarms["learnt"]
        assert other.pilot.oscillator == SA53


def test_a_resumed_filter_has_the_noise_it_was_saved_with() -> None:
    """The runtime record alone is enough: the state file may be older."""
    played = loop("C", "sa53", _noisy_world(1_500, 3.0), timestamper_resolution_ns=5.0, loop_with_qerr=False)
    played.play(900)
    pilot = played.discipline.pilot
    figures = pilot.habits.figures
    assert figures is None
    pilot.habits.adopt(common_start(SA53.aging_per_day, DUAL, 2.7))
    assert pilot.tracker is not None
    pilot.tracker.adopt(pilot.oscillator, pilot.gnss)
    played.play(60)
    record = json.loads(json.dumps(played.discipline.runtime_record(played.mono_ns(960.0))))
    for field, wrong in (("steering_ppb", 10**400), ("mono_ns", -(10**400)), ("untold_ns", float("nan"))):
        with pytest.raises(ValueError, match=field):
            read_record(record | {field: wrong}, pilot, played.mono_ns(961.0))
    played.discipline = Discipline(played.config, played.mono_ns(961.0), record)
    played.second += 1
    rows = played.play(300)
    assert names(rows) == ["holdover", "recovering", "locked"]
    assert played.discipline.pilot.gnss.steps_are_coloured
    assert "runtime record not used" not in str(alarms(rows))
    assert violations(rows) == []
    assert np.abs(errors(rows)[60:]).max() < 12.0


def test_other_figures_do_not_move_the_estimate_nor_make_it_surer() -> None:
    estimator = Estimator(SA53, DUAL, phase_ns=3.0, phase_sigma_ns=10.0, frequency_ppb=1.0)
    for _ in range(600):
        estimator.advance(1, 0.0)
        estimator.update(0.0, 0.09)
    before = estimator.save()
    worse = replace(SA53, flicker_floor=3.0 * SA53.flicker_floor)
    coarse = replace(DUAL, gauss_markov=(*DUAL.gauss_markov, (2.7, 2.5)), steps_are_coloured=True)
    for oscillator, gnss in ((worse, coarse), (SA53, DUAL), (worse, DUAL)):
        estimator.adopt(oscillator, gnss)
        after = estimator.save()
        assert (after.mean[:GNSS_FIRST] == before.mean[:GNSS_FIRST]).all()
        assert (
            np.diag(after.covariance)[:GNSS_FIRST] >= np.diag(before.covariance)[:GNSS_FIRST] - 1e-12
        ).all()
        assert np.linalg.eigvalsh(after.covariance).min() > -1e-9
        assert after.covariance.shape[0] == len(before.mean) + (1 if gnss is coarse else 0)
    rungs = np.diag(estimator.covariance)[LADDER:GNSS_FIRST]
    assert (rungs > 2.0 * np.diag(before.covariance)[LADDER:GNSS_FIRST]).all()


@pytest.mark.parametrize(("kind", "limit"), [("sa53", 1.3), ("mro50", 1.3), ("ocxo", 1.3)])
def test_the_slope_against_temperature_is_learnt_from_a_daily_wave(kind: str, limit: float) -> None:
    """+-2 degrees for four days: what is left of the slope costs less than the oscillator's own noise."""
    found = [play_warm((kind, seed)) for seed in range(4)]
    ratio = np.sqrt(np.mean([float(o.errors_ns[0] / o.ideal_sigmas_ns[0]) ** 2 for o in found]))
    # Four worlds: a chi-square with four degrees of freedom exceeds its mean by 1.9 in one of 100 cases.
    assert ratio < limit * 1.9
    assert all(abs(o.errors_ns[0]) < 4.0 * o.sigmas_ns[0] for o in found)


@pytest.mark.parametrize("wrong_ppb", [-9.0, 0.8, 30.0])
def test_a_record_that_is_wrong_about_the_frequency_costs_seconds_not_the_lock(wrong_ppb: float) -> None:
    """Another unit in the same card, or a register that was reset: what is seen wins."""
    played = loop("C", "sa53", _noisy_world(1_500, 5.0), timestamper_resolution_ns=1.0)
    played.play(700)
    record = played.discipline.learnt_record()
    assert record is not None
    record["frequency_ppb"]["value"] += wrong_ppb
    played.discipline = Discipline(played.config, played.mono_ns(700.0), learnt=record)
    rows = played.play(400)
    assert rows[-1].state is ClockState.LOCKED
    assert np.abs(errors(rows)[-100:]).max() < 6.0
    assert violations(rows) == []
