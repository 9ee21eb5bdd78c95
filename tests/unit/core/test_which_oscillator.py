"""Which oscillator is assumed, and what is said where nobody tells."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.config import Config
from appliance.publisher import Publisher
from appliance.simulate import Simulation, build
from appliance.snapshot import ClockState


def alarms(simulation: Simulation) -> tuple[str, ...]:
    now_ns = simulation.virtual.timebase.mono_ns()
    return simulation.engine.discipline.snapshot(now_ns).alarms


@pytest.mark.parametrize(
    ("timescale", "options", "model", "alarmed"),
    [
        ({}, {}, "sa53", False),
        ({}, {"mac": "none"}, "unknown", True),
        ({}, {"mac": "none", "oscillator": "sa53"}, "unknown", True),
        ({"oscillator_model": "tcxo"}, {"mac": "none"}, "tcxo", False),
        ({"oscillator_model": "unknown"}, {"mac": "none"}, "unknown", False),
        ({"topology": "C"}, {}, "unknown", True),
        ({"topology": "D"}, {"mac": "none"}, "unknown", False),
    ],
)
def test_nothing_good_is_assumed_of_an_oscillator_that_nobody_names(
    timescale: dict[str, Any], options: dict[str, Any], model: str, alarmed: bool
) -> None:
    simulation = build(Config.model_validate({"timescale": timescale}), **options)
    assert simulation.assembly.oscillator_model == model
    said = [alarm for alarm in alarms(simulation) if alarm.startswith("oscillator-unknown: ")]
    assert bool(said) == alarmed
    assert all("[timescale] oscillator_model names it" in alarm for alarm in said)


def test_a_poor_crystal_that_nobody_named_is_inside_its_bound() -> None:
    simulation = build(Config(), seed=4, mac="none", oscillator="tcxo")
    simulation.run_s(400)
    assert simulation.recorder.rows[-1].state is ClockState.LOCKED
    simulation.virtual.inject("antenna-cut")
    simulation.run_s(1_800)
    rows = simulation.recorder.rows
    assert all(row.bound_ns is None or abs(row.error_ns) <= row.bound_ns for row in rows)
    assert (rows[-1].state, rows[-1].clock_class) == (ClockState.HOLDOVER_EXPIRED, 52)


@pytest.mark.parametrize(
    ("swing_degc", "options", "says"),
    [
        (2.0, {}, "the temperature stays as it is"),
        (2.0, {"mac": "none"}, "nobody reports the oscillator's temperature: +-2 degC a day"),
        (0.0, {"mac": "none"}, "nobody reports the oscillator's temperature: constant"),
    ],
)
def test_the_forecast_says_what_temperature_it_is_for(
    swing_degc: float, options: dict[str, Any], says: str
) -> None:
    config = Config.model_validate({"timescale": {"temperature_swing_degc": swing_degc}})
    simulation = build(config, seed=2, **options)
    simulation.run_s(10)
    publisher = Publisher(config, simulation.assembly, simulation.virtual.timebase, bytes(8))
    assert publisher.publish(None, None).holdover.temperature_assumption == says
