"""Questions to the table of states."""

from __future__ import annotations

import pytest

from appliance.snapshot import ClockState
from appliance.timescale.clock_state import TRANSITIONS, ClockEvent, ClockStateMachine

S, E = ClockState, ClockEvent


def test_every_state_has_a_way_in_and_a_way_out() -> None:
    for state in S:
        assert any(before is state for before, _ in TRANSITIONS), state
        if state is not S.FREE_RUN:
            assert any(after is state for after in TRANSITIONS.values()), state


def test_locked_is_entered_only_by_settling() -> None:
    assert {event for (_, event), after in TRANSITIONS.items() if after is S.LOCKED} == {E.SETTLED}


def test_holdover_comes_from_lock_recovery_or_a_valid_record() -> None:
    entries = {before for (before, _), after in TRANSITIONS.items() if after is S.HOLDOVER}
    assert entries == {S.LOCKED, S.RECOVERING, S.FREE_RUN}
    assert TRANSITIONS[S.FREE_RUN, E.RESUMED] is S.HOLDOVER
    assert (S.ACQUIRING, E.REFERENCE_LOST) in TRANSITIONS
    assert TRANSITIONS[S.ACQUIRING, E.REFERENCE_LOST] is S.FREE_RUN


def test_expired_holdover_never_goes_straight_back_to_locked() -> None:
    reached = {after for (before, _), after in TRANSITIONS.items() if before is S.HOLDOVER_EXPIRED}
    assert reached == {S.RECOVERING, S.ACQUIRING, S.FREE_RUN}


def test_a_lost_clock_is_free_run_from_everywhere() -> None:
    for state in S:
        if state is not S.FREE_RUN:
            assert TRANSITIONS[state, E.CLOCK_LOST] is S.FREE_RUN


@pytest.mark.parametrize("event", list(E))
def test_what_is_not_in_the_table_changes_nothing(event: ClockEvent) -> None:
    machine = ClockStateMachine(7)
    changed = machine.on(event, 99, "because")
    if (S.FREE_RUN, event) in TRANSITIONS:
        assert changed
        assert (machine.since_mono_ns, machine.reason) == (99, "because")
    else:
        assert not changed
        assert (machine.state, machine.since_mono_ns) == (S.FREE_RUN, 7)


def test_a_reason_is_always_given() -> None:
    machine = ClockStateMachine(0)
    machine.on(E.TIME_KNOWN, 1)
    assert machine.reason == "time known"
