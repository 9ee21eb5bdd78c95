"""A cable delay that somebody has set in the receiver, and of which the configuration says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.assembly import Assembly, assemble, receiver_intent
from appliance.config import Config
from tests.bringup_world import make_rig
from timecard.boards import Role
from timecard.bringup.intent_file import parse_intent
from timecard.bringup.report import Verdict
from timecard.card import card_on_bus
from timecard.emulator.virtual_card import InProcessCard, build_in_process
from timecard.errors import RefusedError
from timecard.gnss.detect import detect
from timecard.gnss.intent import GnssIntent
from timecard.pcie.register_card import RegisterCard
from timecard.timebase import Timebase

NOT_SET = 9_999
KINDS = ("f9t", "m8t", "mosaic")


def row(segment: str, place: str) -> dict[str, Any]:
    numbers = {"value_ns": 44.0, "uncertainty_ns": 3.0}
    return {"segment": segment, "origin": "measured", "compensated_by": place, **numbers}


def set_delay(card: RegisterCard, timebase: Timebase, delay_ns: int) -> None:
    stream = card.serial(Role.GNSS)
    driver = detect(stream, timebase).driver.open(stream, timebase, None)
    driver.start()
    driver.apply(driver.plan(GnssIntent(cable_delay_ns=delay_ns)))


def delay_of(card: RegisterCard, timebase: Timebase) -> float:
    stream = card.serial(Role.GNSS)
    driver = detect(stream, timebase).driver.open(stream, timebase, None)
    driver.start()
    (change,) = driver.plan(GnssIntent(cable_delay_ns=NOT_SET)).changes
    return float(change.before)


def card_with(kind: str, delay_ns: int) -> tuple[InProcessCard, RegisterCard]:
    virtual = build_in_process(receiver=kind)
    card = card_on_bus(virtual.bus, virtual.timebase)
    virtual.timebase.sleep_s(5)
    set_delay(card, virtual.timebase, delay_ns)
    return virtual, card


def bound_share_ns(assembly: Assembly) -> float:
    return assembly.engine.discipline.config.delay_uncertainty_ns


@pytest.mark.parametrize("kind", KINDS)
def test_core_leaves_it_says_it_and_counts_it(kind: str) -> None:
    virtual, card = card_with(kind, 251)
    assembly = assemble(card, Config(), virtual.timebase)
    assert any("takes 251 ns out of its pulse" in text for text in assembly.receiver.warnings)
    assert bound_share_ns(assembly) == 251.0
    assert delay_of(card, virtual.timebase) == 251


def test_a_small_one_is_covered_by_what_an_unknown_antenna_costs_anyway() -> None:
    virtual, card = card_with("f9t", 30)
    assembly = assemble(card, Config(), virtual.timebase)
    assert any("takes 30 ns" in text for text in assembly.receiver.warnings)
    assert bound_share_ns(assembly) == 50.0


@pytest.mark.parametrize("place", ["receiver", "software"])
def test_with_rows_about_the_antenna_the_ledger_decides(place: str) -> None:
    virtual, card = card_with("f9t", 251)
    config = Config.model_validate({"delays": [row("antenna-cable", place)]})
    assembly = assemble(card, config, virtual.timebase)
    assert not any("out of its pulse" in text for text in assembly.receiver.warnings)
    assert delay_of(card, virtual.timebase) == (44 if place == "receiver" else 0), "never twice"


def test_a_row_about_the_network_card_says_nothing_of_the_receiver() -> None:
    config = Config.model_validate({"delays": [row("nic", "software")]})
    assert receiver_intent(config).cable_delay_ns is None


def test_a_receiver_that_comes_later_with_more_than_is_counted_is_not_used() -> None:
    virtual, card = card_with("f9t", 0)
    assembly = assemble(card, Config(), virtual.timebase)
    set_delay(card, virtual.timebase, 251)
    with pytest.raises(RefusedError, match="takes 251 ns out of its pulse, which the bound does not count"):
        assembly.receiver.start()


RECEIVER_ONLY = "version = 1\n[receiver]\n"


@pytest.mark.parametrize("kind", KINDS)
def test_bring_up_without_delays_leaves_it(kind: str) -> None:
    rig = make_rig(receiver=kind)
    rig.virtual.timebase.sleep_s(5)
    set_delay(rig.card, rig.virtual.timebase, 251)
    assert rig.run(parse_intent(RECEIVER_ONLY)).verdict is Verdict.DONE
    assert delay_of(rig.card, rig.virtual.timebase) == 251
    assert rig.run(parse_intent("delays = []\n" + RECEIVER_ONLY)).verdict is Verdict.DONE
    assert delay_of(rig.card, rig.virtual.timebase) == 0, "an empty ledger: nothing is compensated"
