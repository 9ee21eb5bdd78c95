"""What the filter knew before: copies of the last two hours, to roll back to and to compare with.

A reference often degrades before it dies, and one that is dragged away slowly has been followed for a while
before that can be seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from appliance.timescale.estimator import FilterState
from timecard.timescale import NS_PER_S

EVERY_S: Final = 10
NEW: Final = 18
"""So many copies ten seconds apart, and then"""
OLD_EVERY_S: Final = 60
OLD: Final = 120
"""so many a minute apart."""


@dataclass(frozen=True, slots=True)
class Copy:
    """The filter at one moment, and what had been added to the clock's phase until then."""

    mono_ns: int
    steered_ns: float
    """Phase that steering had added."""
    degc_s: float
    """Integral of the oscillator's temperature above its reference."""
    own_ppb: float
    """How far the oscillator's frequency may move by itself, as seen at that time."""
    state: FilterState


class Past:
    """Copies, newest last: dense for three minutes, sparse for two hours."""

    def __init__(self) -> None:
        self._new: deque[Copy] = deque(maxlen=NEW)
        self._old: deque[Copy] = deque(maxlen=OLD)
        self._since_ns = 0

    def wants(self, mono_ns: int) -> bool:
        """It is time for a copy."""
        return not self._new or mono_ns - self._new[-1].mono_ns >= EVERY_S * NS_PER_S

    def add(self, copy: Copy) -> None:
        """Keep a copy."""
        self._new.append(copy)
        if not self._old or copy.mono_ns - self._old[-1].mono_ns >= OLD_EVERY_S * NS_PER_S:
            self._old.append(copy)

    def before(self, mono_ns: int, *, beyond_change: bool = False) -> Copy | None:
        """The newest copy of ``mono_ns`` or earlier; ``beyond_change``: also one of before a change."""
        found = next(self.newest_first(mono_ns), None)
        if found is None or (not beyond_change and found.mono_ns < self._since_ns):
            return None
        return found

    def newest_first(self, before_mono_ns: int) -> Iterator[Copy]:
        """Copies of that time and earlier, whatever happened between."""
        for copy in chain(reversed(self._new), reversed(self._old)):
            if copy.mono_ns <= before_mono_ns:
                yield copy

    def changed(self, mono_ns: int) -> None:
        """The oscillator seems to have moved: what was known of it no longer holds, unless we were misled."""
        self._since_ns = mono_ns

    def clear(self) -> None:
        """Earlier copies are of no use for anything."""
        self._new.clear()
        self._old.clear()
