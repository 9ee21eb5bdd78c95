"""Where durations come from: the host's raw monotonic clock, or virtual time in a fast simulation.

Waiting and measuring always go through a ``Timebase``: the same driver code then runs live and, unchanged,
hundreds of times faster than real time. The raw monotonic clock is used because the plain one is slewed by
whoever steers the host, which may be us.
"""

from __future__ import annotations

import time
from typing import Protocol


class Timebase(Protocol):
    """A monotonic clock that can be waited on."""

    def mono_ns(self) -> int:
        """Nanoseconds of a monotonic clock (CLOCK_MONOTONIC_RAW on a host)."""
        ...

    def sleep_s(self, seconds: float) -> None:
        """Return after ``seconds`` of this clock."""
        ...


class HostTimebase:
    """CLOCK_MONOTONIC_RAW."""

    def mono_ns(self) -> int:
        """Nanoseconds of CLOCK_MONOTONIC_RAW."""
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)

    def sleep_s(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(max(0.0, seconds))
