"""The rules of the vote on leap seconds: who may vote, on what, and what is said of every source.

Two questions are voted on. *What is TAI - UTC now?* by every source whose word reaches to now. *Is there a
leap second at that midnight?* by every source whose word reaches beyond it: one that announces it, against
one that says that there is none. A word reaches as far as its source can know (``LeapWord.until_tai_s``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from appliance.leap.calendar import MAX_AHEAD_S, day_text, leap_at, leap_text
from appliance.leap.words import TABLE, LeapWord
from timecard.leap_list import BUILT_IN, ComingLeap

_QUARTER_S: Final = 90 * 86_400
_BUILT_IN_ENDS_S: Final = BUILT_IN.expires_tai_s or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceVerdict:
    """One source, and what became of its word."""

    word: LeapWord
    verdict: str
    """``agrees``, ``odd``, ``conflict`` (no majority), ``expired``, ``silent`` (says nothing now) or
    ``refused``."""
    why: str


def verdict(
    word: LeapWord,
    silence: tuple[str, str] | None,
    offset_s: int | None,
    event: ComingLeap | None,
    disputes: Mapping[ComingLeap, str],
    tai_s: int,
) -> SourceVerdict:
    """``silence`` says why it has no vote; ``offset_s`` is what is believed, None without a majority."""
    said_s, announced = word.offset_at(tai_s), word.coming(tai_s)
    if silence is not None:
        found, why = silence
    elif offset_s is None:
        found, why = "conflict", f"says {said_s} s, and there is no majority"
    elif said_s != offset_s:
        found, why = "odd", f"says {said_s} s, the others {offset_s} s: not followed"
    elif announced is not None and announced != event:
        dispute = disputes.get(announced, "the others do not")
        found, why = "odd", f"announces {leap_text(announced, offset_s)}, {dispute}: not followed"
    elif event is not None and announced is None and word.holds(event.at_tai_s):
        found, why = "odd", f"does not know of {leap_text(event, offset_s)}"
    else:
        found, why = "agrees", ""
    return SourceVerdict(word=word, verdict=found, why=why)


def silent(word: LeapWord, tai_s: int) -> tuple[str, str] | None:
    """Why this word has no vote now, if it has none."""
    offset_s = word.offset_at(tai_s)
    if word.trouble is not None:
        return "refused", word.trouble
    if offset_s is None:
        return "silent", "does not know"
    if not word.holds(tai_s):
        if word.until_tai_s is None:
            return "silent", "has said nothing since the time is known"
        if word.warn_tai_s is not None:
            return "expired", f"expired on {day_text(word.until_tai_s)}"
        return "silent", "says nothing of today"
    last = BUILT_IN.changes[-1]
    quarters = 1 + max(0, tai_s - _BUILT_IN_ENDS_S) // _QUARTER_S
    if abs(offset_s - last.tai_minus_utc_s) > quarters:
        return "refused", f"says {offset_s} s, which cannot be"
    return None


def voters(words: Iterable[LeapWord]) -> list[LeapWord]:
    """One word of each origin: that which reaches furthest."""
    chosen: dict[str, LeapWord] = {}
    for word in words:
        other = chosen.get(word.origin)
        if other is None or (word.until_tai_s or 0) > (other.until_tai_s or 0):
            chosen[word.origin] = word
    return list(chosen.values())


def next_leap(believers: Sequence[LeapWord], tai_s: int) -> tuple[ComingLeap | None, dict[ComingLeap, str]]:
    """The next leap second that more sources announce than deny; and why others are not believed."""
    disputes: dict[ComingLeap, str] = {}
    said = {word.source: word.coming(tai_s) for word in believers}
    for event in sorted(set(filter(None, said.values())), key=attrgetter("at_tai_s")):
        by = [word for word in believers if said[word.source] == event]
        against = [word for word in believers if word not in by and word.holds(event.at_tai_s)]
        if leap_at(event.change_s, event.at_tai_s, by[0].offset_at(tai_s) or 0) != event:
            disputes[event] = "which cannot be"
        elif event.at_tai_s - tai_s > MAX_AHEAD_S:
            disputes[event] = "too far ahead to be decided"
        elif len(by) > len(against):
            return event, disputes
        else:
            disputes[event] = f"but {', '.join(word.source for word in against)} knows of none"
    return None, disputes


def expiry_alarms(words: Iterable[LeapWord], tai_s: int) -> list[str]:
    """Tables that end soon, or have ended; the built-in one counts only where there is no other."""
    newest: dict[str, tuple[int, int, str]] = {}
    for word in words:
        until_s, warn_s = word.until_tai_s, word.warn_tai_s
        if until_s is None or warn_s is None or word.trouble is not None:
            continue
        if word.origin not in newest or until_s > newest[word.origin][0]:
            newest[word.origin] = until_s, warn_s, word.source
    others_hold = any(until_s > tai_s for origin, (until_s, _, _) in newest.items() if origin != TABLE)
    alarms = []
    for origin, (until_s, warn_s, name) in newest.items():
        if (origin == TABLE and others_hold) or tai_s < warn_s:
            continue
        cure = "update this program" if origin == TABLE else "install a newer one"
        tense = "expired on" if tai_s >= until_s else "expires on"
        alarms.append(f"leap second: {name} {tense} {day_text(until_s)}; {cure}")
    return alarms
