"""The appliance in a guest, on the stock kernel driver: a quartz card is held, pulled, and put back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.vm.card import CardProcess, card_processes
from tests.vm.conftest import HERE
from tests.vm.fetch import Machine
from tests.vm.guest import Guest
from tests.vm.qemu import Hardware

pytestmark = pytest.mark.timeout(2400)
QUARTZ = ("--seed", "6", "--mac", "none", "--interrupts", "msi", "--world-offset-ns", "2000000")
CONFIG = """
[card]
pci = "0000:01:00.0"
[timescale]
topology = "C"
oscillator_model = "ocxo"
[ptp]
enable = false
"""
CORE = "time-appliance core --config /tmp/appliance.toml --runtime-dir /tmp/run --state-dir /tmp/state"
SOCKET = "/tmp/run/core.sock"
LOCK_S = 400
REMOVALS = 10
LOOKS = 20


@pytest.fixture(scope="module")
def running(machine: Machine) -> Iterator[tuple[Guest, CardProcess]]:
    """A card without an oscillator module and core on it; several MSI vectors need the IOMMU."""
    with card_processes(QUARTZ) as (card,):
        hardware = Hardware(cards=(card.path,), iommu=True)
        with Guest.boot(machine, "6.12", hardware) as guest:
            guest.write("/tmp/appliance.toml", CONFIG.encode())
            guest.spawn(f"TIME_APPLIANCE_LOG=INFO {CORE}", "/tmp/core.log")
            yield guest, card


def said(guest: Guest, wanted: str, limit_s: float) -> dict[str, Any]:
    script = (HERE / "guest_scripts/await_core.py").read_bytes()
    command = f"python3 - {SOCKET} '{wanted}' {limit_s:.0f}"
    done = guest.run(command, data=script, limit_s=limit_s + 60, check=False)
    log = guest.run("tail -20 /tmp/core.log").stdout
    assert done.status == 0, f"not {wanted!r} but {done.stdout}\n{done.stderr}\n{log}"
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_one_second_adjustments_hold_a_quartz_card_locked(running: tuple[Guest, CardProcess]) -> None:
    guest, card = running
    said(guest, '"state":"locked"', LOCK_S)
    for _ in range(LOOKS):
        report = said(guest, '"state"', 30)
        assert report["clock"]["state"] == "locked", report["clock"]
        error_ns = card.ask(do="truth")["card_error_ns"]
        assert abs(error_ns) <= report["bounds"]["card_ns"], report["clock"]
        time.sleep(1.0)


def test_a_card_that_is_pulled_is_missed_and_taken_up_again(running: tuple[Guest, CardProcess]) -> None:
    guest, card = running
    pid = guest.run("pgrep -f 'time-appliance core' | head -1").stdout.strip()
    files = len(guest.run(f"ls /proc/{pid}/fd").stdout.split())
    for number in range(REMOVALS):
        guest.unplug(0)
        said(guest, "card lost", 60)
        guest.plug(0, card.path)
        report = said(
            guest, '"state":"acquiring"|"state":"holdover"|"state":"recovering"|"state":"locked"', 200
        )
        assert "card lost" not in json.dumps(report), f"return {number}"
    assert len(guest.run(f"ls /proc/{pid}/fd").stdout.split()) <= files + 2
    said(guest, '"state":"locked"', LOCK_S)
