"""``timecard emulate --pty``: a receiver without a card, behind a pseudo terminal."""

from __future__ import annotations

from pathlib import Path

from timecard.emulator.gnss_noise import model_gnss
from timecard.emulator.models import GNSS_RECEIVERS
from timecard.emulator.options import CardOptions
from timecard.emulator.pty_line import PtyLine
from timecard.emulator.receiver_kinds import make_receiver
from timecard.emulator.receiver_navigation import Start
from timecard.emulator.world import HostWorldTime
from timecard.timescale import NS_PER_S


class LiveReceiver:
    """One receiver, served until a signal."""

    def __init__(self, options: CardOptions, link: Path) -> None:
        """Raises ``ValueError`` or ``OSError``."""
        world = HostWorldTime(options.world_offset_ns, options.world_rate_ppb)
        start_ns = world.true_tai_ns()
        pulses = model_gnss(
            GNSS_RECEIVERS[options.gnss], options.seed, start_ns // NS_PER_S, options.antenna_delay_ns
        )
        start = Start.COLD if options.start == "cold" else Start.HOT
        self.receiver = make_receiver(
            options.receiver, pulses, start_ns, seed=options.seed, start=start, baud=options.gnss_baud
        )
        self._line = PtyLine(self.receiver, world, link)
        self.path = self._line.path
        """Of the terminal; ``link`` leads there."""

    def run(self) -> None:
        """Serve."""
        self._line.run()

    def stop(self) -> None:
        """End ``run``; from any thread or a signal handler."""
        self._line.stop()

    def close(self) -> None:
        """Remove the link."""
        self._line.close()
