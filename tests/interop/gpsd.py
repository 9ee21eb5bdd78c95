"""Debian's gpsd, and what it tells its clients."""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

START_S: Final = 30.0
WATCH_S: Final = 60.0
MAX_LATE_S: Final = 10.0
"""A report is out within the second after its own; a busy machine may be late, but no leap seconds."""

Report = dict[str, Any]


@contextlib.contextmanager
def gpsd(source: str, *options: str) -> Iterator[int]:
    """gpsd on a receiver, at a port of its own on loopback; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # As root gpsd gives its rights up and could not open a terminal again: it is opened before (-n).
    process = subprocess.Popen(
        ["gpsd", "-N", "-n", *options, "-S", str(port), source],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(START_S)


def reports(port: int) -> Iterator[Report]:
    """What gpsd tells its clients, until ``WATCH_S`` are over."""
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


def first_fix(port: int) -> tuple[Report, list[Report]]:
    """The first report of a 3D fix with a time, and all reports before it; place and time are checked."""
    seen = []
    for report in reports(port):
        seen.append(report)
        if report["class"] == "TPV" and report.get("mode") == 3 and "time" in report:
            now = datetime.datetime.now(datetime.UTC)
            late_s = (now - datetime.datetime.fromisoformat(report["time"])).total_seconds()
            assert 0.0 <= late_s < MAX_LATE_S
            assert report["lat"] == pytest.approx(47.3769, abs=1e-6)
            assert report["lon"] == pytest.approx(8.5417, abs=1e-6)
            return report, seen
    raise AssertionError(f"no 3D fix: {seen[-3:]}")
