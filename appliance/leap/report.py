"""What is published of leap seconds: the belief, the leap second to come, every source with its verdict."""

from __future__ import annotations

from typing import Final

from appliance.leap.calendar import leap_text, utc_text
from appliance.leap.voting import SourceVerdict
from appliance.reported import InstantNs, Reported
from appliance.snapshot import ClockSnapshot
from timecard.timescale import NS_PER_S

NO_LEAP: Final = "no leap second is announced"
NO_TIME: Final = "the time is not known yet"


class LeapSourceReport(Reported):
    """One source of leap seconds."""

    source: str
    """``receiver``, the path of a table, ``built-in table``, ``peer NAME``."""
    verdict: str
    """``agrees``, ``odd``, ``conflict`` (no majority), ``expired``, ``silent`` (says nothing now) or
    ``refused``."""
    why: str
    """In plain words; empty where it agrees."""
    tai_minus_utc_s: int | None
    """What it says for now."""
    coming: str | None
    """What it announces, in plain words."""
    until_tai_ns: InstantNs | None
    """It says nothing about later."""


class LeapReport(Reported):
    """TAI - UTC and its next change."""

    tai_minus_utc_s: int
    """The best that is known; to be relied on only while ``valid``."""
    valid: bool
    """As announced by PTP (currentUtcOffsetValid)."""
    why: str
    """Who says so, or why it is not known."""
    utc: str | None
    """UTC at the report's instant; second 60 exists."""
    change_s: int
    """Of the leap second to come: +1, -1 or 0."""
    coming: str | None
    """The leap second to come, in plain words."""
    at_tai_ns: InstantNs | None
    """Midnight of UTC after it: the first instant with the new difference."""
    seconds_to_event: int | None
    sources: tuple[LeapSourceReport, ...]
    alarms: tuple[str, ...]


def leap_report(snapshot: ClockSnapshot) -> LeapReport:
    """From the discipline's snapshot."""
    leap, tai_s = snapshot.leap, snapshot.leap_tai_s
    offset_s, coming = leap.offset_at(tai_s), leap.coming_at(tai_s)
    known = leap.valid and tai_s is not None
    return LeapReport.partial(
        NO_LEAP,
        tai_minus_utc_s=offset_s,
        valid=leap.valid,
        why=leap.why,
        utc=utc_text(tai_s, offset_s, coming) if known and tai_s is not None else None,
        change_s=coming.change_s if coming else 0,
        coming=leap_text(coming, offset_s) if coming else None,
        at_tai_ns=coming.at_tai_s * NS_PER_S if coming else None,
        seconds_to_event=coming.at_tai_s - tai_s if coming and tai_s is not None else None,
        sources=tuple(_source(item, tai_s) for item in leap.sources),
        alarms=leap.alarms,
        why_null={} if known else {"utc": NO_TIME if tai_s is None else leap.why},
    )


def _source(item: SourceVerdict, tai_s: int | None) -> LeapSourceReport:
    word = item.word
    offset_s = word.offset_at(tai_s)
    coming = None if tai_s is None else word.coming(tai_s)
    return LeapSourceReport.partial(
        "it does not say",
        source=word.source,
        verdict=item.verdict,
        why=item.why,
        tai_minus_utc_s=offset_s,
        coming=leap_text(coming, offset_s or 0) if coming else None,
        until_tai_ns=None if word.until_tai_s is None else word.until_tai_s * NS_PER_S,
    )
