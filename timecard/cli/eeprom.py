"""``timecard eeprom``: what the EEPROM says, a backup of it, and the way back."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from timecard.board_data import (
    Restored,
    load_backup,
    pending,
    restore,
    resume,
    save_backup,
    take_backup,
    undo,
    write_protected,
)
from timecard.card_protocols import Card
from timecard.cli.common import Answer, CardOptions, Facts, card_options, on_card, state_root
from timecard.eeprom.parameters import Parameters, decode_parameters
from timecard.errors import TimeCardError

_PROTECTED: Final = {True: "yes", False: "not by the card's own line", None: "unknown"}
_UNFIT_FOR_A_NAME: Final = re.compile(r"[^A-Za-z0-9.-]+")

Backup = Annotated[Path, typer.Argument(metavar="FILE", help="Backup, a JSON file.", show_default=False)]
OptionalBackup = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="Backup to restore.", show_default=False)
]
JournalPath = Annotated[
    Path | None,
    typer.Option("--journal", metavar="PATH", help="Journal of an unfinished restore.", show_default=False),
]
Identity = Annotated[bool, typer.Option("--identity", help="Restore what says which board it is, too.")]
SameCard = Annotated[
    bool,
    typer.Option("--same-card", help="The backup is of this card, though no serial number shows it."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Finish a restore that was cut short.")]
Undo = Annotated[bool, typer.Option("--undo", help="Go back from a restore that was cut short.")]


def register(app: typer.Typer) -> None:
    """Add the group ``eeprom``."""
    group = typer.Typer(help="Identity and board data in the EEPROM.", no_args_is_help=True)
    group.command("show")(show_command)
    group.command("backup")(backup_command)
    group.command("restore")(restore_command)
    app.add_typer(group, name="eeprom")


@on_card("eeprom show")
def show_command(card: Card) -> Answer:
    """Show who the card is, its disciplining parameters (ART), and what is wrong with either."""
    facts = eeprom_facts(card)
    return facts, _lines(facts)


@on_card("eeprom backup")
def backup_command(card: Card, file: Backup) -> Answer:
    """Read everything and keep it in a file."""
    taken = take_backup(card)
    save_backup(taken, file)
    sizes = {name: len(raw) for name, raw in taken.contents.items()}
    areas = ", ".join(f"{name} ({size} bytes)" for name, size in sizes.items())
    facts = {"file": str(file), "card": taken.card_id, "areas": sizes}
    return facts, [f"{file}: {areas} of card {taken.card_id}"]


@card_options("eeprom restore")
def restore_command(
    options: CardOptions,
    file: OptionalBackup = None,
    identity: Identity = False,
    same_card: SameCard = False,
    finish: Resume = False,
    back: Undo = False,
    journal: JournalPath = None,
) -> None:
    """Write a backup to the card, and read it back. After a power cut, run it again."""
    if sum((file is not None, finish, back)) != 1:
        raise typer.BadParameter("give a backup to restore, or --resume, or --undo")
    with options.opened() as card:
        where = journal or default_journal(card.id)
        if file is not None:
            done = restore(card, load_backup(file), where, identity=identity, same_card=same_card)
        else:
            done = resume(card, where) if finish else undo(card, where)
    options.emit(dataclasses.asdict(done), [_told(done)])


def eeprom_facts(card: Card) -> Facts:
    """What ``show`` says, ready for JSON. Contents that make no sense are told as problems.

    Raises ``TimeCardError`` when the card is lost.
    """
    identity = card.identity()
    problems = list(identity.problems)
    parameters, unread = _parameters(card)
    problems += unread
    if parameters is not None:
        problems += parameters.problems
    try:
        unfinished = pending(card, default_journal(card.id))
    except TimeCardError as error:
        unfinished = None
        problems.append(str(error))
    if unfinished is not None:
        problems.append("a restore was cut short: finish it with --resume or go back with --undo")
    return {
        "id": card.id,
        "board": card.board.name,
        "serial": identity.serial,
        "board_id": identity.board_id,
        "fields": dict(identity.fields),
        "parameters": None if parameters is None else parameters.to_json(),
        "write_protected": write_protected(card),
        "problems": problems,
    }


def default_journal(card_id: str) -> Path:
    """Where the journal of a card lies, in the folder for state."""
    return state_root() / "eeprom" / f"{_UNFIT_FOR_A_NAME.sub('_', card_id)}.json"


# --- internals ---


def _parameters(card: Card) -> tuple[Parameters | None, list[str]]:
    fields = card.board.i2c.fields
    if "disciplining_config" not in fields:
        return None, []
    raw = []
    for name in ("disciplining_config", "temperature_table"):
        field = fields[name]
        try:
            raw.append(card.memory(field.chip).read(field.offset, field.size))
        except TimeCardError as error:
            return None, [f"{name}: {error}"]
    return decode_parameters(raw[0], raw[1]), []


def _lines(facts: Mapping[str, Any]) -> list[str]:
    rows = [
        ("card", facts["id"]),
        ("board", facts["board"]),
        ("serial", facts["serial"] or "unknown"),
        ("board id", facts["board_id"] or "unknown"),
        *((name.replace("_", " "), text) for name, text in facts["fields"].items()),
    ]
    parameters = facts["parameters"]
    if parameters is not None:
        rows += _parameter_rows(parameters)
    rows.append(("protected", _PROTECTED[facts["write_protected"]]))
    rows += [("problem", problem) for problem in facts["problems"]]
    return [f"{name:28} {text}" for name, text in rows]


def _parameter_rows(parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("parameters, layout", parameters["layout"] or "not valid")]
    config, table = parameters["disciplining_config"], parameters["temperature_table"]
    if config is not None:
        date = datetime.fromtimestamp(config["calibration_date_unix_s"], UTC).date().isoformat()
        rows += [
            ("calibration", f"{date}, valid" if config["calibration_valid"] else "none"),
            ("coarse equilibrium", f"{config['coarse_equilibrium']}"),
            ("coarse equilibrium, factory", f"{config['coarse_equilibrium_factory']}"),
            (
                "control nodes",
                f"{config['ctrl_nodes_length']}, {config['ctrl_nodes_length_factory']} factory",
            ),
        ]
    if table is not None:
        known = sum(value != 0 for value in table)
        rows.append(("temperature table", f"{known} of {len(table)} temperatures known"))
    return rows


def _told(done: Restored) -> str:
    if not done.changed:
        return "the card holds these contents already: nothing was written"
    converted = ", converted from the older layout" if done.converted else ""
    return f"restored and read back: {', '.join(done.changed)}{converted}"
