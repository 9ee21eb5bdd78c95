"""Which leap seconds are believed: a majority of independent words, and every odd one named. Never a guess.

Pure: the same words and instants give the same answers. The rules of the vote are in ``voting``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from appliance.leap.calendar import MAX_AHEAD_S, day_text, leap_at, leap_text
from appliance.leap.voting import SourceVerdict, expiry_alarms, next_leap, silent, verdict, voters
from appliance.leap.words import RECEIVER, RECEIVER_S, LeapWord
from timecard.leap_list import BUILT_IN, ComingLeap
from timecard.values import LeapInfo

MAX_SOURCES: Final = 64
GUARD_S: Final = 3
"""Around a leap second a receiver may still say what was, or already what is."""
_UNKNOWN_TIME_RANGE_S: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LeapJudgement:
    """What is believed, as of one instant; it stays right across the leap second that it announces."""

    tai_minus_utc_s: int
    """The best that is known, until ``coming`` takes effect."""
    valid: bool
    """Whether to rely on it."""
    coming: ComingLeap | None
    why: str
    sources: tuple[SourceVerdict, ...] = ()
    alarms: tuple[str, ...] = ()

    def offset_at(self, tai_s: int | None) -> int:
        """TAI - UTC at an instant: the announced change is carried out to the second."""
        coming = self.coming
        past = coming is not None and tai_s is not None and tai_s >= coming.at_tai_s
        return self.tai_minus_utc_s + (coming.change_s if coming and past else 0)

    def coming_at(self, tai_s: int | None) -> ComingLeap | None:
        """The announced leap second, until it has been; None too while the time is not known."""
        return self.coming if self.coming and tai_s is not None and tai_s < self.coming.at_tai_s else None


NOTHING_SAID: Final = LeapJudgement(
    tai_minus_utc_s=BUILT_IN.changes[-1].tai_minus_utc_s,
    valid=False,
    coming=None,
    why="no source has said anything yet",
)


class LeapDesk:
    """Collects the words and judges them once a second."""

    def __init__(self) -> None:
        self.judgement = NOTHING_SAID
        self._words: dict[str, LeapWord] = {}
        self._believed: LeapWord | None = None
        """The receiver's newest word that went on from what it had said before."""
        self._not_credible: str | None = None
        """What the receiver announces and cannot be."""
        self._withdrawn: ComingLeap | None = None
        self._relied: LeapJudgement | None = None
        """The newest judgement that was valid by a vote."""

    # ------------------------------------------------------------------ words in

    def note(self, word: LeapWord) -> None:
        """Take a word of a file or a peer; beyond ``MAX_SOURCES`` no new source is heard."""
        if word.source in self._words or len(self._words) < MAX_SOURCES:
            self._words[word.source] = word

    def note_receiver(self, info: LeapInfo, tai_s: int | None) -> None:
        """Take the receiver's word, read at ``tai_s`` (None: not known)."""
        offset_s, before = info.tai_minus_utc_s, self._believed
        if offset_s is None or (tai_s is None and before is not None and before.until_tai_s is not None):
            return
        coming = self._announced(info, offset_s, tai_s)
        word = LeapWord(
            source=RECEIVER,
            origin=RECEIVER,
            tai_minus_utc_s=offset_s,
            change_s=coming.change_s if coming else 0,
            at_tai_s=coming.at_tai_s if coming else None,
            until_tai_s=None if tai_s is None else max(tai_s, coming.at_tai_s if coming else 0) + RECEIVER_S,
            mono_ns=info.read_mono_ns,
        )
        if before is not None and tai_s is not None and before.holds(tai_s):
            near = before.at_tai_s is not None and abs(tai_s - before.at_tai_s) <= GUARD_S
            around_s = 2 * GUARD_S if near else 0
            if offset_s not in (before.offset_at(tai_s - around_s), before.offset_at(tai_s + around_s)):
                trouble = f"says {offset_s} s, but by its word before it is {before.offset_at(tai_s)} s"
                self._words[RECEIVER] = replace(word, trouble=trouble)
                return
            if near or self._not_credible is not None:  # an impossible word takes nothing back
                word = before
        self._words[RECEIVER] = self._believed = word

    def _announced(self, info: LeapInfo, offset_s: int, tai_s: int | None) -> ComingLeap | None:
        left_s = info.seconds_to_event
        self._not_credible = None
        if not info.change_s or left_s is None or left_s <= 0 or tai_s is None:
            return None
        coming = leap_at(info.change_s, tai_s + left_s, offset_s)
        if coming is None or left_s > MAX_AHEAD_S:
            self._not_credible = f"{info.change_s:+d} s in {left_s} s, {day_text(tai_s + left_s)}"
            return None
        return coming

    # ------------------------------------------------------------------ judgement out

    def judge(self, tai_s: int | None) -> LeapJudgement:
        """Vote; ``tai_s`` is the time, None while it is not known."""
        if tai_s is None:
            self.judgement = self._without_time()
            return self.judgement
        silence = {word.source: reason for word in self._words.values() if (reason := silent(word, tai_s))}
        votes = voters(word for word in self._words.values() if word.source not in silence)
        offset_s, valid, why = self._offset(votes, tai_s)
        self._confirm_receiver(offset_s, valid, tai_s)
        believers = [word for word in votes if word.offset_at(tai_s) == offset_s] if valid else []
        event, disputes = next_leap(believers, tai_s)
        alarms = self._alarms(offset_s, event, tai_s)
        sources = tuple(
            verdict(word, silence.get(word.source), offset_s if valid else None, event, disputes, tai_s)
            for word in self._words.values()
        )
        alarms += [f"{_ALARM} {item.word.source} {item.why}" for item in sources if item.verdict in _NAMED]
        if not valid:
            alarms.insert(0, f"{_ALARM} TAI - UTC is not known: {why}")
        self.judgement = LeapJudgement(
            tai_minus_utc_s=offset_s,
            valid=valid,
            coming=event,
            why=why,
            sources=sources,
            alarms=(*alarms, *expiry_alarms(self._words.values(), tai_s)),
        )
        if valid:
            self._relied = self.judgement
        return self.judgement

    def _without_time(self) -> LeapJudgement:
        """Tables say nothing to somebody who does not know the date; a receiver's word does."""
        word = self._words.get(RECEIVER)
        if word is None or word.trouble is not None or word.tai_minus_utc_s is None:
            return replace(self.judgement, valid=False, why="neither the time nor a receiver's word is known")
        if abs(word.tai_minus_utc_s - NOTHING_SAID.tai_minus_utc_s) > _UNKNOWN_TIME_RANGE_S:
            return replace(NOTHING_SAID, why=f"the receiver says {word.tai_minus_utc_s} s, which cannot be")
        return replace(
            NOTHING_SAID,
            tai_minus_utc_s=word.tai_minus_utc_s,
            valid=True,
            why="by the receiver; the time itself is not known yet",
        )

    def _offset(self, words: list[LeapWord], tai_s: int) -> tuple[int, bool, str]:
        remembered_s = self.judgement.offset_at(tai_s)
        votes = [word.offset_at(tai_s) for word in words]
        if not votes:
            return remembered_s, False, "no source says anything now that can be believed"
        offset_s = max(votes, key=votes.count)
        if offset_s is not None and 2 * votes.count(offset_s) > len(words):
            behind = [word for word in words if word.offset_at(tai_s) == offset_s]
            names = ", ".join(word.source for word in behind)
            relied_s = offset_s if self._relied is None else self._relied.offset_at(tai_s)
            if offset_s != relied_s and all(word.by_peer for word in behind):
                why = f"{names} changed to {offset_s} s from {relied_s} s without an announced leap second"
                return relied_s, False, why
            return offset_s, True, f"by {names}"
        said = "; ".join(f"{word.offset_at(tai_s)} s by {word.source}" for word in words)
        return remembered_s, False, f"no majority: {said}"

    def _confirm_receiver(self, offset_s: int, valid: bool, tai_s: int) -> None:
        """A receiver that contradicted itself is believed again once the others say the same."""
        word = self._words.get(RECEIVER)
        if valid and word is not None and word.trouble is not None and word.offset_at(tai_s) == offset_s:
            self._words[RECEIVER] = self._believed = replace(word, trouble=None)

    def _alarms(self, offset_s: int, event: ComingLeap | None, tai_s: int) -> list[str]:
        before = self.judgement.coming_at(tai_s)
        if event is not None or (self._withdrawn is not None and tai_s >= self._withdrawn.at_tai_s):
            self._withdrawn = None
        elif before is not None:
            self._withdrawn = before
        found = []
        if self._withdrawn is not None:
            found.append(f"{_ALARM} {leap_text(self._withdrawn, offset_s)} is not announced any more")
        if self._not_credible is not None:
            found.append(f"{_ALARM} {RECEIVER} announces {self._not_credible}, which cannot be")
        return found

    # ------------------------------------------------------------------ across a restart

    def to_record(self) -> dict[str, Any]:
        """JSON-able: what must not be forgotten in a restart of the process."""
        word, coming = self._believed, self.judgement.coming
        return {
            "offset_s": self.judgement.tai_minus_utc_s,
            "coming": None if coming is None else [coming.change_s, coming.at_tai_s],
            "relied": self._relied is not None,
            "receiver": None if word is None else {name: getattr(word, name) for name in _KEPT},
        }

    def resume(self, record: object, mono_ns: int) -> None:
        """Go on from a record; one that does not fit is dropped."""
        if not isinstance(record, Mapping) or not _whole(record.get("offset_s")):
            return
        coming = record.get("coming")
        event = None
        if isinstance(coming, list) and len(coming) == 2 and coming[0] in (-1, 1) and _whole(coming[1]):
            event = ComingLeap(*coming)
        self.judgement = replace(NOTHING_SAID, tai_minus_utc_s=record["offset_s"], coming=event)
        if record.get("relied") is True:
            self._relied = self.judgement
        fields = _kept(record.get("receiver"))
        if fields is not None:
            word = LeapWord(source=RECEIVER, origin=RECEIVER, mono_ns=mono_ns, **fields)
            self._words[RECEIVER] = self._believed = word


_KEPT: Final = ("tai_minus_utc_s", "change_s", "at_tai_s", "until_tai_s")
_NAMED: Final = ("odd", "refused")
_ALARM: Final = "leap second:"


def _kept(record: object) -> dict[str, Any] | None:
    """The fields of a remembered word."""
    if not isinstance(record, Mapping) or record.get("change_s") not in (-1, 0, 1):
        return None
    fields = {name: record.get(name) for name in _KEPT}
    return fields if all(value is None or _whole(value) for value in fields.values()) else None


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 40
