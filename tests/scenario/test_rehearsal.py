"""A rehearsal of holdover: a real one for the loop, with a witness that tells what the forecast was worth."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from appliance import simulate
from appliance.config_models import Config, TimescaleConfig
from appliance.events import Command, CommandKind, RehearseHoldover
from appliance.flight.checkpoint import capture
from appliance.flight.recorder import NOT_STATE
from appliance.flight.replay import replay
from appliance.rehearsal_view import RehearsalState, RehearsalView
from appliance.snapshot import ClockState
from tests.scenario.discipline_worlds import both, during, loop, names, steps, violations, world
from tests.unit.flight.flights import files, recorded_loop, recorder
from tests.unit.timescale.closed_loop import ClosedLoop

LOCK_S = 640


def begin(played: ClosedLoop, duration_s: float, limit_ns: float = 100.0) -> None:
    now_ns = played.mono_ns(float(played.second) - 0.4)
    event = RehearseHoldover(limit_ns=limit_ns, duration_s=duration_s, mono_ns=now_ns)
    for action in played.discipline.handle(event):
        assert type(action).__name__ == "Steer"


@pytest.fixture(scope="module")
def once() -> ClosedLoop:
    """An SA53 that has been locked for so long that it is ready; nobody but ``locked`` uses it."""
    played = loop("B", "sa53", world("sa53", 2_700, seed=5, y0_ppb=1.0))
    played.play(LOCK_S)
    return played


@pytest.fixture
def locked(once: ClosedLoop) -> ClosedLoop:
    """The same again for each test."""
    return copy.deepcopy(once)


def view(played: ClosedLoop) -> RehearsalView:
    found = played.rows[-1].snapshot.rehearsal
    assert found is not None
    return found


@pytest.mark.parametrize(("topology", "oscillator"), [("B", "mro50"), ("C", "ocxo")])
def test_it_is_a_holdover_for_the_loop_and_ends_by_slewing(topology: str, oscillator: str) -> None:
    played = loop(topology, oscillator, world(oscillator, 3_200, seed=3, y0_ppb=2.0))
    played.play(LOCK_S + 300)
    taken = len(steps(played))
    begin(played, 600.0)
    rows = played.play(1_200)
    assert names(rows) == ["holdover", "recovering", "locked"]
    assert violations(rows) == []
    assert len(steps(played)) == taken
    assert rows[5].snapshot.reasons[0] == "holdover is being rehearsed"
    found = view(played)
    assert (found.state, found.reason) == (RehearsalState.ENDED, "the planned time is over")
    assert 600 <= found.elapsed_s <= 602
    assert found.samples >= 598
    assert found.inside is True


def test_what_it_tells_is_what_really_happened(locked: ClosedLoop) -> None:
    """The witness's figures against the truth, that only the world knows; a pulse has some ns of its own."""
    played = locked
    begin(played, 1_800.0)
    rows = played.play(1_900)
    true_ns = np.array([row.error_ns for row in rows[:1_800]])
    found = view(played)
    assert found.offset_ns is not None
    assert found.worst_ns is not None
    assert found.offset_ns == pytest.approx(float(np.mean(true_ns[-60:])), abs=6.0)
    assert found.worst_ns == pytest.approx(float(np.max(np.abs(true_ns))), abs=8.0)
    mtie, tdev = dict(found.mtie_ns), dict(found.tdev_ns)
    assert mtie[1024.0] >= float(np.ptp(true_ns[:1_025])) - 8.0
    assert tdev[16.0] < 5.0
    assert list(mtie.values()) == sorted(mtie.values())


def test_a_forecast_that_is_not_kept_is_told(locked: ClosedLoop) -> None:
    """The oscillator does in the rehearsal what its model knows nothing of."""
    played = locked
    begin(played, 600.0, limit_ns=900.0)
    played.play(650, during(LOCK_S, LOCK_S + 700, extra_ppb=0.25))
    found = view(played)
    assert (found.state, found.inside) == (RehearsalState.ENDED, False)
    assert found.largest_share is not None
    assert found.largest_share > 3.0
    (hundred,) = (crossing for crossing in found.crossings if crossing.limit_ns == 100.0)
    assert hundred.actual_s is not None
    assert hundred.actual_s == pytest.approx(400.0, abs=80.0)
    assert hundred.actual_s < hundred.earliest_s < hundred.half_s


@pytest.mark.parametrize(
    ("script", "limit_ns", "reason"),
    [
        (during(800, 2_000, extra_ppb=0.5), 60.0, "the clock is 6"),
        (during(800, 2_000, pulse=False), 100.0, "the reference was not heard for 10 s"),
        (during(800, 2_000, fix_ok=False, satellites=0), 100.0, "the reference itself is lost: "),
        (during(800, 2_000, named_error_s=1), 100.0, "the reference was not heard for"),
        (during(800, 2_000, oscillator_locked=False), 100.0, "the "),
        (both(during(800, 801, late_ns=5_000.0)), 100.0, "the planned time is over"),
    ],
    ids=["limit", "no-pulse", "no-fix", "wrong-second", "unlocked", "one-odd-pulse"],
)
def test_it_ends_when_it_must(
    locked: ClosedLoop, script: Callable[..., None], limit_ns: float, reason: str
) -> None:
    played = locked
    begin(played, 400.0, limit_ns)
    played.play(430, script)
    found = view(played)
    assert found.state is RehearsalState.ENDED
    assert found.reason.startswith(reason)


def test_a_lost_reference_makes_it_a_real_holdover(locked: ClosedLoop) -> None:
    played = locked
    begin(played, 600.0)
    rows = played.play(500, during(800, 1_000, fix_ok=False, pulse=False))
    assert names(rows) == ["holdover", "recovering", "locked"]
    assert rows[280].state is ClockState.HOLDOVER  # long after the rehearsal's end, while there is no GNSS
    assert violations(rows) == []


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        (CommandKind.END_REHEARSAL, ["holdover", "recovering", "locked"]),
        (CommandKind.LEAVE_HOLDOVER, ["holdover", "recovering", "locked"]),
        (CommandKind.ENTER_HOLDOVER, ["holdover"]),
    ],
)
def test_an_operator_ends_it(locked: ClosedLoop, kind: CommandKind, states: list[str]) -> None:
    begin(locked, 600.0)
    rows = locked.play(80)
    locked.discipline.handle(Command(kind=kind, mono_ns=locked.mono_ns(float(locked.second) - 0.4)))
    rows += locked.play(120)
    assert names(rows) == states
    found = view(locked)
    assert (found.state, found.reason) == (RehearsalState.ENDED, "asked for by an operator")


def test_the_end_takes_its_time_for_the_curves(locked: ClosedLoop) -> None:
    """A slice at each tick; until the last the rehearsal is shown as running, though the loop is free."""
    begin(locked, 600.0)
    locked.play(80)
    end = Command(kind=CommandKind.END_REHEARSAL, mono_ns=locked.mono_ns(float(locked.second) - 0.4))
    locked.discipline.handle(end)
    for _ in range(2):
        locked.play(1)
        found = view(locked)
        assert (found.state, found.mtie_ns, found.tdev_ns) == (RehearsalState.ACTIVE, (), ())
        capture(locked.discipline, NOT_STATE)  # a file may begin here
    assert not locked.discipline.pilot.forced_holdover
    locked.play(1)
    found = view(locked)
    assert found.state is RehearsalState.ENDED
    assert [row[0] for row in found.mtie_ns] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    assert [row[0] for row in found.tdev_ns] == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_it_is_refused_with_the_reason(locked: ClosedLoop) -> None:
    young = loop("B", "sa53", world("sa53", 400, y0_ppb=1.0))
    young.play(100)
    begin(young, 60.0)
    young.play(1)
    assert (view(young).state, young.rows[-1].state) == (RehearsalState.REFUSED, ClockState.LOCKED)
    assert view(young).reason.startswith("not ready for holdover: oscillator watched for")
    cold = loop("B", "sa53", world("sa53", 50))
    cold.play(3)
    begin(cold, 60.0)
    cold.play(1)
    assert view(cold).reason == "the clock is not locked"
    observed = loop("D", "tcxo", world("tcxo", 50))
    begin(observed, 60.0)
    observed.play(1)
    assert "topology D" in view(observed).reason
    played = locked
    begin(played, 60.0, limit_ns=5_000.0)
    played.play(1)
    assert "at most the budget of 1000 ns" in view(played).reason
    begin(played, 60.0)
    begin(played, 30.0)  # while one runs, another one changes nothing
    played.play(40)
    assert (view(played).state, view(played).planned_s) == (RehearsalState.ACTIVE, 60.0)


def test_it_is_replayed_to_the_last_bit_across_files(tmp_path: Path) -> None:
    """A file that begins in the middle of a rehearsal knows all that was witnessed before."""
    flight = recorder(tmp_path)
    played = recorded_loop(flight, seconds=1_000)
    played.play(LOCK_S)
    begin(played, 120.0)
    played.play(70)
    flight._finish("continued in the next file")
    flight._next_file(played.mono_ns(float(played.second)), "continued")
    played.play(120)
    flight.close()
    assert view(played).state is RehearsalState.ENDED
    assert [replay(path).difference for path in files(tmp_path)] == [None, None]


@pytest.mark.parametrize("topology", [pytest.param("A", marks=pytest.mark.full), "B"])
def test_on_the_emulated_card(topology: str) -> None:
    """Drivers, module and receiver and all; in topology A the module's own loop is taken over meanwhile."""
    config = Config(timescale=TimescaleConfig(topology=topology))  # type: ignore[arg-type]  # a test's parameter
    simulation = simulate.build(config, seed=3)
    simulation.run_s(650)
    now_ns = simulation.virtual.timebase.mono_ns()
    assert simulation.engine.discipline.snapshot(now_ns).holdover_ready
    simulation.engine.take(RehearseHoldover(limit_ns=100.0, duration_s=120.0, mono_ns=now_ns))
    simulation.run_s(60)
    rows = simulation.recorder.rows
    assert (rows[-1].state, rows[-1].clock_class) == (ClockState.HOLDOVER, 7)
    simulation.run_s(160)
    found = simulation.engine.discipline.snapshot(simulation.virtual.timebase.mono_ns()).rehearsal
    assert found is not None
    assert (found.state, found.reason) == (RehearsalState.ENDED, "the planned time is over")
    assert (found.inside, rows[-1].state) == (True, ClockState.LOCKED)
    assert all(row.bound_ns is None or abs(row.error_ns) <= row.bound_ns for row in rows)
