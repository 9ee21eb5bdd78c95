"""``timecard bringup``: make a card what an intent file says, step by step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from timecard.api import bring_up, diagnose, open_card
from timecard.bringup.intent import CardIntent, Intent
from timecard.bringup.intent_file import load_intent
from timecard.bringup.journal import JournalError
from timecard.bringup.report import StepReport
from timecard.card import find_card
from timecard.card_values import Access
from timecard.cli.common import EXIT_FAILED, CardOptions, Facts, card_options, state_root, usage
from timecard.discovery import CardDescriptor
from timecard.toml_reader import IntentError


def register(app: typer.Typer) -> None:
    """Add ``bringup``."""
    app.command("bringup")(bringup_command)


@card_options("bringup")
def bringup_command(
    options: CardOptions,
    file: Annotated[Path, typer.Argument(metavar="INTENT.toml", help="What the card shall be like.")],
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 3 if something would.")
    ] = False,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", metavar="DIR", help="Where the journal is kept.")
    ] = None,
    no_doctor: Annotated[bool, typer.Option("--no-doctor", help="Leave the examination out.")] = False,
) -> None:
    """Bring a card up: selection, receiver, oscillator, SMA, delays, time, phase proof, outputs.

    Each step reads, compares, changes only what differs, and verifies; running it again changes nothing, and
    continues a run that was cut off. Options that choose a card win over the file's [card].
    """
    try:
        intent = load_intent(file)
    except IntentError as error:
        raise usage(error.errors) from error
    directory = None if check else state_root(state_dir)
    progress = (lambda report: None) if options.as_json else _tell

    descriptor, way = _chosen(options, intent.card)
    findings = None if no_doctor else diagnose([descriptor])
    with open_card(descriptor, access=way) as card:
        try:
            report = bring_up(
                card,
                intent,
                check=check,
                findings=findings,
                journal_directory=directory,
                on_step=progress,
            )
        except JournalError as error:
            typer.echo(f"timecard: {error}", err=True)
            raise typer.Exit(EXIT_FAILED) from error
    facts = report.as_dict()
    options.emit(facts, _summary(facts, intent))
    raise typer.Exit(report.verdict.value)


def _chosen(options: CardOptions, wanted: CardIntent) -> tuple[CardDescriptor, Access | None]:
    """The card of the options, else the intent's."""
    choice, way = options.choice(), options.way
    if not options.named:
        named = replace(options, card_id=wanted.id, pci=wanted.pci, vfio_user=wanted.vfio_user)
        choice = named.choice()
        way = way or (Access(wanted.access) if wanted.access else None)
    return find_card(choice), way


def _tell(report: StepReport) -> None:
    for result in report.results:
        typer.echo(f"{report.name:12} {result}")
    for note in report.notes:
        typer.echo(f"{report.name:12} note: {note}")


def _summary(facts: Facts, intent: Intent) -> list[str]:
    resumed = f", continued after an interruption in step {facts['resumed']}" if facts["resumed"] else ""
    stopped = f"; stopped: {facts['stopped']}" if facts["stopped"] else ""
    words = {"done": "as intended", "failed": "NOT as intended", "would_change": "would be changed"}
    changes = f"{facts['changes']} {'to change' if facts['check'] else 'changed'}"
    return [f"{intent.source}: card {facts['card']} {words[facts['verdict']]}, {changes}{resumed}{stopped}"]
