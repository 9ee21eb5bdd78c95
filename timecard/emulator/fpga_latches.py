"""A record of every snapshot of the card's clock with the truth: what tests compare cross timestamps with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

CAPACITY: Final = 65_536
MAX_PAGE: Final = 1000
"""As many as one answer of the control socket holds."""


class Latch(NamedTuple):
    """One snapshot."""

    sequence: int
    """Counts from 0."""
    kind: str
    """``read`` (the read handshake) or ``ptm``."""
    true_tai_ns: int
    mono_raw_ns: int
    """The host's CLOCK_MONOTONIC_RAW at that instant."""
    card_tai_ns: int
    """What was latched."""


class LatchLog:
    """The newest ``CAPACITY`` snapshots."""

    def __init__(self, mono_raw_ns: Callable[[], int]) -> None:
        """``mono_raw_ns``: the host's clock at the instant of the access."""
        self._mono_raw_ns = mono_raw_ns
        self._latches: deque[Latch] = deque(maxlen=CAPACITY)
        self._next = 0

    def read(self, true_tai_ns: int, card_tai_ns: int) -> None:
        """The read handshake took a snapshot."""
        self._latches.append(Latch(self._next, "read", true_tai_ns, self._mono_raw_ns(), card_tai_ns))
        self._next += 1

    def ptm(self, true_tai_ns: int, mono_raw_ns: int, card_tai_ns: int) -> None:
        """A PTM dialogue took one."""
        self._latches.append(Latch(self._next, "ptm", true_tai_ns, mono_raw_ns, card_tai_ns))
        self._next += 1

    def since(self, sequence: int, limit: int = MAX_PAGE) -> list[Latch]:
        """Snapshots from ``sequence`` on, the oldest first, at most ``limit``."""
        first = self._latches[0].sequence if self._latches else self._next
        skip = max(0, sequence - first)
        return [self._latches[n] for n in range(skip, min(len(self._latches), skip + limit))]

    @property
    def next_sequence(self) -> int:
        """Of the next snapshot."""
        return self._next
