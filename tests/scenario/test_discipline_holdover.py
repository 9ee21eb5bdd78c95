"""Holdover and the way back: bounds that contain the truth without being silly."""

from __future__ import annotations

import json

import numpy as np
import pytest

from appliance.events import Tick
from appliance.snapshot import ClockState
from appliance.timescale.discipline import Discipline
from appliance.timescale.models import OSCILLATORS
from tests.scenario.discipline_worlds import (
    both,
    during,
    errors,
    first,
    loop,
    names,
    steps,
    untrue,
    violations,
    world,
)
from tests.unit.timescale.closed_loop import Array
from timecard.values import SurveyStatus


@pytest.mark.parametrize(
    ("topology", "oscillator", "lock_s", "outage_s"),
    [("B", "sa53", 3_600, 7_200), ("C", "ocxo", 2_400, 3_600), ("C", "tcxo", 1_200, 900)],
)
def test_the_bound_contains_the_truth_and_is_not_silly(
    topology: str, oscillator: str, lock_s: int, outage_s: int
) -> None:
    end = lock_s + outage_s
    made = world(oscillator, end + 1_300, seed=11, y0_ppb=6.0)
    played = loop(topology, oscillator, made)
    rows = played.play(end + 1_200, during(lock_s, end, fix_ok=False, satellites=0, pulse=False))
    assert violations(rows) == []
    held = rows[end - 1].snapshot
    assert held.bound_ns is not None
    assert held.offset_sigma_ns is not None
    # What the model itself allows: sigma of the exact prediction, and the biases.
    optimal_ns = 3.291 * held.offset_sigma_ns + held.bias_ns
    assert held.bound_ns <= 1.5 * optimal_ns
    assert rows[-1].state is ClockState.LOCKED
    assert len(steps(played)) == len(steps(played)[: played.discipline.epoch])


@pytest.mark.parametrize(("swing_degc", "held"), [(0.0, False), (10.0, True)])
def test_a_room_that_warms_up_unseen_is_inside_the_bound_if_it_was_reckoned_with(
    swing_degc: float, held: bool
) -> None:
    """A TCXO three times as sensitive as usual, from the steepest place of a daily wave of 10 degC on."""
    lock_s, end = 300, 1_200

    def wave_ppb(t: Array) -> Array:
        return 3.0 * 10.0 * np.sin(2.0 * np.pi * np.maximum(t - lock_s, 0.0) / 86_400.0)

    made = world("tcxo", end + 60, seed=11, extra_ppb=wave_ppb)
    played = loop("C", "tcxo", made, calibrated=True, temperature_swing_degc=swing_degc)
    rows = played.play(end, during(lock_s, end, pulse=False))[lock_s:]
    assert (violations(rows) == []) is held
    expired = [row.state is ClockState.HOLDOVER_EXPIRED for row in rows]
    assert expired[-1] is held, "what is reckoned with spends the budget as well"
    spent = [row.snapshot.bound_ns is not None and row.snapshot.bound_ns > 1_000.0 for row in rows]
    assert abs(expired.index(True) - spent.index(True)) <= 2 if held else not any(spent)


def test_a_receiver_that_surveys_again_does_not_spoil_a_holdover() -> None:
    """The bound holds what the pulses that were followed may have been off, also after a restart."""
    place = SurveyStatus(active=False, valid=True, duration_s=9, position_sigma_m=3.0, read_mono_ns=0)
    again = SurveyStatus(active=True, valid=False, duration_s=1, position_sigma_m=900.0, read_mono_ns=0)
    played = loop("B", "sa53", world("sa53", 500))
    rows = played.play(200, during(0, 200, extra_events=[place]))
    rows += played.play(
        100, both(during(200, 300, fix_ok=False, pulse=False), during(250, 300, extra_events=[again]))
    )
    assert {row.snapshot.bias_ns for row in rows[100:]} == {81.5}
    assert rows[-1].state is ClockState.HOLDOVER
    mono_ns = rows[-1].snapshot.as_of_mono_ns
    record = json.loads(json.dumps(played.discipline.runtime_record(mono_ns)))
    resumed = Discipline(played.discipline.config, mono_ns, resume=record)
    resumed.handle(Tick(mono_ns=mono_ns, card_tai_ns=rows[-1].snapshot.as_of_tai_ns))
    snapshot = resumed.snapshot(mono_ns)
    assert (snapshot.state, snapshot.bias_ns) == (ClockState.HOLDOVER, 81.5)


def test_sa53_locked_claims_no_more_than_a_hundred_nanoseconds() -> None:
    rows = loop("B", "sa53", world("sa53", 900, y0_ppb=2.0)).play(900)
    bounds = [row.snapshot.bound_wide_ns for row in rows if row.state is ClockState.LOCKED]
    assert len(bounds) > 800
    assert all(bound is not None and bound <= 100.0 for bound in bounds)


def test_a_calibrated_antenna_chain_gives_a_small_bound_that_still_holds() -> None:
    made = world("sa53", 2_000, y0_ppb=2.0)
    played = loop(
        "B", "sa53", made, delay_ns=276.0, delay_uncertainty_ns=3.0, calibrated=True, loop_antenna_ns=278.0
    )
    rows = played.play(1_800)
    locked = [row for row in rows if row.state is ClockState.LOCKED]
    assert violations(rows) == []
    assert all(row.snapshot.bound_ns is not None and row.snapshot.bound_ns < 25.0 for row in locked)


def test_steering_goes_on_in_holdover_with_a_coarse_actuator() -> None:
    """1 ppb steps frozen would be up to 1800 ns an hour wrong; sigma-delta keeps the prediction at zero."""
    made = world("ocxo", 4_900, y0_ppb=10.37)
    played = loop("C", "ocxo", made, actuator_resolution_ppb=1.0)
    rows = played.play(4_800, during(1_800, 4_800, fix_ok=False, pulse=False))
    held = [row.snapshot for row in rows[1_900:]]
    assert all(s.offset_ns is not None and abs(s.offset_ns) < 2.0 for s in held)
    assert violations(rows) == []


def test_limits_count_down_and_are_right_about_the_bound() -> None:
    made = world("ocxo", 7_100)
    played = loop("C", "ocxo", made)
    rows = played.play(7_000, during(1_200, 7_000, fix_ok=False, pulse=False))
    entry = rows[1_210].snapshot
    at_250 = next(limit for limit in entry.limits if limit.limit_ns == 250.0 and limit.kind == "at")
    assert 3_000 < at_250.seconds < 5_800
    then = rows[1_210 + round(at_250.seconds)].snapshot
    assert then.bound_ns == pytest.approx(250.0, rel=0.03)
    passed = next(limit for limit in then.limits if limit.limit_ns == 100.0)
    assert passed.seconds == 0.0
    assert {limit.kind for limit in entry.limits} == {"at", "up_to"}


def test_readiness_comes_with_learning() -> None:
    rows = loop("B", "sa53", world("sa53", 1_500, y0_ppb=2.0)).play(1_500)
    early, late = rows[120].snapshot, rows[-1].snapshot
    assert not early.holdover_ready
    assert any("watched for" in reason for reason in early.not_ready_reasons)
    assert late.holdover_ready
    assert late.not_ready_reasons == ()


def test_budget_spent_is_expired_and_the_way_back_is_slewed() -> None:
    """A TCXO spends a microsecond in half an hour; nobody steps it back."""
    made = world("tcxo", 5_000, seed=5)
    played = loop("C", "tcxo", made)
    rows = played.play(4_900, during(900, 3_300, fix_ok=False, pulse=False))
    assert names(rows[800:])[:5] == ["locked", "holdover", "holdover-expired", "recovering", "locked"]
    spent = rows[first(rows, "holdover-expired")].snapshot
    assert spent.bound_ns is not None
    assert spent.bound_ns == pytest.approx(1_000.0, rel=0.02)
    assert rows[-1].snapshot.epoch == rows[850].snapshot.epoch
    assert violations(rows) == []


@pytest.mark.parametrize("error_ns", [120.0, -600.0])
def test_recovery_slews_at_most_at_its_rate_and_leaves_the_frequency_alone(error_ns: float) -> None:
    """A clock that is off by hundreds of ns, and a bound that has been opened to match."""
    made = world("sa53", 4_000, y0_ppb=2.0)
    played = loop("B", "sa53", made)
    played.play(1_800)
    frequency = played.rows[-1].snapshot.oscillator_ppb
    played.play(30, during(1_800, 1_830, fix_ok=False, pulse=False))
    tracker = played.discipline.pilot.tracker
    assert tracker is not None
    tracker.estimator.open_frequency(0.0, 200.0)
    played.move_clock(round(error_ns))
    rows = played.play(1_500)
    assert names(rows) == ["holdover", "recovering", "locked"]
    assert violations(rows) == []
    moved = np.abs(np.diff(errors(rows)))
    assert moved.max() < max(1.0, abs(error_ns) / 600.0) + 0.3
    assert first(rows, "locked") - first(rows, "recovering") <= 900
    assert frequency is not None
    after = rows[-1].snapshot.oscillator_ppb
    assert after == pytest.approx(frequency, abs=8e-3), "500 ns must not become a frequency error of 1e-10"
    assert np.abs(errors(rows)[-300:]).max() < 5.0


def test_a_reference_that_comes_back_elsewhere_is_accepted_only_after_the_budget() -> None:
    """Moved by 20 us: refused as long as the clock is worth more, and ten minutes longer."""
    made = world("tcxo", 6_000, seed=2)
    played = loop("C", "tcxo", made)
    rows = played.play(
        5_900,
        lambda second, now: (
            during(600, 700, fix_ok=False, pulse=False)(second, now),
            during(700, 10_000, late_ns=20_000.0)(second, now),
        )[0],
    )
    states = names(rows[500:])
    assert states[:3] == ["locked", "holdover", "holdover-expired"]
    assert states[3:] == ["recovering"], "nobody explained it"
    assert first(rows, "recovering") - first(rows, "holdover-expired") >= 600
    assert rows[-1].error_ns == pytest.approx(-20_000.0, abs=20.0)
    assert untrue(rows) == []
    assert violations(rows) == []


def test_holdover_models_are_ordered() -> None:
    """After the same lock the better oscillator always promises more."""
    promised = {}
    for oscillator in ("sa55", "sa53", "mro50", "csac", "tcxo"):
        topology = "B" if OSCILLATORS[oscillator].kind == "rubidium" else "C"
        snapshot = loop(topology, oscillator, world(oscillator, 700)).play(650)[-1].snapshot
        promised[oscillator] = next(
            limit.seconds for limit in snapshot.limits if limit.limit_ns == 1_000.0 and limit.kind == "at"
        )
    assert list(promised.values()) == sorted(promised.values(), reverse=True)
