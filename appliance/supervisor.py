"""``time-appliance run``: the whole appliance with one command.

Starts the emulated card (with ``--virtual``), ``core`` and ``api`` as processes of their own, tells when they
serve, restarts ``core`` and ``api`` when they die, and ends all of them on Ctrl-C. Under systemd the same two
programs run as two units and this module is not used.
"""

from __future__ import annotations

import ctypes
import dataclasses
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

from appliance.config import Config
from appliance.ipc import CoreClient, CoreError
from appliance.run_options import RunOptions
from appliance.state_directory import prepare

STOP_S: Final = 10.0
"""What a process gets between SIGTERM and SIGKILL. It needs a fraction of a second where nothing hangs, and
core's own limits (sources, disk) are shorter: what it knows is written even on a busy host."""
RESTART_S: Final = (0.2, 1.0, 3.0)
STABLE_S: Final = 30.0
"""A process that ran this long starts with fresh patience."""
START_S: Final = 30.0
POLL_S: Final = 0.05
FALLBACK_PORTS: Final = (10319, 10320)
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

    def launch(self, child: Child) -> None:
        """Start ``child``; ``wait`` tells when it is ready."""
        child.start()
        self._children.append(child)

    def wait(self, child: Child, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait until ``ready`` says that ``child`` does its work."""
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


def may_bind(ports: tuple[int, int]) -> bool:
    """Whether we have the right to bind the PTP ports; being in use is another matter."""
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EPERM):
                    return False
    return True


def socket_listens(path: Path) -> bool:
    """Somebody accepts connections at this UNIX socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
    return True


def run(options: RunOptions) -> int:
    """The command; the exit status."""
    config = options.load()
    if options.fast:
        # numpy and the emulator are not needed to start three processes
        from appliance import simulate

        return simulate.run(options, config)
    supervisor = Supervisor(_say)
    supervisor.install_signals()
    try:
        options, config = _choose_ports(options, config)
        return _run(supervisor, options, config)
    except (StartError, CoreError, OSError) as error:
        _say(str(error))
        return 1
    finally:
        supervisor.stop()


def _say(text: str) -> None:
    sys.stdout.write(f"time-appliance: {text}\n")
    sys.stdout.flush()


def _choose_ports(options: RunOptions, config: Config) -> tuple[RunOptions, Config]:
    """Without the right to the PTP ports a run that did not ask for them uses others, and says so.

    Ports that were asked for are never replaced: core then says what is missing.
    """
    asked = options.overrides.ports is not None or "ports" in config.ptp.model_fields_set
    if asked or not config.ptp.enable or may_bind(config.ptp.ports):
        return options, config
    _say(
        f"no right to bind UDP {config.ptp.ports[0]} and {config.ptp.ports[1]}: serving on"
        f" {FALLBACK_PORTS[0]} and {FALLBACK_PORTS[1]} (root or CAP_NET_BIND_SERVICE gives the standard ones)"
    )
    overrides = dataclasses.replace(options.overrides, ports=FALLBACK_PORTS)
    options = dataclasses.replace(options, overrides=overrides)
    return options, options.load()


def _run(supervisor: Supervisor, options: RunOptions, config: Config) -> int:
    prepare(config.paths.runtime)
    prepare(config.paths.state)
    core = CoreClient(config.paths.core_socket)
    if _core_answers(core):
        raise StartError(
            f"an appliance already runs here (core answers at {config.paths.core_socket}); stop it, or give"
            " another --runtime-dir and other ports"
        )
    essential: frozenset[str] = frozenset()
    if options.virtual:
        card = config.card.vfio_user or config.paths.runtime / "virtual-card.sock"
        overrides = dataclasses.replace(options.overrides, vfio_user=card)
        options = dataclasses.replace(options, overrides=overrides)
        command = program(
            "timecard.cli.main", "emulate", "--vfio-user", str(card), *_emulator_arguments(options)
        )
        emulator = Child("virtual card", command)
        supervisor.launch(emulator)
        control = card.with_name(card.name + ".ctl")
        supervisor.wait(emulator, lambda: socket_listens(control), timeout_s=START_S)
        essential = frozenset({"virtual card"})
    arguments = options.arguments()
    wanted: list[tuple[Child, Callable[[], bool]]] = [
        (Child("core", program("api.main", "core", *arguments)), lambda: _core_answers(core))
    ]
    if config.api.enable:
        api = Child("api", program("api.main", "api", *arguments))
        wanted.append((api, lambda: socket_listens(config.paths.api_socket)))
    for child, _ready in wanted:
        supervisor.launch(child)
    for child, ready in wanted:
        supervisor.wait(child, ready, timeout_s=START_S)
    if not supervisor.stopping:
        _say(_serving_line(config))
    return _watch(supervisor, core, essential, options.duration_s)


def _serving_line(config: Config) -> str:
    parts = []
    if config.ptp.enable:
        parts.append(f"PTP and SPTP on UDP {config.ptp.ports[0]}/{config.ptp.ports[1]}")
    if config.api.enable:
        parts.append(f"REST on http://{config.api.host}:{config.api.port}/api/v1/health")
    return "serving: " + ", ".join(parts or ["nothing (ptp and api are switched off)"]) + "; Ctrl-C ends it"


def _watch(
    supervisor: Supervisor, core: CoreClient, essential: frozenset[str], duration_s: float | None
) -> int:
    """Tell every change of state until the end."""
    started_s = time.monotonic()
    shown: tuple[str, int | None] | None = None
    next_look_s = 0.0
    while not supervisor.stopping:
        elapsed_s = time.monotonic() - started_s
        if duration_s is not None and elapsed_s >= duration_s:
            return 0
        dead = supervisor.watch_once(essential=essential)
        if dead is not None:
            _say(f"the {dead} ended; nothing can be served without it")
            return 1
        if elapsed_s >= next_look_s:
            next_look_s = elapsed_s + 0.5
            try:
                report = core.report()
            except CoreError:
                time.sleep(POLL_S)
                continue
            now = (report.clock.state.value, report.announced.clock_class)
            if now != shown:
                shown = now
                bound = report.bounds.card_ns
                _say(
                    f"{elapsed_s:7.1f} s  {now[0]}, clockClass {now[1]},"
                    f" bound {'unknown' if bound is None else f'{bound:.0f} ns'}: "
                    + ("; ".join(report.clock.reasons) or "-")
                )
        time.sleep(POLL_S)
    return 0


def _core_answers(core: CoreClient) -> bool:
    try:
        core.report()
    except CoreError:
        return False
    return True


def _emulator_arguments(options: RunOptions) -> list[str]:
    """The run's options as arguments of ``timecard emulate``."""
    pairs = (
        ("--gnss-phase", options.gnss_phase),
        ("--oscillator", options.oscillator),
        ("--mac", "none" if options.oscillator else None),
        ("--gnss-capture", options.gnss_capture),
        ("--faults", options.faults),
        ("--seed", options.seed),
        ("--start", "cold" if options.overrides.cold else None),
    )
    return [text for name, value in pairs if value is not None for text in (name, str(value))]
