"""A PTP server of ours in a namespace, together with what it really serves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.interop.serving_process import read_clocks
from tests.netns import Pair

UTC_OFFSET_S = 37
IDENTITY = bytes.fromhex("b8cef6fffe0210e4")
ANNOUNCE = {
    "clock_class": 6,
    "clock_accuracy": 0x25,
    "offset_scaled_log_variance": 0x4E5D,
    "current_utc_offset": UTC_OFFSET_S,
    "flags": 0x3C,
    "time_source": 0x20,
    "priority1": 128,
    "priority2": 128,
    "steps_removed": 0,
}
"""UTC offset valid, PTP timescale, time and frequency traceable."""


@dataclass
class Served:
    """A running server. ``ahead_ns`` is the truth that clients are compared with."""

    address: str
    raw_ns: int
    tai_ns: int
    rate_ppb: float
    process: subprocess.Popen[str]

    def ahead_ns(self, realtime_ns: int) -> float:
        """Served time minus the host's (as TAI) at a recent CLOCK_REALTIME instant."""
        best_ns, raw_now_ns, realtime_now_ns = min(read_clocks() for _ in range(5))
        assert best_ns < 50_000, "the clocks of this host cannot be read closely enough"
        raw_ns = raw_now_ns - (realtime_now_ns - realtime_ns)
        elapsed_ns = raw_ns - self.raw_ns
        served_ns = self.tai_ns + elapsed_ns + round(elapsed_ns * self.rate_ppb * 1e-9)
        return float(served_ns - realtime_ns - UTC_OFFSET_S * 1_000_000_000)

    def stats(self) -> dict[str, int]:
        """The server's counters."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return dict(_answer(self.process))

    def stop(self) -> None:
        """End the server in good order."""
        _end(self.process)


def _end(process: subprocess.Popen[str]) -> None:
    """Let the server take leave of its clients."""
    assert process.stdin is not None
    process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("{"):
        raise AssertionError(f"the server ended: {line}{process.stdout.read()}")
    return dict(json.loads(line))


@contextmanager
def served(
    pair: Pair,
    family: str = "ipv4",
    *,
    world_offset_ns: int = 0,
    rate_ppb: float = 0.0,
    identity: bytes = IDENTITY,
    announce: dict[str, int] | None = None,
    **server_options: int | str,
) -> Iterator[Served]:
    """Serve host time as TAI, plus ``world_offset_ns``, running ``rate_ppb`` fast, at both addresses."""
    wanted = {
        "world_offset_ns": world_offset_ns,
        "rate_ppb": rate_ppb,
        "identity": identity.hex(),
        "announce": ANNOUNCE | (announce or {}),
        "server": {"addresses": [pair.server.ipv4, pair.server.ipv6], **server_options},
    }
    process = pair.server.start(
        sys.executable,
        Path(__file__).with_name("serving_process.py"),
        json.dumps(wanted),
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
    )
    try:
        started = _answer(process)
        assert started["timestamping"] == "software"
        yield Served(pair.addresses(family)[0], started["raw_ns"], started["tai_ns"], rate_ppb, process)
    finally:
        _end(process)
        pair.server.stop(process)
