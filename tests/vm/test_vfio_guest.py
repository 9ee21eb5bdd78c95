"""The user-space ways to a card in a guest with an IOMMU: mapped registers, and ``vfio-pci`` with interrupts.

The emulated card counts every access of the guest that is not an aligned 32-bit word: with no kernel driver
bound there is none, which proves what CPython's memoryview does to a mapped register.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vm.card import CardProcess, card_processes
from tests.vm.fetch import Machine
from tests.vm.guest import Guest
from tests.vm.qemu import Hardware

SCRIPT = Path(__file__).resolve().parent / "guest_scripts/user_space_card.py"
BOARDS = ("fb", "art", "litepcie")
S = 1_000_000_000


@pytest.fixture(scope="module")
def cards(machine: Machine, kernel: str) -> Iterator[tuple[Guest, list[CardProcess]]]:
    """A guest with an IOMMU and one card of each board, no driver loaded."""
    with card_processes(*(("--board", board) for board in BOARDS)) as started:
        hardware = Hardware(cards=tuple(card.path for card in started), iommu=True)
        with Guest.boot(machine, kernel, hardware, modules=("vfio-pci",)) as guest:
            guest.write("/tmp/user_space_card.py", SCRIPT.read_bytes())
            yield guest, started


def told_by(guest: Guest, number: int, way: str) -> dict[str, Any]:
    result = guest.run(f"python3 /tmp/user_space_card.py 0000:0{number + 1}:00.0 {way}", limit_s=240)
    told: dict[str, Any] = json.loads(result.stdout)
    return told


@pytest.mark.parametrize("way", ["resource0", "vfio"])
@pytest.mark.parametrize("board", BOARDS)
def test_a_card_without_kernel_driver(cards: tuple[Guest, list[CardProcess]], board: str, way: str) -> None:
    guest, processes = cards
    card = processes[BOARDS.index(board)]
    before = card.ask(do="status")
    told = told_by(guest, BOARDS.index(board), way)
    after = card.ask(do="status")
    assert after["narrow_accesses"] == before["narrow_accesses"]
    assert after["unmapped_accesses"] == before["unmapped_accesses"]
    assert told["access"] == way
    # The root port has no time base that this guest could read: brackets, whatever the card offers.
    assert told["method"] == ["bracket"]
    assert told["spread_ns"] <= 2 * told["half_width_ns"] + 1e-4 * told["span_ns"]
    assert told["stepped_ns"] >= 5 * S
    assert told["edges"] == [S] or abs(told["edges"][0] - S) < 100
    assert told["wakes"] == (way == "vfio")
    assert told["receiver"]
    assert told["routed"] == "sma3 out GNSS1"
    assert told["serial"]
    assert told["board_id"]
    assert told["flash"][1] == 256
    assert told["lost"] is None
    if board != "art":
        assert told["generator"]
    if way == "vfio":
        assert told["noiommu"] is False
        assert told["interrupt"]
        assert "interrupts" not in told["missing"]
    else:
        assert "interrupts" in told["missing"]
