"""``timecard attributes``: what the kernel driver shows of a card and takes, with unit and range.

For what no other command sets: TAI minus UTC, the window of cross timestamps, corrections and delays of the
time-of-day slave, IRIG-B and NMEA outputs. Connectors, generators and counters have commands of their own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

import typer

from timecard.card_protocols import Card
from timecard.cli.common import Answer, Facts, asked, on_card, plain, rows, shown
from timecard.errors import ProtocolError, RefusedError, UnsupportedError
from timecard.kernel.attributes import ATTRIBUTES, CLOCK_SOURCE, FREQ, GEN, GEN_START, SIGNAL, SMA, Attribute
from timecard.kernel.kernel_card import KernelCard

NUMBERS: Final = (1, 2, 3, 4)
_ELSEWHERE: Final = {**{row.name: "timecard sma set" for row in SMA}, SIGNAL.name: "timecard output start"}
"""What these write is checked and taken back there."""

app = typer.Typer(help="Attributes of the kernel driver, typed.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `timecard attributes show` has it.")]


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="attributes")


@app.command("show")
@on_card("attributes show")
def show_command(
    card: Card,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Else all there are.")] = None,
) -> Answer:
    """Show values with unit, and what may be written; without names, all that this driver has."""
    found = list(shown_attributes(driven(card, "show attributes"), names or ()))
    return {"card": card.id, "board": card.board.name, "attributes": found}, _lines(found)


@app.command("set", context_settings={"ignore_unknown_options": True})  # a value may begin with a minus
@on_card("attributes set")
def set_command(
    card: Card, name: Name, value: Annotated[str, typer.Argument(metavar="VALUE", help="In its unit.")]
) -> Answer:
    """Write one attribute and read it back. At the latest a power cycle forgets it."""
    found = set_attribute(driven(card, "set an attribute"), name, value)
    return {"card": card.id, "board": card.board.name, **found}, _lines([found])


def driven(card: Card, operation: str) -> KernelCard:
    """The card with its driver; raises ``UnsupportedError`` for any other way to it."""
    if isinstance(card, KernelCard):
        return card
    raise UnsupportedError(
        card.name,
        operation,
        f"attributes are the kernel driver's, and the card was opened by {card.access.value}: "
        "bind ptp_ocp to it, or see `timecard registers`",
    )


def shown_attributes(card: KernelCard, names: Sequence[str]) -> Iterator[Facts]:
    """Every attribute there is, or those that are named; null with the reason where there is no value."""
    for name in names or _all_names():
        row, number = _find(name)
        if names or card.device.has(row, number):
            yield _facts(card, name, row, number)


def set_attribute(card: KernelCard, name: str, text: str) -> Facts:
    """Write and verify. Raises a usage error for a wrong name or text, ``RefusedError`` with the rule."""
    row, number = _find(name)
    operation = f"set {name}"
    if row.name in _ELSEWHERE:
        raise RefusedError(card.name, operation, f"`{_ELSEWHERE[row.name]}` does it, with what belongs to it")
    _refuse_a_crash(card, row, operation)
    if row.write is None:
        raise RefusedError(card.name, operation, "it is read-only")
    try:
        value = row.parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"{name} {text!r}: {error}; it takes {row.rule}") from None
    if row is CLOCK_SOURCE:
        card.clock.select_source(value)  # the driver takes more than there is
    else:
        card.device.write(row, value, number)
    found = _facts(card, name, row, number)
    if found["value"] != plain(value):
        now = found["reason"] or found["value"]
        raise ProtocolError(card.name, operation, f"{text} was written, afterwards it shows: {now}")
    return found


def _facts(card: KernelCard, name: str, row: Attribute[Any], number: int | None) -> Facts:
    def read() -> Any:
        _refuse_a_crash(card, row, f"read {name}")
        value = card.device.read(row, number)
        return str(value) if row is GEN_START else value  # more digits than a JSON number keeps

    value, reason = asked(read)
    return {
        "name": name,
        "value": value,
        "unit": row.unit or None,
        "writable": row.write is not None,
        "low": row.low,
        "high": row.high,
        "rule": row.rule or None,
        "drivers": row.drivers,
        "reason": reason,
    }


def _refuse_a_crash(card: KernelCard, row: Attribute[Any], operation: str) -> None:
    if row.directory == GEN and card.unsafe is not None:
        raise RefusedError(card.name, operation, card.unsafe)


def _all_names() -> Iterator[str]:
    for key, row in ATTRIBUTES.items():
        if row.directory in (GEN, FREQ):
            yield from (f"{row.directory}{number}/{row.name}" for number in NUMBERS)
        else:
            yield key


def _find(name: str) -> tuple[Attribute[Any], int | None]:
    """The row of ``gen1/duty``, and the 1; raises a usage error that names the nearest."""
    if name not in (known := list(_all_names())):
        near = difflib.get_close_matches(name, known, 1)
        raise typer.BadParameter(f"no attribute {name[:60]!r}{f'; did you mean {near[0]}?' if near else ''}")
    directory, _, rest = name.rpartition("/")
    if directory[:-1] not in (GEN, FREQ):
        return ATTRIBUTES[name], None
    return ATTRIBUTES[f"{directory[:-1]}/{rest}"], int(directory[-1])


def _lines(found: Sequence[Facts]) -> list[str]:
    return rows((row["name"], _text(row)) for row in found)


def _text(row: Facts) -> str:
    if row["reason"] is not None:
        return str(row["reason"])
    value = row["value"]
    if isinstance(value, dict):
        value = ", ".join(f"{key} {item}" for key, item in value.items() if item is not None)
    elif isinstance(value, list):
        value = " ".join(map(str, value))
    unit = f" {row['unit']}" if row["unit"] else ""
    rule = f"  (takes {row['rule']})" if row["writable"] else ""
    return f"{shown(value)}{unit}{rule}"
