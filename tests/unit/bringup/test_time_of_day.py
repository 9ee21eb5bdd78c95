"""Bring-up lets the FPGA's time-of-day slave hear the receiver, where the way to the card reaches it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bringup_world import make_rig
from tests.unit.kernel.driver_tree import Tree
from timecard.boards import FB, Role
from timecard.bringup.bench import Bench
from timecard.bringup.engine import Stepper
from timecard.bringup.intent_file import parse_intent
from timecard.bringup.journal import NoJournal
from timecard.bringup.report import BringUpReport, Outcome, Result
from timecard.bringup.step_tod import VendorSlave, _as_it_is, time_of_day
from timecard.errors import RefusedError
from timecard.pcie.tod_slave import TodLine, TodSlave

INTENT = parse_intent("version = 1\n[receiver]\n")


def told(report: BringUpReport) -> Result | None:
    results = [result for step in report.steps for result in step.results]
    return next((result for result in results if result.what == "time-of-day slave"), None)


@pytest.mark.parametrize(
    ("registers", "before"),
    [
        ({"ctrl": 0x1000_0001, "uart_baud": 4}, "UBX at 19200 baud"),
        ({"ctrl": 0x0000_0001}, "off or not UBX, at 115200 baud"),
        ({"ctrl": 0x1000_0000}, "off or not UBX, at 115200 baud"),
        ({"ctrl": 0x1002_0001}, "off or not UBX, at 115200 baud"),
        ({"ctrl": 0x2500_0001, "uart_baud": 15}, "off or not UBX, at an unknown rate"),
    ],
)
def test_rate_protocol_and_messages_are_set_once(registers: dict[str, int], before: str) -> None:
    rig = make_rig()
    for name, value in registers.items():
        rig.bus.write32(FB.at("tod", name), value)
    rig.bus.writes.clear()
    assert (result := told(rig.run(INTENT, check=True))) is not None
    assert (result.outcome, result.before) == (Outcome.WOULD_CHANGE, before)
    assert ("tod", "ctrl") not in rig.bus.changed()

    assert (result := told(rig.run(INTENT))) is not None
    assert (result.outcome, result.wanted) == (Outcome.CHANGED, "UBX at 115200 baud")
    assert TodSlave(rig.bus).line() == TodLine(ubx=True, baud=115_200)
    written = [(register, value) for block, register, value in rig.bus.writes if block == "tod"]
    assert [register for register, _ in written] == ["ctrl", "uart_baud", "ctrl"]
    assert not written[0][1] & 1, "disabled while it is changed"
    gnss = 0x0F00_0000
    assert written[2][1] & gnss == registers["ctrl"] & gnss, "the filter stays"

    assert (result := told(rig.run(INTENT))) is not None
    assert result.outcome is Outcome.AS_INTENDED


@pytest.mark.parametrize(
    "options",
    [{"receiver": "mosaic"}, {"receiver": "nmea"}, {"board": "art"}, {"receiver": "f9t", "skip": True}],
)
def test_others_are_left_alone(options: dict[str, Any]) -> None:
    asked = not options.pop("skip", False)
    rig = make_rig(**options)
    if rig.card.board.has("tod"):
        rig.bus.write32(FB.at("tod", "uart_baud"), 4)
        rig.bus.writes.clear()
    assert told(rig.run(INTENT if asked else parse_intent("version = 1\n"))) is None
    assert not any(block == "tod" for block, _ in rig.bus.changed())


def test_a_rate_that_it_does_not_have_is_refused() -> None:
    with pytest.raises(RefusedError, match="100000: it has 1200, 2400"):
        TodSlave(make_rig().bus).listen(100_000)


@pytest.mark.parametrize(
    ("texts", "outcome", "words"),
    [
        ({}, Outcome.AS_INTENDED, "hears the receiver"),
        (
            {"tod_protocol": "NMEA\n", "tod_baud_rate": "19200\n"},
            Outcome.CHANGED,
            "off or not UBX, at 19200 baud",
        ),
    ],
)
def test_through_a_kernel_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, str], outcome: Outcome, words: str
) -> None:
    """The receiver is that of an emulated card; what is asked of the slave goes to the driver's files."""
    rig = make_rig()
    bench = Bench(rig.card, INTENT, rig.virtual.timebase)
    bench.receiver()
    with Tree(root=tmp_path, texts=texts).open() as card:
        stream = rig.card.serial(Role.GNSS)
        monkeypatch.setattr(card, "serial", lambda role: stream)
        bench.card = card
        stepper = Stepper(rig.virtual.timebase, NoJournal(), check=False)
        time_of_day(bench, stepper)
    (result,) = stepper.results
    assert (result.outcome, result.before, result.wanted) == (outcome, words, "UBX at 115200 baud")


def test_a_driver_that_shows_nothing_is_told_as_a_lack(tmp_path: Path) -> None:
    stepper = Stepper(make_rig().virtual.timebase, NoJournal(), check=False)
    with Tree(root=tmp_path, debugfs=False).open() as card:
        _as_it_is(card, stepper, TodLine(ubx=True, baud=115_200))
    (result,) = stepper.results
    assert result.outcome is Outcome.ABSENT and "sets UBX and no rate" in str(result.reason)


def test_the_vendor_drivers_attributes_do_the_same(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path, texts={"tod_protocol": "NMEA\n", "tod_baud_rate": "19200\n"})
    with tree.open() as card:
        slave = VendorSlave(card.device)
        assert slave.line() == TodLine(ubx=False, baud=19_200)
        slave.listen(115_200)
        assert slave.line() == TodLine(ubx=True, baud=115_200)
