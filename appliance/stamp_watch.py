"""Do the packets that need a time stamp get one? Another program may have switched a NIC's stamping off.

Without stamps nothing is answered. That is honest and silent, so it is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from timecard.timescale import NS_PER_S

WINDOW_NS: Final = 5 * NS_PER_S
FEWEST: Final = 3
"""So many packets without a stamp in a window are no accident; one stamp is lost now and then."""


class _Count(NamedTuple):
    mono_ns: int
    stamped: int
    missing: int


class StampWatch:
    """Looks at the server's counters once a second."""

    def __init__(self) -> None:
        self.alarm: str | None = None
        """What an operator should know, as it began; None while all is well. Without packets it stays."""
        self._counts: deque[_Count] = deque()

    def update(self, stats: Mapping[str, int], mono_ns: int, *, kind: str) -> None:
        """Take the counters (``PtpServer.stats``) of a server with ``hardware`` or ``software`` stamps."""
        unsent = stats["txts.missing"]
        now = _Count(
            mono_ns,
            # A request that was answered had its stamp; so had a Sync whose stamp is not missed.
            stats["tx.delay_resp"] + stats["tx.sync"] - unsent,
            stats["dropped.no_stamp"] + unsent,
        )
        self._counts.append(now)
        while now.mono_ns - self._counts[0].mono_ns > WINDOW_NS:
            self._counts.popleft()
        first = self._counts[0]
        missing, stamped = now.missing - first.missing, now.stamped - first.stamped
        if stamped > missing:
            self.alarm = None
        elif self.alarm is None and missing >= FEWEST:
            packets = f"{missing} of {missing + max(0, stamped)} packets in {WINDOW_NS // NS_PER_S} s"
            self.alarm = (
                f"stamps-missing: {packets} had no {kind} time stamp and are not answered: did another"
                " program switch stamping off (hwstamp_ctl -i shows it)?"
            )
