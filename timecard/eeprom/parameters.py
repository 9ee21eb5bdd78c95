"""The parameter set of ART cards as a whole: both areas together, in either layout, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from timecard.eeprom.disciplining import (
    MAGIC,
    ContentsError,
    DiscipliningConfig,
    TemperatureTable,
    config_from_json,
    config_to_json,
    decode_config,
    decode_old_layout,
    decode_table,
    encode_config,
    encode_table,
    table_from_json,
)

CURRENT: Final = "1"
OLDER: Final = "older, without header"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What the two areas hold; an area that is not valid is None, with the problem."""

    config: DiscipliningConfig | None
    table: TemperatureTable | None
    layout: str | None
    """``1`` or ``older, without header``; None when neither area is valid."""
    problems: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Both areas are valid."""
        return self.config is not None and self.table is not None

    def encode(self) -> tuple[bytes, bytes]:
        """Both areas in the current layout; raises ``ContentsError`` when one is not valid."""
        if self.config is None or self.table is None:
            raise ContentsError("; ".join(self.problems))
        return encode_config(self.config), encode_table(self.table)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "layout": self.layout,
            "disciplining_config": None if self.config is None else config_to_json(self.config),
            "temperature_table": None if self.table is None else list(self.table.mean_fine_tenths),
            "problems": list(self.problems),
        }


def decode_parameters(config: bytes, table: bytes) -> Parameters:
    """Both areas. Never raises: what is wrong is told.

    The older layout is looked for only when neither area has a header: a restore that was cut short leaves
    one.
    """
    problems: list[str] = []
    found_config = found_table = None
    try:
        found_config = decode_config(config)
    except ContentsError as error:
        problems.append(str(error))
    try:
        found_table = decode_table(table)
    except ContentsError as error:
        problems.append(str(error))
    if found_config or found_table:
        return Parameters(config=found_config, table=found_table, layout=CURRENT, problems=tuple(problems))
    if MAGIC not in (config[:1] + table[:1]):
        try:
            old_config, old_table = decode_old_layout(config, table)
        except ContentsError:
            pass
        else:
            return Parameters(config=old_config, table=old_table, layout=OLDER)
    return Parameters(config=None, table=None, layout=None, problems=tuple(problems))


def parameters_from_json(values: Mapping[str, Any]) -> Parameters:
    """From ``disciplining_config`` and ``temperature_table`` as ``to_json`` gives them.

    Raises ``ContentsError`` that names what is missing or wrong.
    """
    config = values.get("disciplining_config")
    if not isinstance(config, Mapping):
        raise ContentsError("disciplining_config is missing or not an object")
    if "temperature_table" not in values:
        raise ContentsError("temperature_table is missing")
    table = table_from_json(values["temperature_table"])
    return Parameters(config=config_from_json(config), table=table, layout=CURRENT)
