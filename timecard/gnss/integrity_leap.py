"""Are the receiver's leap seconds right? Against a table, against other sources, and against what it said.

A leap second comes at the end of a month of UTC (ITU-R TF.460-6, 2.1) and is announced weeks before, so a
change that was not announced, an announcement for another day and one that disappears are all faults.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from timecard.gnss.integrity_rules import AlarmBoard, IntegrityOptions
from timecard.timescale import NS_PER_S
from timecard.values import LeapInfo

_TOLERANCE_S: Final = 3
"""A message may be this late, and TAI is known to the message's delay."""
_PEER_FRESH_NS: Final = 3600 * NS_PER_S


class LeapWatch:
    """TAI - UTC and the announcement of its change."""

    def __init__(self, options: IntegrityOptions, board: AlarmBoard) -> None:
        self._options = options
        self._board = board
        self._agreed: int | None = None
        self._announced: tuple[int, int] | None = None
        """The change and, monotonic ns, when it takes effect."""
        self._promised: int | None = None
        """TAI - UTC from then on."""
        self._peers: dict[str, tuple[int, int]] = {}
        self._said_s: int | None = None
        """The receiver's newest word."""

    def peer(self, name: str, tai_minus_utc_s: int | None, now_ns: int) -> None:
        """What another source says; believed for an hour, or until it does not know any more (None).

        It is compared at the next ``take`` or ``look``: the receiver may be about to say the same.
        """
        if tai_minus_utc_s is None:
            self._peers.pop(name, None)
        else:
            self._peers[name] = (tai_minus_utc_s, now_ns)

    def take(self, leap: LeapInfo, tai_ns: int | None) -> None:
        """What the receiver says; ``tai_ns``: the time at which it was read, if known."""
        now_ns = leap.read_mono_ns
        self._said_s = leap.tai_minus_utc_s
        if leap.tai_minus_utc_s is not None:
            self._difference(leap.tai_minus_utc_s, tai_ns, now_ns)
            self._announcement(leap, leap.tai_minus_utc_s, tai_ns, now_ns)

    def look(self, now_ns: int, tai_ns: int | None) -> None:
        """Others may have said something new; an announcement whose time has come cannot be withdrawn."""
        if self._said_s is not None:
            self._difference(self._said_s, tai_ns, now_ns)
        if self._announced is not None and now_ns > self._announced[1] + _TOLERANCE_S * NS_PER_S:
            # A receiver that was silent meanwhile is held to what it announced, not to what it said before.
            if self._promised is not None:
                self._agreed, self._said_s = self._promised, None
            self._announced = self._promised = None
            self._board.good("leap-withdrawn", now_ns)

    def _difference(self, said_s: int, tai_ns: int | None, now_ns: int) -> None:
        others = {}
        if tai_ns is not None and (table_s := self._options.leap.at(tai_ns // NS_PER_S)) is not None:
            others["table"] = table_s
        for name, (peer_s, told_ns) in self._peers.items():
            if now_ns - told_ns <= _PEER_FRESH_NS:
                others[name] = peer_s
        if not others and self._agreed is not None:
            others["this receiver before"] = self._agreed
        due = self._due(now_ns)
        wrong = {name: value for name, value in others.items() if said_s != value}
        if due and all(said_s in (value, value + due) for value in others.values()):
            wrong = {}  # at the leap second itself sources may differ by it
        self._board.judge(
            "leap-mismatch",
            bool(wrong),
            lambda: f"TAI - UTC is {said_s} s, but {_listed(wrong)}",
            now_ns,
        )
        if not wrong:
            self._agreed = said_s

    def _due(self, now_ns: int) -> int:
        """The announced change, around the time at which it takes effect; else 0."""
        if self._announced is None:
            return 0
        change_s, at_ns = self._announced
        return change_s if abs(now_ns - at_ns) <= _TOLERANCE_S * NS_PER_S else 0

    def _announcement(self, leap: LeapInfo, said_s: int, tai_ns: int | None, now_ns: int) -> None:
        board, left_s = self._board, leap.seconds_to_event
        if leap.change_s and left_s is not None and tai_ns is not None:
            why = self._objection(leap.change_s, left_s, said_s, tai_ns // NS_PER_S)
            text = f"{leap.change_s:+d} s announced in {left_s} s (from {leap.source}): {why}"
            board.judge("leap-not-credible", why is not None, lambda: text, now_ns)
            if why is None:
                self._announced = (leap.change_s, now_ns + left_s * NS_PER_S)
                if left_s > _TOLERANCE_S:  # later it may be in force already
                    self._promised = said_s + leap.change_s
                board.good("leap-withdrawn", now_ns)
            return
        board.good("leap-not-credible", now_ns)
        if self._announced is not None and not leap.change_s:
            change_s, at_ns = self._announced
            left_ns = at_ns - now_ns
            text = f"{change_s:+d} s was announced, due in {left_ns // NS_PER_S} s, and is not any more"
            board.judge("leap-withdrawn", left_ns > _TOLERANCE_S * NS_PER_S, lambda: text, now_ns)

    def _objection(self, change_s: int, left_s: int, said_s: int, tai_s: int) -> str | None:
        # The count ends when the new difference is in force: midnight that begins a month.
        utc_s = tai_s + left_s - said_s - change_s
        try:
            nearest = datetime.fromtimestamp(utc_s + _TOLERANCE_S, UTC)
        except (ValueError, OverflowError, OSError):
            return "no date"
        into_day_s = nearest.hour * 3600 + nearest.minute * 60 + nearest.second
        if nearest.day != 1 or into_day_s > 2 * _TOLERANCE_S:
            return f"{datetime.fromtimestamp(utc_s, UTC):%Y-%m-%d %H:%M:%S} UTC is not the end of a month"
        before, after = self._options.leap.at(tai_s), self._options.leap.at(tai_s + left_s + _TOLERANCE_S)
        if before is not None and after is not None and after - before != change_s:
            return f"the table has {after - before:+d} s until then"
        return None


def _listed(sources: dict[str, int]) -> str:
    return ", ".join(f"{value} s by {name}" for name, value in sources.items())
