"""Bringing a backup back onto a card so that a power cut, of card or host, does no lasting harm.

A journal with the old and the new contents is on the disk before the first byte is written and is removed
after the last one was read back. Whoever finds one either finishes (``resume``) or goes back (``undo``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from timecard.board_data.areas import Area, Kind, areas_of, writing_order
from timecard.board_data.backup import Backup, contents_from_json, read_json
from timecard.board_data.files import remove_safely, write_safely
from timecard.card_protocols import Card
from timecard.eeprom.disciplining import ContentsError
from timecard.eeprom.manufacturing import decode_record
from timecard.errors import RefusedError, TimeCardError

FORMAT: Final = "timecard-eeprom-journal"
VERSION: Final = 1
PROTECTED: Final = (
    "the EEPROM is write-protected. FB layout: clear bit 4 (EEPROM_WP) of the word at 0x100008; "
    "ART: set the jumper for the manufacturing record"
)
_OPERATION: Final = "restore EEPROM"


class _Lines(Protocol):
    def get(self, line: str) -> bool: ...


@runtime_checkable
class _HasLines(Protocol):
    """A card whose board GPIO can be read."""

    def gpio(self) -> _Lines: ...


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore came to."""

    changed: tuple[str, ...]
    """Areas that were written; none when the card held the contents already."""
    converted: bool = False
    """The backup was of the older layout and was brought into the current one."""


@dataclass(frozen=True, slots=True)
class Journal:
    """A restore that has not ended."""

    card_id: str
    board: str
    old: Mapping[str, bytes]
    new: Mapping[str, bytes]


def restore(
    card: Card, backup: Backup, journal: Path, *, identity: bool = False, same_card: bool = False
) -> Restored:
    """Write what differs, and read it back. Running it again finishes what was cut short.

    ``identity`` includes what says which board it is; ``same_card``: somebody vouches for the backup being
    of this card where serial numbers cannot show it. Raises ``RefusedError``, before anything is written,
    for a backup of another board or card, for contents that are not valid, for a write-protected EEPROM,
    and for an unfinished restore of other contents.
    """
    _check_origin(card, backup, same_card)
    new, converted = _wanted(card, backup, identity)
    unfinished = pending(card, journal)
    if unfinished is not None and dict(unfinished.new) != new:
        raise RefusedError(
            card.name,
            _OPERATION,
            f"an earlier restore of other contents was cut short ({journal}); finish it with --resume or go "
            "back with --undo first",
        )
    old = dict(unfinished.old) if unfinished else _read(card, tuple(new))
    if unfinished is None and old == new:
        return Restored((), converted)
    changed = tuple(name for name in new if new[name] != old[name])
    _write(card, Journal(card.id, card.board.name, old, new), journal)
    return Restored(changed, converted)


def resume(card: Card, journal: Path) -> Restored:
    """Finish a restore that was cut short; raises ``RefusedError`` when there is none."""
    unfinished = _unfinished(card, journal)
    _write(card, unfinished, journal)
    return Restored(tuple(name for name in unfinished.new if unfinished.new[name] != unfinished.old[name]))


def undo(card: Card, journal: Path) -> Restored:
    """Go back to what was there before a restore that was cut short."""
    unfinished = _unfinished(card, journal)
    # The journal is turned round first: a cut from here on is an unfinished way back.
    back = Journal(unfinished.card_id, unfinished.board, unfinished.new, unfinished.old)
    _write(card, back, journal)
    return Restored(tuple(name for name in back.new if back.new[name] != back.old[name]))


def pending(card: Card, journal: Path) -> Journal | None:
    """The restore that was cut short, if there is one; raises ``RefusedError`` for another card's journal."""
    if not journal.exists():
        return None
    values = read_json(journal, "read journal")
    try:
        found = _journal_from_json(card, values)
    except ContentsError as error:
        raise RefusedError(str(journal), "read journal", f"{error}; remove the file to start anew") from None
    return found


def write_protected(card: Card) -> bool | None:
    """Whether the card's own line forbids writing; None where it cannot be asked."""
    if not isinstance(card, _HasLines) or "gpio" in card.missing():
        return None
    return card.gpio().get("eeprom_wp")


# --- internals ---


def _check_origin(card: Card, backup: Backup, same_card: bool) -> None:
    """Serial numbers decide; where one is unknown, the ids of the cards, or the word of the user."""
    if backup.board.name != card.board.name:
        raise RefusedError(
            card.name, _OPERATION, f"the backup is of a board {backup.board.name}, this is {card.board.name}"
        )
    serial = card.identity().serial
    if serial and backup.serial:
        if serial != backup.serial:
            raise RefusedError(
                card.name, _OPERATION, f"the backup is of card {backup.serial}, this is card {serial}"
            )
    elif backup.card_id != card.id and not same_card:
        unknown = "the card has no" if not serial else "the backup has no"
        raise RefusedError(
            card.name,
            _OPERATION,
            f"{unknown} serial number, and the backup is of card {backup.card_id[:60]}, this is {card.id}; "
            "if it is the same card, --same-card says so",
        )


def _wanted(card: Card, backup: Backup, identity: bool) -> tuple[dict[str, bytes], bool]:
    """The areas to restore, checked."""
    kinds = {Kind.PARAMETERS, Kind.IDENTITY} if identity else {Kind.PARAMETERS}
    names = [
        area.name for area in areas_of(card.board) if area.kind in kinds and area.name in backup.contents
    ]
    if not names:
        raise RefusedError(
            card.name,
            _OPERATION,
            f"{card.board.product} keeps nothing but its identity there; --identity restores that",
        )
    new = {name: backup.contents[name] for name in names}
    parameters = backup.parameters()
    converted = False
    if parameters is not None:
        try:
            config, table = parameters.encode()
        except ContentsError as error:
            raise RefusedError(card.name, _OPERATION, f"the backup is not valid: {error}") from None
        converted = parameters.layout != "1"
        if converted:
            new["disciplining_config"], new["temperature_table"] = config, table
    if "manufacturing" in new:
        problems = decode_record(new["manufacturing"])[1]
        if problems:
            raise RefusedError(card.name, _OPERATION, f"the backup is not valid: {'; '.join(problems)}")
    return new, converted


def _write(card: Card, plan: Journal, journal: Path) -> None:
    if write_protected(card):
        raise RefusedError(card.name, _OPERATION, PROTECTED)
    write_safely(journal, json.dumps(_journal_to_json(plan), indent=1) + "\n")
    areas = tuple(area for area in areas_of(card.board) if area.name in plan.new)
    try:
        for step in writing_order(areas, plan.new):
            memory = card.memory(step.chip)
            if memory.read(step.offset, len(step.data)) == step.data:
                continue
            memory.write(step.offset, step.data)
            if memory.read(step.offset, len(step.data)) != step.data:
                raise RefusedError(card.name, _OPERATION, f"what was written does not stay: {PROTECTED}")
        after = _read(card, tuple(plan.new))
        wrong = [name for name in plan.new if after[name] != plan.new[name]]
        if wrong:
            raise RefusedError(card.name, _OPERATION, f"{', '.join(wrong)} reads back differently")
    except TimeCardError as error:
        raise _explained(card, plan, journal, error) from error
    remove_safely(journal)


def _explained(card: Card, plan: Journal, journal: Path, error: TimeCardError) -> TimeCardError:
    """The error, with what it means for the contents; without a change the journal goes."""
    try:
        untouched = _read(card, tuple(plan.old)) == dict(plan.old)
    except TimeCardError:
        untouched = False
    if untouched:
        remove_safely(journal)
        hint = "nothing was changed"
    else:
        hint = f"not finished: run it again, or with --undo ({journal} holds old and new contents)"
    return type(error)(error.device, error.operation, f"{error.reason}; {hint}")


def _read(card: Card, names: tuple[str, ...]) -> dict[str, bytes]:
    areas: dict[str, Area] = {area.name: area for area in areas_of(card.board)}
    return {name: card.memory(areas[name].chip).read(areas[name].offset, areas[name].size) for name in names}


def _unfinished(card: Card, journal: Path) -> Journal:
    found = pending(card, journal)
    if found is None:
        raise RefusedError(card.name, _OPERATION, f"no restore was cut short: there is no {journal}")
    return found


def _journal_to_json(journal: Journal) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "card": journal.card_id,
        "board": journal.board,
        "old": {name: raw.hex() for name, raw in journal.old.items()},
        "new": {name: raw.hex() for name, raw in journal.new.items()},
    }


def _journal_from_json(card: Card, values: Mapping[str, Any]) -> Journal:
    if values.get("format") != FORMAT or values.get("version") != VERSION:
        raise ContentsError(f"format is not {FORMAT!r} version {VERSION}")
    if values.get("card") != card.id or values.get("board") != card.board.name:
        raise ContentsError(f"it is of card {str(values.get('card'))[:60]}, this is {card.id}")
    old = contents_from_json(card.board, values.get("old"))
    new = contents_from_json(card.board, values.get("new"))
    if not new or set(old) != set(new):
        raise ContentsError("old and new hold different areas")
    return Journal(card.id, card.board.name, old, new)
