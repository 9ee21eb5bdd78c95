"""``timecard delay``: the delay ledger of a file, what the card's registers hold, and making them agree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from timecard.bringup.card_settings import delay_register
from timecard.bringup.delays import PLACE_RANGE_NS, PLANES, DelayLedger, is_guess
from timecard.bringup.intent_file import load_delays
from timecard.bringup.steps_card import REGISTER_PLACES
from timecard.card_protocols import Card
from timecard.cli.common import CardOptions, Facts, asked, card_options, usage
from timecard.errors import ProtocolError
from timecard.toml_reader import IntentError

app = typer.Typer(
    help="Delays of antenna, cable, connectors and bus, and who takes them out.", no_args_is_help=True
)

LedgerFile = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="Intent or daemon configuration with [[delays]] (TOML)."),
]


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="delay")


@app.command("show")
@card_options("delay show")
def show_command(options: CardOptions, file: LedgerFile = None) -> None:
    """Show the ledger of a file, the card's delay registers, and what counts twice or not at all."""
    ledger = _ledger(file) if file else None
    with options.opened() as card:
        facts = delay_facts(card, ledger)
    options.emit(facts, _lines(facts))


@app.command("set")
@card_options("delay set")
def set_command(
    options: CardOptions,
    place: Annotated[str, typer.Argument(metavar="PLACE", help=" or ".join(REGISTER_PLACES))],
    delay_ns: Annotated[int, typer.Argument(metavar="NS", help="Delay to take out, in ns.")],
) -> None:
    """Write one of the card's delay registers and read it back."""
    known = next((each for each in REGISTER_PLACES if each == place), None)
    if known is None:
        raise typer.BadParameter(f"place is {' or '.join(REGISTER_PLACES)}, not {place!r}")
    low, high = PLACE_RANGE_NS[known]
    if not low <= delay_ns <= high:
        raise typer.BadParameter(f"{known} takes {low} to {high} ns, not {delay_ns}")
    with options.opened() as card:
        write_delay(card, known, delay_ns)
        facts = delay_facts(card, None)
    options.emit(facts, _lines(facts))


@app.command("apply")
@card_options("delay apply")
def apply_command(
    options: CardOptions,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File with [[delays]] (TOML).")],
) -> None:
    """Write what the ledger of a file says into the card's delay registers, and read it back."""
    ledger = _ledger(file)
    with options.opened() as card:
        for place in REGISTER_PLACES:
            wanted_ns = ledger.register_ns(place)
            present_ns, reason = asked(delay_reader(card, place))
            if present_ns != wanted_ns and (reason is None or wanted_ns):
                write_delay(card, place, wanted_ns)
        facts = delay_facts(card, ledger)
    options.emit(facts, _lines(facts))


def _ledger(file: Path) -> DelayLedger:
    try:
        return load_delays(file)
    except IntentError as error:
        raise usage(error.errors) from error


def write_delay(card: Card, place: Any, delay_ns: int) -> None:
    """Write a register and see that it holds."""
    register_ = delay_register(card, place)
    register_.set_cable_delay_ns(delay_ns)
    found_ns = register_.cable_delay_ns()
    if found_ns != delay_ns:
        raise ProtocolError(card.name, f"set the delay of {place}", f"{found_ns} ns are in force afterwards")


def delay_reader(card: Card, place: Any) -> Any:
    """A function that reads the register of ``place``."""
    return lambda: delay_register(card, place).cable_delay_ns()


def delay_facts(card: Card, ledger: DelayLedger | None) -> Facts:
    """Registers, ledger and what does not fit, ready for JSON."""
    registers: list[Facts] = []
    problems: list[str] = []
    for place in REGISTER_PLACES:
        found_ns, reason = asked(delay_reader(card, place))
        wanted_ns = ledger.register_ns(place) if ledger else None
        registers.append({"place": place, "in_force_ns": found_ns, "wanted_ns": wanted_ns, "reason": reason})
        if wanted_ns is not None:
            problems += ledger_conflict(place, wanted_ns, found_ns)
    return {
        "card": card.id,
        "board": card.board.name,
        "registers": registers,
        "ledger": None if ledger is None else ledger_facts(ledger),
        "problems": problems,
    }


def ledger_conflict(place: str, wanted_ns: int, found_ns: int | None) -> list[str]:
    """What is wrong with a register, given the ledger."""
    if found_ns is None:
        return (
            [f"{place}: the ledger wants {wanted_ns} ns there, which cannot be written"] if wanted_ns else []
        )
    if found_ns == wanted_ns:
        return []
    if wanted_ns == 0:
        return [
            f"{place}: {found_ns} ns are taken out there that the ledger does not know: if another place "
            "takes them out too they count twice"
        ]
    return [f"{place}: {found_ns} ns are in force, the ledger says {wanted_ns} ns (timecard delay apply)"]


def ledger_facts(ledger: DelayLedger) -> Facts:
    """The ledger, ready for JSON."""
    return {
        "rows": [
            {
                "segment": row.segment,
                "value_ns": row.value_ns,
                "uncertainty_ns": row.uncertainty_ns,
                "origin": row.origin,
                "guessed": is_guess(row),
                "compensated_by": row.compensated_by,
            }
            for row in ledger.rows
        ],
        "planes": {
            plane: {
                "delay_ns": ledger.delay_ns(plane),
                "uncertainty_ns": ledger.uncertainty_ns(plane),
                "software_ns": ledger.software_ns(plane),
            }
            for plane in PLANES
        },
        "receiver_ns": ledger.register_ns("receiver"),
        "calibrated": ledger.calibrated,
        "not_calibrated_reason": ledger.not_calibrated_reason,
    }


def _lines(facts: Facts) -> list[str]:
    lines = [
        f"{row['place']:12} {row['reason'] or str(row['in_force_ns']) + ' ns in force'}"
        for row in facts["registers"]
    ]
    ledger = facts["ledger"]
    if ledger is not None:
        lines += [
            f"{row['segment']:14} {row['value_ns']:+.1f} +- {row['uncertainty_ns']:.1f} ns, "
            f"{row['origin']}, by {row['compensated_by']}"
            for row in ledger["rows"]
        ]
        lines += [
            f"up to {plane:8} {sums['delay_ns']:+.1f} +- {sums['uncertainty_ns']:.1f} ns, "
            f"{sums['software_ns']:+.1f} ns in software"
            for plane, sums in ledger["planes"].items()
        ]
        if ledger["not_calibrated_reason"]:
            lines.append(ledger["not_calibrated_reason"])
    return [*lines, *facts["problems"]]
