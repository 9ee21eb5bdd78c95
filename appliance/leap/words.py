"""What one source says of TAI - UTC: the same words from receivers, files and peers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appliance.leap.calendar import S_PER_DAY, leap_at
from timecard.leap_list import BUILT_IN, ComingLeap, LeapTable

TABLE: Final = "built-in table"
RECEIVER: Final = "receiver"
PEER_S: Final = 12 * 3600
"""Leap flags are announced twelve hours ahead (IEEE 1588-2019, 9.4): so far a peer's word reaches."""
RECEIVER_S: Final = 28 * S_PER_DAY
"""A leap second is published eight weeks before it at the latest (ITU-R TF.460-6, 2.1) and satellites carry
the news within four: so long there is none that a receiver had not heard of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeapWord:
    """One source's word. It replaces the source's word before."""

    source: str
    """Its name, as an operator knows it."""
    origin: str
    """Sources with one origin have one vote."""
    tai_minus_utc_s: int | None
    """Until ``at_tai_s``; None: it does not know."""
    change_s: int = 0
    at_tai_s: int | None = None
    """The first second of TAI in which the changed difference is in force; may be past."""
    until_tai_s: int | None = None
    """It says nothing about later. None: said without knowing what time it is."""
    warn_tai_s: int | None = None
    """From then on it is worth an alarm that ``until_tai_s`` comes near; None: never."""
    trouble: str | None = None
    """Why it is not believed, whatever it says."""
    by_peer: bool = False
    """Heard over the network: it changes nothing by itself."""
    mono_ns: int

    def offset_at(self, tai_s: int | None) -> int | None:
        """TAI - UTC at an instant."""
        if self.tai_minus_utc_s is None or self.at_tai_s is None or tai_s is None:
            return self.tai_minus_utc_s
        return self.tai_minus_utc_s + (self.change_s if tai_s >= self.at_tai_s else 0)

    def coming(self, tai_s: int) -> ComingLeap | None:
        """What it announces after an instant."""
        if self.at_tai_s is None or self.at_tai_s <= tai_s or not self.change_s:
            return None
        return ComingLeap(self.change_s, self.at_tai_s)

    def holds(self, tai_s: int) -> bool:
        """It speaks about this instant."""
        return self.until_tai_s is not None and tai_s < self.until_tai_s


def table_word(source: str, origin: str, table: LeapTable, *, warn_days: int, mono_ns: int) -> LeapWord:
    """The last change of a table and its expiry; a table without expiry ends with its last change."""
    before, last = table.changes[-2:] if len(table.changes) > 1 else table.changes * 2
    until_s = table.expires_tai_s
    return LeapWord(
        source=source,
        origin=origin,
        tai_minus_utc_s=before.tai_minus_utc_s,
        change_s=last.tai_minus_utc_s - before.tai_minus_utc_s,
        at_tai_s=last.tai_s,
        until_tai_s=last.tai_s if until_s is None else until_s,
        warn_tai_s=None if until_s is None else until_s - warn_days * S_PER_DAY,
        mono_ns=mono_ns,
    )


def built_in_word(*, warn_days: int, mono_ns: int) -> LeapWord:
    """The table that this version was published with."""
    return table_word(TABLE, TABLE, BUILT_IN, warn_days=warn_days, mono_ns=mono_ns)


def peer_word(
    name: str,
    *,
    grandmaster: bytes,
    utc_offset_s: int,
    valid: bool,
    leap61: bool,
    leap59: bool,
    tai_s: int,
    mono_ns: int,
) -> LeapWord:
    """What another server's Announce says; its flags mean the end of the day of UTC.

    Servers that follow one ``grandmaster`` repeat one word. ``tai_s`` is our own time, so that a peer with
    another date announces nothing for ours.
    """
    change_s = leap61 - leap59
    event: ComingLeap | None = None
    if change_s:
        utc_s = tai_s - utc_offset_s
        midnight_s = (utc_s // S_PER_DAY + 1) * S_PER_DAY
        event = leap_at(change_s, midnight_s + utc_offset_s + change_s, utc_offset_s)
    return LeapWord(
        source=f"peer {name}",
        origin=f"grandmaster {grandmaster.hex()}",
        tai_minus_utc_s=utc_offset_s if valid else None,
        change_s=event.change_s if event else 0,
        at_tai_s=event.at_tai_s if event else None,
        until_tai_s=tai_s + PEER_S + 1,
        trouble="announces a leap second that cannot be" if (leap61 or leap59) and event is None else None,
        by_peer=True,
        mono_ns=mono_ns,
    )
