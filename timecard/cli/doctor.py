"""``timecard doctor``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from timecard.card import find_card, open_card
from timecard.cli.common import CardOptions, card_options
from timecard.discovery import CardDescriptor, list_cards
from timecard.doctor import (
    FactsError,
    Surroundings,
    SystemFacts,
    diagnose,
    examine,
    exit_status,
    read_facts,
    report_json,
    report_lines,
    write_facts,
)
from timecard.errors import DeviceAbsentError

Record = Annotated[
    Path | None,
    typer.Option("--record", metavar="FILE", help="Write what was found, to diagnose elsewhere."),
]
From = Annotated[
    Path | None, typer.Option("--from", metavar="FILE", help="Diagnose what --record wrote; touch nothing.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also cause and fix of what only informs.")]
HELP: Final = """Examine host and cards, and say what is wrong, why, and what to do. Changes no setting.

Without a choice: all cards on the PCI bus. Root causes come first, with cause, evidence and fix; what follows
from them is listed below. Takes at most half a minute. A serial port that another program holds stays closed.
A card without a kernel driver is opened by its registers, which starts a clock that stands still.

Exit status: 0 healthy, 3 warnings only, 4 something does not work; 1 the examination failed, 2 wrong usage.
"""


def register(app: typer.Typer) -> None:
    """Add ``doctor``."""
    app.command("doctor", help=HELP)(doctor_command)


@card_options("doctor")
def doctor_command(
    options: CardOptions, *, record: Record = None, source: From = None, verbose: Verbose = False
) -> None:
    """Run the examination, or diagnose a recorded one."""
    facts = _facts(options, source)
    if record is not None:
        try:
            write_facts(record, facts)
        except FactsError as error:
            raise typer.BadParameter(str(error), param_hint="--record") from None
    findings = diagnose(facts)
    options.emit(report_json(facts, findings), report_lines(facts, findings, verbose=verbose))
    raise typer.Exit(exit_status(findings))


def _facts(options: CardOptions, source: Path | None) -> SystemFacts:
    choice = options.choice()
    if source is None:
        cards: list[CardDescriptor] = [find_card(choice)] if options.named else list_cards()
        return examine(cards, Surroundings(opener=partial(open_card, access=options.way)))
    if options.named or options.access is not None:
        raise typer.BadParameter("--from takes no card: the file has them")
    try:
        return read_facts(source)
    except FactsError as error:
        raise DeviceAbsentError("doctor", "read recorded facts", str(error)) from None
