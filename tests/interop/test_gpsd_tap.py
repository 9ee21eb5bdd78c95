"""Debian's gpsd watches a receiver through our tap, while our program holds the port."""

from __future__ import annotations

import datetime
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.netns import missing

START_S: Final = 30.0
WATCH_S: Final = 60.0
_CLI: Final = (sys.executable, "-m", "timecard.cli")


@pytest.fixture
def tapped(tmp_path: Path) -> Iterator[str]:
    """An emulated ZED-F9T, configured by us, and a tap on its line: the tap's address."""
    if shutil.which("gpsd") is None:
        missing("program gpsd is not installed (Debian package gpsd)")
    port = tmp_path / "tty"
    at = ("--port", str(port), "--baud", "115200")
    receiver = subprocess.Popen(
        [*_CLI, "emulate", "--pty", str(port), "--receiver", "f9t"], stdout=subprocess.PIPE, text=True
    )
    tapping = None
    try:
        assert receiver.stdout is not None
        assert receiver.stdout.readline().startswith("ready ")
        subprocess.run(
            [*_CLI, "gnss", "configure", "--time-card", *at, "--state", str(tmp_path)],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=START_S,
        )
        tapping = subprocess.Popen(
            [*_CLI, "gnss", "tap", "127.0.0.1:0", *at], stdout=subprocess.PIPE, text=True
        )
        assert tapping.stdout is not None
        ready, address = tapping.stdout.readline().split()
        assert ready == "ready"
        yield address
    finally:
        for process in (tapping, receiver):
            if process is not None:
                process.terminate()
                process.communicate(timeout=START_S)


def reports(port: int) -> Iterator[dict[str, Any]]:
    """What gpsd tells its clients."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            client = socket.create_connection(("127.0.0.1", port), timeout=WATCH_S)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "gpsd does not listen"
            time.sleep(0.1)
    deadline = time.monotonic() + WATCH_S
    with client, client.makefile("rb") as lines:
        client.sendall(b'?WATCH={"enable":true,"json":true};\n')
        for line in lines:
            yield json.loads(line)
            if time.monotonic() > deadline:
                return


@pytest.mark.parametrize("option", ["-b", "-n"])
def test_gpsd_finds_fix_and_time_through_the_tap(tapped: str, option: str) -> None:
    """Read-only, and as it usually is: then it sends its own configuration, which ends at the tap."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gpsd = subprocess.Popen(
        ["gpsd", "-N", "-n", option, "-S", str(port), f"tcp://{tapped}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        fix = next(
            report for report in reports(port)
            if report["class"] == "TPV" and report.get("mode") == 3 and "time" in report
        )  # fmt: skip
        now = datetime.datetime.now(datetime.UTC)
    finally:
        gpsd.terminate()
        gpsd.wait(START_S)
    late_s = (now - datetime.datetime.fromisoformat(fix["time"])).total_seconds()
    assert 0.0 <= late_s < 5.0
    assert fix["lat"] == pytest.approx(47.3769, abs=1e-6)
    assert fix["lon"] == pytest.approx(8.5417, abs=1e-6)
