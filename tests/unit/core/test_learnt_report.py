"""What the report of an emulated card says of holdover, of its policy and of what was learnt."""

from __future__ import annotations

import dataclasses
import io
import math

import pytest
from rich.console import Console

from api.cli_status import print_status
from api.views import status as status_view
from appliance import simulate
from appliance.config import Config
from appliance.config_models import TimescaleConfig
from appliance.core_report import CoreReport
from appliance.events import Command, CommandKind
from appliance.learnt_report import CARD_FOLLOWS, EARLIER, FINE, NO_WINDOW, NOTHING_YET, learnt_report
from appliance.publisher import Publisher
from appliance.reporting import limit_forecasts
from appliance.simulate import Simulation
from appliance.timescale.models import GNSS
from appliance.timescale.noise_fit import common_start
from tests.scenario.discipline_worlds import loop, world

POLICY = TimescaleConfig(
    step_limit_ns=5_000.0, coast_s=20.0, release_s=900.0, forecast_limits_ns=(60.0, 2_000.0)
)


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    """Eleven minutes on an SA5X with a policy of its own."""
    played = simulate.build(Config(timescale=POLICY), seed=3)
    played.run_s(660)
    return played


def report(played: Simulation) -> CoreReport:
    return Publisher(played.config, played.assembly, played.virtual.timebase, bytes(8)).publish(None, None)


def screen(found: CoreReport) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_status(status_view(found, found.as_of_mono_ns), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO from above
    assert isinstance(text, str)
    return text


def test_the_policy_of_the_configuration_reaches_the_loop(simulation: Simulation) -> None:
    config = simulation.engine.discipline.config
    assert (config.step_limit_ns, config.coast_s, config.release_s) == (5_000.0, 20.0, 900.0)
    limits = {limit.limit_ns for limit in report(simulation).holdover.limits}
    assert limits == {60.0, 2_000.0, 1_000.0}, "and the budget"


def test_the_published_growth_tells_what_the_table_tells(simulation: Simulation) -> None:
    found = report(simulation)
    growth = found.holdover.growth
    assert growth is not None
    assert growth.base_ns == pytest.approx(found.clock.bias_ns + abs(found.clock.offset_ns or 0.0))
    table = {(row.limit_ns, row.p, row.kind): row.seconds for row in found.holdover.limits}
    for (limit_ns, p, kind), seconds in table.items():
        asked = limit_forecasts(growth, limit_ns, p, found.as_of_tai_ns)
        (again,) = (row.seconds for row in asked if row.kind == kind)
        assert again == pytest.approx(seconds, rel=1e-3), (limit_ns, p, kind)


def test_what_the_filter_learns_is_reported_and_shown(simulation: Simulation) -> None:
    found = report(simulation)
    learnt = found.learnt
    assert learnt.watched_s == pytest.approx(640.0, abs=30.0)
    drift, slope = learnt.drift_ppb_per_day, learnt.tempco_ppb_per_degc
    assert drift is not None and slope is not None
    record = simulation.engine.discipline.learnt_record()
    assert record is not None
    assert record["drift_ppb_per_day"] == pytest.approx({"value": drift.value, "sigma": drift.sigma})
    assert record["tempco_ppb_per_degc"]["sigma"] == pytest.approx(slope.sigma)
    assert learnt.why_null["white_fm_1s"] == learnt.why_null["noise_from_s"] == NO_WINDOW
    text = screen(found)
    assert f"drift {drift.value:+.2g} +- {drift.sigma:.1g} ppb/day" in text and "ppb/degC" in text
    assert "white FM" not in text


def test_a_command_is_seen_in_the_report() -> None:
    played = simulate.build(Config(), seed=3)
    for kind, forced in ((CommandKind.ENTER_HOLDOVER, True), (CommandKind.LEAVE_HOLDOVER, False)):
        played.engine.take(Command(kind=kind, mono_ns=played.virtual.timebase.mono_ns()))
        assert report(played).holdover.forced is forced
    nothing = report(played)
    assert (nothing.holdover.growth, nothing.learnt.why_null["drift_ppb_per_day"]) == (None, NOTHING_YET)
    assert "nothing yet (" in screen(nothing)


@pytest.mark.parametrize("steps_ns", [0.0, 1.4])
def test_noise_figures_are_given_with_the_factor_of_one_sigma(
    simulation: Simulation, steps_ns: float
) -> None:
    played = loop("B", "sa53", world("sa53", 20))
    discipline = played.discipline
    start = common_start(discipline.pilot.oscillator.aging_per_day, GNSS["f9t_dual"], steps_ns)
    figures = dataclasses.replace(start, ln_sigma=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8))
    discipline.pilot.habits.adopt(figures)
    found = learnt_report(discipline, played.mono_ns(1.0))
    assert found.white_fm_1s is not None and found.pulse_coloured_tau_s is not None
    assert (found.white_fm_1s.value, found.white_fm_1s.factor) == (
        figures.white_fm_1s,
        math.exp(0.1),
    )
    tau = found.pulse_coloured_tau_s
    assert (tau.value, tau.factor) == (figures.coloured_tau_s, math.exp(0.6))
    assert (found.why_null["noise_from_s"], found.why_null["drift_ppb_per_day"]) == (EARLIER, NOTHING_YET)
    if steps_ns:
        assert found.pulse_steps_ns is not None and found.pulse_steps_ns.value == steps_ns
    else:
        assert found.why_null["pulse_steps_ns"] == FINE
    text = screen(report(simulation).model_copy(update={"learnt": found}))
    assert f"white FM 4.0e-11, flicker 3.0e-12, walk {figures.random_walk_1day:.1e}" in text
    assert f"pulse {figures.white_ns:.1f} ns white, {figures.coloured_ns:.1f} ns coloured" in text


def test_where_the_card_follows_by_itself_nothing_is_learnt() -> None:
    played = loop("D", "tcxo", world("tcxo", 20))
    found = learnt_report(played.discipline, played.mono_ns(1.0))
    assert set(found.why_null.values()) == {CARD_FOLLOWS}
