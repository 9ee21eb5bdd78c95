"""What of a board's EEPROM is backed up, and the order in which it is written back.

The order never leaves a mixture of old and new behind that looks valid. On ART both parameter areas count
as one: while they are written, the first header is gone and the second is there, which our decoder and
oscillatord both refuse; the first header comes back last, as a single byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from timecard.boards.board import Board
from timecard.eeprom.disciplining import MAGIC
from timecard.eeprom.manufacturing import MAGIC as RECORD_MAGIC

NO_HEADER: Final = b"\xff"
_CONFIG: Final = "disciplining_config"
_TABLE: Final = "temperature_table"
_RECORD: Final = "manufacturing"


class Kind(Enum):
    """What an area is for."""

    PARAMETERS = "parameters"
    """Belongs to the oscillator on the board."""
    IDENTITY = "identity"
    """Says which board it is; restored only on demand."""
    LOCKED = "locked"
    """Only read."""


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a chip."""

    name: str
    chip: int
    offset: int
    size: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Write:
    """One step: bytes at an offset of a chip."""

    chip: int
    offset: int
    data: bytes


def areas_of(board: Board) -> tuple[Area, ...]:
    """Every area of a board."""
    fields = board.i2c.fields
    if _RECORD in fields:
        kinds = {_CONFIG: Kind.PARAMETERS, _TABLE: Kind.PARAMETERS, _RECORD: Kind.IDENTITY}
        return tuple(
            Area(name, fields[name].chip, fields[name].offset, fields[name].size, kind)
            for name, kind in kinds.items()
        )
    serial = fields["serial"]
    chip = next(chip for chip in board.i2c.chips if chip.address == fields["board_id"].chip)
    return (
        Area("memory", chip.address, 0, chip.size, Kind.IDENTITY),
        Area("serial", serial.chip, serial.offset, serial.size, Kind.LOCKED),
    )


def writing_order(areas: tuple[Area, ...], new: Mapping[str, bytes]) -> tuple[Write, ...]:
    """The steps that bring ``new`` (area to contents) onto the chips."""
    by_name = {area.name: area for area in areas}
    steps: list[Write] = []
    if _CONFIG in new and _TABLE in new:
        config, table = by_name[_CONFIG], by_name[_TABLE]
        steps += [
            Write(table.chip, table.offset, bytes((MAGIC,))),
            Write(config.chip, config.offset, NO_HEADER),
            *_pieces(config, new[_CONFIG], 1),
            *_pieces(table, new[_TABLE], 1),
            Write(table.chip, table.offset, new[_TABLE][:1]),
            Write(config.chip, config.offset, new[_CONFIG][:1]),
        ]
    if _RECORD in new:
        record = by_name[_RECORD]
        steps.append(Write(record.chip, record.offset, NO_HEADER))
        steps += _pieces(record, new[_RECORD], 1)
        steps.append(Write(record.chip, record.offset, RECORD_MAGIC[:1]))
    if "memory" in new:
        steps += _pieces(by_name["memory"], new["memory"], 0)
    return tuple(steps)


def _pieces(area: Area, contents: bytes, start: int) -> list[Write]:
    return [Write(area.chip, area.offset + start, contents[start:])]
