"""One intent, one program and the same commands on every way to a card: stock kernel driver, registers, VFIO.

What the stock kernel cannot show is null, with the reason; everything else is the same, key by key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.firmware.firmware_world import firmware
from tests.vm.card import CardProcess, card_processes
from tests.vm.commands import Said, approved, run_commands
from tests.vm.fetch import Machine
from tests.vm.guest import Guest
from tests.vm.kernels import KERNELS
from tests.vm.qemu import Hardware

BDF = "0000:01:00.0"
DEVICE = f"/sys/bus/pci/devices/{BDF}"
EXAMPLES = Path(__file__).parents[2] / "examples"
LIMIT_S = 400
WAYS = ("kernel", "resource0", "vfio")
DRIVER = {"kernel": "ptp_ocp", "resource0": None, "vfio": "vfio-pci"}
COMMANDS = {
    "list": "timecard list --json",
    "bringup": "timecard bringup /tmp/card.toml --check --no-doctor --json",
    "info": "timecard info --json",
    "sma": "timecard sma show --json",
    "eeprom": "timecard eeprom show --json",
    "doctor": "timecard doctor --json",
}
IMAGE = firmware("fb")
BY_REGISTERS = (
    "timecard gnss status --json",
    "timecard mac status --json",
    f"timecard flash plan /tmp/new.bin {approved(IMAGE, 'fb')} --json",
)
"""Further commands that reach for the serial lines and the flash."""
HIDDEN = {
    ("clock", "core_version"): "clock core version",
    ("clock", "in_holdover"): "clock holdover",
    ("pps_slave", "pulse_width_ms"): "pps input settings",
    ("pps_slave", "cable_delay_ns"): "pps input settings",
    ("tod", "fix_ok"): "receiver in time of day",
    ("tod", "antenna"): "receiver in time of day",
    ("identity", "serial"): "eeprom",
    ("identity", "board_id"): "eeprom",
}
"""What the registers show and the stock driver does not, and the capability whose lack is told."""
YOUNG = {"clock-not-in-sync", "cross-stamp-wide"}  # the first minute; a busy host


@pytest.fixture(scope="module", params=list(KERNELS))
def bench(request: pytest.FixtureRequest, machine: Machine) -> Iterator[tuple[Guest, CardProcess]]:
    """A Facebook card in a machine with an IOMMU."""
    with (
        card_processes(("--seed", "4")) as cards,
        Guest.boot(
            machine,
            str(request.param),
            Hardware(
                cards=tuple(card.path for card in cards),
                iommu=True,
            ),
        ) as running,
    ):
        running.write("/tmp/card.toml", (EXAMPLES / "card.toml").read_bytes())
        running.write("/tmp/bringup.py", (EXAMPLES / "bringup.py").read_bytes())
        running.write("/tmp/new.bin", IMAGE)
        yield running, cards[0]


@pytest.fixture(scope="module")
def guest(bench: tuple[Guest, CardProcess]) -> Guest:
    return bench[0]


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


@dataclass(frozen=True)
class Told:
    """What everything said by one way."""

    way: str
    example: dict[str, Any]
    status: int
    said: dict[str, Said]
    further: list[Said]
    narrow: int
    """Accesses by all of it that were no aligned words."""

    def json(self, command: str) -> Any:
        """Doctor's status tells what it found, so it may be any."""
        said = self.said[command]
        return json.loads(said.out) if command == "doctor" else said.json()


@pytest.fixture(scope="module")
def told(bench: tuple[Guest, CardProcess]) -> dict[str, Told]:
    """The example, which changes what is not so yet, and all commands by each way, one after the other."""
    guest, card = bench
    found = {}
    for way in WAYS:
        if way != "kernel":
            hold(guest, way)
        narrow = card.ask(do="status")["narrow_accesses"]
        status, report = example(guest, way)
        lines = [
            line if name == "list" else line.replace("--json", f"--access {way} --json")
            for name, line in COMMANDS.items()
        ]
        said = run_commands(guest, lines, limit_s=LIMIT_S)
        further = [] if way == "kernel" else run_commands(guest, BY_REGISTERS, limit_s=LIMIT_S)
        narrow = card.ask(do="status")["narrow_accesses"] - narrow
        found[way] = Told(way, report, status, dict(zip(COMMANDS, said, strict=True)), further, narrow)
    return found


@pytest.mark.parametrize("way", WAYS[1:])
def test_without_the_driver_only_aligned_words_reach_the_card(told: dict[str, Told], way: str) -> None:
    assert [said.status for said in told[way].further] == [0] * len(BY_REGISTERS), told[way].further
    assert told[way].narrow == 0


def keys(value: Any) -> Any:
    """The names in an object, and in the objects in it."""
    return {name: keys(item) for name, item in value.items()} if isinstance(value, dict) else None


@pytest.mark.parametrize("way", WAYS)
def test_the_example_brings_the_card_up(told: dict[str, Told], way: str) -> None:
    here = told[way]
    assert (here.status, here.example["access"], here.example["verdict"]) == (0, way, "done"), here.example
    assert outcomes(here.example)["phase proof"] == "as intended", here.example
    # What was changed by the kernel is found by the registers; only its pulses end with the driver.
    if way != "kernel":
        changed = {what for what, outcome in outcomes(here.example).items() if outcome == "changed"}
        assert changed <= {"phase", "generator 1"}


def outcomes(report: dict[str, Any]) -> dict[str, str]:
    return {each["what"]: each["outcome"] for step in report["steps"] for each in step["results"]}


@pytest.mark.parametrize("way", WAYS)
def test_the_command_finds_what_the_example_did(told: dict[str, Told], way: str) -> None:
    ahead = told[way].json("bringup")
    assert (ahead["access"], ahead["check"], ahead["changes"]) == (way, True, 0), ahead
    assert ahead.keys() == told[way].example.keys()
    names = [[each["what"] for each in step["results"]] for step in ahead["steps"]]
    assert [step["step"] for step in ahead["steps"]] == [step["step"] for step in told[way].example["steps"]]
    assert ["sma3", "sma4"] in names and ["generator 1"] in names
    for found, before in zip(ahead["steps"], told["kernel"].json("bringup")["steps"], strict=True):
        assert [each["what"] for each in found["results"]] == [each["what"] for each in before["results"]]
        for here, there in zip(found["results"], before["results"], strict=True):
            if there["outcome"] == "not tried":
                # By the kernel it takes a timestamper that has to be switched on.
                assert (there["what"], bool(there["reason"])) == ("phase proof", True)
            else:
                assert here["wanted"] == there["wanted"]


@pytest.mark.parametrize("way", WAYS)
def test_the_card_is_listed_under_the_same_id(told: dict[str, Told], way: str) -> None:
    (listed,) = told[way].json("list")
    (by_kernel,) = told["kernel"].json("list")
    assert listed["driver"] == DRIVER[way]
    assert listed | {"driver": None} == by_kernel | {"driver": None}
    for command in ("info", "eeprom"):
        assert told[way].json(command)["id"] == listed["id"]
    assert told[way].json("sma")["card"] == told[way].json("bringup")["card"] == listed["id"]
    assert [card["id"] for card in told[way].json("doctor")["cards"]] == [listed["id"]]


@pytest.mark.parametrize("way", WAYS[1:])
def test_info_by_registers_shows_everything(told: dict[str, Told], way: str) -> None:
    shown, by_kernel = told[way].json("info"), told["kernel"].json("info")
    assert shown["access"] == way
    assert not shown["reasons"]
    assert shown.keys() == by_kernel.keys()
    for name in ("board", "product", "image", "sma", "receiver", "oscillator"):
        assert shown[name] == by_kernel[name], name
    for name in ("clock", "pps_slave", "tod", "identity"):
        assert keys(shown[name]) == keys(by_kernel[name]), name
    for name in ("source", "in_sync", "drift_ppb"):
        assert shown["clock"][name] == by_kernel["clock"][name], name
    for name in ("enabled", "protocol", "errors", "tai_minus_utc_s", "leap_59", "leap_61", "correction_s"):
        assert shown["tod"][name] == by_kernel["tod"][name], name
    assert None not in (shown["identity"]["serial"], shown["identity"]["board_id"], shown["selector"])
    for part, name in HIDDEN:
        assert shown[part][name] is not None, (part, name)


def test_info_by_the_kernel_names_what_is_null(told: dict[str, Told]) -> None:
    shown = told["kernel"].json("info")
    for name, value in shown.items():
        if value is None:
            assert shown["reasons"][name], f"{name} is not shown: with the reason"
    assert shown["selector"] is None
    for (part, name), capability in HIDDEN.items():
        assert shown[part][name] is None, (part, name)
        assert shown["missing"][capability], capability
    assert "i2c-xiic" in shown["missing"]["eeprom"]
    assert shown["identity"]["problems"] == [shown["missing"]["eeprom"]]


@pytest.mark.parametrize("way", WAYS)
def test_connectors_are_shown_alike(told: dict[str, Told], way: str) -> None:
    shown = told[way].json("sma")
    assert shown == told["kernel"].json("sma")
    done = {each["number"]: (each["direction"], each["functions"]) for each in shown["connectors"]}
    assert (done[3], done[4]) == (("out", ["PHC"]), ("out", ["GEN1"]))


@pytest.mark.parametrize("way", WAYS)
def test_the_eeprom_is_shown_or_the_missing_module_is_named(told: dict[str, Told], way: str) -> None:
    shown = told[way].json("eeprom")
    assert shown.keys() == told["kernel"].json("eeprom").keys()
    if way == "kernel":
        assert (shown["serial"], shown["board_id"]) == (None, None)
        assert len(shown["problems"]) == 1 and "i2c-xiic" in shown["problems"][0]
    else:
        assert shown["problems"] == []
        assert shown["serial"].endswith(":00:00:04")
        assert shown["board_id"].startswith("FBTC")
        assert shown == told["vfio"].json("eeprom")


@pytest.mark.parametrize("way", WAYS)
def test_doctor_names_what_this_way_lacks(told: dict[str, Told], way: str, guest: Guest) -> None:
    found = told[way].json("doctor")
    assert found.keys() == told["kernel"].json("doctor").keys()
    (card,) = found["cards"]
    (by_kernel,) = told["kernel"].json("doctor")["cards"]
    assert card.keys() == by_kernel.keys()
    assert (card["access"], card["driver"], card["image"]) == (way, DRIVER[way], by_kernel["image"])
    # Doctor and info have one voice.
    assert card["missing"] == told[way].json("info")["missing"]
    roots = {each["id"]: each["severity"] for each in found["findings"] if each["consequence_of"] is None}
    wrong = {name for name, severity in roots.items() if severity != "info"} - YOUNG
    if way == "kernel":
        broken = {"ts-window-adjust-broken"} if guest.release.startswith("6.12") else set()
        assert wrong == {"i2c-module-missing", "spi-module-missing"} | broken
        consequences = {each["id"]: each["consequence_of"] for each in found["findings"]}
        assert consequences["eeprom-unreadable"] == "i2c-module-missing"
        assert told[way].said["doctor"].status == 3
    else:
        assert wrong == set()
        assert "phc" in card["missing"]
        assert ("no-kernel-driver" in roots) == (way == "resource0")
        assert told[way].said["doctor"].status in (0, 3)
    assert roots["access-limits"] == "info"
