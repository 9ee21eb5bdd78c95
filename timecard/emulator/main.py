"""The emulator as a process of its own: one card behind a vfio-user socket, and its control socket."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final

from timecard.emulator.arguments import PROGRAM, Arguments, parse
from timecard.emulator.card_control import control_handler
from timecard.emulator.control import ControlServer, control_path, request
from timecard.emulator.faults import PolledAgenda
from timecard.emulator.options import OptionError
from timecard.emulator.receiver_main import LiveReceiver
from timecard.emulator.vfio_user_device import VfioUserDevice
from timecard.emulator.vfio_user_server import VfioUserServer
from timecard.emulator.virtual_card import VirtualCard
from timecard.emulator.world import HostWorldTime
from timecard.errors import TimeCardError
from timecard.timescale import NS_PER_S

MAX_WAIT_S: Final = 0.5
EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


def serve(argv: Sequence[str]) -> int:
    """Run ``timecard emulate`` with these arguments; returns the exit status, after one line for an error."""
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)
    try:
        arguments = parse(argv)
        if arguments.requests:
            _ask(arguments)
            return EXIT_OK
        emulator = (
            LiveReceiver(arguments.options, arguments.path)
            if arguments.receiver_only
            else LiveEmulator(arguments)
        )
    except OptionError as error:
        return _fail(error, EXIT_USAGE)
    except (ValueError, TimeCardError, OSError) as error:
        return _fail(error, EXIT_FAILED)
    return _run(emulator, arguments)


class LiveEmulator:
    """One card, served until a signal, ``stop`` or the end of a series that does not repeat."""

    def __init__(self, arguments: Arguments) -> None:
        """Make the card and bind both sockets; raises ``ValueError``, ``TimeCardError`` or ``OSError``."""
        options = arguments.options
        self._world = HostWorldTime(options.world_offset_ns, options.world_rate_ppb)
        self._agenda = PolledAgenda()
        self.card = VirtualCard(options, self._world, self._agenda, name=f"virtual card {arguments.path}")
        self._server = VfioUserServer(arguments.path, VfioUserDevice(self.card.fpga), self._world)
        try:
            handler = control_handler(self.card)
            self._control = ControlServer(control_path(arguments.path), handler, self._server)
        except OSError:
            self._server.close()
            raise
        self._stopping = False

    def run(self) -> None:
        """Serve."""
        end_ns = self.card.series_end_tai_ns
        while not self._stopping:
            now_ns = self._world.true_tai_ns()
            self._agenda.run_due(now_ns)
            if end_ns is not None and now_ns >= end_ns:
                sys.stderr.write(f"{PROGRAM}: the recorded series has ended\n")
                return
            until_ns = min(self._agenda.next_ns(), end_ns or self._agenda.next_ns())
            self._server.step(max(0.0, min(MAX_WAIT_S, (until_ns - now_ns) / NS_PER_S)))

    def stop(self) -> None:
        """End ``run``; from any thread or a signal handler."""
        self._stopping = True
        self._server.stop()

    def close(self) -> None:
        """Close both sockets and remove their files."""
        self._control.close()
        self._server.close()


def _run(emulator: LiveEmulator | LiveReceiver, arguments: Arguments) -> int:
    def end(signum: int, frame: FrameType | None) -> None:
        emulator.stop()

    handlers = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ready = f"ready vfio-user={arguments.path} control={control_path(arguments.path)}"
        if arguments.receiver_only:
            ready = f"ready pty={arguments.path}"
        sys.stdout.write(f"{ready}\n")
        sys.stdout.flush()
        emulator.run()
    finally:
        emulator.close()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return EXIT_OK


def _ask(arguments: Arguments) -> None:
    """Send the requests to the emulator that runs and print what it answers."""
    for message in arguments.requests:
        reply: dict[str, Any] = request(arguments.path, message)
        sys.stdout.write(f"{json.dumps(reply)}\n")


def _fail(error: Exception, status: int) -> int:
    sys.stderr.write(f"{PROGRAM}: {error}\n")
    return status
