"""Fields of a record that somebody else may have written: checked one by one before anything is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.printable import shown


def want(record: Mapping[str, Any], name: str, value: object) -> None:
    """Nothing but ``value``; ``ValueError`` names the field."""
    found = record.get(name)
    if found != value:
        raise ValueError(f"{name} is {shown(found)}, wants {value!r}")


def number(record: Mapping[str, Any], name: str, *, at_least: float, up_to: float) -> float:
    """A finite number within limits; ``ValueError`` names the field."""
    value = record.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not at_least <= value <= up_to:
        raise ValueError(f"{name} is {shown(value)}, wants a number from {at_least:g} to {up_to:g}")
    return float(value)


def integer(record: Mapping[str, Any], name: str) -> int:
    """A whole number of 64 bits; ``ValueError`` names the field."""
    value = record.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{name} is {shown(value)}, wants an integer of 64 bits")
    return value


def optional_number(record: Mapping[str, Any], name: str, *, at_least: float, up_to: float) -> float | None:
    """The same, or None where the record has none."""
    return None if record.get(name) is None else number(record, name, at_least=at_least, up_to=up_to)


def numbers(
    record: Mapping[str, Any], name: str, length: int, *, above: float, up_to: float
) -> tuple[float, ...]:
    """So many finite numbers, each above one limit and up to the other."""
    value = record.get(name)
    if not isinstance(value, list) or len(value) != length:
        raise ValueError(f"{name} wants {length} numbers")
    for item in value:
        if not isinstance(item, (int, float)) or isinstance(item, bool) or not above < item <= up_to:
            raise ValueError(f"{name} holds {shown(item)}, wants numbers above {above:g} up to {up_to:g}")
    return tuple(float(item) for item in value)


def table(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A table inside."""
    value = record.get(name)
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is not a table")
    return value
