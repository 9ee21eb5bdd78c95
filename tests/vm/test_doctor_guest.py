"""``timecard doctor`` on stock kernels: it names what Debian's lack, and the faults that are planted.

One guest with four cards: a Facebook card with MSI-X, one with a single MSI vector, an ART card, and a
Facebook card from which the driver is unbound. What the guest recorded is diagnosed once more out here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.vm.card import card_processes
from tests.vm.fetch import Machine
from tests.vm.guest import Guest
from tests.vm.kernels import KERNELS
from tests.vm.qemu import Hardware
from timecard.card_values import Access
from timecard.doctor import diagnose, read_facts

MSIX, SINGLE, ART, BARE = (f"0000:{number:02x}:00.0" for number in range(1, 5))
CARDS = (("--seed", "1"), ("--seed", "2", "--interrupts", "msi"), ("--board", "art"), ("--seed", "4"))
YOUNG = {"clock-not-in-sync", "cross-stamp-wide"}
"""After its start a card's clock is drawn to its pulse for the better part of a minute; on a busy host the
guest's processor is away in the middle of a comparison."""
SCAN_LIMIT_S = 30.0


@dataclass(frozen=True)
class Report:
    """What doctor printed, and the facts that it recorded, in the guest."""

    kernel: str
    status: int
    document: dict[str, Any]
    recorded: Path

    def ids(self, address: str, *severities: str) -> list[str]:
        """Findings of the card at ``address`` that nothing else explains."""
        (card_id,) = [card["id"] for card in self.document["cards"] if card["address"] == address]
        return [
            finding["id"]
            for finding in self.document["findings"]
            if finding["card"] == card_id
            and finding["consequence_of"] is None
            and finding["severity"] in (severities or ("fail", "warn"))
        ]

    def card(self, address: str) -> dict[str, Any]:
        """The card at ``address``."""
        (found,) = [card for card in self.document["cards"] if card["address"] == address]
        return dict(found)


@pytest.fixture(scope="module", params=list(KERNELS))
def report(
    request: pytest.FixtureRequest, machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Report]:
    """One boot, one examination of all four cards."""
    with card_processes(*CARDS) as cards:
        hardware = Hardware(cards=tuple(card.path for card in cards))
        with Guest.boot(machine, str(request.param), hardware) as guest:
            guest.run(f"echo {BARE} > /sys/bus/pci/drivers/ptp_ocp/unbind")
            guest.run(f"echo 1 > /sys/bus/pci/devices/{BARE}/enable")
            # A program that does not belong there, on the first card's receiver.
            guest.spawn("exec sleep 1000 < /dev/$(cat /sys/class/timecard/ocp0/tty/ttyGNSS)")
            said = guest.run("timecard doctor --json --record /tmp/facts.json", limit_s=300, check=False)
            recorded = tmp_path_factory.mktemp("doctor") / "facts.json"
            recorded.write_bytes(guest.run("cat /tmp/facts.json").output)
            assert said.stdout.startswith("{"), said
            yield Report(guest.release, said.status, json.loads(said.stdout), recorded)


def test_the_scan_is_short_and_its_status_says_that_something_fails(report: Report) -> None:
    assert report.document["seconds"] < SCAN_LIMIT_S
    assert report.status == report.document["status"] == 4


def test_every_way_to_a_card_was_taken(report: Report) -> None:
    ways = {address: report.card(address)["access"] for address in (MSIX, SINGLE, ART, BARE)}
    assert ways == dict.fromkeys((MSIX, SINGLE, ART), Access.KERNEL.value) | {BARE: Access.RESOURCE0.value}


def test_the_modules_that_debian_lacks_are_named(report: Report) -> None:
    assert {"i2c-module-missing", "spi-module-missing"} <= set(report.ids(MSIX))
    assert "spi-module-missing" in report.ids(ART)
    assert "i2c-module-missing" not in report.ids(ART)
    fixes = [f["fix"] for f in report.document["findings"] if f["id"].endswith("-module-missing")]
    for module in ("i2c-xiic", "spi-xilinx", "spi-altera-platform"):
        assert any(module in fix for fix in fixes), module


def test_the_broken_window_of_6_12_is_named(report: Report) -> None:
    broken = report.kernel.startswith("6.12")
    assert ("ts-window-adjust-broken" in report.ids(MSIX)) is broken


def test_a_single_vector_is_the_root_of_what_is_missing(report: Report) -> None:
    assert report.ids(SINGLE)[0] == "single-msi"
    explained = {f["id"] for f in report.document["findings"] if f["consequence_of"] == "single-msi"}
    assert "tty-missing" in explained


def test_the_program_on_the_port_is_named(report: Report) -> None:
    assert "port-in-use" in report.ids(MSIX)
    titles = [f["title"] for f in report.document["findings"] if f["id"] == "port-in-use"]
    assert any(title.startswith("sleep ") for title in titles), titles
    assert "serial-unknown" in report.ids(MSIX, "info")


def test_a_clock_that_the_driver_loaded_with_utc_is_named(report: Report) -> None:
    """Nobody told the guest's kernel TAI minus UTC, and nothing else sets an ART card's clock."""
    assert report.ids(ART)[0] == "clock-shows-utc"


def test_a_card_without_driver_is_healthy(report: Report) -> None:
    assert set(report.ids(BARE)) <= YOUNG
    assert "no-kernel-driver" in report.ids(BARE, "info")


def test_nothing_else_is_wrong(report: Report) -> None:
    expected = {
        *("i2c-module-missing", "spi-module-missing", "ts-window-adjust-broken", "single-msi"),
        *("port-in-use", "clock-shows-utc", *YOUNG),
    }
    assert {each for address in (MSIX, SINGLE, ART, BARE) for each in report.ids(address)} <= expected


def test_what_the_kernel_cannot_show_is_said_once(report: Report) -> None:
    for address in (MSIX, SINGLE, ART):
        assert report.ids(address, "info").count("access-limits") == 1
        assert "steering" in report.card(address)["missing"]


def test_recorded_facts_give_the_same_diagnosis_elsewhere(report: Report) -> None:
    here = [(each.card, each.id, each.consequence_of) for each in diagnose(read_facts(report.recorded))]
    there = [(f["card"], f["id"], f["consequence_of"]) for f in report.document["findings"]]
    assert here == there


def test_a_card_in_the_hands_of_vfio_is_healthy(machine: Machine) -> None:
    with card_processes(("--seed", "1", "--interrupts", "msi")) as (card,):
        hardware = Hardware(cards=(card.path,), iommu=True)
        with Guest.boot(machine, "6.12", hardware) as guest:
            guest.load("vfio-pci")
            guest.run(
                f"cd /sys/bus/pci/devices/{MSIX} && echo {MSIX} > driver/unbind"
                f" && echo vfio-pci > driver_override && echo {MSIX} > /sys/bus/pci/drivers_probe"
            )
            document = json.loads(guest.run("timecard doctor --json", limit_s=300, check=False).stdout)
    assert document["cards"][0]["access"] == Access.VFIO.value
    wrong = {each["id"] for each in document["findings"] if each["severity"] != "info"}
    assert wrong <= YOUNG
