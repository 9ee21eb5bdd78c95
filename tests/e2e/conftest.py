"""The appliance as a user starts it: one command, real processes, unprivileged ports, folders of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest


def free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Appliance:
    """A running ``time-appliance run --virtual``."""

    process: subprocess.Popen[str]
    runtime: Path
    ports: tuple[int, int]
    api_port: int
    lines: list[str] = field(default_factory=list)

    @property
    def card_socket(self) -> Path:
        return self.runtime / "virtual-card.sock"

    def wait_line(self, words: str, timeout_s: float) -> str:
        found = self.wait_for(lambda: next((line for line in self.lines if words in line), None), timeout_s)
        assert found, f"no line with {words!r} within {timeout_s} s; there were:\n" + "\n".join(self.lines)
        return str(found)

    def wait_for(self, condition: Callable[[], Any], timeout_s: float) -> Any:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            if self.process.poll() is not None:
                return condition()
            time.sleep(0.05)
        return None

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.api_port}/api/v1/{path}", timeout=5)

    def state(self) -> str | None:
        try:
            return str(self.get("health").json()["state"])
        except (httpx.HTTPError, KeyError, ValueError):
            return None

    def control(self, **request: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(self.card_socket) + ".ctl")
            sock.sendall(json.dumps(request).encode() + b"\n")
            reply: dict[str, Any] = json.loads(sock.makefile().readline())
        return reply

    def children(self) -> dict[str, int]:
        """Name of our own program -> pid, of the supervisor's children."""
        found: dict[str, int] = {}
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in task.read_text().split():
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            words = [part.decode() for part in command]
            for name in ("emulate", "core", "api"):
                if name in words:
                    found[name] = int(pid)
        return found

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Ctrl-C, and its end."""
        self.process.send_signal(number)
        self.process.wait(30)


def program(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-c", f"from {module} import main; main()", *arguments]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Appliance]]:
    """Starts appliances; ends those that the test left running."""
    running: list[Appliance] = []

    def begin(*arguments: str, runtime: Path | None = None, virtual: bool = True) -> Appliance:
        runtime = runtime or tmp_path / "run"
        ports = (free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM))
        api_port = free_port(socket.SOCK_STREAM)
        command = program(
            "api.main",
            "run",
            *(["--virtual"] if virtual else []),
            *("--ports", f"{ports[0]},{ports[1]}"),
            *("--api-port", str(api_port)),
            *("--runtime-dir", str(runtime)),
            *("--state-dir", str(tmp_path / "state")),
            *arguments,
        )
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        appliance = Appliance(process, runtime, ports, api_port)

        def collect() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                appliance.lines.append(line.rstrip())

        threading.Thread(target=collect, daemon=True).start()
        running.append(appliance)
        return appliance

    yield begin
    for appliance in running:
        if appliance.process.poll() is None:
            appliance.stop(signal.SIGTERM)
        if appliance.process.stdout is not None:
            appliance.process.stdout.close()
