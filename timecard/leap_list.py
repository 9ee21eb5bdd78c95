"""Tables of leap seconds, from the three forms in which they are kept on a host.

* ``leap-seconds.list`` of the IERS and NIST: NTP seconds and TAI - UTC per line, ``#$`` last update, ``#@``
  expiry, ``#h`` a SHA-1 over the digits of those and of the data lines. The hash must be there and right.
* ``leapseconds`` of the tz database: ``Leap YEAR MONTH DAY HH:MM:SS CORR S`` lines, ``#expires``.
* a compiled zone under ``right/`` (RFC 9636): its leap second records; version 4 may end with an expiry.

Reading is pure and bounded; every error names the file, and the line where there is one.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, NamedTuple

NTP_EPOCH_UTC_S: Final = -2_208_988_800
"""1900-01-01 in POSIX seconds."""
FIRST_UTC_S: Final = 63_072_000
"""1972-01-01: TAI - UTC is a whole number of seconds from here on, and 10."""
FIRST_OFFSET_S: Final = 10
MAX_BYTES: Final = 256 * 1024
MAX_CHANGES: Final = 1_000
LATEST_UTC_S: Final = 4_102_444_800
"""2100-01-01: a date beyond is an error of the file."""
_S_PER_DAY: Final = 86_400
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ZONE_HEADER: Final = struct.Struct(">4sc15x6I")
_ZONE_LEAP: Final = struct.Struct(">qi")


class LeapListError(ValueError):
    """A table cannot be used; one line that names the file, and the line of it where there is one."""


class LeapChange(NamedTuple):
    """From midnight ``utc_s`` (POSIX) on, TAI - UTC is ``tai_minus_utc_s``."""

    utc_s: int
    tai_minus_utc_s: int

    @property
    def tai_s(self) -> int:
        """The first second of TAI in which it is in force."""
        return self.utc_s + self.tai_minus_utc_s


@dataclass(frozen=True, slots=True)
class ComingLeap:
    """A leap second to come: TAI - UTC changes by ``change_s``, first in force in TAI second ``at_tai_s``."""

    change_s: int
    at_tai_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeapTable:
    """All changes of TAI - UTC since 1972, oldest first, and until when there is no other."""

    changes: tuple[LeapChange, ...]
    updated_utc_s: int | None
    expires_utc_s: int | None
    """None: the form does not say it, so the table vouches only for what is in it."""

    @property
    def expires_tai_s(self) -> int | None:
        """``expires_utc_s`` in TAI."""
        if self.expires_utc_s is None:
            return None
        held = [change for change in self.changes if change.utc_s <= self.expires_utc_s]
        return self.expires_utc_s + held[-1].tai_minus_utc_s

    def tai_minus_utc_s(self, tai_s: int) -> int:
        """In force at ``tai_s``; during an inserted second still the old one."""
        held = [change.tai_minus_utc_s for change in self.changes if change.tai_s <= tai_s]
        return held[-1] if held else FIRST_OFFSET_S

    def coming(self, tai_s: int) -> ComingLeap | None:
        """The first leap second after ``tai_s``."""
        for before, after in pairwise(self.changes):
            if after.tai_s > tai_s:
                return ComingLeap(after.tai_minus_utc_s - before.tai_minus_utc_s, after.tai_s)
        return None


def read_leap_table(data: bytes, name: str) -> LeapTable:
    """A table in any of the three forms; raises ``LeapListError``."""
    if len(data) > MAX_BYTES:
        raise LeapListError(f"{name}: larger than {MAX_BYTES} bytes: no table of leap seconds")
    if data.startswith(b"TZif"):
        return _zone(data, name)
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise LeapListError(f"{name}: neither text nor a compiled zone (byte {error.start})") from None
    if any(line.startswith("Leap") for line in lines):
        return _tz_text(lines, name)
    return _list(lines, name)


def write_leap_list(table: LeapTable) -> str:
    """The table as a ``leap-seconds.list`` with its hash."""
    if table.updated_utc_s is None or table.expires_utc_s is None:
        raise ValueError("a leap-seconds.list needs the dates of its update and of its expiry")
    updated, expires = table.updated_utc_s - NTP_EPOCH_UTC_S, table.expires_utc_s - NTP_EPOCH_UTC_S
    rows = [(change.utc_s - NTP_EPOCH_UTC_S, change.tai_minus_utc_s) for change in table.changes]
    digits = f"{updated}{expires}" + "".join(f"{ntp_s}{offset_s}" for ntp_s, offset_s in rows)
    digest = hashlib.sha1(digits.encode("ascii"), usedforsecurity=False).hexdigest()
    words = " ".join(digest[at : at + 8] for at in range(0, 40, 8))
    body = "".join(f"{ntp_s}\t{offset_s}\n" for ntp_s, offset_s in rows)
    return f"#$\t{updated}\n#@\t{expires}\n{body}#h\t{words}\n"


# ---------------------------------------------------------------------- leap-seconds.list


def _list(lines: Sequence[str], name: str) -> LeapTable:
    special: dict[str, tuple[int, list[str]]] = {}
    rows: list[tuple[int, int, int]] = []
    digits: list[str] = []
    for number, line in enumerate(lines, start=1):
        mark = line[:2]
        if mark in ("#$", "#@", "#h"):
            if mark in special:
                raise LeapListError(f"{name}:{number}: a second {mark} line")
            special[mark] = number, line[2:].split()
            if mark != "#h":
                digits += special[mark][1]
        elif words := line.split("#", 1)[0].split():
            if len(words) != 2 or len(rows) >= MAX_CHANGES:
                raise LeapListError(f"{name}:{number}: wants NTP seconds and TAI - UTC")
            rows.append((number, _number(words[0], name, number), _number(words[1], name, number)))
            digits += words
    for mark, says in (("#$", "last update"), ("#@", "expiry"), ("#h", "hash")):
        if mark not in special:
            raise LeapListError(f"{name}: no {mark} line ({says}): no leap-seconds.list, or cut short")
    _check_hash("".join(digits), *special["#h"], name)
    changes = [(number, ntp_s + NTP_EPOCH_UTC_S, offset_s) for number, ntp_s, offset_s in rows]
    dates = [_ntp_date(*special[mark], name) for mark in ("#$", "#@")]
    return _table(changes, dates[0], dates[1], name)


def _check_hash(digits: str, number: int, words: Sequence[str], name: str) -> None:
    # Some editions leave out the leading zeros of a word, so words are compared as numbers.
    digest = hashlib.sha1(digits.encode("utf-8"), usedforsecurity=False).hexdigest()
    wanted = [int(digest[at : at + 8], 16) for at in range(0, 40, 8)]
    well_formed = len(words) == 5 and all(re.fullmatch(r"[0-9a-fA-F]{1,8}", word) for word in words)
    if not well_formed or [int(word, 16) for word in words] != wanted:
        raise LeapListError(f"{name}:{number}: the hash does not fit the data: damaged or changed by hand")


def _ntp_date(number: int, words: Sequence[str], name: str) -> int:
    if len(words) != 1:
        raise LeapListError(f"{name}:{number}: wants one number, NTP seconds")
    return _number(words[0], name, number) + NTP_EPOCH_UTC_S


# ---------------------------------------------------------------------- the tz database's text


def _tz_text(lines: Sequence[str], name: str) -> LeapTable:
    changes = [(0, FIRST_UTC_S, FIRST_OFFSET_S)]
    dates: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if words[:1] in (["#updated"], ["#expires"]) and len(words) > 1:
            dates[words[0]] = _number(words[1], name, number)
        elif words[:1] == ["Expires"] and len(words) == 5:
            dates["#expires"] = _calendar(words[1:4], name, number)
        elif words[:1] == ["Leap"]:
            if len(changes) > MAX_CHANGES:
                raise LeapListError(f"{name}:{number}: more than {MAX_CHANGES} leap seconds")
            changes.append((number, *_tz_leap(words, changes[-1][2], name, number)))
        elif words and not words[0].startswith("#"):
            raise LeapListError(f"{name}:{number}: neither a Leap nor an Expires line")
    return _table(changes, dates.get("#updated"), dates.get("#expires"), name)


def _tz_leap(words: Sequence[str], offset_s: int, name: str, number: int) -> tuple[int, int]:
    changes = {("23:59:60", "+"): 1, ("23:59:59", "-"): -1}
    change_s = changes.get((words[4], words[5])) if len(words) == 7 and words[6] == "S" else None
    if change_s is None:
        raise LeapListError(f"{name}:{number}: wants Leap YEAR MONTH DAY, then 23:59:60 + S or 23:59:59 - S")
    return _calendar(words[1:4], name, number) + _S_PER_DAY, offset_s + change_s


def _calendar(words: Sequence[str], name: str, number: int) -> int:
    year, month, day = words
    try:
        return int(datetime(int(year), _MONTHS.index(month) + 1, int(day), tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        raise LeapListError(f"{name}:{number}: {' '.join(words)[:40]} is no date") from None


# ---------------------------------------------------------------------- a compiled zone


def _zone(data: bytes, name: str) -> LeapTable:
    """The leap second records of the second part, whose times have 64 bits (RFC 9636, 3.2)."""
    try:
        version, sizes = _zone_header(data, 0)
        if version < 2:
            raise LeapListError(f"{name}: a zone of version 1: its times end in 2038; compile it anew")
        second = _ZONE_HEADER.size + _body_bytes(sizes, 4)
        version, sizes = _zone_header(data, second)
        utc_flags, std_flags, leaps, *_ = sizes
        start = second + _ZONE_HEADER.size + _body_bytes(sizes, 8) - utc_flags - std_flags - leaps * 12
        if leaps > MAX_CHANGES:
            raise LeapListError(f"{name}: {leaps} leap seconds")
        records = [_ZONE_LEAP.unpack_from(data, start + 12 * index) for index in range(leaps)]
    except struct.error:
        raise LeapListError(f"{name}: a compiled zone that is cut short") from None
    if not records:
        raise LeapListError(f"{name}: a zone without leap seconds; those under right/ have them")
    expires = None
    if version >= 4 and len(records) > 1 and records[-1][1] == records[-2][1]:
        at_s, correction = records.pop()
        expires = at_s - correction
    changes = [(0, FIRST_UTC_S, FIRST_OFFSET_S)]
    before = 0
    for at_s, correction in records:
        # An inserted second's record is at 23:59:60, one left out is at what would be 23:59:59.
        inserted = correction > before
        changes.append((0, at_s - before + (0 if inserted else 1), FIRST_OFFSET_S + correction))
        before = correction
    return _table(changes, None, expires, name)


def _zone_header(data: bytes, at: int) -> tuple[int, tuple[int, ...]]:
    magic, version, *sizes = _ZONE_HEADER.unpack_from(data, at)
    if magic != b"TZif":
        raise struct.error
    return int(version) if version.isdigit() else 1, tuple(sizes)


def _body_bytes(sizes: Sequence[int], time_bytes: int) -> int:
    utc_flags, std_flags, leaps, times, types, characters = sizes
    return (
        times * (time_bytes + 1) + types * 6 + characters + leaps * (time_bytes + 4) + std_flags + utc_flags
    )


# ---------------------------------------------------------------------- what holds for all of them


def _table(
    rows: Sequence[tuple[int, int, int]], updated_utc_s: int | None, expires_utc_s: int | None, name: str
) -> LeapTable:
    """``rows``: line (0: none), midnight in POSIX seconds, TAI - UTC from then on."""
    if not rows or rows[0][1:] != (FIRST_UTC_S, FIRST_OFFSET_S):
        raise LeapListError(f"{name}: does not begin with 10 s on 1972-01-01")
    for problem in _problems(rows):
        raise LeapListError(f"{name}{problem}")
    for says, date_s in (("update", updated_utc_s), ("expiry", expires_utc_s)):
        if date_s is not None and not FIRST_UTC_S <= date_s <= LATEST_UTC_S:
            raise LeapListError(f"{name}: the date of {says} is not between 1972 and 2100")
    return LeapTable(
        changes=tuple(LeapChange(utc_s, offset_s) for _, utc_s, offset_s in rows),
        updated_utc_s=updated_utc_s,
        expires_utc_s=expires_utc_s,
    )


def _problems(rows: Sequence[tuple[int, int, int]]) -> Iterator[str]:
    for (_, before_s, before), (number, utc_s, offset_s) in pairwise(rows):
        where = f":{number}" if number else ""
        if not before_s < utc_s <= LATEST_UTC_S:
            yield f"{where}: not later than the change before it, or after 2100"
        elif utc_s % _S_PER_DAY or datetime.fromtimestamp(utc_s, UTC).day != 1:
            yield f"{where}: not the midnight that begins a month"
        elif abs(offset_s - before) != 1:
            yield f"{where}: TAI - UTC goes from {before} to {offset_s} s; one second at a time"


def _number(word: str, name: str, number: int) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", word):
        raise LeapListError(f"{name}:{number}: {word[:20]!r} is no number")
    return int(word)


BUILT_IN: Final = LeapTable(
    changes=tuple(
        LeapChange(int(datetime(year, month, 1, tzinfo=UTC).timestamp()), FIRST_OFFSET_S + count)
        for count, (year, month) in enumerate([
            (1972, 1), (1972, 7), (1973, 1), (1974, 1), (1975, 1), (1976, 1), (1977, 1), (1978, 1), (1979, 1),
            (1980, 1), (1981, 7), (1982, 7), (1983, 7), (1985, 7), (1988, 1), (1990, 1), (1991, 1), (1992, 7),
            (1993, 7), (1994, 7), (1996, 1), (1997, 7), (1999, 1), (2006, 1), (2009, 1), (2012, 7), (2015, 7),
            (2017, 1),
        ])
    ),
    updated_utc_s=1_751_846_400,
    expires_utc_s=1_782_604_800,
)  # fmt: skip
"""As of IERS Bulletin C 70 (2025-07-07): no leap second before 2026-06-28."""
