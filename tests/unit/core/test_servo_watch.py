"""Topology D asks the selector, by every way to the card, and goes on asking."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.config import Config
from appliance.servo_watch import ServoWatch, astray
from appliance.simulate import build
from tests.unit.kernel.driver_tree import SUMMARY, Tree
from timecard.boards import ART
from timecard.card import card_on_bus
from timecard.card_values import PpsSource
from timecard.emulator.virtual_card import build_in_process
from timecard.errors import DeviceLostError
from timecard.values import Alarm


def tree_with(root: Path, source: str, **texts: str) -> Tree:
    tree = Tree(root=root, texts=texts)
    summary = SUMMARY.replace("MAC via PPS1", f"{source} via PPS1")
    tree.write(tree.sysfs / "kernel/debug/timecard/ocp0/summary", summary)
    return tree


def test_by_the_driver_only_where_the_selector_shows_gnss(tmp_path: Path) -> None:
    with tree_with(tmp_path, "GNSS1").open() as card:
        assert astray(card) is None


@pytest.mark.parametrize(
    ("source", "texts", "why", "may_pass"),
    [
        ("MAC", {}, "shows MAC, not GNSS", False),
        ("sma1", {}, "shows SMA, not GNSS", False),
        ("----", {}, "no pulse", True),
        ("GNSS1", {"clock_source": "REGS\n"}, "follows REGS", False),
    ],
)
def test_else_the_reason_is_told(
    tmp_path: Path, source: str, texts: dict[str, str], why: str, may_pass: bool
) -> None:
    with tree_with(tmp_path, source, **texts).open() as card:
        found = astray(card)
        assert found is not None and why in found.reason and found.may_pass == may_pass


def test_without_debugfs_nothing_is_promised(tmp_path: Path) -> None:
    with Tree(root=tmp_path, debugfs=False).open() as card:
        found = astray(card)
        assert found is not None and "debugfs" in found.reason and not found.may_pass


def test_art_has_no_servo_to_watch(tmp_path: Path) -> None:
    with Tree(root=tmp_path, board=ART).open() as card:
        found = astray(card)
        assert found is not None and not found.may_pass


def test_a_lost_card_is_an_error(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path)
    with tree.open() as card:
        tree.ocp.rename(tmp_path / "away")
        with pytest.raises(DeviceLostError):
            astray(card)


def test_another_pulse_raises_an_alarm_and_the_right_one_ends_it() -> None:
    virtual = build_in_process()
    virtual.timebase.sleep_s(10)
    card = card_on_bus(virtual.bus, virtual.timebase)
    card.force_pps_source(PpsSource.GNSS)
    watch = ServoWatch(card, virtual.timebase)
    assert list(watch.runner.step()) == []
    card.force_pps_source(None)
    (alarm,) = watch.runner.step()
    assert isinstance(alarm, Alarm) and alarm.active and "shows MAC" in alarm.evidence
    assert list(watch.runner.step()) == [], "told once"
    card.force_pps_source(PpsSource.GNSS)
    (over,) = watch.runner.step()
    assert isinstance(over, Alarm) and not over.active


def test_the_appliance_tells_what_an_observed_clock_follows() -> None:
    config = Config.model_validate({"timescale": {"topology": "D"}})
    simulation = build(config, seed=2, mac="none")
    discipline = simulation.engine.discipline
    simulation.run_s(10)
    assert "servo-source" not in discipline.alarms
    card = card_on_bus(simulation.virtual.bus, simulation.virtual.timebase)
    card.clock.select_source("REGS")
    simulation.run_s(10)
    assert "follows REGS" in discipline.alarms["servo-source"]
    card.clock.select_source("PPS")
    simulation.run_s(10)
    assert "servo-source" not in discipline.alarms
