"""Debian's gpsd and ubxtool on emulated receivers: the emulators' bytes are judged by somebody else."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.interop.gpsd import START_S, first_fix, gpsd, reports
from tests.netns import missing

BOOT_S: Final = 1.5
"""A receiver listens about a second after it was switched on."""
BAUD: Final = 115_200
SPEED: Final = termios.B115200
TIME_ONLY: Final = 7
"""gpsd's status for a receiver that knows its position and finds time alone."""
_EMULATE: Final = "import sys; from timecard.emulator.main import serve; sys.exit(serve(sys.argv[1:]))"
NMEA_ON: Final = b"setNMEAOutput, Stream1, COM1, GGA+GSA+GSV+RMC+ZDA, sec1\r"


@dataclass
class Receiver:
    """An emulated receiver and the terminal that it is behind."""

    path: Path
    process: subprocess.Popen[str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Receiver]]:
    """Starts emulated receivers and ends them."""
    for program in ("gpsd", "ubxtool"):
        if shutil.which(program) is None:
            missing(f"program {program} is not installed (Debian packages gpsd, gpsd-clients)")
    started: list[Receiver] = []

    def begin(kind: str) -> Receiver:
        path = tmp_path / kind
        command = [sys.executable, "-c", _EMULATE, "--pty", str(path), "--receiver", kind]
        command += ["--receiver-baud", str(BAUD)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        started.append(Receiver(path, process))
        assert process.stdout.readline() == f"ready pty={path}\n"
        time.sleep(BOOT_S)
        return started[-1]

    yield begin
    for receiver in started:
        receiver.process.terminate()
        receiver.process.communicate(timeout=START_S)
        assert not receiver.path.is_symlink(), "the link is removed"


def on_line(receiver: Receiver, *options: str) -> contextlib.AbstractContextManager[int]:
    return gpsd(str(receiver.path), "-s", str(BAUD), *options)


def check(fix: dict[str, Any]) -> None:
    assert float(fix["time"][17:-1]) % 1 == 0, "whole seconds"
    assert fix["altHAE"] == pytest.approx(470.0, abs=0.2)


def driver_of(seen: list[dict[str, Any]]) -> str:
    devices = [device for report in seen for device in (report, *report.get("devices", []))]
    named = [device for device in devices if "driver" in device]
    return str(named[-1]["driver"])


@pytest.mark.parametrize(("kind", "status"), [("f9t", TIME_ONLY), ("m8t", TIME_ONLY), ("m9n", None)])
def test_gpsd_configures_a_ublox_receiver_and_gets_a_fix(
    start: Callable[[str], Receiver], kind: str, status: int | None
) -> None:
    with on_line(start(kind)) as port:
        fix, seen = first_fix(port)
    check(fix)
    assert driver_of(seen) == "u-blox"
    assert fix.get("leapseconds") == 18
    assert fix.get("status") == status


def test_gpsd_reads_what_our_own_configuration_lets_the_receiver_say(
    start: Callable[[str], Receiver],
) -> None:
    """Read only (-b): a ZED-F9T and a NEO-F10T as this product configures them."""
    for kind in ("f9t", "f10t"):
        receiver = start(kind)
        configure(receiver.path)
        with on_line(receiver, "-b") as port:
            fix, seen = first_fix(port)
            check(fix)
            assert (driver_of(seen), fix["status"]) == ("u-blox", TIME_ONLY)
            sky = next(
                report for report in reports(port) if report["class"] == "SKY" and "satellites" in report
            )
        assert sum(satellite["used"] for satellite in sky["satellites"]) == 18


def configure(path: Path) -> None:
    """In a process of its own, so that nobody else has the terminal open."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from timecard.gnss.detect import detect\n"
        "from timecard.gnss.intent import TIME_CARD\n"
        "from timecard.kernel.serial_port import TtyStream\n"
        "from timecard.timebase import HostTimebase\n"
        "time = HostTimebase()\n"
        f"stream = TtyStream(Path(sys.argv[1]).resolve(), {BAUD}, 'gnss')\n"
        "found = detect(stream, time)\n"
        "found.driver.open(stream, time, TIME_CARD).start()\n"
        "stream.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_gpsd_reads_nmea(start: Callable[[str], Receiver]) -> None:
    with on_line(start("nmea")) as port:
        fix, seen = first_fix(port)
    check(fix)
    assert driver_of(seen) == "NMEA0183"


def test_gpsd_reads_the_nmea_of_a_mosaic(start: Callable[[str], Receiver]) -> None:
    """gpsd knows no SBF; the sentences are switched on by the receiver's own command."""
    receiver = start("mosaic")
    line = os.open(receiver.path, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(line)
        mode = termios.tcgetattr(line)
        mode[4] = mode[5] = SPEED
        termios.tcsetattr(line, termios.TCSANOW, mode)
        os.write(line, NMEA_ON)
        heard = b""
        while b"COM1>" not in heard and select.select([line], [], [], START_S)[0]:
            heard += os.read(line, 4096)
        assert b"$R: setNMEAOutput, Stream1, COM1, GGA+GSA+GSV+RMC+ZDA, sec1\r\n" in heard
    finally:
        os.close(line)
    with on_line(receiver) as port:
        fix, _ = first_fix(port)
    check(fix)


def test_ubxtool_polls_the_receiver(start: Callable[[str], Receiver]) -> None:
    receiver = start("f9t")

    def ubxtool(*arguments: str) -> str:
        command = ["ubxtool", "-f", str(receiver.path), "-s", str(BAUD), "-w", "2", "-P", "29.2", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    version = ubxtool("-p", "MON-VER")
    for text in ("FWVER=TIM 2.20", "PROTVER=29.20", "MOD=ZED-F9T", "EXT CORE 1.00 (3fda8e)"):
        assert text in version
    delay = ubxtool("-g", "CFG-TP-ANT_CABLEDELAY,0")
    assert re.search(r"CFG-TP-ANT_CABLEDELAY/0x30050001 val 50\b", delay), delay
    assert "UBX-ACK-ACK" in ubxtool("-z", "CFG-TP-ANT_CABLEDELAY,63,1")
    assert re.search(r"CFG-TP-ANT_CABLEDELAY/0x30050001 val 63\b", ubxtool("-g", "CFG-TP-ANT_CABLEDELAY,0"))
