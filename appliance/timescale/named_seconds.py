"""The second that the receiver names against the one that the clock shows, for labels and for epochs."""

from __future__ import annotations

from collections import deque
from typing import Final

from timecard.timescale import NS_PER_S
from timecard.values import GnssFix, PulseLabel

LABEL_LEAD_NS: Final = (400_000_000, 1_400_000_000)
"""When the label of an edge is read before the edge; one second wide, so that one label lies in it."""
EPOCH_LEAD_NS: Final = NS_PER_S
MAX_EPOCH_AGE_S: Final = 2
WRONG_AFTER: Final = 3
RIGHT_AFTER: Final = 10


class SecondWatch:
    """Named against shown seconds of one kind of word.

    Another second three times running is wrong, by a second or by a thousand weeks; the receiver is believed
    again after ten agreements. A single disagreement is a lost or late message.
    """

    def __init__(self) -> None:
        self._wrong_run = 0
        self._right_run = 0
        self.error_s: int | None = None
        """By how much the receiver is believed to be wrong, receiver minus clock; None while it is right."""

    def compare(self, error_s: int) -> None:
        """Take one comparison."""
        if error_s == 0:
            self._wrong_run = 0
            self._right_run += 1
            if self._right_run >= RIGHT_AFTER:
                self.error_s = None
            return
        self._right_run = 0
        self._wrong_run += 1
        if self._wrong_run >= WRONG_AFTER:
            self.error_s = error_s


class NamedSeconds:
    """Watches pulse labels exactly, navigation epochs to the second or two that they may be late."""

    def __init__(self) -> None:
        self._labels: deque[PulseLabel] = deque(maxlen=3)
        self.forgive()

    def forgive(self) -> None:
        """Start afresh: the clock was set, or an operator accepts the receiver."""
        self._label_watch, self._epoch_watch = SecondWatch(), SecondWatch()

    def add_label(self, label: PulseLabel) -> None:
        """Remember a label until its edge comes."""
        self._labels.append(label)

    def compare(self, read_mono_ns: int, second_tai_ns: int, fix: GnssFix | None) -> None:
        """An edge was read that marks ``second_tai_ns`` by the clock."""
        for label in self._labels:
            lead_ns = read_mono_ns - label.read_mono_ns
            if label.edge_tai_ns is not None and LABEL_LEAD_NS[0] < lead_ns <= LABEL_LEAD_NS[1]:
                self._label_watch.compare((label.edge_tai_ns - second_tai_ns) // NS_PER_S)
        if fix is None or fix.epoch_tai_ns is None:
            return
        if 0 <= read_mono_ns - fix.read_mono_ns <= EPOCH_LEAD_NS:
            behind_s = (second_tai_ns - fix.epoch_tai_ns) // NS_PER_S
            self._epoch_watch.compare(0 if 0 <= behind_s <= MAX_EPOCH_AGE_S else -behind_s)

    @property
    def error_s(self) -> int | None:
        """By how many seconds the receiver's time is believed to be wrong; None while it is right."""
        label_s = self._label_watch.error_s
        return self._epoch_watch.error_s if label_s is None else label_s
