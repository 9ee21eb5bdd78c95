"""Two appliances on two hosts poll each other by SPTP: the one whose world drifts is named by the other."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.core_report import CoreReport
from appliance.ensemble_report import MemberReport
from appliance.ipc import CoreClient, CoreError
from appliance.snapshot import ClockState
from tests.netns import Namespace, Pair

WAIT_S = 240
DRIFT_PPB = 50_000.0


@dataclass
class Host:
    """An appliance in a namespace."""

    core: CoreClient
    card_socket: Path

    def report(self) -> CoreReport | None:
        try:
            return self.core.report()
        except CoreError:
            return None

    def other(self) -> MemberReport | None:
        report = self.report()
        members = report.ensemble.members if report else ()
        return next((member for member in members if member.name == "other"), None)

    def stands(self, standing: str) -> bool:
        other = self.other()
        return other is not None and other.standing == standing

    def locked(self) -> bool:
        report = self.report()
        return report is not None and report.clock.state is ClockState.LOCKED

    def drift(self) -> None:
        """From now on the true time of its world runs fast."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(f"{self.card_socket}.ctl")
            sock.sendall(json.dumps({"do": "set-world", "rate_ppb": DRIFT_PPB}).encode() + b"\n")
            assert sock.makefile().readline()


def _program(module: str, *arguments: Any) -> list[str]:
    return [sys.executable, "-P", "-c", f"from {module} import main; main()", *map(str, arguments)]


@contextmanager
def _host(space: Namespace, folder: Path, peer: str, seed: int) -> Iterator[Host]:
    folder.mkdir()
    card, config = folder / "card.sock", folder / "appliance.toml"
    config.write_text(f'[[peers]]\nname = "other"\naddress = "{peer}"\n', encoding="utf-8")
    with (folder / "log").open("w") as log:
        emulate = _program("timecard.cli.main", "emulate", "--vfio-user", card, "--seed", seed)
        emulator = space.start(*emulate, stdout=log)
        try:
            _wait(lambda: Path(f"{card}.ctl").exists())
            core = space.start(
                *_program("api.main", "core", "--config", config, "--vfio-user", card),
                *("--runtime-dir", folder / "run", "--state-dir", folder / "state"),
                stdout=log,
            )
            try:
                yield Host(CoreClient(folder / "run" / "core.sock"), card)
            finally:
                space.stop(core)
        finally:
            space.stop(emulator)


def _wait(condition: Callable[[], bool], said: Callable[[], object] = lambda: "") -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.3)


@pytest.mark.full
@pytest.mark.netns
@pytest.mark.timeout(1500)
def test_two_appliances_watch_each_other(pair: Pair, tmp_path: Path) -> None:
    with ExitStack() as stack:
        one = stack.enter_context(_host(pair.server, tmp_path / "one", pair.client.ipv4, 1))
        two = stack.enter_context(_host(pair.client, tmp_path / "two", pair.server.ipv4, 2))
        for host in (one, two):
            _wait(host.locked, host.report)
        for host in (one, two):
            _wait(lambda host=host: host.stands("member"), host.report)  # type: ignore[misc]  # a default
        two.drift()
        _wait(lambda: one.stands("evicted"), one.report)
        other = one.other()
        assert other is not None
        assert other.evidence
        assert one.locked(), "the other's fault is not ours"
