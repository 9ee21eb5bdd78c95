"""NMEA sentences in use: decoding by pynmeagps, and what their fields mean.

Sources: NMEA 0183 version 4.11 (fields, signal identifiers), u-blox F9 interface description ("NMEA
messages"), Quectel LC29H and LC76G protocol specifications (PQTM). A sentence with a right checksum may
still hold text where a number belongs; that is corrupt data and not an exception.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from pynmeagps import (
    VALNONE,
    NMEAMessageError,
    NMEAParseError,
    NMEAReader,
    NMEAStreamError,
    NMEATypeError,
)

from timecard.gnss.framing import NmeaSentence
from timecard.gnss.integrity_rules import KnownLeap
from timecard.timescale import NS_PER_S, TAI_MINUS_UTC_2017_S
from timecard.values import AntennaStatus, CorruptData, JammingState

_CLOCK: Final = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d|60)(?:\.(\d{1,9}))?")
_DAY: Final = re.compile(r"(\d\d)(\d\d)(\d\d)")
_LEAPS: Final = (
    (1_483_228_800, TAI_MINUS_UTC_2017_S),
    (1_435_708_800, 36),
    (1_341_100_800, 35),
    (1_230_768_000, 34),
    (1_136_073_600, 33),
    (0, 32),
)
"""TAI minus UTC from a UTC second on (IERS Bulletin C), newest first."""

_TABLE_ENDS_UTC_S: Final = KnownLeap().until_tai_s - KnownLeap().tai_minus_utc_s

UtcOffset = Callable[[int], int | None]
"""TAI minus UTC at a second of UTC (unix); None where that is not known."""

_TALKERS: Final = {
    "GP": "GPS",
    "GL": "GLO",
    "GA": "GAL",
    "GB": "BDS",
    "BD": "BDS",
    "GQ": "QZSS",
    "GI": "NavIC",
}
_GSA_SYSTEMS: Final = {"1": "GPS", "2": "GLO", "3": "GAL", "4": "BDS", "5": "QZSS", "6": "NavIC"}
_SIGNALS: Final = {
    "GPS": {"1": "L1C/A", "2": "L1P", "3": "L1M", "4": "L2P", "5": "L2C", "6": "L2C", "7": "L5", "8": "L5"},
    "GLO": {"1": "L1", "2": "L1P", "3": "L2", "4": "L2P"},
    "GAL": {"1": "E5a", "2": "E5b", "3": "E5", "4": "E6", "5": "E6", "6": "E1", "7": "E1"},
    "BDS": {"1": "B1I", "2": "B1I", "3": "B1C", "4": "B1C", "5": "B2a", "6": "B2b", "8": "B3I", "B": "B2I"},
    "QZSS": {"1": "L1C/A", "2": "L1C", "3": "L1C", "4": "L1S", "5": "L2C", "6": "L2C", "7": "L5", "8": "L5"},
    "NavIC": {"1": "L5"},
    "SBAS": {"1": "L1C/A"},
}  # fmt: skip
_ANTENNA_WORDS: Final = {
    "OK": AntennaStatus.OK, "OPEN": AntennaStatus.OPEN, "SHORT": AntennaStatus.SHORT,
    "INIT": AntennaStatus.INIT, "DONTKNOW": AntennaStatus.UNKNOWN,
}  # fmt: skip
_ANTENNA_TEXT: Final = re.compile(r"ANT(?:STATUS=|ENNA )([A-Z]+)")
PQTM_ANTENNA: Final = {
    0: AntennaStatus.UNKNOWN, 1: AntennaStatus.OK, 2: AntennaStatus.OPEN, 3: AntennaStatus.SHORT,
}  # fmt: skip
PQTM_JAMMING: Final = {
    0: JammingState.UNKNOWN, 1: JammingState.OK, 2: JammingState.WARNING, 3: JammingState.CRITICAL,
}  # fmt: skip


def parse(sentence: NmeaSentence, name: str, read_mono_ns: int) -> Any:
    """The sentence as pynmeagps names its fields, or ``CorruptData``."""
    try:
        return NMEAReader.parse(sentence.raw, validate=VALNONE)
    except (
        NMEAMessageError,
        NMEAParseError,
        NMEAStreamError,
        NMEATypeError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ) as exc:
        return corrupt(sentence, name, str(exc), read_mono_ns)


def corrupt(sentence: NmeaSentence, name: str, reason: str, read_mono_ns: int) -> CorruptData:
    """A sentence that says nothing usable."""
    return CorruptData(
        length=len(sentence.raw), reason=f"NMEA {name}: {reason}"[:200], read_mono_ns=read_mono_ns
    )


def fields(sentence: NmeaSentence) -> list[str]:
    """The texts between the commas; the first is the sentence's name."""
    return sentence.raw[1:].partition(b"*")[0].decode("ascii", "replace").split(",")


def time_of_day_ns(text: str) -> int | None:
    """``hhmmss.ss`` since midnight; the second 60 is a leap second. None when there is no time."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    hours, minutes, seconds, fraction = found.groups()
    whole_s = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole_s * NS_PER_S + int((fraction or "").ljust(9, "0"))


def day_of_rmc(text: str) -> tuple[int, int, int] | None:
    """``ddmmyy`` as year, month, day; the century is not told and taken for the present one."""
    found = _DAY.fullmatch(text)
    if found is None:
        return None
    day, month, year = map(int, found.groups())
    return 2000 + year, month, day


def table_offset_s(utc_s: int) -> int | None:
    """TAI minus UTC by the built-in table, which ends where a leap second after it is not excluded."""
    return _latest_offset_s(utc_s) if utc_s < _TABLE_ENDS_UTC_S else None


def tai_ns(
    date: tuple[int, int, int], clock_ns: int, offset_at: UtcOffset = table_offset_s
) -> tuple[int | None, bool]:
    """TAI of a UTC date and time of day, None when there is no such day; and whether TAI - UTC is known then.

    Where they are not, the last ones that the built-in table knows are taken: good enough for a display.
    """
    try:
        midnight_s = int(datetime(*date, tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        return None, False
    # In a leap second the offset is still the old one: look it up a second earlier.
    utc_s = midnight_s + clock_ns // NS_PER_S
    before_s = utc_s - 1 if clock_ns >= 86_400 * NS_PER_S else utc_s
    known_s = offset_at(before_s)
    offset_s = _latest_offset_s(before_s) if known_s is None else known_s
    return (midnight_s + offset_s) * NS_PER_S + clock_ns, known_s is not None


def _latest_offset_s(utc_s: int) -> int:
    return next((offset for since, offset in _LEAPS if utc_s >= since), _LEAPS[-1][1])


def satellite_of(talker: str, number: int, system_id: str = "") -> tuple[str, int]:
    """System and number of a satellite in GSV or GSA; SBAS, QZSS and GLONASS hide in others' numbers."""
    system = _GSA_SYSTEMS.get(system_id) or _TALKERS.get(talker)
    if system in (None, "GPS"):
        if 33 <= number <= 64:
            return "SBAS", number + 87
        if 65 <= number <= 99:
            return "GLO", number - 64
        if 193 <= number <= 202:
            return "QZSS", number - 192
        return "GPS", number
    if system == "GLO":
        return ("SBAS", number + 87) if 33 <= number <= 64 else ("GLO", number - 64 * (number > 64))
    return system, number


def signal_name(system: str, signal_id: str) -> str:
    """By the signal identifier of version 4.10 on; ``""`` without one."""
    return _SIGNALS.get(system, {}).get(signal_id, "")


def antenna_of_text(text: str) -> AntennaStatus | None:
    """What ``TXT`` says of the antenna: ``ANTSTATUS=OPEN`` (u-blox), ``ANTENNA OPEN`` (Quectel, CASIC)."""
    found = _ANTENNA_TEXT.search(text)
    return _ANTENNA_WORDS.get(found.group(1)) if found else None
