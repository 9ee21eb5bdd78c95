"""Coarse time: which second it is, checked twice."""

from __future__ import annotations

from typing import Final

from timecard.timescale import NS_PER_S
from timecard.values import GnssFix

AGREE_NS: Final = 30_000
"""Two successive edges may differ by this: a quartz that is 30 ppm off. The frequency comes later."""
EPOCH_TOLERANCE_S: Final = 2


class CoarseTime:
    """Believes the receiver's second when two pulses in a row and the navigation epoch agree."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None

    def reset(self) -> None:
        """Start afresh."""
        self._last = None

    def offer(self, second_tai_ns: int, card_tai_ns: int, fix: GnssFix | None) -> int | None:
        """One labelled edge; the clock's error in ns once it is certain, else None.

        ``second_tai_ns`` is the second that the receiver's label names, ``card_tai_ns`` the edge's stamp.
        """
        offset_ns = card_tai_ns - second_tai_ns
        before, self._last = self._last, (second_tai_ns, offset_ns)
        if fix is None or fix.epoch_tai_ns is None:
            return None
        if abs(fix.epoch_tai_ns - second_tai_ns) > EPOCH_TOLERANCE_S * NS_PER_S:
            self._last = None
            return None
        if before is None or second_tai_ns - before[0] != NS_PER_S or abs(offset_ns - before[1]) > AGREE_NS:
            return None
        return offset_ns
