"""The pulses that a receiver announces, and those that come: named right, locked, and not missing."""

from __future__ import annotations

from typing import Final

from timecard.gnss.integrity_rules import AlarmBoard, IntegrityOptions, time_text
from timecard.timescale import NS_PER_S
from timecard.values import GnssFix, PulseLabel

_HALF_S_NS: Final = NS_PER_S // 2
_LABEL_AFTER: Final = {NS_PER_S: 0, 2 * NS_PER_S: 400_000_000}
"""How much a label may be ahead of the epoch read before it, and how long after that it is read at least."""
_LATEST_LABEL_NS: Final = 1_400_000_000
_ORDER_KNOWN_AFTER: Final = 3
_OWN_EPOCH_NS: Final = 700_000_000
"""After a label that opens a second's messages its epoch comes so soon."""


class PulseWatch:
    """Labels against epochs, and pulses against the receiver's word."""

    def __init__(self, options: IntegrityOptions, board: AlarmBoard) -> None:
        self._options = options
        self._board = board
        self._was_locked = False
        self._had_qerr = False
        self._label_ns: int | None = None
        self._pulse_ns: int | None = None
        self._order: tuple[int, int] | None = None
        """By how much a label is ahead of the epoch read before it, and how long after that it is read."""
        self._order_run = (0, 0)
        self._doubt: tuple[int, int, str] | None = None
        """A label that does not go with the epoch before it, when it was read, and what to say of it."""

    def take_pulse(self, now_ns: int) -> None:
        """A pulse."""
        self._pulse_ns = now_ns
        self._board.good("pulse-missing", now_ns)

    def take_label(self, label: PulseLabel, fix: GnssFix | None, on_time: bool) -> None:
        """The announcement of the next pulse; ``fix``: the epoch before it; ``on_time``: nothing is late."""
        board, now_ns = self._board, label.read_mono_ns
        self._label_ns = now_ns
        board.good("label-missing", now_ns)
        self._was_locked |= label.pulse_locked
        unlocked = self._was_locked and not label.pulse_locked
        board.judge("pulse-unlocked", unlocked, lambda: "the next pulse is marked not locked", now_ns)
        self._had_qerr |= label.qerr_ns is not None
        board.judge(
            "qerr-invalid",
            self._had_qerr and label.qerr_ns is None,
            lambda: "the next pulse's quantisation error is marked invalid, or beyond the receiver's range",
            now_ns,
        )
        if label.edge_tai_ns is None or fix is None or fix.epoch_tai_ns is None or not on_time:
            return
        named_ns, epoch_ns, apart_ns = label.edge_tai_ns, fix.epoch_tai_ns, now_ns - fix.read_mono_ns
        if apart_ns > 3 * self._options.epoch_period_s * NS_PER_S:
            return
        next_ns = named_ns + NS_PER_S if label.emitted else named_ns
        fits = self._fits_epoch(next_ns - epoch_ns, apart_ns)
        text = (
            f"the {'past' if label.emitted else 'next'} pulse is named {time_text(named_ns)}, the epoch read "
            f"{apart_ns / NS_PER_S:.2f} s before is {time_text(epoch_ns)}"
        )
        if not fits and self._order is not None and self._order[0] > NS_PER_S:
            self._doubt = (next_ns, now_ns, text)  # its own epoch comes at once
        else:
            board.judge("label-mismatch", not fits, lambda: text, now_ns)

    def take_fix(self, fix: GnssFix) -> None:
        """An epoch; where the label comes first, it is the one that the label goes with."""
        if self._doubt is not None and fix.epoch_tai_ns is not None:
            named_ns, label_ns, text = self._doubt
            if fix.read_mono_ns - label_ns < _OWN_EPOCH_NS:
                wrong = named_ns - fix.epoch_tai_ns != NS_PER_S
                self._board.judge("label-mismatch", wrong, lambda: text, fix.read_mono_ns)
        self._doubt = None

    def _fits_epoch(self, ahead_ns: int, apart_ns: int) -> bool:
        """Whether a label belongs to the second after the epoch that was read before it.

        Most receivers send it at the end of a second's messages: a second ahead, up to a second later on a
        slow line. An M8T sends it first: two ahead. Which it is stays as it is; a lost epoch adds as much to
        both.
        """
        if self._order is None:
            earliest_ns = _LABEL_AFTER.get(ahead_ns)
            if earliest_ns is None:
                self._order_run = (0, 0)
                return False
            if earliest_ns <= apart_ns < _LATEST_LABEL_NS:
                count = self._order_run[1] + 1 if self._order_run[0] == ahead_ns else 1
                self._order_run = (ahead_ns, count)
                if count >= _ORDER_KNOWN_AFTER:
                    self._order = (ahead_ns, apart_ns)
            return True
        usual_ahead_ns, usual_apart_ns = self._order
        if ahead_ns == usual_ahead_ns:
            self._order = (usual_ahead_ns, (3 * usual_apart_ns + apart_ns) // 4)
            return True
        return abs((ahead_ns - usual_ahead_ns) - (apart_ns - usual_apart_ns)) < _HALF_S_NS

    def look(self, now_ns: int, fix: GnssFix | None, since_ns: int) -> None:
        """What does not come, although the time has been valid since ``since_ns``."""
        if fix is None:
            return
        limit_ns, label_ns, pulse_ns = self._options.missing_after_ns, self._label_ns, self._pulse_ns
        overdue = label_ns is not None and now_ns - max(label_ns, since_ns) >= limit_ns
        if label_ns is not None and overdue and now_ns - fix.read_mono_ns < limit_ns:
            since_s = (now_ns - label_ns) / NS_PER_S
            self._board.bad("label-missing", f"no pulse announced for {since_s:.1f} s", now_ns)
        locked = "pulse-unlocked" not in self._board
        if pulse_ns is not None and now_ns - max(pulse_ns, since_ns) >= limit_ns and locked:
            since_s = (now_ns - pulse_ns) / NS_PER_S
            self._board.bad("pulse-missing", f"no pulse for {since_s:.1f} s, fix {fix.fix.name}", now_ns)
