"""The ART card: its mRO-50 is steered through the FPGA's bridge, and its clock only counts those 10 MHz."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.assembly import assemble
from appliance.config import Config
from appliance.simulate import Simulation, build
from appliance.snapshot import ClockState
from tests.bringup_world import make_rig
from timecard.cli.cards import card_info
from timecard.mac.oscillators.mro50 import FINE_STEP_PPB
from timecard.values import Alarm

BACK_S = 120


def played(**options: Any) -> Simulation:
    return build(Config(), board="art", **options)


@pytest.mark.parametrize(
    ("seed", "lock_s", "held_s"), [(1, 600, 600), pytest.param(2, 3_600, 3_600, marks=pytest.mark.full)]
)
def test_it_locks_and_holds_over_by_the_oscillators_own_steps(seed: int, lock_s: int, held_s: int) -> None:
    simulation = played(seed=seed)
    assert (simulation.assembly.topology, simulation.assembly.oscillator_model) == ("B", "mro50")
    simulation.run_s(lock_s)
    simulation.virtual.inject("antenna-cut", seconds=held_s)
    simulation.run_s(held_s + BACK_S)

    rows = simulation.recorder.rows
    states = [row.state for row in rows]
    assert states.index(ClockState.LOCKED) < 120
    held = [row for row in rows if row.state is ClockState.HOLDOVER]
    assert len(held) >= held_s - 30
    assert states[-1] is ClockState.LOCKED
    # One fine step is 3e-12, and only whole ones are in force.
    steps = {round(row.steering_ppb / FINE_STEP_PPB, 6) for row in rows[120:]}
    assert all(step == round(step) for step in steps) and len(steps) > 10
    assert max(abs(row.error_ns) for row in rows[300:lock_s]) < 10
    assert max(abs(row.error_ns) for row in held) < 100
    assert all(row.bound_ns is None or abs(row.error_ns) <= row.bound_ns for row in rows)


def test_a_cold_one_is_found_when_its_bridge_answers_and_waited_for() -> None:
    """For 31 s after power-on the bridge does not answer."""
    simulation = played(seed=1, start="cold")
    search = simulation.assembly.search
    assert simulation.assembly.topology == "D" and search is not None
    simulation.run_s(70)
    (found,) = search.runner.step()
    assert isinstance(found, Alarm) and found.name == "oscillator-found" and "mro50" in found.evidence
    assert search.found and list(search.runner.step()) == []

    again = assemble(simulation.assembly.card, Config(), simulation.virtual.timebase)
    assert (again.topology, again.search) == ("B", None)
    simulation.assembly = again
    simulation.run_s(60)
    assert "to lock" in simulation.engine.discipline.waiting_for
    assert simulation.recorder.rows[-1].bound_ns is None
    simulation.run_s(300)
    assert simulation.recorder.rows[-1].state is ClockState.LOCKED


def test_its_bound_bears_a_power_cut_of_the_oscillator() -> None:
    """Unlocked it is 50 ppb off for a minute, and its range of 2.4 ppb takes long to bring that back."""
    simulation = played(seed=1)
    simulation.run_s(300)
    simulation.virtual.inject("mac-power-cut", off_s=5)
    simulation.run_s(10)
    now_ns = simulation.virtual.timebase.mono_ns()
    assert any("oscillator" in text for text in simulation.engine.discipline.snapshot(now_ns).alarms)
    simulation.run_s(200)
    rows = simulation.recorder.rows
    assert rows[-1].state in (ClockState.RECOVERING, ClockState.ACQUIRING)
    assert all(row.bound_ns is None or abs(row.error_ns) <= row.bound_ns for row in rows)


def test_info_names_it_and_leaves_the_line_where_it_is() -> None:
    rig = make_rig("art")
    facts = card_info(rig.card, rig.virtual.timebase)
    assert facts["oscillator"]["family"] == "mro50"
    assert "oscillator" not in facts["reasons"]
    assert not [place for place in rig.bus.changed() if place[0] in ("osc", "board_config")]
    # A line that somebody has given to the serial port is asked there, and stays there.
    serial = make_rig("art")
    offset = serial.bus.board.at("board_config", "mro50_serial_activate")
    serial.bus.write32(offset, 1)
    assert card_info(serial.card, serial.virtual.timebase)["oscillator"]["family"] == "mro50"
    assert serial.bus.read32(offset) == 1
