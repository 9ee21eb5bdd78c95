"""Interval intersection with a strict majority of independent groups.

After Marzullo (Maintaining the Time in a Distributed System, 1984) and the selection of NTP (RFC 5905,
11.2.1): each source claims an interval, the truth is taken to be where most intervals overlap. Here a group
counts once however many sources it has. Where separate places are equally well covered, only those who cover
all of them are taken, if they are a majority by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """What a source claims: the truth is from ``low`` to ``high``."""

    name: str
    group: str
    low: float
    high: float

    @property
    def middle(self) -> float:
        """Half-way."""
        return (self.low + self.high) / 2

    def meets(self, low: float, high: float) -> bool:
        """Has a point in common with that range."""
        return self.low <= high and self.high >= low

    def apart(self, other: Interval) -> bool:
        """They cannot both be right."""
        return not self.meets(other.low, other.high)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Where a strict majority overlaps."""

    low: float
    high: float
    names: tuple[str, ...]
    """The sources that meet it."""

    @property
    def middle(self) -> float:
        """Half-way."""
        return (self.low + self.high) / 2


def agreement(intervals: Sequence[Interval]) -> Agreement | None:
    """The range that most groups cover, and a strict majority of them; None without one."""
    groups = len({interval.group for interval in intervals})
    # Coverage is highest on closed ranges between ends of intervals; a single end may be such a range.
    ends = sorted({end for interval in intervals for end in (interval.low, interval.high)})
    best, low, high = 0, 0.0, 0.0
    for index, end in enumerate(ends):
        for middle in (end, (end + ends[min(index + 1, len(ends) - 1)]) / 2):
            count = len({i.group for i in intervals if i.low <= middle <= i.high})
            if count > best:
                best, low = count, middle
            if count == best:
                high = middle
    core = [i for i in intervals if i.low <= low and i.high >= high]
    if 2 * len({i.group for i in core}) <= groups:
        return None
    low, high = max(i.low for i in core), min(i.high for i in core)
    return Agreement(low, high, tuple(i.name for i in intervals if i.meets(low, high)))


def outvoted(claim: Interval, voters: Sequence[Interval]) -> tuple[str, ...]:
    """Whom a source contradicts, if they are at least half of the groups; else nobody.

    ``voters`` may contain the source. While a strict majority of groups is honest, an honest source
    contradicts fewer than half, however wide or narrow the intervals are: it is never outvoted.
    """
    against = [v for v in voters if v.group != claim.group and v.apart(claim)]
    meeting = {v.group for v in voters if not v.apart(claim)}
    groups = {v.group for v in against} - meeting
    if not groups or 2 * len(groups) < len({v.group for v in voters}):
        return ()
    return tuple(v.name for v in against if v.group in groups)
