"""The card's clock as seen once a second: its place on the monotonic axis, and whether it still counts."""

from __future__ import annotations

from enum import Enum
from typing import Final

from appliance.events import Tick
from timecard.timescale import NS_PER_S
from timecard.values import EdgeStamp

STEP_NOTICE_NS: Final = 5_000_000
STEP_NOTICE_RATE: Final = 500e-6
EDGE_AGE_NS: Final = 1_200_000_000
STALE_NS: Final = 10 * NS_PER_S
UNREAD_TICKS: Final = 5
OWN_EDGE_SILENT_NS: Final = 5 * NS_PER_S


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


class CardChange(Enum):
    """What a second may bring."""

    LOST = "lost"
    BACK = "back"
    SET_BY_OTHERS = "set by somebody else"


class CardWatch:
    """Says when the card's clock is lost, back, or no longer ours."""

    def __init__(self) -> None:
        self.time = CardTime()
        self.lost = False
        self.jump_ns = 0
        self._unread_ticks = 0
        self._last_own_edge_ns: int | None = None

    def own_edge(self, read_mono_ns: int) -> None:
        """The clock's own pulse was seen."""
        self._last_own_edge_ns = read_mono_ns

    def own_pulse_stopped(self, mono_ns: int) -> bool:
        """It was seen once and is not any more."""
        last_ns = self._last_own_edge_ns
        return last_ns is not None and mono_ns - last_ns > OWN_EDGE_SILENT_NS

    def declare_lost(self) -> None:
        """Somebody knows that the card is gone."""
        self.lost = True
        self.time.forget()

    def declare_back(self) -> None:
        """It answers again."""
        self.lost = False
        self._unread_ticks = 0

    def tick(self, tick: Tick, *, stepping: bool) -> CardChange | None:
        """Take the reading of this second; ``stepping``: a step of our own is under way."""
        if tick.card_tai_ns is None:
            self._unread_ticks += 1
            if self._unread_ticks != UNREAD_TICKS or self.lost:
                return None
            self.declare_lost()
            return CardChange.LOST
        was_unread = self._unread_ticks >= UNREAD_TICKS
        self._unread_ticks = 0
        jump_ns = self.time.note(tick.mono_ns, tick.card_tai_ns)
        if was_unread:
            self.lost = False
            return CardChange.BACK
        if jump_ns is not None and not stepping:
            self.jump_ns = jump_ns
            return CardChange.SET_BY_OTHERS
        return None
