"""Debian's gpsd watches a receiver through our tap, while our program holds the port."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.interop.gpsd import START_S, first_fix, gpsd
from tests.netns import missing

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


@pytest.mark.parametrize("option", ["-b", "-n"])
def test_gpsd_finds_fix_and_time_through_the_tap(tapped: str, option: str) -> None:
    """Read-only, and as it usually is: then it sends its own configuration, which ends at the tap."""
    with gpsd(f"tcp://{tapped}", option) as port:
        first_fix(port)
