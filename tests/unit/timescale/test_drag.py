"""The copies of the filter, and the comparison with what they foretell."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.past import Past
from tests.unit.timescale.fast_world import fast_world
from tests.unit.timescale.watched_filter import WatchedFilter
from timecard.timescale import NS_PER_S as S

LOCK_S = 1_500


def _copies(seconds: int) -> Past:
    watched = WatchedFilter(OSCILLATORS["sa53"], GNSS["f9t_dual"], 0.0)
    for second in range(1, seconds):
        watched.sample(second, 0.0)
    return watched.tracker._past


def test_copies_are_dense_for_minutes_and_sparse_for_hours() -> None:
    past = _copies(9_000)
    ages_s = [9_000 - copy.mono_ns / S for copy in past.newest_first(9_000 * S)]
    assert max(np.diff(sorted(age for age in ages_s if age < 180))) <= 10
    assert max(np.diff(sorted(set(ages_s)))) <= 60
    assert 7_000 < max(ages_s) < 7_300


def test_what_was_known_before_a_change_is_for_those_who_were_misled() -> None:
    past = _copies(600)
    past.changed(500 * S)
    assert past.before(480 * S) is None
    misled = past.before(480 * S, beyond_change=True)
    assert misled is not None
    assert 470 * S <= misled.mono_ns <= 480 * S
    assert past.before(560 * S) is not None
    past.clear()
    assert past.before(560 * S) is None


def _play(kind: str, course_ns: np.ndarray, pulse_ns: np.ndarray) -> tuple[WatchedFilter, int | None]:
    """A world whose clock and pulse do this besides; the second of the first accusation."""
    rng = np.random.default_rng(5)
    truth, pulse = fast_world(OSCILLATORS[kind], GNSS["f9t_dual"], len(course_ns), rng)
    samples = truth + course_ns + pulse + pulse_ns
    watched = WatchedFilter(OSCILLATORS[kind], GNSS["f9t_dual"], float(samples[0]))
    for second in range(1, len(samples)):
        if watched.sample(second, float(samples[second])) is not None:
            return watched, second
    return watched, None


def _ramp(ppb: float, seconds: int) -> np.ndarray:
    return ppb * np.maximum(0.0, np.arange(LOCK_S + seconds) - LOCK_S)


@pytest.mark.parametrize(("kind", "ppb"), [("sa53", 0.1), ("mro50", -0.2), ("csac", 0.9), ("ocxo", 1.0)])
def test_a_ramp_above_what_the_part_can_do_is_found(kind: str, ppb: float) -> None:
    ramp = _ramp(ppb, 400)
    watched, second = _play(kind, np.zeros(len(ramp)), ramp)
    assert second is not None
    assert second > LOCK_S
    now_ns = second * S
    watched.tracker.roll_back(now_ns, now_ns, misled=True)
    alone, _ = _play(kind, np.zeros(second + 1), np.zeros(second + 1))
    sigma_ns = watched.tracker.estimator.phase_sigma_ns
    assert abs(watched.phase_ns - alone.phase_ns) < 4.0 * sigma_ns


@pytest.mark.parametrize(("kind", "ppb"), [("sa53", 0.03), ("mro50", 0.06), ("csac", 0.2), ("ocxo", -0.3)])
def test_what_the_part_may_do_by_itself_is_no_accusation(kind: str, ppb: float) -> None:
    ramp = _ramp(ppb, 1_200)
    _, second = _play(kind, ramp, np.zeros(len(ramp)))
    assert second is None


def test_an_old_copy_serves_under_new_noise_figures() -> None:
    watched = WatchedFilter(OSCILLATORS["sa53"], GNSS["f9t_dual"], 0.0)
    for second in range(1, 600):
        watched.sample(second, 0.02 * second)
    tracker = watched.tracker
    other = GNSS["single_legacy"]
    tracker.adopt(OSCILLATORS["sa53"], other)
    expected_ns = tracker.phase_ns(600 * S)
    assert tracker.roll_back(600 * S, 600 * S) > 0.0
    assert tracker.estimator.gnss == other
    assert len(tracker.estimator.covariance) == len(tracker.estimator.save().mean)
    assert tracker.phase_ns(600 * S) == pytest.approx(expected_ns, abs=1.0)
