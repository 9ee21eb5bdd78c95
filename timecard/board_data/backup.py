"""A backup of a board's EEPROM: taken from a card, kept as a JSON file.

The file holds each area as bytes, and the parameters of ART cards also as values to read and edit. Where an
area has no ``hex``, the values are what is restored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from timecard.board_data.areas import Kind, areas_of
from timecard.board_data.files import write_safely
from timecard.boards import BOARDS, Board
from timecard.card_protocols import Card
from timecard.eeprom.disciplining import ContentsError
from timecard.eeprom.parameters import Parameters, decode_parameters, parameters_from_json
from timecard.errors import DeviceAbsentError, RefusedError, from_oserror
from timecard.toml_reader import check_depth

FORMAT: Final = "timecard-eeprom-backup"
VERSION: Final = 1
MAX_FILE: Final = 1 << 20
_OPERATION: Final = "read backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What was on a card."""

    board: Board
    card_id: str
    serial: str | None
    board_id: str | None
    contents: Mapping[str, bytes]
    """Area (``areas_of``) to its bytes."""

    def parameters(self) -> Parameters | None:
        """The parameters, for a board that has some."""
        if "disciplining_config" not in self.contents:
            return None
        return decode_parameters(self.contents["disciplining_config"], self.contents["temperature_table"])

    def to_json(self) -> dict[str, Any]:
        """The file's contents."""
        parameters = self.parameters()
        return {
            "format": FORMAT,
            "version": VERSION,
            "board": self.board.name,
            "card": self.card_id,
            "serial": self.serial,
            "board_id": self.board_id,
            "hex": {name: raw.hex() for name, raw in self.contents.items()},
            "parameters": None if parameters is None else parameters.to_json(),
        }


def take_backup(card: Card) -> Backup:
    """Read every area of the card; raises what the memories raise."""
    identity = card.identity()
    contents = {
        area.name: card.memory(area.chip).read(area.offset, area.size) for area in areas_of(card.board)
    }
    return Backup(
        board=card.board,
        card_id=card.id,
        serial=identity.serial,
        board_id=identity.board_id,
        contents=contents,
    )


def save_backup(backup: Backup, path: Path) -> None:
    """Write the file, whole or not at all; raises a ``TimeCardError``."""
    write_safely(path, json.dumps(backup.to_json(), indent=1) + "\n")


def load_backup(path: Path) -> Backup:
    """Read a file that anybody may have edited; raises ``RefusedError`` that names the field."""
    values = read_json(path, _OPERATION)
    try:
        return _backup_from_json(values)
    except ContentsError as error:
        raise RefusedError(str(path), _OPERATION, str(error)) from None


def read_json(path: Path, operation: str) -> Mapping[str, Any]:
    """An object from a JSON file of bounded size; raises a ``TimeCardError``."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise DeviceAbsentError(str(path), operation, "there is no such file") from None
    except OSError as error:
        raise from_oserror(str(path), operation, error) from error
    if len(raw) > MAX_FILE:
        raise RefusedError(str(path), operation, f"larger than {MAX_FILE} bytes")
    try:
        values = json.loads(raw)
        if not isinstance(values, dict):
            raise ValueError("not an object")
        check_depth(values)
    except (ValueError, RecursionError) as error:
        raise RefusedError(str(path), operation, f"not JSON of ours: {str(error)[:80]}") from None
    return values


def _backup_from_json(values: Mapping[str, Any]) -> Backup:
    if values.get("format") != FORMAT or values.get("version") != VERSION:
        raise ContentsError(f"format is not {FORMAT!r} version {VERSION}")
    board = BOARDS.get(str(values.get("board")))
    if board is None:
        raise ContentsError(f"board {str(values.get('board'))[:40]!r} is none of {', '.join(BOARDS)}")
    contents = contents_from_json(board, values.get("hex", {}))
    stored = values.get("parameters")
    if isinstance(stored, Mapping) and stored.get("disciplining_config") is not None:
        edited = parameters_from_json(stored)
        config, table = edited.encode()
        present = "disciplining_config" in contents or "temperature_table" in contents
        if not present:
            contents = {"disciplining_config": config, "temperature_table": table, **contents}
        elif decode_parameters(
            contents.get("disciplining_config", b""), contents.get("temperature_table", b"")
        ).to_json() | {"layout": None} != edited.to_json() | {"layout": None}:
            raise ContentsError(
                "parameters and hex differ: remove disciplining_config and temperature_table from hex to "
                "restore the values"
            )
    missing = {area.name for area in areas_of(board) if area.kind is Kind.PARAMETERS} - set(contents)
    if missing:
        raise ContentsError(f"hex: {', '.join(sorted(missing))} missing")
    return Backup(
        board=board,
        card_id=str(values.get("card")),
        serial=_text_or_none(values, "serial"),
        board_id=_text_or_none(values, "board_id"),
        contents=contents,
    )


def contents_from_json(board: Board, values: object) -> dict[str, bytes]:
    """Areas from hexadecimal text; raises ``ContentsError``."""
    if not isinstance(values, Mapping):
        raise ContentsError("hex is not an object")
    sizes = {area.name: area.size for area in areas_of(board)}
    contents = {}
    for name, text in values.items():
        if name not in sizes:
            raise ContentsError(f"hex.{str(name)[:40]} is no area of board {board.name}: {', '.join(sizes)}")
        try:
            raw = bytes.fromhex(text)
        except (TypeError, ValueError):
            raise ContentsError(f"hex.{name} is not hexadecimal text") from None
        if len(raw) != sizes[name]:
            raise ContentsError(f"hex.{name} has {len(raw)} bytes instead of {sizes[name]}")
        contents[name] = raw
    return contents


def _text_or_none(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise ContentsError(f"{name} is neither text nor null")
    return value
