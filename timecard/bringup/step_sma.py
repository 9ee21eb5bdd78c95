"""The step about the SMA connectors, and what of the routing a board cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from timecard.boards.board import SmaKind
from timecard.boards.registers import ALL_ONES
from timecard.bringup.bench import Bench
from timecard.bringup.card_settings import OnRegisters
from timecard.bringup.engine import Setting, Stepper
from timecard.bringup.intent import SmaIntent
from timecard.card_protocols import Card
from timecard.card_values import SmaConnector
from timecard.errors import RefusedError, UnsupportedError

INPUT_10MHZ = 1
"""On boards with map blocks only this connector leads to the 10 MHz input."""


def sma(bench: Bench, stepper: Stepper) -> None:
    """Route the connectors that the intent names; a function moves from one to another in two goes."""
    card = bench.card
    rows: list[SmaIntent] = []
    for row in bench.intent.sma:
        try:
            refuse_impossible(card, row.connector, row.direction, row.functions)
        except UnsupportedError as error:
            stepper.lack(_what(row), error, required=row.required, wanted=_text(row))
        else:
            rows.append(row)
    if not stepper.check:
        _make_room(card, rows, stepper)
    for row in rows:
        _settle(card, row, rows, stepper)


def refuse_impossible(card: Card, number: int, direction: str, functions: Sequence[str]) -> None:
    """Raise ``UnsupportedError`` for what this board can never do, with what it can."""
    table = card.board.sma
    names = table.outputs if direction == "out" else table.inputs
    product = card.board.product
    operation = f"route sma{number}"
    if direction == "off":
        if not table.can_switch_off:
            raise UnsupportedError(card.name, operation, f"a connector of {product} always has a function")
        return
    for name in functions:
        if name not in names:
            raise UnsupportedError(
                card.name, operation, f"{product} has no {direction}put {name}; there are {', '.join(names)}"
            )
    if table.kind is SmaKind.MAPS and direction == "in" and "10MHz" in functions and number != INPUT_10MHZ:
        raise UnsupportedError(card.name, operation, f"only sma{INPUT_10MHZ} leads to the 10 MHz input")
    if table.kind is SmaKind.ART and len(functions) > 1:
        raise UnsupportedError(
            card.name,
            operation,
            f"a connector of {product} has one function, not {' and '.join(functions)}",
        )
    if table.kind is SmaKind.ART:
        able = art_capability(card, number)
        can = [
            f"{side} {name}"
            for side in ("in", "out")
            for name, bit in _bits(card, side).items()
            if bit & able
        ]
        if not able & names[functions[0]]:
            raise UnsupportedError(
                card.name,
                operation,
                f"sma{number} of this board cannot do {direction} {functions[0]}; it can do {', '.join(can)}",
            )


def art_capability(card: Card, number: int) -> int:
    """Function bits that an ART connector can do: from its own word where we reach it, else as documented."""
    row = card.board.blocks["art_sma"].registers[number - 1]
    if isinstance(card, OnRegisters):
        word = card.bus.read32(card.board.at("art_sma", row.name))
        if word != ALL_ONES:
            return word >> 16
    return (row.reset or 0) >> 16


def _bits(card: Card, side: str) -> Mapping[str, int]:
    return card.board.sma.inputs if side == "in" else card.board.sma.outputs


def taken_by_others(
    connectors: Sequence[SmaConnector], number: int, direction: str, functions: Sequence[str]
) -> list[tuple[int, str]]:
    """Inputs that another connector has already: its number and the function."""
    if direction != "in":
        return []
    return [
        (other.number, name)
        for other in connectors
        if other.number != number and other.direction == "in"
        for name in functions
        if name in other.functions
    ]


def _make_room(card: Card, rows: Sequence[SmaIntent], stepper: Stepper) -> None:
    """Switch off connectors that will be routed anew, where they hold an input that another one shall get."""
    if not card.board.sma.can_switch_off:
        return
    try:
        present = card.sma.read()
        for row in rows:
            for other, _ in taken_by_others(present, row.connector, row.direction, row.functions):
                later = next((candidate for candidate in rows if candidate.connector == other), None)
                held = next(connector for connector in present if connector.number == other)
                if later is not None and held.direction != "off" and not is_routed(held, later):
                    stepper.changing(_what(later), _shown(held))
                    card.sma.set(other, "off", ())
            present = card.sma.read()
    except (RefusedError, UnsupportedError):
        return  # what cannot be done is said of the connector that wanted it


def _settle(card: Card, row: SmaIntent, rows: Sequence[SmaIntent], stepper: Stepper) -> None:
    def read() -> SmaConnector:
        connectors = card.sma.read()
        found = next(connector for connector in connectors if connector.number == row.connector)
        if not is_routed(found, row):
            _refuse_double(card, row, connectors, rows if stepper.check else ())
        return found

    stepper.settle(
        Setting(
            what=_what(row),
            wanted=_text(row),
            read=read,
            matches=lambda connector: is_routed(connector, row),
            write=lambda: _route(card, row),
            show=_shown,
            required=row.required,
        )
    )


def _refuse_double(
    card: Card, row: SmaIntent, connectors: Sequence[SmaConnector], will_move: Sequence[SmaIntent]
) -> None:
    moving = {other.connector for other in will_move}
    for other, name in taken_by_others(connectors, row.connector, row.direction, row.functions):
        if other not in moving:
            raise RefusedError(
                card.name,
                f"route sma{row.connector}",
                f"{name} already comes from sma{other}, and of two connectors with the same input only the "
                f"lower one counts: give sma{other} a row in [[sma]] with another function, or off",
            )


def _route(card: Card, row: SmaIntent) -> None:
    try:
        card.sma.set(row.connector, row.direction, row.functions)
    except RefusedError as error:
        # Double inputs were refused before, so it is the connector itself: fixed on this board or image.
        raise UnsupportedError(error.device, error.operation, error.reason) from error


def is_routed(found: SmaConnector, row: SmaIntent) -> bool:
    """Whether a connector does what is wanted, in whatever order its functions are named."""
    return found.direction == row.direction and set(found.functions) == set(row.functions)


def _what(row: SmaIntent) -> str:
    return f"sma{row.connector}"


def _text(row: SmaIntent) -> str:
    return f"{row.direction} {' '.join(row.functions)}".strip()


def _shown(connector: SmaConnector) -> str:
    return f"{connector.direction} {' '.join(connector.functions)}".strip()
