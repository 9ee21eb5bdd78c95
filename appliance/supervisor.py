"""``time-appliance run``: the whole appliance with one command.

Starts the emulated card (with ``--virtual``), ``core`` and ``api`` as processes of their own, tells when they
serve, restarts ``core`` and ``api`` when they die, and ends all of them on Ctrl-C. Under systemd the same two
programs run as two units and this module is not used.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STOP_S: Final = 1.2
"""What a process gets between SIGTERM and SIGKILL: all of it has to end within two seconds of Ctrl-C."""
RESTART_S: Final = (0.2, 1.0, 3.0)
STABLE_S: Final = 30.0
"""A process that ran this long starts with fresh patience."""
PR_SET_PDEATHSIG: Final = 1


class StartError(Exception):
    """A process could not be started; the text is for the user."""


def program(module: str, *arguments: str) -> list[str]:
    """Command line of one of our own programs, whatever the current directory holds."""
    return [sys.executable, "-P", "-c", f"from {module} import main; main()", *arguments]


def _die_with_parent() -> None:
    """In the child: follow the supervisor even when it is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Child:
    """One process of the appliance."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    deaths: int = 0
    restart_at_s: float | None = None

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches the supervisor alone."""
        self.process = subprocess.Popen(
            list(self.command),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        self.started_s = time.monotonic()
        self.restart_at_s = None

    @property
    def alive(self) -> bool:
        """It is running."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to a running process."""
        if self.alive and self.process is not None:
            self.process.send_signal(number)


class Supervisor:
    """Starts in order, watches, stops in the reverse order."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._children: list[Child] = []
        self._stopping = False

    def install_signals(self) -> None:
        """Ctrl-C and SIGTERM end the run."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """The user asked to stop."""
        return self._stopping

    def start(self, child: Child, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Start ``child`` and wait until ``ready`` says so."""
        child.start()
        self._children.append(child)
        deadline_s = time.monotonic() + timeout_s
        while not self._stopping:
            if ready():
                return
            if not child.alive:
                raise StartError(f"{child.name} ended while starting (its message stands above)")
            if time.monotonic() > deadline_s:
                raise StartError(f"{child.name} was not ready within {timeout_s:g} s")
            time.sleep(0.02)

    def watch_once(self, *, essential: frozenset[str]) -> str | None:
        """Restart what died; the name of a dead essential process ends the run."""
        now_s = time.monotonic()
        for child in self._children:
            if child.alive:
                continue
            if child.name in essential:
                return child.name
            if child.restart_at_s is None:
                if now_s - child.started_s > STABLE_S:
                    child.deaths = 0
                pause_s = RESTART_S[min(child.deaths, len(RESTART_S) - 1)]
                child.deaths += 1
                child.restart_at_s = now_s + pause_s
                code = child.process.returncode if child.process else None
                self._say(f"{child.name} ended (status {code}); restarting it in {pause_s:g} s")
            elif now_s >= child.restart_at_s:
                child.start()
        return None

    def stop(self) -> None:
        """End every child: ask, wait, insist."""
        for child in reversed(self._children):
            child.signal(signal.SIGTERM)
        deadline_s = time.monotonic() + STOP_S
        for child in reversed(self._children):
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(f"{child.name} did not end within {STOP_S:g} s; killed")
                child.process.kill()
                child.process.wait()


def udp_ports_refused(ports: tuple[int, int]) -> str | None:
    """Why the PTP ports cannot be bound: ``"permission"``, ``"in use"`` or None."""
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EPERM):
                    return "permission"
                if error.errno == errno.EADDRINUSE:
                    return "in use"
                raise
    return None


def socket_listens(path: Path) -> bool:
    """Somebody accepts connections at this UNIX socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
    return True
