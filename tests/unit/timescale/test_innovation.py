"""Who moved; whether the model holds; a slow drag; and what a returned reference must show."""

from __future__ import annotations

import random

import pytest

from appliance.timescale.estimator import Estimator
from appliance.timescale.innovation import (
    MAX_SCALE,
    BiasWatch,
    FrequencyWatch,
    InnovationStatistics,
    RejectionWatch,
    Verdict,
    line_through,
)
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.recovery import Return, ReturnCheck
from appliance.timescale.servo import SteeringRecord
from appliance.timescale.tracking import Tracker
from timecard.timescale import NS_PER_S


def _watch(jump_ppb: float = 0.1, runaway_ppb: float = 100.0) -> RejectionWatch:
    watch = RejectionWatch(jump_ppb, runaway_ppb)
    for k in range(20):
        watch.accepted(float(k))
    return watch


def _verdicts(watch: RejectionWatch, residuals: list[float], **options: bool) -> list[Verdict]:
    return [watch.rejected(20.0 + k, r, **options) for k, r in enumerate(residuals)]


def test_a_step_of_the_reference_is_the_references() -> None:
    verdicts = _verdicts(_watch(), [500.0 + 0.3 * (-1) ** k for k in range(10)])
    assert verdicts == [Verdict.UNDECIDED] * 9 + [Verdict.REFERENCE]


def test_a_ramp_steeper_than_the_oscillator_can_is_the_references() -> None:
    assert _verdicts(_watch(), [6.0 + 1.0 * k for k in range(10)])[-1] is Verdict.REFERENCE


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_gentle_ramp_from_zero_is_the_clocks(sign: float) -> None:
    assert _verdicts(_watch(jump_ppb=1.0), [sign * (3.0 + 0.5 * k) for k in range(10)])[-1] is Verdict.CLOCK


def test_a_residual_that_shrinks_is_no_ramp_from_zero() -> None:
    assert _verdicts(_watch(jump_ppb=1.0), [9.0 - 0.5 * k for k in range(10)])[-1] is Verdict.REFERENCE


def test_a_young_oscillator_is_allowed_more() -> None:
    watch = _watch(jump_ppb=0.1)
    watch.allowance = 20.0
    assert _verdicts(watch, [6.0 + 1.0 * k for k in range(10)])[-1] is Verdict.CLOCK


def test_a_suspected_clock_is_given_up_after_a_few() -> None:
    verdicts = _verdicts(_watch(), [40.0, 80.0, 120.0, 160.0], clock_is_suspect=True)
    assert verdicts[-1] is Verdict.CLOCK
    assert Verdict.CLOCK not in verdicts[:-1]


def test_glitches_decide_nothing() -> None:
    watch = _watch()
    for k in range(20, 200):
        if k % 10 == 0:
            assert watch.rejected(float(k), 500.0) is Verdict.UNDECIDED
            assert watch.rejecting
        else:
            watch.accepted(float(k))
    assert watch.suspect_ns(200.0) == 0.0


def test_what_the_clock_may_have_done_itself_is_suspected_a_larger_glitch_is_not() -> None:
    ours, glitch = _watch(runaway_ppb=100.0), _watch(runaway_ppb=100.0)
    ours.rejected(20.0, 40.0)  # one second after the last good one: 40 ppb, and going on
    assert ours.suspect_rate_ppb == pytest.approx(40.0)
    assert ours.suspect_ns(20.5) == pytest.approx(60.0)
    ours.rejected(21.0, 80.0)
    assert ours.suspect_ns(21.0) == pytest.approx(80.0)
    ours.accepted(22.0)
    assert ours.suspect_ns(22.0) == 0.0
    assert ours.suspect_rate_ppb == 0.0
    glitch.rejected(20.0, 500.0)
    assert glitch.suspect_ns(20.5) == 0.0


def test_a_lean_is_shown_long_before_the_gate_would_see_it() -> None:
    rng, watch, found = random.Random(4), BiasWatch(), None
    for k in range(200):
        found = watch.note(rng.gauss(0, 0.4) + 0.02 * k, 0.4, 0.0)
        if found is not None:
            break
    assert found is not None
    assert 30 < k < 90, "0.02 ns/s against 0.4 ns of noise; the gate is at 2.4 ns"
    assert found.mean_ns > 0.0
    assert found.rate_ppb == pytest.approx(0.02, rel=1.5)


def test_white_innovations_do_not_lean_in_months() -> None:
    rng, watch = random.Random(5), BiasWatch()
    assert all(watch.note(rng.gauss(0, 1.0), 1.0, 0.0) is None for _ in range(200_000))


def test_a_rounding_that_stands_still_is_no_lean() -> None:
    watch = BiasWatch()
    assert all(watch.note(2.5, 1.55, 2.5) is None for _ in range(10_000))
    assert any(watch.note(-5.0, 1.55, 2.5) is not None for _ in range(30)), "twice the rounding is"


def test_statistics_of_white_innovations_and_of_wild_ones() -> None:
    rng, statistics = random.Random(1), InnovationStatistics()
    for _ in range(5_000):
        statistics.note(rng.gauss(0, 1) ** 2)
    assert statistics.holds
    assert statistics.scale == 1.0
    for _ in range(3_000):
        statistics.note(rng.gauss(0, 3) ** 2)
    assert not statistics.holds
    assert statistics.scale == pytest.approx(3.0, rel=0.15)
    for _ in range(5_000):
        statistics.note(1e6)
    assert statistics.scale == MAX_SCALE


def test_a_slow_drag_shows_against_the_oscillators_own_history() -> None:
    rng, watch = random.Random(2), FrequencyWatch(settled_ppb=2e-3)
    for minute in range(120):
        watch.note(minute * 60.0, 8.0 + rng.gauss(0, 2e-3))
    assert watch.shift_ppb() is None
    for minute in range(120, 150):
        watch.note(minute * 60.0, 8.015 + rng.gauss(0, 2e-3))
    assert watch.shift_ppb() == pytest.approx(0.015, rel=0.3)
    watch.clear()
    assert watch.shift_ppb() is None


def test_line() -> None:
    assert line_through([(-2.0, 1.0), (-1.0, 3.0), (0.0, 5.0)]) == pytest.approx((2.0, 5.0))
    assert line_through([(3.0, 7.0)]) == (0.0, 7.0)
    assert line_through([]) == (0.0, 0.0)


def _tracker_in_holdover(seconds: float) -> Tracker:
    estimator = Estimator(
        OSCILLATORS["sa53"], GNSS["f9t_dual"], phase_ns=0.0, phase_sigma_ns=50.0, frequency_sigma_ppb=0.1
    )
    for _ in range(1_800):
        estimator.advance(1, 0.0)
        estimator.update(0.0, 0.09)
    estimator.advance(seconds, 0.0)
    return Tracker(estimator, SteeringRecord(0), 0)


def _returned(tracker: Tracker, sample_ns: list[float]) -> Return | None:
    check = ReturnCheck(GNSS["f9t_dual"], resolution_ns=5.0)
    found = None
    for k, value in enumerate(sample_ns):
        found = check.offer(tracker, k * NS_PER_S, value)
        assert (found is None) is (k < 29)
    return found


def test_a_reference_inside_the_bound_is_believed() -> None:
    tracker = _tracker_in_holdover(4 * 3600.0)
    assert 15.0 < tracker.estimator.phase_sigma_ns < 25.0
    found = _returned(tracker, [60.0 + 2.0 * (-1) ** k for k in range(30)])
    assert found is not None
    assert found.problem is None
    assert found.offset_ns == pytest.approx(60.0, abs=2.5)


@pytest.mark.parametrize(
    ("sample_ns", "says"),
    [
        ([500.0] * 30, "500 ns from the clock"),
        ([1.0 * k for k in range(30)], "drifts by 1.00 ns/s"),
        ([60.0 * (-1) ** k for k in range(30)], "scatter"),
    ],
)
def test_what_is_not_believed_and_why(sample_ns: list[float], says: str) -> None:
    found = _returned(_tracker_in_holdover(3600.0), sample_ns)
    assert found is not None
    assert found.problem is not None
    assert says in found.problem


@pytest.mark.parametrize(
    ("offset_ns", "lie_ns", "believed"),
    [
        (60.0, 55.0, False),  # where it had moved to, as far as the clock knows
        (60.0, -55.0, True),
        (5.0, 55.0, True),
        (5.0, 6.0, False),  # the clock has gone there, and it has not moved
    ],
)
def test_a_reference_that_was_found_out_is_believed_when_it_has_moved_again(
    offset_ns: float, lie_ns: float, believed: bool
) -> None:
    tracker, check = _tracker_in_holdover(4 * 3600.0), ReturnCheck(GNSS["f9t_dual"], resolution_ns=5.0)
    for k in range(29):
        assert check.offer(tracker, k * NS_PER_S, offset_ns, lie_ns=lie_ns) is None
    found = check.offer(tracker, 29 * NS_PER_S, offset_ns, lie_ns=lie_ns)
    assert found is not None
    assert (found.problem is None) is believed
    assert found.misplaced is not believed
    assert found.steady


def test_one_wild_pulse_does_not_spoil_the_offset() -> None:
    found = _returned(_tracker_in_holdover(3600.0), [10.0] * 15 + [5000.0] + [10.0] * 14)
    assert found is not None
    assert found.offset_ns == 10.0


def test_a_gap_begins_the_collection_anew() -> None:
    tracker = _tracker_in_holdover(3600.0)
    check = ReturnCheck(GNSS["f9t_dual"], resolution_ns=5.0)
    for k in range(29):
        assert check.offer(tracker, k * NS_PER_S, 0.0) is None
    assert check.offer(tracker, 40 * NS_PER_S, 0.0) is None
