"""One intent and one program on every way to a card: stock kernel driver, mapped registers, VFIO."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vm.card import card_processes
from tests.vm.fetch import Machine
from tests.vm.guest import Guest
from tests.vm.kernels import KERNELS
from tests.vm.qemu import Hardware

pytestmark = pytest.mark.full
BDF = "0000:01:00.0"
DEVICE = f"/sys/bus/pci/devices/{BDF}"
EXAMPLES = Path(__file__).parents[2] / "examples"
LIMIT_S = 400
WAYS = ("kernel", "resource0", "vfio")


@pytest.fixture(scope="module", params=list(KERNELS))
def guest(request: pytest.FixtureRequest, machine: Machine) -> Iterator[Guest]:
    """A Facebook card in a machine with an IOMMU."""
    with (
        card_processes(("--seed", "4")) as cards,
        Guest.boot(
            machine,
            str(request.param),
            Hardware(
                cards=tuple(card.path for card in cards),
                iommu=True,
                append="no_timer_check",  # which fails on a busy host
            ),
        ) as running,
    ):
        running.write("/tmp/card.toml", (EXAMPLES / "card.toml").read_bytes())
        running.write("/tmp/bringup.py", (EXAMPLES / "bringup.py").read_bytes())
        yield running


def hold(guest: Guest, way: str) -> None:
    """Let the card be held by what this way needs."""
    guest.run(f"[ ! -e {DEVICE}/driver ] || echo {BDF} > {DEVICE}/driver/unbind")
    if way == "resource0":
        guest.run(f"echo 1 > {DEVICE}/enable")
    if way == "vfio":
        guest.run(f"echo 0 > {DEVICE}/enable")
        guest.load("vfio-pci")
        guest.run(f"echo vfio-pci > {DEVICE}/driver_override; echo {BDF} > /sys/bus/pci/drivers_probe")


def example(guest: Guest, way: str, *options: str) -> tuple[int, dict[str, Any]]:
    command = f"python3 /tmp/bringup.py --access {way} --intent /tmp/card.toml --json {' '.join(options)}"
    done = guest.run(command, limit_s=LIMIT_S, check=False)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return done.status, report


def test_the_example_brings_the_card_up_by_every_way(guest: Guest) -> None:
    facts: dict[str, dict[str, Any]] = {}
    for way in WAYS:
        if way != "kernel":
            hold(guest, way)
        status, report = example(guest, way)
        assert (status, report["access"], report["verdict"]) == (0, way, "done"), report
        outcomes = {
            result["what"]: result["outcome"] for step in report["steps"] for result in step["results"]
        }
        assert outcomes["phase proof"] == "as intended", report
        status, ahead = example(guest, way, "--check")
        assert (status, ahead["changes"]) == (0, 0), ahead
        facts[way] = json.loads(guest.run(f"timecard info --access {way} --json", limit_s=LIMIT_S).stdout)
    for way in WAYS[1:]:
        assert facts[way].keys() == facts["kernel"].keys()
        assert facts[way]["sma"] == facts["kernel"]["sma"]
        assert facts[way]["receiver"] == facts["kernel"]["receiver"]
        assert facts[way]["oscillator"] == facts["kernel"]["oscillator"]
        assert not facts[way]["reasons"], "registers show everything"
    shown = facts["kernel"]
    for name, value in shown.items():
        if value is None:
            assert shown["reasons"][name], f"{name} is not shown: with the reason"
