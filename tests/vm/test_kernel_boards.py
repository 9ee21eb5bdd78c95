"""The kernel backend on other boards, on a card with a single interrupt, and on a NIC's clock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.vm.card import card_processes
from tests.vm.fetch import Machine
from tests.vm.guest import CARD_MODULES, Guest
from tests.vm.qemu import Hardware

SCRIPT = r"""
import json, subprocess
from pathlib import Path
from timecard.card import open_card
from timecard.card_values import GeneratorSettings
from timecard.cli.attributes import set_attribute
from timecard.discovery import list_cards
from timecard.errors import TimeCardError
from timecard.kernel.cross_timestamp import CrossComparer
from timecard.kernel.errata import find_errata
from timecard.kernel.phc import Phc
from timecard.timebase import HostTimebase

subprocess.run(["mount", "-t", "debugfs", "none", "/sys/kernel/debug"], stderr=subprocess.DEVNULL)

def ask(into, name, action):
    try:
        into[name] = action()
    except TimeCardError as error:
        into[name] = f"{type(error).__name__}: {error}"

def sma(card, *arguments):
    try:
        card.sma.set(*arguments)
        answer = "done"
    except TimeCardError as error:
        answer = f"{type(error).__name__}: {error}"
    return [answer, [str(c) for c in card.sma.read()]]

def examine(card):
    said = {}
    ask(said, "now", lambda: card.clock.now_tai_ns() > 0)
    known = card.identity()
    said["identity"] = [known.serial, known.board_id, len(known.problems)]
    ask(said, "devlink", lambda: [card.devlink().serial_number, card.devlink().board_id, str(card.image())])
    ask(said, "missing", lambda: dict(card.missing()))
    ask(said, "errata", lambda: [e.id for e in find_errata(card)])
    ask(said, "selector", lambda: card.selector().clock_10mhz)
    ask(said, "tod", lambda: card.time_of_day().tai_minus_utc_s)
    ask(said, "sma", lambda: [str(c) for c in card.sma.read()])
    said["cannot"] = sma(card, 1, "in", ["10MHz"]) if card.board.name == "art" else None
    said["can"] = sma(card, 3, "out", ["PHC"])
    wanted = GeneratorSettings(period_ns=10**9, pulse_ns=10**8)
    ask(said, "generator", lambda: card.generator(1).start(wanted).running)
    for channel in ("ts0", "ts5"):
        ask(said, channel, card.timestamper(channel).enable)
    ask(said, "cleared", lambda: set_attribute(card, "ts_window_adjust", "0")["value"])
    ask(said, "half", lambda: card.clock.cross_timestamp().half_width_ns)
    said["repaired"] = card.clock.comparer.repaired
    if card.board.name == "art":
        config = card.device.path / "disciplining_config"
        before = config.read_bytes()
        said["written"] = config.write_bytes(before)
        said["kept"] = config.read_bytes() == before
        memory = card.memory(0x50)
        memory.write(0x3EE, bytes(range(9)))  # across two pages
        said["memory"] = memory.read(0x3ED, 11).hex()
    return said

def nic(path):
    said = {}
    with Phc(path) as phc:
        said["caps"] = phc.capabilities().max_frequency_ppb
        phc.set_ns(1_795_000_000_000_000_000)
        phc.adjust_ns(-1_500_000_000)
        said["time"] = phc.now_ns()
        ask(said, "dialled", lambda: phc.set_frequency_ppb(1234.5))
        ask(said, "dial", phc.frequency_ppb)
        said["half"] = CrossComparer(phc).cross_timestamp().half_width_ns
        ask(said, "too fast", lambda: phc.set_frequency_ppb(2e9))
        ask(said, "precise", phc.precise)
    return said

said = {}
for descriptor in list_cards():
    with open_card(descriptor, HostTimebase()) as card:
        said[descriptor.address] = examine(card)
for clock in sorted(Path("/sys/class/ptp").iterdir()):
    if "ptp_ocp" not in (clock / "clock_name").read_text():
        said["nic"] = nic(Path("/dev") / clock.name)
print(json.dumps(said))
"""


@pytest.fixture(scope="module", params=["7", "6.12"])
def said(machine: Machine, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """An ART card, an FB card with one MSI, and an igb."""
    options = (("--board", "art"), ("--interrupts", "msi"))
    with card_processes(*options) as cards:
        hardware = Hardware(cards=tuple(card.path for card in cards), nics=1)
        with Guest.boot(machine, request.param, hardware, modules=(*CARD_MODULES, "igb")) as guest:
            report = json.loads(guest.python(SCRIPT, limit_s=180).stdout.splitlines()[-1])
            log = guest.kernel_log()
            assert "BUG:" not in log and "Oops" not in log
            yield report


def test_art_is_known_by_its_record(said: dict[str, Any]) -> None:
    art = said["0000:01:00.0"]
    serial, board_id, problems = art["identity"]
    assert serial.startswith("F") and board_id and problems == 0
    assert art["devlink"][1] == board_id
    assert art["devlink"][2].startswith("fw 2.")
    assert "eeprom" not in art["missing"]
    assert "no module spi-altera-platform" in art["missing"]["flash"]


def test_art_connectors_refuse_what_they_cannot_and_stay_as_they_were(said: dict[str, Any]) -> None:
    art = said["0000:01:00.0"]
    answer, after = art["cannot"]
    assert answer.startswith("RefusedError") and "cannot do it" in answer
    assert after == art["sma"]
    answer, after = art["can"]
    assert (answer, after[2]) == ("done", "sma3 out PHC")


def test_art_memories(said: dict[str, Any]) -> None:
    art = said["0000:01:00.0"]
    assert art["written"] == 144 and art["kept"]
    assert art["memory"][2:20] == bytes(range(9)).hex()


def test_art_names_what_it_has_not(said: dict[str, Any]) -> None:
    art = said["0000:01:00.0"]
    for part in ("selector", "tod"):
        assert art[part].startswith("UnsupportedError") and "has none" in art[part]
    assert art["generator"].startswith("UnsupportedError")
    assert art["ts0"] is None and art["ts5"] is None


def test_a_single_interrupt_leaves_the_clock_and_crashes_nothing(said: dict[str, Any]) -> None:
    """The kernel's log shows no crash: see the fixture."""
    fb = said["0000:02:00.0"]
    assert fb["now"] is True and fb["ts5"] is None
    assert {"E2", "E3", "E4"} <= set(fb["errata"])
    for part in ("generator", "selector"):
        assert fb[part].startswith("UnsupportedError") and "null pointer" in fb[part]
    assert "too few interrupt messages" in fb["ts0"]
    assert "1 of 17" in fb["missing"]["serial gnss"]
    assert fb["tod"] == 37


def test_a_cleared_correction_needs_no_repair(said: dict[str, Any]) -> None:
    for address in ("0000:01:00.0", "0000:02:00.0"):
        assert (said[address]["cleared"], said[address]["repaired"]) == (0, 0)
        assert 0 < said[address]["half"] < 10_000_000


def test_a_nics_clock(said: dict[str, Any]) -> None:
    nic = said["nic"]
    assert 0 <= nic["time"] - 1_794_999_998_500_000_000 < 30_000_000_000
    assert nic["dialled"] == nic["dial"] == pytest.approx(1234.5, abs=0.02)
    assert nic["too fast"].startswith("RefusedError")
    assert nic["precise"].startswith("UnsupportedError")
    assert 0 < nic["half"] < 1_000_000
