"""What the driver's attributes look like as text, and back. ``ValueError`` for what it cannot have written.

Strict: a number is ASCII digits with a sign at most, where Python's ``int`` would take blanks, underscores
and digits of other scripts. Source: the show functions of the kernel's ``drivers/ptp/ptp_ocp.c``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from timecard.eeprom.identity import EUI48
from timecard.timescale import NS_PER_S

MAX_NAMES: Final = 64
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}")
_WORD: Final = re.compile(r"[!-~]{1,64}")
_TTY: Final = re.compile(r"tty[A-Za-z]{0,8}[0-9]{1,4}")
_LOST: Final = re.compile(r"LOST @ (\S{19})")
_SIGNAL: Final = re.compile(r"([0-9]{1,20}) (-?[0-9]{1,10}) ([0-9]{1,20}) ([01]) [-0-9T:]{19,24} TAI")
_START: Final = re.compile(r"([0-9]{1,20})\.([0-9]{1,9})")
NULL: Final = "(null)"
"""How the kernel prints a name that there is not."""


@dataclass(frozen=True, slots=True)
class GnssSync:
    """Whether the supervisor of the pulse is content, and since when it is not."""

    synced: bool
    lost_since_utc: datetime | None = None


@dataclass(frozen=True, slots=True)
class SmaText:
    """A connector as the driver shows it; ``direction`` is ``in`` or ``out``, ``names`` are the driver's."""

    direction: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignalText:
    """A generator as ``genN/signal`` shows it."""

    period_ns: int
    duty_percent: int
    phase_ns: int
    active_high: bool


@dataclass(frozen=True, slots=True)
class FrequencyText:
    """A counter's result; with neither there is none."""

    hz: int | None
    error: str | None = None


def integer(text: str) -> int:
    """A decimal number."""
    if not _INTEGER.fullmatch(text):
        raise ValueError("not a decimal number")
    return int(text)


def word(text: str) -> str:
    """One printable word."""
    if not _WORD.fullmatch(text):
        raise ValueError("not one printable word")
    return text


def word_or_null(text: str) -> str | None:
    """One word; None for the kernel's ``(null)``: a value that the driver has no name for."""
    return None if text == NULL else word(text)


def line(text: str) -> str:
    """Printable text."""
    if not text.isprintable() or not text.isascii():
        raise ValueError("not printable")
    return text


def names(text: str) -> tuple[str, ...]:
    """Names separated by blanks."""
    found = tuple(word(part) for part in text.split(" ") if part)
    if len(found) > MAX_NAMES:
        raise ValueError(f"more than {MAX_NAMES} names")
    return found


def eui48(text: str) -> str:
    """Six bytes."""
    if not EUI48.fullmatch(text):
        raise ValueError("not six bytes as xx:xx:xx:xx:xx:xx")
    return text


def tty_name(text: str) -> str:
    """Name of a serial port."""
    if not _TTY.fullmatch(text):
        raise ValueError("not the name of a tty")
    return text


def gnss_sync(text: str) -> GnssSync:
    """``SYNC`` or ``LOST @ date``."""
    if text == "SYNC":
        return GnssSync(True)
    match = _LOST.fullmatch(text)
    if not match:
        raise ValueError("neither SYNC nor LOST @ date")
    return GnssSync(False, datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC))


def sma(text: str) -> SmaText:
    """``IN: names`` or ``OUT: name``."""
    head, colon, tail = text.partition(":")
    if not colon or head not in ("IN", "OUT"):
        raise ValueError("does not begin with IN: or OUT:")
    return SmaText(head.lower(), names(tail))


def sma_names(direction: str) -> Callable[[str], SmaText]:
    """The older form, in which the direction is part of the attribute's name."""
    return lambda text: sma(text) if ":" in text else SmaText(direction, names(text))


def sma_command(value: SmaText) -> str:
    """What to write."""
    return f"{value.direction.upper()}: {' '.join(value.names)}"


def signal(text: str) -> SignalText:
    """``period duty phase polarity date TAI``."""
    match = _SIGNAL.fullmatch(text)
    if not match:
        raise ValueError("not 'period duty phase polarity date TAI'")
    return SignalText(int(match[1]), int(match[2]), int(match[3]), match[4] == "1")


def signal_command(value: SignalText) -> str:
    """What to write."""
    return f"{value.period_ns} {value.duty_percent} {value.phase_ns} {int(value.active_high)}"


def start_ns(text: str) -> int:
    """``seconds.nanoseconds``; the driver does not pad the nanoseconds."""
    match = _START.fullmatch(text)
    if not match:
        raise ValueError("not 'seconds.nanoseconds'")
    return int(match[1]) * NS_PER_S + int(match[2])


def frequency(text: str) -> FrequencyText:
    """Hz, ``error``, ``overrun``, or nothing."""
    if not text:
        return FrequencyText(None)
    if text in ("error", "overrun"):
        return FrequencyText(None, text)
    value = integer(text)
    if value < 0:
        raise ValueError("a negative frequency")
    return FrequencyText(value)
