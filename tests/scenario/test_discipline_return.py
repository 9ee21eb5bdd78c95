"""A reference that comes back elsewhere, and what is not forgotten by a restart meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.events import Command, CommandKind, RehearseHoldover
from appliance.flight.files import Limits
from appliance.flight.replay import replay
from appliance.snapshot import ClockState
from appliance.timescale.discipline import Discipline
from tests.scenario.discipline_worlds import (
    Script,
    alarms,
    both,
    during,
    first,
    loop,
    names,
    untrue,
    violations,
    world,
)
from tests.unit.flight.flights import files, recorded_loop, recorder
from tests.unit.timescale.closed_loop import ClosedLoop, Row, Second

T = 700
AWAY = {"fix_ok": False, "satellites": 0, "pulse": False}
FORGOTTEN = 1_000_000


def restart(played: ClosedLoop, down_s: int = 10) -> None:
    """Core ends and begins again; the clock goes on meanwhile."""
    now = played.discipline
    record = json.loads(json.dumps(now.runtime_record(played.mono_ns(float(played.second))), allow_nan=False))
    played.second += down_s
    played.discipline = Discipline(played.config, played.mono_ns(float(played.second)), record)


def command(second: int, kind: CommandKind) -> Script:
    """An operator's word in that second."""
    said = Command(kind=kind, mono_ns=ClosedLoop.mono_ns(second + 0.4))
    return during(second, second + 1, extra_events=[said])


def _bound_ns(row: Row) -> float:
    assert row.snapshot.bound_ns is not None
    return row.snapshot.bound_ns


# ---------------------------------------------------------------------- a reference that was found out


@pytest.mark.parametrize(("late_ns", "seed", "restarted"), [(500.0, 2, False), (-2_000.0, 4, True)])
def test_a_reference_that_moved_is_not_believed_because_the_clock_knows_less(
    late_ns: float, seed: int, restarted: bool
) -> None:
    """A TCXO spends its budget in minutes; by then 500 ns are inside what it may have done."""
    moved = during(T, FORGOTTEN, late_ns=late_ns)
    budget = {"budget_ns": 600.0}
    played = loop("C", "tcxo", world("tcxo", 3_700, seed=seed), **budget)
    rows = played.play(1_000, moved)
    if restarted:
        restart(played)
    rows += played.play(2_300, moved)
    assert names(rows[T - 10 : 1_000]) == ["locked", "holdover"]
    assert names(rows[1_000:]) == ["holdover", "holdover-expired", "recovering"]
    # Ten minutes after the budget it is followed all the same, but nobody is told that this is right.
    assert first(rows[1_000:], "recovering") - first(rows, "holdover-expired") >= played.config.release_s
    assert rows[-1].error_ns == pytest.approx(-late_ns, abs=20.0)
    assert violations(rows[:T] + rows[T + 10 :]) == []
    assert untrue(rows, **budget) == []
    assert any("until an operator accepts it" in alarm for alarm in rows[-1].snapshot.alarms)

    restart(played)
    rows = played.play(200, moved)
    assert names(rows)[-1] == "recovering"
    assert untrue(rows, **budget) == []
    assert any("until an operator accepts it" in alarm for alarm in rows[-1].snapshot.alarms)

    rows = played.play(100, both(moved, command(played.second, CommandKind.LEAVE_HOLDOVER)))
    assert rows[-1].state is ClockState.LOCKED
    assert rows[-1].snapshot.alarms == ()
    assert _bound_ns(rows[-1]) < 100.0


def test_a_reference_that_moved_and_comes_back_is_believed() -> None:
    played = loop("C", "tcxo", world("tcxo", 2_400, seed=4))
    rows = played.play(2_300, during(T, T + 900, late_ns=500.0))
    assert names(rows[T - 10 :]) == ["locked", "holdover", "recovering", "locked"]
    assert first(rows, "recovering") - (T + 900) <= 60
    assert rows[-1].snapshot.alarms == ()
    assert untrue(rows) == []


def test_a_restart_does_not_forget_that_the_reference_has_led_us_away() -> None:
    """It must run level with the clock for ten minutes, also for a core that has just begun."""

    def script(second: int, now: Second) -> None:
        now.late_ns = 1.0 * (second - T) if T <= second < T + 100 else 0.0

    played = loop("B", "sa53", world("sa53", 2_000, seed=3))
    rows = played.play(T + 90, script)
    assert rows[-1].state is ClockState.HOLDOVER
    restart(played)
    rows = played.play(1_000, script)
    assert names(rows) == ["holdover", "recovering", "locked"]
    assert first(rows, "recovering") - (T + 100) >= 590


# ---------------------------------------------------------------------- a reference that was only away


def test_a_clean_reference_that_contradicts_the_clock_is_in_the_bound() -> None:
    """A rubidium jumps by 1e-10 in a holdover of half an hour: 180 ns off, and nobody doubts the receiver."""
    end = T + 1_800
    script = both(during(T, end, **AWAY), during(T + 10, FORGOTTEN, extra_ppb=0.1))
    played = loop("C", "mro50", world("mro50", end + 2_000), budget_ns=400.0)
    rows = played.play(end + 200, script)
    assert rows[-1].state is ClockState.HOLDOVER
    assert abs(rows[-1].tick_error_ns) > 180.0
    assert violations(rows[end + 35 :]) == []
    assert _bound_ns(rows[-1]) < 1.3 * abs(rows[-1].tick_error_ns) + 60.0, "and not silly"
    assert any("not believed" in alarm for alarm in rows[-1].snapshot.alarms)

    rows = played.play(300, both(script, during(end + 200, FORGOTTEN, **AWAY)))
    assert violations(rows) == [], "what it said holds when it is gone again"
    restart(played)
    rows = played.play(300, both(script, during(end + 500, FORGOTTEN, **AWAY)))
    assert violations(rows) == [], "and after a restart"
    # The budget is spent at last, by nothing but this contradiction: the clock is held all the same.
    rows = played.play(1_100, script)
    assert rows[-1].state is ClockState.HOLDOVER_EXPIRED
    assert violations(rows) == []


@pytest.mark.parametrize("found_out", [True, False])
def test_what_the_oscillator_cannot_have_done_does_not_open_the_bound(found_out: bool) -> None:
    """Found out while it moved, or too far for the time that it was away: the reference's own."""
    script = during(T, FORGOTTEN, late_ns=500.0 if found_out else 5_000.0)
    if not found_out:
        script = both(script, during(T, T + 100, **AWAY))
    played = loop("B", "sa53", world("sa53", T + 900))
    rows = played.play(T + 800, script)
    assert rows[-1].state is ClockState.HOLDOVER
    assert any("not believed" in alarm for alarm in rows[-1].snapshot.alarms)
    assert _bound_ns(rows[-1]) < 90.0
    assert violations(rows) == []


# ---------------------------------------------------------------------- what an operator said


@pytest.mark.parametrize(("back_after_s", "accepted"), [(300, True), (700, False)])
def test_accepting_a_reference_that_is_not_there_lapses_after_ten_minutes(
    back_after_s: int, accepted: bool
) -> None:
    back = T + back_after_s
    away = both(during(T - 50, back, **AWAY), command(T, CommandKind.LEAVE_HOLDOVER))
    played = loop("B", "sa53", world("sa53", back + 200))
    rows = played.play(back + 190, both(away, during(back, FORGOTTEN, late_ns=800.0)))
    assert rows[-1].state is (ClockState.LOCKED if accepted else ClockState.HOLDOVER)
    assert any("not believed" in alarm for alarm in alarms(rows)) is not accepted


def test_an_operators_holdover_outlives_a_restart() -> None:
    played = loop("B", "sa53", world("sa53", 1_500))
    rows = played.play(T + 100, command(T, CommandKind.ENTER_HOLDOVER))
    since_ns = rows[-1].snapshot.holdover_since_mono_ns
    restart(played)
    rows = played.play(200)
    assert names(rows) == ["holdover"]
    assert rows[-1].snapshot.holdover_since_mono_ns == since_ns
    rows = played.play(100, command(played.second, CommandKind.LEAVE_HOLDOVER))
    assert names(rows) == ["holdover", "recovering", "locked"]


def test_a_rehearsal_does_not_outlive_a_restart() -> None:
    played = loop("B", "sa53", world("sa53", 2_000))
    asked = RehearseHoldover(limit_ns=500.0, duration_s=3_600.0, mono_ns=ClosedLoop.mono_ns(1_000.4))
    rows = played.play(1_100, during(1_000, 1_001, extra_events=[asked]))
    assert rows[-1].state is ClockState.HOLDOVER
    restart(played)
    assert names(played.play(200)) == ["holdover", "recovering", "locked"]


def test_samples_that_scatter_widen_the_bound_after_a_restart_too() -> None:
    played = loop("C", "ocxo", world("ocxo", 1_300), calibrated=True, delay_uncertainty_ns=1.0)
    played.world.pulse_ns[::2] += 2.0
    played.world.pulse_ns[1::2] -= 2.0
    before = played.play(1_200)[-1]
    restart(played, down_s=1)
    after = played.play(1)[-1]
    assert played.discipline.pilot.tracker is not None
    assert played.discipline.pilot.tracker.statistics.scale > 1.2
    assert before.snapshot.offset_sigma_ns is not None
    assert after.snapshot.offset_sigma_ns is not None
    assert after.snapshot.offset_sigma_ns >= before.snapshot.offset_sigma_ns


def test_doubts_are_recorded_and_decided_again_alike(tmp_path: Path) -> None:
    """Taken up from a runtime record, and in files that begin in the middle of them."""
    moved = during(T, FORGOTTEN, late_ns=500.0)
    quick: dict[str, Any] = {"budget_ns": 300.0, "release_s": 60.0}
    before = loop("C", "tcxo", world("tcxo", 1_700, seed=2), **quick)
    before.play(800, moved)
    record = before.discipline.runtime_record(before.mono_ns(800.0))
    flight = recorder(tmp_path, Limits(file_bytes=1 << 30, file_s=200.0, total_bytes=1 << 40))
    played = recorded_loop(flight, "C", "tcxo", before.world, start_s=810, begin={"resume": record}, **quick)
    rows = played.play(800, moved)
    flight.close()
    assert names(rows) == ["holdover", "holdover-expired", "recovering"]
    assert len(files(tmp_path)) > 3
    for path in files(tmp_path):
        assert replay(path).difference is None
