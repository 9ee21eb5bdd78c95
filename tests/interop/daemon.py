"""The whole appliance in a namespace: a virtual card in a world of its own, ``core`` on top of it."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.core_report import CoreReport
from appliance.ipc import CoreClient, CoreError
from appliance.snapshot import ClockState
from tests.netns import Pair

LOCK_S = 120


@dataclass
class Daemon:
    """A locked appliance; the emulator tells the truth about it."""

    address: str
    card_socket: Path
    core: CoreClient
    rate_ppb: float

    def truth(self) -> dict[str, Any]:
        """What only the emulator knows."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(f"{self.card_socket}.ctl")
            sock.sendall(b'{"do": "truth"}\n')
            answer: dict[str, Any] = json.loads(sock.makefile().readline())
        return answer

    def ahead_ns(self, realtime_ns: int) -> float:
        """The card's time minus the host's (as TAI) at a recent CLOCK_REALTIME instant."""
        truth = self.truth()
        elapsed_ns = realtime_ns - int(truth["host_realtime_ns"])
        return float(truth["card_error_ns"] - truth["host_offset_ns"] + elapsed_ns * self.rate_ppb * 1e-9)

    def report(self) -> CoreReport:
        """What core says of itself."""
        return self.core.report()

    def stats(self) -> dict[str, int]:
        """Packet counters."""
        return self.report().ptp.counters


@contextmanager
def daemon(
    pair: Pair, folder: Path, family: str = "ipv4", *, world_offset_ns: int = 0, rate_ppb: float = 0.0
) -> Iterator[Daemon]:
    """Run the appliance in the server's namespace until it is locked."""
    card = folder / "card.sock"
    log = (folder / "daemon.log").open("w+")
    emulator = pair.server.start(
        *_program("timecard.cli.main"),
        "emulate",
        *("--vfio-user", card),
        *("--world-offset-ns", str(world_offset_ns)),
        *("--world-rate-ppb", str(rate_ppb)),
        stdout=log,
    )
    core = CoreClient(folder / "run" / "core.sock")
    try:
        _wait(lambda: Path(f"{card}.ctl").exists(), 20, log)
        process = pair.server.start(
            *_program("api.main"),
            "core",
            *("--vfio-user", card),
            *("--runtime-dir", folder / "run"),
            *("--state-dir", folder / "state"),
            stdout=log,
        )
        try:
            _wait(lambda: _locked(core), LOCK_S, log)
            yield Daemon(pair.addresses(family)[0], card, core, rate_ppb)
        finally:
            pair.server.stop(process)
    finally:
        pair.server.stop(emulator)
        log.close()


def _program(module: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-c", f"from {module} import main; main()")


def _locked(core: CoreClient) -> bool:
    try:
        return core.report().clock.state is ClockState.LOCKED
    except CoreError:
        return False


def _wait(condition: Any, timeout_s: float, log: Any) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            log.seek(0)
            raise AssertionError(f"not within {timeout_s} s:\n{log.read()}")
        time.sleep(0.2)
