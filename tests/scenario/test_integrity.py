"""What an integrity alarm of the receiver does to the clock: samples left out, or holdover; always told."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest

from appliance.config import Config
from appliance.simulate import Simulation, build
from appliance.snapshot import ClockSnapshot, ClockState
from appliance.timescale.discipline import Discipline
from appliance.timescale.discipline_config import DisciplineConfig
from timecard.values import Alarm, GnssEvent

LOCK_S = 300


@pytest.fixture
def simulation() -> Simulation:
    simulation = build(Config(), seed=4)
    simulation.run_s(LOCK_S)
    assert _snapshot(simulation).state is ClockState.LOCKED
    return simulation


def _snapshot(simulation: Simulation) -> ClockSnapshot:
    return simulation.engine.discipline.snapshot(simulation.virtual.timebase.mono_ns())


def _alarms(snapshot: ClockSnapshot) -> set[str]:
    return {alarm.partition(":")[0] for alarm in snapshot.alarms}


@pytest.mark.parametrize(
    ("fault", "arguments", "alarm"),
    [
        ("position-jump", {"north_m": 100}, "position-jump"),
        ("label-wrong", {"off_s": 1}, "label-mismatch"),
        ("leap-wrong", {"off_s": 1}, "leap-mismatch"),
    ],
)
def test_a_receiver_that_contradicts_itself_is_not_followed(
    simulation: Simulation, fault: str, arguments: dict[str, Any], alarm: str
) -> None:
    simulation.virtual.inject(fault, seconds=20, **arguments)
    simulation.run_s(4)
    snapshot = _snapshot(simulation)
    assert snapshot.state is ClockState.HOLDOVER
    assert alarm in _alarms(snapshot)
    assert snapshot.tai_minus_utc_s == 37
    assert snapshot.counters[f"alarm_{alarm}"] == 1
    simulation.run_s(300)
    snapshot = _snapshot(simulation)
    assert snapshot.state is ClockState.LOCKED
    assert alarm not in _alarms(snapshot)
    assert max(abs(row.error_ns) for row in simulation.recorder.rows[LOCK_S:]) < 100


def test_the_cards_own_leap_word_is_compared_with_the_receivers(simulation: Simulation) -> None:
    virtual, board = simulation.virtual, simulation.engine.board
    virtual.inject("tod-leap-wrong", off_s=1, seconds=20)
    simulation.run_s(1)
    (text,) = [each for each in _snapshot(simulation).alarms if each.startswith("leap-mismatch")]
    assert text.endswith("TAI - UTC is 37 s, but 38 s by the FPGA's time of day")
    assert board.leap is not None and board.leap.tai_minus_utc_s == 37
    assert board.leap.read_mono_ns < virtual.timebase.mono_ns(), "not at its next word only"
    simulation.run_s(26)
    assert "leap-mismatch" not in _alarms(_snapshot(simulation))
    assert _snapshot(simulation).counters["alarm_leap-mismatch"] == 1


def test_a_time_of_day_that_is_not_valid_is_no_contradiction(simulation: Simulation) -> None:
    """What the FPGA said before it went deaf is not held against the receiver either."""
    simulation.virtual.inject("tod-leap-wrong", seconds=20)
    simulation.run_s(2)
    simulation.virtual.bus.write32(simulation.virtual.bus.board.at("tod", "ctrl"), 0)  # switched off
    simulation.run_s(8)
    assert "leap-mismatch" not in _alarms(_snapshot(simulation))


def test_a_leap_second_that_cannot_be_is_told_and_not_passed_on(simulation: Simulation) -> None:
    simulation.virtual.inject("leap-announced", in_s=100_000)
    simulation.run_s(10)
    snapshot = _snapshot(simulation)
    assert snapshot.state is ClockState.LOCKED
    assert "leap-not-credible" in _alarms(snapshot)
    assert snapshot.leap_change_s == 0


def test_what_is_told_twice_keeps_samples_out_and_costs_the_reference_when_it_lasts(
    simulation: Simulation,
) -> None:
    before = _snapshot(simulation).counters.get("samples_distrusted", 0)
    simulation.virtual.inject("epochs-repeated")
    simulation.run_s(6)
    snapshot = _snapshot(simulation)
    assert snapshot.state is ClockState.LOCKED
    assert snapshot.counters["samples_distrusted"] - before >= 4
    simulation.run_s(10)
    assert _snapshot(simulation).state is ClockState.HOLDOVER


def test_a_clean_run_has_no_alarm(simulation: Simulation) -> None:
    assert _snapshot(simulation).alarms == ()
    assert not [name for name in _snapshot(simulation).counters if name.startswith("alarm_")]


def test_core_takes_every_event_that_a_receiver_may_give() -> None:
    """A word that core has no use for must not end it."""
    discipline = Discipline(DisciplineConfig(topology="C", oscillator_model="sa53"), 0)
    for kind in get_args(GnssEvent):
        assert kind in discipline._handlers, kind
    alarm = Alarm(name="of-somebody-else", active=True, unusable=True, evidence="x", read_mono_ns=0)
    discipline.handle(alarm)
    assert discipline.alarms["of-somebody-else"] == "of-somebody-else: x"
    discipline.handle(dataclasses.replace(alarm, active=False))
    assert "of-somebody-else" not in discipline.alarms
