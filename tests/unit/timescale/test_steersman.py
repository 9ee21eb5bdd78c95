"""When a steering command is sent, and what counts as being in force."""

from __future__ import annotations

import pytest

from appliance.events import Action, Steer, SteeringApplied
from appliance.timescale.discipline_config import DisciplineConfig, Topology
from appliance.timescale.estimator import Estimator
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.steersman import Steersman
from appliance.timescale.tracking import Tracker
from timecard.timescale import NS_PER_S

S = NS_PER_S
SA53 = OSCILLATORS["sa53"]


def _steersman(topology: Topology) -> tuple[Steersman, Tracker]:
    config = DisciplineConfig(topology=topology, oscillator_model="sa53")
    steersman = Steersman(config, SA53, 0)
    estimator = Estimator(
        SA53, GNSS["f9t_dual"], phase_ns=0.0, phase_sigma_ns=1.0, frequency_ppb=3.0, frequency_sigma_ppb=0.01
    )
    return steersman, Tracker(estimator, steersman.record, 0)


def _commands(actions: list[Action]) -> list[float]:
    return [action.frequency_ppb for action in actions if isinstance(action, Steer)]


def test_a_module_is_left_alone_while_the_steering_in_force_will_do() -> None:
    steersman, tracker = _steersman("B")
    assert _commands(steersman.steer(tracker, 0, fast=False)) == [pytest.approx(-3.0)]
    steersman.applied(SteeringApplied(frequency_ppb=-3.0, mono_ns=0))
    assert steersman.steer(tracker, 2 * S, fast=False) == []
    tracker.estimator.step(20.0)
    assert _commands(steersman.steer(tracker, 3 * S, fast=False)) == [pytest.approx(-4.0, abs=0.01)]


def test_a_module_is_told_again_after_ten_seconds() -> None:
    steersman, tracker = _steersman("B")
    steersman.steer(tracker, 0, fast=False)
    steersman.applied(SteeringApplied(frequency_ppb=-3.0, mono_ns=0))
    assert steersman.steer(tracker, 9 * S, fast=False) == []
    assert len(steersman.steer(tracker, 10 * S, fast=False)) == 1


def test_a_clock_register_is_written_every_second() -> None:
    """A kernel driver zeroes it when the pulse is lost."""
    steersman, tracker = _steersman("C")
    for second in range(5):
        assert len(_commands(steersman.steer(tracker, second * S, fast=False))) == 1
        steersman.applied(SteeringApplied(frequency_ppb=-3.0, mono_ns=second * S))


def test_topology_d_is_never_steered() -> None:
    steersman, tracker = _steersman("D")
    assert steersman.steer(tracker, S, fast=False) == []


def test_what_the_module_says_is_in_force_is_believed() -> None:
    steersman, tracker = _steersman("B")
    steersman.reported(-7.5, 10 * S)
    assert steersman.frequency_ppb == -7.5
    assert tracker.rate_ppb() == pytest.approx(-4.5)
    steersman.reported(-7.5004, 11 * S)  # its own rounding
    assert steersman.frequency_ppb == -7.5
    steersman.reported(float("nan"), 12 * S)
    assert steersman.frequency_ppb == -7.5


def test_a_saturated_actuator_is_an_alarm() -> None:
    steersman, tracker = _steersman("B")
    steersman.steer(tracker, 0, fast=False)
    assert steersman.alarm is None
    far = Estimator(
        SA53, GNSS["f9t_dual"], phase_ns=0.0, phase_sigma_ns=1.0, frequency_ppb=30.0, frequency_sigma_ppb=0.01
    )
    beyond = Tracker(far, steersman.record, 0)
    assert _commands(steersman.steer(beyond, S, fast=False)) == [-20.0]
    assert steersman.alarm == "steering at its limit of 20 ppb"
