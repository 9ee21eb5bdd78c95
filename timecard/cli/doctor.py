"""``timecard doctor``."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from timecard.card import find_card, open_card
from timecard.card_values import Access
from timecard.cli.common import AccessName, AsJson, CardId, Pci, VfioUser, Way, choose
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
HELP: Final = """Examine host and cards, and say what is wrong, why, and what to do. Changes nothing.

Without a choice: all cards on the PCI bus. Root causes come first, with cause, evidence and fix; what follows
from them is listed below. Takes at most half a minute. A serial port that another program holds stays closed.

Exit status: 0 healthy, 3 warnings only, 4 something does not work; 1 the examination failed, 2 wrong usage.
"""


def register(app: typer.Typer) -> None:
    """Add ``doctor``."""
    app.command("doctor", help=HELP)(doctor_command)


def doctor_command(
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    record: Record = None,
    source: From = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Run the examination, or diagnose a recorded one."""
    facts = _facts(card_id, pci, vfio_user, access, source)
    if record is not None:
        try:
            write_facts(record, facts)
        except FactsError as error:
            raise typer.BadParameter(str(error), param_hint="--record") from None
    findings = diagnose(facts)
    if as_json:
        typer.echo(json.dumps(report_json(facts, findings)))
    else:
        for line in report_lines(facts, findings, verbose=verbose):
            typer.echo(line)
    raise typer.Exit(exit_status(findings))


def _facts(
    card_id: str | None,
    pci: str | None,
    vfio_user: Path | None,
    access: AccessName | None,
    source: Path | None,
) -> SystemFacts:
    choice = choose(card_id, pci, vfio_user, "doctor")
    chosen = card_id is not None or pci is not None or vfio_user is not None
    if source is None:
        cards: list[CardDescriptor] = [find_card(choice)] if chosen else list_cards()
        way = None if access is None else Access(access.value)
        return examine(cards, Surroundings(opener=partial(open_card, access=way)))
    if chosen or access is not None:
        raise typer.BadParameter("--from takes no card: the file has them")
    try:
        return read_facts(source)
    except FactsError as error:
        raise DeviceAbsentError("doctor", "read recorded facts", str(error)) from None
