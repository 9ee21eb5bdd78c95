"""Coarse time: which second it is, checked twice, and where the card's clock stands on the monotonic axis."""

from __future__ import annotations

from typing import Final

from timecard.timescale import NS_PER_S
from timecard.values import EdgeStamp, GnssFix

AGREE_NS: Final = 30_000
"""Two successive edges may differ by this: a quartz that is 30 ppm off. The frequency comes later."""
EPOCH_TOLERANCE_S: Final = 2
STEP_NOTICE_NS: Final = 5_000_000
STEP_NOTICE_RATE: Final = 500e-6
EDGE_AGE_NS: Final = 1_200_000_000
STALE_NS: Final = 10 * NS_PER_S


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


class CardTime:
    """The card's clock against the monotonic clock, from one reading a second.

    Good to the latency of a read and the difference of two crystals over a second: enough to place an edge on
    the monotonic axis and to notice that somebody else has set the clock.
    """

    def __init__(self) -> None:
        self._mono_ns: int | None = None
        self._card_tai_ns = 0

    @property
    def known(self) -> bool:
        """The clock has been read at least once."""
        return self._mono_ns is not None

    def forget(self) -> None:
        """The clock cannot be read any more."""
        self._mono_ns = None

    def note(self, mono_ns: int, card_tai_ns: int) -> int | None:
        """Take a reading; a jump that is no drift is returned in ns, else None."""
        jump_ns: int | None = None
        if self._mono_ns is not None:
            elapsed_ns = mono_ns - self._mono_ns
            error_ns = card_tai_ns - self._card_tai_ns - elapsed_ns
            if abs(error_ns) > STEP_NOTICE_NS + abs(elapsed_ns) * STEP_NOTICE_RATE:
                jump_ns = error_ns
        self._mono_ns, self._card_tai_ns = mono_ns, card_tai_ns
        return jump_ns

    def stepped(self, delta_ns: int) -> None:
        """The clock was stepped by us."""
        self._card_tai_ns += delta_ns

    def card_tai_ns(self, mono_ns: int) -> int | None:
        """What the clock shows at ``mono_ns``, to some microseconds."""
        if self._mono_ns is None or abs(mono_ns - self._mono_ns) > STALE_NS:
            return None
        return self._card_tai_ns + mono_ns - self._mono_ns

    def edge_mono_ns(self, stamp: EdgeStamp) -> int:
        """When an edge happened: the latch's own time, moved to the monotonic axis."""
        if self._mono_ns is not None:
            mono_ns = self._mono_ns + stamp.card_tai_ns - self._card_tai_ns
            if 0 <= stamp.read_mono_ns - mono_ns <= EDGE_AGE_NS:
                return mono_ns
        return stamp.read_mono_ns
