"""The search for an oscillator module that did not answer when core started."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.assembly import assemble
from appliance.config import Config
from appliance.oscillator_search import SEARCH_S
from appliance.simulate import build
from timecard.card import card_on_bus
from timecard.emulator.virtual_card import build_in_process
from timecard.values import Alarm


def test_a_module_that_answers_later_is_told_and_not_asked_any_more() -> None:
    virtual = build_in_process(seed=2)
    virtual.inject("mac-silent")
    card = card_on_bus(virtual.bus, virtual.timebase)
    assembly = assemble(card, Config(), virtual.timebase)
    assert assembly.topology == "C" and assembly.search is not None
    search = assembly.search
    assert list(search.runner.step()) == [], "it has just been asked"
    virtual.timebase.sleep_s(SEARCH_S)
    assert list(search.runner.step()) == [] and not search.found
    virtual.clear("mac-silent")
    before_ns = virtual.timebase.mono_ns()
    assert list(search.runner.step()) == [], "once a minute"
    assert virtual.timebase.mono_ns() == before_ns
    virtual.timebase.sleep_s(SEARCH_S)
    (found,) = search.runner.step()
    assert isinstance(found, Alarm) and found.active and not found.unusable
    assert found.evidence.startswith("sa5x ") and "restart core" in found.evidence
    assembly.engine.take(found)
    assert any(text.startswith("oscillator-found: ") for text in assembly.engine.discipline.alarms.values())
    virtual.timebase.sleep_s(10 * SEARCH_S)
    assert search.found and list(search.runner.step()) == []


@pytest.mark.parametrize(
    ("topology", "options", "searched"),
    [("auto", {"mac": "none"}, True), ("C", {}, False), ("D", {"mac": "none"}, False), ("auto", {}, False)],
)
def test_it_is_searched_for_only_where_one_was_missed(
    topology: str, options: dict[str, Any], searched: bool
) -> None:
    config = Config.model_validate({"timescale": {"topology": topology}})
    assert (build(config, **options).assembly.search is not None) == searched
