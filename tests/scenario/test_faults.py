"""Every fault of the virtual card, through the whole stack in virtual time: what a user is promised holds.

The emulator tells the truth every second: the bound must contain it, always. Times are seconds of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from appliance.config import Config
from appliance.simulate import Simulation, build
from appliance.simulation_report import Row
from appliance.snapshot import ClockState

LOCK_S = 120
SETTLE_S = 900
S = ClockState
CALM = {S.LOCKED, S.HOLDOVER, S.RECOVERING}
OCXO = {"mac": "none", "oscillator": "ocxo"}


def started(seed: int, **options: Any) -> Simulation:
    """An oscillator that does not answer is named in the configuration."""
    named = {"oscillator_model": options.get("oscillator", "auto")}
    return build(Config.model_validate({"timescale": named}), seed=seed, **options)


def locked_simulation(seed: int = 3, **options: Any) -> Simulation:
    simulation = started(seed, **options)
    simulation.run_s(LOCK_S)
    assert simulation.recorder.rows[-1].state is S.LOCKED
    simulation.run_s(SETTLE_S - LOCK_S)
    return simulation


def rows_from(simulation: Simulation, t_s: float) -> list[Row]:
    return [row for row in simulation.recorder.rows if row.t_s >= t_s]


def assert_honest(rows: list[Row]) -> None:
    """The published bound contains the true error at every sample where something is claimed."""
    broken = [r for r in rows if r.bound_ns is not None and abs(r.error_ns) > r.bound_ns]
    assert not broken, f"{len(broken)} violations, first {broken[0]}"


def assert_slews(rows: list[Row], limit_ns_per_s: float) -> None:
    """No step: the clock moves at most at the slew rate (and noise) from second to second."""
    error = np.array([r.error_ns for r in rows])
    assert np.max(np.abs(np.diff(error))) <= limit_ns_per_s + 0.5


def first(rows: list[Row], state: ClockState) -> float | None:
    return next((row.t_s for row in rows if row.state is state), None)


@pytest.mark.parametrize("fault", ["antenna-cut", "jam"])
def test_losing_gnss_is_holdover_and_the_way_back_is_calm(fault: str) -> None:
    simulation = locked_simulation()
    assert max(r.bound_ns or 0.0 for r in simulation.recorder.rows if r.state is S.LOCKED) <= 100
    cut_s = simulation.elapsed_s
    simulation.virtual.inject(fault, seconds=3600)
    simulation.run_s(3600)
    rows = rows_from(simulation, cut_s)
    holdover_s = first(rows, S.HOLDOVER)
    assert holdover_s is not None and holdover_s - cut_s < 60
    holding = [r for r in rows if r.state is S.HOLDOVER]
    assert {r.clock_class for r in holding} == {7}
    assert holding[-1].bound_ns is not None and holding[0].bound_ns is not None
    assert holding[-1].bound_ns > holding[0].bound_ns

    back_s = simulation.elapsed_s
    simulation.run_s(1200)
    back = rows_from(simulation, back_s)
    assert back[-1].state is S.LOCKED
    assert first(back, S.RECOVERING) is not None
    after_lock = rows_from(simulation, LOCK_S)
    assert {r.state for r in after_lock} <= CALM
    assert {r.clock_class for r in after_lock} <= {6, 7}
    assert_honest(after_lock)
    assert_slews(back, 1.0)


def test_stopped_edges_are_holdover_within_three_seconds_of_the_last_good_one() -> None:
    """The antenna is cut: the receiver says so and stops its pulse; both together corroborate the loss."""
    simulation = locked_simulation()
    edges_before = simulation.engine.board.counters["GnssEdge"]
    simulation.virtual.inject("antenna-cut")
    last_edge_s = simulation.elapsed_s
    for _ in range(120):
        simulation.cycle()
        edges = simulation.engine.board.counters["GnssEdge"]
        if edges != edges_before:
            edges_before, last_edge_s = edges, simulation.elapsed_s
        if simulation.recorder.rows[-1].state is S.HOLDOVER:
            break
    else:
        pytest.fail("no holdover within two minutes")
    assert simulation.elapsed_s - last_edge_s <= 3.0


def test_a_glitch_moves_nothing() -> None:
    simulation = locked_simulation()
    at_s = simulation.elapsed_s
    simulation.virtual.inject("pps-glitch")
    simulation.run_s(120)
    rows = rows_from(simulation, at_s)
    assert {r.state for r in rows} == {S.LOCKED}
    assert np.ptp([r.error_ns for r in rows]) < 5.0
    assert_honest(rows)


def test_a_short_stop_coasts_in_lock_a_long_one_is_holdover() -> None:
    simulation = locked_simulation()
    simulation.virtual.inject("pps-stop", seconds=5)
    at_s = simulation.elapsed_s
    simulation.run_s(60)
    assert {r.state for r in rows_from(simulation, at_s)} == {S.LOCKED}
    at_s = simulation.elapsed_s
    simulation.virtual.inject("pps-stop", seconds=300)
    simulation.run_s(300)
    rows = rows_from(simulation, at_s)
    holdover_s = first(rows, S.HOLDOVER)
    assert holdover_s is not None and 3 <= holdover_s - at_s <= 15
    simulation.run_s(600)
    rows = rows_from(simulation, at_s)
    assert rows[-1].state is S.LOCKED
    assert {r.clock_class for r in rows} <= {6, 7}
    assert_honest(rows)


@pytest.mark.parametrize("arguments", [{"off_s": 1}, {"off_s": -3600}, {"weeks": 1024}])
def test_wrong_words_are_never_followed(arguments: dict[str, int]) -> None:
    simulation = locked_simulation()
    at_s = simulation.elapsed_s
    simulation.virtual.inject("wrong-time", seconds=600, **arguments)
    simulation.run_s(600)
    rows = rows_from(simulation, at_s)
    assert max(abs(r.error_ns) for r in rows) < 100
    assert rows[-1].state is S.HOLDOVER
    snapshot = simulation.engine.discipline.snapshot(simulation.virtual.timebase.mono_ns())
    assert any("time" in text for text in (*snapshot.reasons, *snapshot.alarms)), snapshot
    simulation.run_s(900)
    rows = rows_from(simulation, at_s)
    assert rows[-1].state is S.LOCKED
    assert {r.clock_class for r in rows} <= {6, 7}
    assert_honest(rows)


def test_a_module_without_lock_opens_the_bound() -> None:
    simulation = locked_simulation()
    at_s = simulation.elapsed_s
    simulation.virtual.inject("mac-unlock", seconds=300)
    simulation.run_s(300)
    snapshot = simulation.engine.discipline.snapshot(simulation.virtual.timebase.mono_ns())
    assert any("lock" in alarm for alarm in snapshot.alarms)
    simulation.run_s(1800)
    rows = rows_from(simulation, at_s)
    assert rows[-1].state is S.LOCKED
    assert_honest(rows)


@pytest.mark.parametrize("oscillator", [{}, OCXO])
def test_a_temperature_step_is_ridden_through(oscillator: dict[str, Any]) -> None:
    simulation = locked_simulation(**oscillator)
    at_s = simulation.elapsed_s
    simulation.virtual.inject("temperature-step")
    simulation.run_s(3600)
    rows = rows_from(simulation, at_s)
    assert {r.state for r in rows} == {S.LOCKED}
    assert max(abs(r.error_ns) for r in rows) < 15.0
    assert_honest(rows)


def test_garbage_on_the_line_is_ridden_through_or_held_over() -> None:
    simulation = locked_simulation()
    at_s = simulation.elapsed_s
    simulation.virtual.inject("serial-garbage", seconds=60)
    simulation.run_s(600)
    rows = rows_from(simulation, at_s)
    assert simulation.engine.board.counters["gnss.corrupt_bytes"] > 0
    assert rows[-1].state is S.LOCKED
    # A module that is not understood for two seconds counts as not locked: nothing good is claimed meanwhile.
    assert {r.state for r in rows} <= {*CALM, S.HOLDOVER_EXPIRED}
    assert_honest(rows)


def test_a_dead_card_claims_nothing_and_comes_back() -> None:
    simulation = locked_simulation()
    at_s = simulation.elapsed_s
    simulation.virtual.inject("dead-card", seconds=60)
    simulation.run_s(59)
    dead = rows_from(simulation, at_s + 5)
    assert all(r.bound_ns is None for r in dead)
    assert all(r.clock_class not in (6, 7) for r in dead)
    simulation.run_s(1800)
    rows = rows_from(simulation, at_s)
    assert rows[-1].state is S.LOCKED
    assert_honest(rows)


@dataclass(frozen=True)
class Start:
    """How a card may be found, and how long it may take to lock."""

    options: dict[str, Any]
    within_s: float


@pytest.mark.parametrize(
    "start",
    [
        Start({"y0": 1e-8}, 120),
        Start({"y0": -1e-8}, 120),
        Start({"y0": 1e-8} | OCXO, 120),
        Start({"start": "cold"}, 600),
    ],
    ids=["fast", "slow", "quartz", "cold"],
)
def test_it_locks_from_power_on(start: Start) -> None:
    simulation = started(5, **start.options)
    simulation.run_s(start.within_s)
    rows = simulation.recorder.rows
    assert rows[-1].state is S.LOCKED
    assert_honest(rows)
