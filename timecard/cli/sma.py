"""``timecard sma``: what the four connectors do, by names that are the same for every vendor."""

from __future__ import annotations

from typing import Annotated

import typer

from timecard.bringup.step_sma import refuse_impossible
from timecard.card_protocols import Card
from timecard.cli.common import Answer, CardOptions, Facts, card_options, on_card
from timecard.errors import ProtocolError

app = typer.Typer(help="SMA connectors: what they do, and routing them.", no_args_is_help=True)

Connector = Annotated[int, typer.Argument(min=1, max=4, metavar="CONNECTOR", help="1 to 4.")]
Direction = Annotated[str, typer.Argument(metavar="DIRECTION", help="in, out or off.")]
Functions = Annotated[
    list[str] | None,
    typer.Argument(metavar="FUNCTION...", help="`timecard sma show` lists them; an input takes several."),
]


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="sma")


@app.command("show")
@on_card("sma show")
def show_command(card: Card) -> Answer:
    """Show what each connector does, and which functions the board has."""
    facts = sma_facts(card)
    return facts, _lines(facts)


@app.command("set")
@card_options("sma set")
def set_command(
    options: CardOptions, connector: Connector, direction: Direction, functions: Functions = None
) -> None:
    """Route a connector; what cannot be is refused with the reason and what would do."""
    if direction not in ("in", "out", "off"):
        raise typer.BadParameter(f"direction is in, out or off, not {direction!r}")
    with options.opened() as card:
        names = known_names(card, direction, functions or [])
        refuse_impossible(card, connector, direction, names)
        card.sma.set(connector, direction, names)
        found = next(each for each in card.sma.read() if each.number == connector)
        if found.direction != direction or set(found.functions) != set(names):
            raise ProtocolError(card.name, f"route sma{connector}", f"the card shows {found} afterwards")
        facts = sma_facts(card)
    options.emit(facts, _lines(facts))


def known_names(card: Card, direction: str, functions: list[str]) -> list[str]:
    """Functions by their right spelling; an unknown one stays as it is, to be refused by name."""
    table = card.board.sma
    spelling = {name.lower(): name for name in (table.outputs if direction == "out" else table.inputs)}
    return [spelling.get(name.lower(), name) for name in functions]


def sma_facts(card: Card) -> Facts:
    """Connectors and what there is to choose, ready for JSON."""
    return {
        "card": card.id,
        "board": card.board.name,
        "connectors": [
            {"number": each.number, "direction": each.direction, "functions": list(each.functions)}
            for each in card.sma.read()
        ],
        "inputs": list(card.board.sma.inputs),
        "outputs": list(card.board.sma.outputs),
        "can_switch_off": card.board.sma.can_switch_off,
    }


def _lines(facts: Facts) -> list[str]:
    connectors = [
        f"sma{each['number']}  {each['direction']:4} {' '.join(each['functions'])}".rstrip()
        for each in facts["connectors"]
    ]
    return [*connectors, f"inputs   {' '.join(facts['inputs'])}", f"outputs  {' '.join(facts['outputs'])}"]
