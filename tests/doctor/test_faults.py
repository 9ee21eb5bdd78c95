"""The seeded faults of ``faults.toml``, and cards that have none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.host_tree import HostOptions, build_host
from tests.doctor.seeding import FAULTS, examine_card_of, examine_fault, examine_host, seeded_card
from timecard.boards import BOARDS
from timecard.doctor import Severity, diagnose
from timecard.doctor.checks import CATALOGUE
from timecard.doctor.facts import FailureKind
from timecard.protocols import RegisterBus

KINDS = {"register", "kernel", "module", "tty", "cabling", "permission", "firmware", "configuration"}
NEEDED_FAULTS = 45
NEEDED_SHARE = 0.95


def _named_first(fault: Mapping[str, Any], folder: Path) -> str | None:
    """Why the answer is not the expected one; None when it is."""
    findings = diagnose(examine_fault(fault, folder))
    ids = [finding.id for finding in findings]
    if not findings or findings[0].id != fault["first"]:
        return f"{fault['first']} should be first: {ids}"
    lacking = [word for word in fault["fix"] if word.lower() not in findings[0].fix.lower()]
    return f"the fix lacks {lacking}: {findings[0].fix}" if lacking else None


def test_the_fault_list_is_large_and_covers_every_kind() -> None:
    names = Counter(fault["name"] for fault in FAULTS)
    assert len(FAULTS) >= NEEDED_FAULTS
    assert max(names.values()) == 1
    assert {fault["kind"] for fault in FAULTS} == KINDS
    assert {fault["first"] for fault in FAULTS} <= set(CATALOGUE)


def test_the_root_cause_comes_first(tmp_path: Path) -> None:
    wrong = {}
    for number, fault in enumerate(FAULTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        problem = _named_first(fault, folder)
        if problem is not None:
            wrong[fault["name"]] = problem
    assert len(wrong) <= (1 - NEEDED_SHARE) * len(FAULTS), wrong


@pytest.mark.parametrize("fault", FAULTS, ids=[fault["name"] for fault in FAULTS])
def test_a_fault_is_never_called_healthy(fault: Mapping[str, Any], tmp_path: Path) -> None:
    """However it is named: something above information has to be said."""
    findings = diagnose(examine_fault(fault, tmp_path))
    assert any(finding.severity is not Severity.INFO for finding in findings), findings


@pytest.mark.parametrize(
    ("board", "way"),
    [
        (name, way)
        for name, board in BOARDS.items()
        for way in ("ptp_ocp", "", "vfio-pci", "socket")
        if board.kernel_binds or way != "ptp_ocp"  # the mainline driver does not fit every image
    ],
)
def test_a_healthy_card_gives_no_alarm(board: str, way: str, tmp_path: Path) -> None:
    emulated = seeded_card(board, {})
    if way == "socket":
        facts = examine_card_of(emulated, tmp_path)
    else:
        facts = examine_host(build_host(tmp_path, HostOptions(board=board, driver=way)), emulated)
    (card,) = facts.cards
    # A board may lack a part; nothing else may go wrong.
    assert {name for name, why in card.failures.items() if why.kind is not FailureKind.UNSUPPORTED} == set()
    assert set(card.failures) <= set(card.missing)
    alarms = [finding for finding in diagnose(facts) if finding.severity is not Severity.INFO]
    assert alarms == []


def test_a_card_that_vfio_lets_sleep_is_healthy(tmp_path: Path) -> None:
    """Until it is opened, vfio-pci keeps it in D3hot with its window off; opening it wakes it."""
    options = HostOptions(driver="vfio-pci", power_state="D3hot", memory_decoding=False, bus_master=False)
    facts = examine_host(build_host(tmp_path, options), seeded_card("fb", {}))
    assert [each for each in diagnose(facts) if each.severity is not Severity.INFO] == []


@pytest.mark.parametrize("serial", [0, 1])
def test_an_art_card_is_left_as_it_was(serial: int, tmp_path: Path) -> None:
    """Its oscillator above all: connected to the serial port, the bridge would never find it again."""
    emulated = seeded_card("art", {"registers": {"board_config.mro50_serial_activate": serial}})
    before = settings_of(emulated.bus)
    (card,) = examine_host(build_host(tmp_path, HostOptions(board="art", driver="")), emulated).cards
    assert card.oscillator is not None
    assert (card.oscillator.family, card.oscillator.locked) == ("mro50", True)
    assert before[("board_config", "mro50_serial_activate")] == serial
    assert settings_of(emulated.bus) == before


def settings_of(bus: RegisterBus) -> dict[tuple[str, str], int]:
    """Every register but those that tell what is now, and those of lines that are asked something."""
    told = re.compile(r"(port\[|i2c_ctrl|spi_flash).*|.*\.time_.*|osc\.(?!adjust).*")
    return {
        (block.name, row.name): bus.read32(block.offset + row.offset)
        for block in bus.board.blocks.values()
        for row in block.registers
        if not told.fullmatch(f"{block.name}.{row.name}")
    }


def test_a_healthy_card_is_examined_to_the_last_part(tmp_path: Path) -> None:
    (card,) = examine_host(build_host(tmp_path, HostOptions()), seeded_card("fb", {})).cards
    assert card.receiver is not None
    assert card.receiver.model == "ZED-F9T"
    assert card.receiver.fix_ok
    assert card.oscillator is not None
    assert (card.oscillator.family, card.oscillator.locked) == ("sa5x", True)
    assert card.identity is not None
    assert card.identity.serial
    assert card.clock is not None
    assert card.clock.last_tai_ns - card.clock.first_tai_ns == pytest.approx(card.clock.elapsed_ns, abs=1000)
    assert card.generators == {}
    assert card.counters == {}
