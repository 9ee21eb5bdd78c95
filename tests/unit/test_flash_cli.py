"""``timecard flash`` on an emulated card in this process: text, JSON, exit status, refusals."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.firmware.firmware_world import firmware
from timecard.boards import BOARDS
from timecard.card import card_on_bus
from timecard.cli import common, flash, flash_users
from timecard.cli.main import main
from timecard.emulator.spi_flash import CutAt, SpiFlash
from timecard.emulator.virtual_card import InProcessCard, build_in_process
from timecard.kernel.holders import Holder
from timecard.pcie.register_card import RegisterCard

DATA = firmware(size=9000)
SHA = hashlib.sha256(DATA).hexdigest()
PINNED = ("--sha256", SHA, "--image-version", "0.33")


class Rig:
    """The command line, a card, and a folder for files and state."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.emulated: InProcessCard = build_in_process()
        self._capsys = capsys
        self.image = folder / "new.bin"
        self.image.write_bytes(DATA)

    @property
    def chip(self) -> SpiFlash:
        chip: SpiFlash = self.emulated.card.fpga.controllers.spi.flash
        return chip

    def run(self, *words: str, state: bool = True) -> tuple[int, str, str]:
        extra = ("--state", str(self.folder / "state")) if state else ()
        status = main(["flash", *words, *extra])
        printed = self._capsys.readouterr()
        return status, printed.out, printed.err

    def json(self, *words: str) -> tuple[int, dict[str, Any]]:
        status, out, _ = self.run(*words, "--json")
        return status, json.loads(out)


@pytest.fixture
def rig(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Rig:
    rig = Rig(tmp_path, capsys)

    @contextlib.contextmanager
    def opened(choice: object, timebase: object, access: object) -> Iterator[RegisterCard]:
        yield card_on_bus(rig.emulated.bus, rig.emulated.timebase)

    monkeypatch.setattr(common, "open_card", opened)
    return rig


def test_plan_apply_verify_rollback(rig: Rig) -> None:
    status, out, _ = rig.run("plan", str(rig.image), *PINNED)
    assert status == 0
    assert "3 of 3 to write" in out
    assert "refused" not in out
    assert rig.chip.operations == 0
    status, out, _ = rig.run("verify", str(rig.image))
    assert (status, "differs from" in out) == (4, True)
    status, out, _ = rig.run("apply", str(rig.image), *PINNED)
    assert status == 0
    assert "version 0.33 is in the flash, verified (3 sectors written)" in out
    assert "power cycle" in out
    status, out, _ = rig.run("verify")
    assert (status, out) == (0, f"the flash holds {rig.image}; the card runs fw 0.28\n")
    status, out, _ = rig.run("apply", str(rig.image), *PINNED)
    assert (status, out) == (0, "nothing to do: the flash holds it already\n")
    status, out, _ = rig.run("rollback")
    assert (status, "rolled back, verified" in out) == (0, True)
    assert rig.run("verify", str(rig.image))[0] == 4


def test_the_same_as_json(rig: Rig) -> None:
    status, facts = rig.json("plan", str(rig.image), *PINNED)
    assert (status, facts["ok"], facts["sectors_to_write"], facts["in_use_by"]) == (0, True, 3, [])
    status, facts = rig.json("apply", str(rig.image), *PINNED)
    assert (status, facts["ok"], facts["sectors_written"], facts["version"]) == (0, True, 3, "0.33")
    status, facts = rig.json("verify", str(rig.image))
    assert (status, facts["ok"], facts["differs_at"]) == (0, True, [])
    status, facts = rig.json("rollback")
    assert (status, facts["action"], facts["version"]) == (0, "rollback", None)


def test_without_a_pin_it_is_refused_with_status_3(rig: Rig) -> None:
    for words in (("plan", str(rig.image)), ("apply", str(rig.image))):
        status, out, err = rig.run(*words)
        assert status == 3
        assert f"not pinned: no approved image has SHA-256 {SHA}" in out + err
        status, facts = rig.json(*words)
        assert (status, facts["ok"]) == (3, False)
        assert "not pinned" in facts["refusals"][0]
    assert rig.chip.operations == 0


def test_a_file_of_pins_approves_as_well(rig: Rig) -> None:
    pins = rig.folder / "pins.toml"
    pins.write_text(f'[[image]]\nname = "n"\nsha256 = "{SHA}"\nboards = ["fb"]\nversion = "0.33"\n')
    assert rig.run("apply", str(rig.image), "--pins", str(pins))[0] == 0
    pins.write_text(pins.read_text().replace('"fb"', '"art"'))
    status, _, err = rig.run("apply", str(rig.image), "--pins", str(pins))
    assert (status, "pinned for art" in err) == (3, True)
    status, _, err = rig.run("apply", str(rig.image), "--pins", str(rig.folder / "none"))
    assert (status, "no such file" in err) == (1, True)


def test_a_wrong_board_is_refused_and_there_is_no_override(rig: Rig) -> None:
    art = firmware("art")
    rig.image.write_bytes(art)
    words = ("apply", str(rig.image), "--sha256", hashlib.sha256(art).hexdigest(), "--image-version", "2.33")
    status, _, err = rig.run(*words)
    assert status == 3
    assert "1ad7:a000" in err
    for word in ("--force", "--yes", "-f"):
        assert rig.run(*words, word)[0] == 2
    assert rig.chip.operations == 0


def test_damaged_and_missing_files(rig: Rig) -> None:
    rig.image.write_bytes(DATA[:-1])
    status, _, err = rig.run("plan", str(rig.image), *PINNED)
    assert (status, "truncated" in err) == (3, True)
    status, _, err = rig.run("plan", str(rig.folder / "none.bin"), *PINNED)
    assert (status, "none.bin" in err) == (1, True)
    status, _, err = rig.run("plan", str(rig.folder), *PINNED)
    assert status in (1, 3)
    assert str(rig.folder) in err


@pytest.mark.parametrize(
    "words",
    [
        ("--sha256", SHA),
        ("--image-version", "0.33"),
        ("--sha256", "xyz", "--image-version", "0.33"),
        ("--sha256", SHA, "--image-version", "latest"),
    ],
)
def test_half_a_pin_is_a_usage_error(rig: Rig, words: tuple[str, ...]) -> None:
    assert rig.run("apply", str(rig.image), *words)[0] == 2


def test_after_a_power_cut_the_same_command_or_none_goes_on(rig: Rig) -> None:
    for again in (("apply",), ("apply", str(rig.image), *PINNED)):
        rig.chip.cut_power_at(5, CutAt.HALF)
        status, _, err = rig.run("apply", str(rig.image), *PINNED)
        assert status == 1
        assert "no chip answers" in err
        rig.chip.power_on()
        status, facts = rig.json(*again)
        assert (status, facts["resumed"], facts["version"]) == (0, True, "0.33")
        assert rig.run("rollback")[0] == 0
    status, _, err = rig.run("apply")
    assert (status, "no update was cut" in err) == (3, True)
    assert rig.run("apply", *PINNED)[0] == 2


def test_a_program_that_uses_the_card_is_named(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash, "users_of", lambda card: (Holder(77, "ptp4l"),))
    status, out, _ = rig.run("plan", str(rig.image), *PINNED)
    assert (status, "process 77 (ptp4l)" in out) == (0, True)
    status, _, err = rig.run("apply", str(rig.image), *PINNED)
    assert (status, "in use by process 77 (ptp4l)" in err) == (3, True)
    assert rig.chip.operations == 0
    assert rig.run("apply", str(rig.image), *PINNED, "--in-use")[0] == 0
    assert rig.run("rollback")[0] == 3
    assert rig.run("rollback", "--in-use")[0] == 0


def test_pack_wraps_a_raw_image(rig: Rig) -> None:
    raw, packed = rig.folder / "raw.bin", rig.folder / "packed.bin"
    raw.write_bytes(DATA[16:])
    status, out, _ = rig.run("pack", str(raw), str(packed), "--board", "fb", "--revision", "2", state=False)
    assert (status, packed.read_bytes()) == (0, DATA)
    assert SHA in out
    status, _, err = rig.run("pack", str(raw), str(packed), "--board", "fb", state=False)
    assert (status, "exists already" in err) == (3, True)
    status, _, err = rig.run("pack", str(packed), str(rig.folder / "x"), "--board", "fb", state=False)
    assert (status, "header already" in err) == (3, True)
    assert rig.run("pack", str(raw), str(rig.folder / "x"), "--board", "acme", state=False)[0] == 2
    assert not (rig.folder / "x").exists()
    nowhere = rig.folder / "nowhere" / "x.fw"
    status, _, err = rig.run("pack", str(raw), str(nowhere), "--board", "fb", state=False)
    assert status == 1 and err == f"timecard: {nowhere}: pack: No such file or directory\n"


def test_a_disk_that_is_full_leaves_no_half_image(rig: Rig) -> None:
    raw, packed = rig.folder / "raw.bin", rig.folder / "packed.bin"
    raw.write_bytes(DATA[16:])
    limited = (
        "import resource, sys; from timecard.cli.main import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); sys.exit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", limited, "flash", "pack", str(raw), str(packed), "--board", "fb"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"timecard: {packed}: pack: File too large\n")
    assert not packed.exists()


def test_state_is_kept_where_the_product_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert common.state_root(tmp_path) == tmp_path
    monkeypatch.setenv("STATE_DIRECTORY", "/a:/b")
    assert common.state_root(None) == Path("/a")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert common.state_root(None) == Path("/var/lib/time-appliance")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert common.state_root(None) == tmp_path / "time-appliance"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/x")
    assert common.state_root(None) == Path("/home/x/.local/state/time-appliance")


class PciCard:
    """As much of a card as the search for its users needs."""

    def __init__(self, access_path: str) -> None:
        self.access_path = access_path
        self.board = BOARDS["fb"]


def test_programs_that_map_the_registers_are_found(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    for pid, maps in ((41, "/sys/devices/pci0000:00/0000:3b:00.0/resource0\n"), (42, "/lib/x.so\n")):
        (proc / str(pid)).mkdir(parents=True)
        (proc / str(pid) / "maps").write_text(f"7f00-7f10 rw-s 0 00:15 7 {maps}")
        (proc / str(pid) / "comm").write_text("time-appliance\n")
    device = tmp_path / "sys/devices/pci0000:00/0000:3b:00.0"
    device.mkdir(parents=True)
    (tmp_path / "sys/bus/pci/devices").mkdir(parents=True)
    (tmp_path / "sys/bus/pci/devices/0000:3b:00.0").symlink_to(device)
    (tmp_path / "sys/class/timecard/ocp0").mkdir(parents=True)
    (tmp_path / "sys/class/timecard/ocp0/device").symlink_to(device)

    def users(access_path: str) -> tuple[Holder, ...]:
        card: Any = PciCard(access_path)
        return flash_users.users_of(card, tmp_path / "sys", proc)

    assert users("pci:0000:3b:00.0") == (Holder(41, "time-appliance"),)
    assert users("kernel:ocp0") == (Holder(41, "time-appliance"),)
    assert users("pci:0000:3c:00.0") == ()
    assert users("vfio-user:/run/card.sock") == ()
