"""`timecard mac status | steer | discipline | upgrade | log`: on emulated cards, and on a plain port."""

from __future__ import annotations

import csv
import functools
import io
import json
import os
import pty
import select
import subprocess
import sys
import threading
import time
import tty
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import LIMIT_S, Answer, answer_of, emulated, eventually, facts_of
from tests.unit.emulator_devices.wire import START_NS, SteadyPulses
from timecard.cli.mac_status import ABOVE
from timecard.emulator.csac import EmulatedCsac
from timecard.emulator.models import OSCILLATORS
from timecard.emulator.oscillator import model_oscillator
from timecard.emulator.sa5x import EmulatedSa5x
from timecard.emulator.sa5x_loader import build_image
from timecard.emulator.serial_part import SerialPart
from timecard.mac.oscillators.sa5x_tables import READINGS

Run = Callable[..., Answer]


@pytest.fixture(scope="module")
def csac(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("csac") / "card.sock"
    with emulated("--vfio-user", path, "--mac", "csac"):
        yield path


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("art") / "card.sock"
    with emulated("--vfio-user", path, "--board", "art"):
        yield path


@pytest.fixture(scope="module")
def sa53(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("sa53") / "card.sock"
    with emulated("--vfio-user", path, "--mac", "sa53", "--mac-firmware", "1.0.4"):
        yield path


@pytest.fixture
def quartz(tmp_path: Path) -> Iterator[Path]:
    with emulated("--vfio-user", tmp_path / "card.sock", "--mac", "quartz"):
        yield tmp_path / "card.sock"


class PtyPart:
    """A part behind a pseudo terminal, in real time."""

    def __init__(self, part: SerialPart) -> None:
        self.part = part
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self.path = Path(os.ttyname(slave))
        self._slave = slave
        self._begun_ns = time.monotonic_ns() - 3 * 10**9
        self._ending = False
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def close(self) -> None:
        self._ending = True
        self._thread.join(LIMIT_S)
        os.close(self._master)
        os.close(self._slave)

    def _carry(self) -> None:
        while not self._ending:
            t_ns = START_NS + time.monotonic_ns() - self._begun_ns
            if select.select([self._master], [], [], 0.001)[0]:
                self.part.receive(os.read(self._master, 4096), t_ns)
            data = self.part.transmit(t_ns)
            if data:
                os.write(self._master, data)


@pytest.fixture
def on_pty() -> Iterator[Callable[[SerialPart], PtyPart]]:
    opened: list[PtyPart] = []

    def make(part: SerialPart) -> PtyPart:
        opened.append(PtyPart(part))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return functools.partial(answer_of, capsys)


def received(raw_log: str) -> bytes:
    """What a pack's part said. One answer may have come in several reads, each with a line of its own."""
    entries = (entry.split() for entry in raw_log.splitlines())
    return b"".join(bytes.fromhex(entry[-1]) for entry in entries if entry[1] == "RX")


def parts() -> tuple[Any, SteadyPulses]:
    return model_oscillator(OSCILLATORS["csac"], 1, START_NS), SteadyPulses()


# --- status ---


def test_status_of_a_csac(csac: Path, run: Run) -> None:
    facts = facts_of(run("mac", "status", "--vfio-user", csac, "--json"))
    assert (facts["part"]["family"], facts["part"]["serial"]) == ("csac", "1209CS00909")
    assert facts["status"]["locked"] is True
    assert facts["way"] == "57600 baud"
    assert facts["faults"] == {}
    assert facts["writes"] == {"today": 0, "life": 0, "limit_per_day": 24, "limit_per_life": 10_000}
    assert {reading["name"] for reading in facts["status"]["readings"]} >= {"Contrast", "HeatP"}
    status, out, err = run("mac", "status", "--vfio-user", csac)
    assert (status, err) == (0, "")
    assert "csac" in out
    assert "lock         locked" in out
    assert "DiscOK       off" in out
    assert "writes       0 of 10000 non-volatile ones by this program (0 of 24 today)" in out
    names = [line.split("  ")[0] for line in out.splitlines()]
    assert not {"Steer", "Phase", "Temp"} & set(names)
    assert "Contrast" in names


def test_a_quartz_card_tells_its_temperature_once_the_pins_are_i2c(quartz: Path, run: Run) -> None:
    at = ("--vfio-user", quartz)
    facts = facts_of(run("mac", "status", "--pins", "i2c", *at, "--json"))
    assert (facts["part"]["family"], facts["way"], facts["capabilities"]) == ("quartz", "I2C", [])
    assert 20_000 < facts["status"]["temperature_mdegc"] < 60_000
    assert facts["status"]["temperature_mdegc"] % 125 == 0
    named = facts_of(run("mac", "status", "--family", "rod2522", *at, "--json"))
    assert (named["part"]["family"], named["part"]["model"]) == ("rod2522", "ROD2522S2")
    status, _, err = run("mac", "status", "--family", "sa5x", *at)
    assert status == 1 and "quartz answers, not sa5x" in err
    status, _, err = run("mac", "status", "--family", "rubidium", *at)
    assert status == 2 and "rod2522" in err
    status, out, _ = run("mac", "status", *at)  # the card remembers
    assert status == 0 and "temperature" in out and "degC" in out
    assert run("mac", "steer", "1", *at)[0] == 3


def test_status_of_an_sa5x_says_each_thing_once(on_pty: Callable[[SerialPart], PtyPart], run: Run) -> None:
    line = on_pty(EmulatedSa5x(*parts(), START_NS))
    status, out, err = run("mac", "status", "--port", line.path)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    width = len("DisciplineThresholdPps0")
    assert all(line[width] == " " and line[width + 1] != " " for line in lines)
    told = {line[:width].strip(): line[width + 1 :] for line in lines}
    assert len(told) == len(lines)
    assert told["PpsWidth"].partition(" ")[0].isdecimal()
    assert not ABOVE["sa5x"] & set(told)
    assert ABOVE["sa5x"] <= set(READINGS)
    assert "None" not in out


def test_status_of_an_mro50_by_registers(art: Path, run: Run) -> None:
    facts = eventually(
        lambda: facts_of(run("mac", "status", "--vfio-user", art, "--json")),
        lambda facts: facts["status"]["locked"],
    )
    assert (facts["part"]["family"], facts["way"]) == ("mro50", "registers")
    assert facts["status"]["locked"]
    assert facts["limit_ppb"] == pytest.approx(2.4)


def test_status_on_a_plain_port(on_pty: Callable[[SerialPart], PtyPart], run: Run) -> None:
    line = on_pty(EmulatedCsac(*parts(), START_NS))
    facts = facts_of(run("mac", "status", "--port", line.path, "--json"))
    assert (facts["part"]["family"], facts["place"]) == ("csac", str(line.path))


def test_a_port_held_by_another_program_is_named(on_pty: Callable[[SerialPart], PtyPart], run: Run) -> None:
    line = on_pty(EmulatedCsac(*parts(), START_NS))
    script = "import sys, time; port = open(sys.argv[1], 'rb', 0); print('open', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", script, str(line.path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        status, out, err = run("mac", "status", "--port", line.path)
    finally:
        holder.kill()
        holder.communicate()
    assert (status, out) == (1, "")
    assert f"process {holder.pid}" in err


def test_no_such_port(run: Run) -> None:
    status, out, err = run("mac", "status", "--port", "/dev/nothing-here")
    assert (status, out) == (1, "")
    assert "/dev/nothing-here" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("status", "--port", "/dev/x", "--id", "1"), "--port is a serial port of its own"),
        (("steer", "--port", "/dev/x"), "say how much in PPB"),
        (("discipline", "on", "--port", "/dev/x"), "on needs --time-constant"),
        (("discipline", "off", "--time-constant", "5", "--port", "/dev/x"), "off takes none of"),
        (("discipline", "maybe", "--port", "/dev/x"), "maybe"),
    ],
)
def test_wrong_commands(argv: tuple[str, ...], message: str, run: Run) -> None:
    status, out, err = run("mac", *argv)
    assert (status, out) == (2, "")
    assert message in err
    assert f"(see timecard mac {argv[0]} --help)" in err


# --- steering ---


def test_steering_says_what_is_in_force(csac: Path, run: Run) -> None:
    facts = facts_of(run("mac", "steer", "--vfio-user", csac, "--json", "--", "-1.23456"))
    assert facts["in_force_ppb"] == pytest.approx(-1.235)
    assert facts["resolution_ppb"] == pytest.approx(0.001)
    again = facts_of(run("mac", "status", "--vfio-user", csac, "--json"))
    assert again["status"]["frequency_ppb"] == pytest.approx(-1.235)
    status, out, err = run("mac", "steer", "3000", "--vfio-user", csac)
    assert (status, out) == (2, "")
    assert "-2000 to 2000" in err


def test_its_own_loop_is_not_steered_against(csac: Path, run: Run) -> None:
    on = ("mac", "discipline", "on", "--time-constant", "100", "--vfio-user", csac, "--json")
    assert facts_of(run(*on))["disciplining"] is True
    status, out, err = run("mac", "steer", "1", "--vfio-user", csac, "--json")
    assert status == 3
    assert "--take-over" in json.loads(out)["refusals"][0]
    assert "--take-over" in err
    facts = facts_of(run("mac", "steer", "1", "--take-over", "--vfio-user", csac, "--json"))
    assert (facts["disciplining"], facts["in_force_ppb"]) == (False, 1.0)
    writes = facts_of(run("mac", "status", "--vfio-user", csac, "--json"))["writes"]
    assert writes["life"] == 2


def test_what_a_part_cannot_do_is_refused(art: Path, run: Run) -> None:
    status, out, err = run("mac", "discipline", "on", "--time-constant", "100", "--vfio-user", art)
    assert (status, out) == (3, "")
    assert "a mro50 cannot discipline; it can: latch, steer" in err
    facts = facts_of(run("mac", "steer", "0.3", "--vfio-user", art, "--json"))
    assert facts["in_force_ppb"] == pytest.approx(0.3)


def test_a_part_that_cannot_store_is_not_touched(csac: Path, run: Run) -> None:
    before = facts_of(run("mac", "status", "--vfio-user", csac, "--json"))
    for argv in (("steer", "7", "--store"), ("discipline", "on", "--time-constant", "100", "--store")):
        status, out, err = run("mac", *argv, "--vfio-user", csac)
        assert (status, out) == (3, "")
        assert "a csac cannot store" in err
    status, out, err = run("mac", "discipline", "on", "--time-constant", "5", "--vfio-user", csac)
    assert (status, out) == (3, "")
    assert "10 to 10000 s" in err
    after = facts_of(run("mac", "status", "--vfio-user", csac, "--json"))
    assert after["status"]["frequency_ppb"] == before["status"]["frequency_ppb"]
    assert after["writes"] == before["writes"]


def test_folded_steering_is_told(on_pty: Callable[[SerialPart], PtyPart], run: Run) -> None:
    line = on_pty(EmulatedCsac(*parts(), START_NS))
    status, out, err = run("mac", "steer", "2", "--latch", "--port", line.path)
    assert (status, err) == (0, "")
    assert "in force     0.000000 ppb" in out
    assert "folded       2.000000 ppb into the base frequency" in out


def test_a_latch_that_would_not_last_is_refused(on_pty: Callable[[SerialPart], PtyPart], run: Run) -> None:
    line = on_pty(EmulatedSa5x(*parts(), START_NS))
    status, out, err = run("mac", "steer", "2", "--latch", "--port", line.path)
    assert (status, out) == (3, "")
    assert "give --store as well" in err
    facts = facts_of(run("mac", "status", "--port", line.path, "--json"))
    assert (facts["status"]["frequency_ppb"], facts["writes"]["life"]) == (0.0, 0)
    steer = ("mac", "steer", "2", "--latch", "--store", "--take-over", "--port", line.path, "--json")
    facts = facts_of(run(*steer))
    assert facts["folded_ppb"] == pytest.approx(2.0)


# --- firmware ---


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "new.cfw"
    path.write_bytes(build_image("V1.6.5.669A7202", 4_000))
    return path


def test_an_upgrade(sa53: Path, image: Path, run: Run) -> None:
    facts = facts_of(run("mac", "upgrade", image, "--dry-run", "--vfio-user", sa53, "--json"))
    assert facts["running"] == "V1.0.4.0.5ADA4E31,V1.0"
    assert (facts["ok"], facts["condition"], facts["image_version"]) == (True, "running", "V1.6.5.669A7202")
    status, out, err = run("mac", "upgrade", image, "--vfio-user", sa53)
    assert (status, err) == (0, "")
    assert "runs now     V1.6.5.0.669A7202,V1.0" in out
    status, out, err = run("mac", "upgrade", image, "--vfio-user", sa53, "--json")
    assert status == 3
    assert "is not newer than" in json.loads(out)["refusals"][0]


def test_a_wrong_file_is_refused_before_anything_is_opened(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "wrong.cfw"
    path.write_bytes(bytes(5_000))
    status, out, err = run("mac", "upgrade", path, "--port", "/dev/nothing-here")
    assert (status, out) == (3, "")
    assert "no footer" in err


def test_a_part_of_another_family_takes_no_firmware(
    on_pty: Callable[[SerialPart], PtyPart], image: Path, run: Run
) -> None:
    line = on_pty(EmulatedCsac(*parts(), START_NS))
    status, out, err = run("mac", "upgrade", image, "--port", line.path)
    assert (status, out) == (3, "")
    assert "a csac cannot upgrade; it can: " in err


def test_a_part_without_firmware_is_logged_named_and_repaired(
    on_pty: Callable[[SerialPart], PtyPart], image: Path, tmp_path: Path, run: Run
) -> None:
    line = on_pty(EmulatedSa5x(*parts(), START_NS, firmware=None))
    pack = tmp_path / "ill.zip"
    facts = facts_of(run("mac", "log", pack, "--seconds", "1", "--port", line.path, "--json"))
    assert (facts["part"], facts["rounds"]) == (None, 0)
    assert "an SA5X without firmware" in facts["failures"][0]
    with zipfile.ZipFile(pack) as archive:
        assert b"[!1]" in received(archive.read("raw.log").decode())
    facts = facts_of(run("mac", "upgrade", image, "--port", line.path, "--json"))
    assert (facts["condition"], facts["resumes"]) == ("no firmware", True)
    assert facts["after"].startswith("V1.6.5")


# --- log ---


def test_a_log_has_bytes_telemetry_and_no_host(
    on_pty: Callable[[SerialPart], PtyPart], tmp_path: Path, run: Run
) -> None:
    line = on_pty(EmulatedCsac(*parts(), START_NS))
    pack = tmp_path / "pack.zip"
    argv = ("mac", "log", pack, "--seconds", "1", "--interval", "0.25", "--remark", "drifts")
    facts = facts_of(run(*argv, "--port", line.path, "--json"))
    assert 1 <= facts["rounds"] <= 4
    assert facts["failures"] == []
    with zipfile.ZipFile(pack) as archive:
        assert sorted(archive.namelist()) == ["pack.json", "raw.log", "telemetry.csv"]
        raw, table, about = (
            archive.read(name).decode() for name in ("raw.log", "telemetry.csv", "pack.json")
        )
    for entry in raw.splitlines():
        when, kind, rest = entry.split(" ", 2)
        text, data = rest.rsplit(" ", 1)
        assert abs(int(when) / 1e9 - time.time()) < 300
        assert kind in ("TX", "RX", "MARK")
        assert text[0] == text[-1] == '"'
        bytes.fromhex(data)
    assert ' TX "^" 5e\n' in raw
    found = list(csv.DictReader(io.StringIO(table)))
    assert len(found) == facts["rounds"]
    assert found[0]["locked"] == "1"
    about_facts = json.loads(about)
    assert (about_facts["remark"], about_facts["part"]["serial"]) == ("drifts", "1209CS00909")
    assert set(about_facts["versions"]) == {"timecard-toolkit", "python", "kernel"}
    assert os.uname().nodename not in about
    assert run(*argv, "--port", line.path)[0] == 2  # it exists
