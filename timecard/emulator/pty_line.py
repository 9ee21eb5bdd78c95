"""An emulated receiver behind a pseudo terminal, for programs that want a serial port: gpsd, ubxtool.

The rate that the program sets on its side counts: at any other than the receiver's own, both see noise.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from timecard.emulator.rated_line import RatedLine
from timecard.emulator.receiver_core import ReceiverCore
from timecard.emulator.world import WorldTime
from timecard.timescale import NS_PER_S

_OUTPUT_SPEED: Final = 5
_RATES: Final[Mapping[int, int]] = {
    getattr(termios, f"B{rate}"): rate
    for rate in (4_800, 9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600)
}
_MAX_READ: Final = 4096
_LEAST_WAIT_S: Final = 0.005
_MOST_WAIT_S: Final = 0.1


class PtyLine:
    """The terminal; ``run`` serves it until ``stop``."""

    def __init__(self, device: ReceiverCore, world: WorldTime, link: Path) -> None:
        """Make the terminal and a link to it. Raises ``OSError``."""
        self._device = device
        self._world = world
        self._master, slave = os.openpty()
        self._stop_read, self._stop_write = os.pipe()
        os.set_blocking(self._master, False)
        self._line = RatedLine(device, device.baud)
        self._link = link
        self._in_use = False
        self.path = Path(os.ttyname(slave))
        os.close(slave)  # whoever comes shall find that nobody has it open
        try:
            link.symlink_to(self.path)
        except OSError:
            self._close_files()
            raise

    def run(self) -> None:
        """Carry bytes both ways."""
        while True:
            now_ns = self._world.true_tai_ns()
            self.step(now_ns)
            wait_s = max(0.0, (self._device.next_byte_ns() - now_ns) / NS_PER_S)
            # A few bytes at once: a program reads no faster, and each wake-up costs.
            wait_s = max(_LEAST_WAIT_S, min(_MOST_WAIT_S, wait_s))
            # A terminal that nobody has open is always ready, to say so.
            watched = [self._master, self._stop_read] if self._in_use else [self._stop_read]
            ready, _, _ = select.select(watched, [], [], wait_s)
            if self._stop_read in ready:
                return

    def step(self, t_ns: int) -> None:
        """Carry what there is at ``t_ns``."""
        speed = termios.tcgetattr(self._master)[_OUTPUT_SPEED]
        self._line.baud = _RATES.get(speed, self._line.baud)
        try:
            self._in_use = True
            self._line.to_device(os.read(self._master, _MAX_READ), t_ns)
        except BlockingIOError:
            pass
        except OSError:
            self._in_use = False
        data = self._line.to_host(t_ns)
        if data and self._in_use:
            with contextlib.suppress(OSError):  # nobody reads: lost, as on a wire
                os.write(self._master, data)

    def stop(self) -> None:
        """End ``run``; from any thread or a signal handler."""
        os.write(self._stop_write, b"x")

    def close(self) -> None:
        """Remove the link and the terminal."""
        with contextlib.suppress(FileNotFoundError):
            self._link.unlink()
        self._close_files()

    def _close_files(self) -> None:
        for descriptor in (self._master, self._stop_read, self._stop_write):
            os.close(descriptor)
