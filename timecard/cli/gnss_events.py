"""Events of a receiver as JSON, and as lines of text."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any

from timecard.cli.common import Facts
from timecard.gnss.series import GnssSecond
from timecard.values import GnssEvent, Signal


def told(value: Any, *, read_time: bool = False) -> Any:
    """A value as JSON has it; absolute times are text, because a JSON number may lose digits.

    ``read_time``: with the monotonic time at which it was read.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _field(field.name, getattr(value, field.name))
            for field in dataclasses.fields(value)
            if read_time or field.name != "read_mono_ns"
        }
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple | list):
        return [told(item) for item in value]
    return value


def event_facts(event: GnssEvent) -> Facts:
    """One event, with its kind and when it was read."""
    return {"event": type(event).__name__, **told(event, read_time=True)}


def event_line(event: GnssEvent) -> str:
    """One event as a line of text."""
    facts = told(event)
    words = [f"{name}={_word(value)}" for name, value in facts.items() if value is not None]
    return f"{event.read_mono_ns / 1e9:14.6f} {type(event).__name__:15} {' '.join(words)}"


def second_facts(second: GnssSecond) -> Facts:
    """One pulse and what was said of it; its time is text, as others are."""
    tai_ns = second.tai_ns
    return {**told(second), "tai_ns": None if tai_ns is None else str(tai_ns)}


def second_line(second: GnssSecond) -> str:
    """One pulse as a line of text."""
    words = [f"{name}={_word(value)}" for name, value in second_facts(second).items() if value is not None]
    return " ".join(words) or "nothing is known of it"


def signal_strengths(signals: tuple[Signal, ...]) -> dict[str, list[float]]:
    """Name of each signal (``GPS L1C/A``) to the strengths of those that use it, strongest first."""
    found: dict[str, list[float]] = {}
    for each in signals:
        found.setdefault(f"{each.system} {each.signal}".strip(), []).append(each.cno_dbhz)
    return {name: sorted(found[name], reverse=True) for name in sorted(found)}


def _field(name: str, value: Any) -> Any:
    if name.endswith(("_tai_ns", "_mono_ns")) and value is not None:
        return str(value)
    if isinstance(value, dict):
        return {str(key): told(item) for key, item in value.items()}
    return told(value)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list):
        return f"[{len(value)}]"
    if isinstance(value, dict):
        return ",".join(f"{key}:{_word(item)}" for key, item in value.items())
    return str(value).replace(" ", "_")
