"""Setting a card's clock, whichever way leads to it: what it can hold, and a step beyond a second."""

from __future__ import annotations

from typing import Final, Protocol

from timecard.errors import ProtocolError, RefusedError
from timecard.protocols import CrossTimestamping
from timecard.timescale import NS_PER_S

MAX_SECONDS: Final = 1 << 32
"""The card's register for seconds has 32 bits."""
TICK_NS: Final = 20
"""Period of the clock core's 50 MHz: the granularity of a snapshot and of adjustment intervals."""


class LoadableClock(CrossTimestamping, Protocol):
    """What a step needs of a clock."""

    name: str

    def now_tai_ns(self) -> int:
        """Read the clock."""
        ...

    def set_tai_ns(self, tai_ns: int) -> None:
        """Load a time."""
        ...


def refuse_what_does_not_fit(clock_name: str, tai_ns: int) -> None:
    """Raise ``RefusedError`` for a time that the card cannot hold."""
    if not 0 <= tai_ns < MAX_SECONDS * NS_PER_S:
        raise RefusedError(clock_name, "set", f"{tai_ns} ns does not fit the card's 32-bit seconds")


def step_by_loading(clock: LoadableClock, delta_ns: int) -> int:
    """Read, add and load; returns how many ns are then still to be added, as the host's clock has it.

    That is what the latency between reading and loading took away, and both comparisons' errors. Raises
    ``ProtocolError`` when a second or more is left: the clock did not take the time.
    """
    before = clock.cross_timestamp()
    clock.set_tai_ns(clock.now_tai_ns() + delta_ns)
    after = clock.cross_timestamp()
    elapsed_ns = after.mono_raw_ns - before.mono_raw_ns
    residual_ns = before.card_tai_ns + elapsed_ns + delta_ns - after.card_tai_ns
    if abs(residual_ns) >= NS_PER_S:
        raise ProtocolError(clock.name, "step", f"after loading, the clock is off by {residual_ns} ns")
    return residual_ns
