"""Disciplining parameters of ART cards: what is known about the mRO50, and its control word over temperature.

Layout, little-endian: disciplining-minipod's ``oscillator-disciplining.h``. Version 1 begins each of the
two areas with ``O`` and 1. The older layout has no header and is one structure across both areas; it is
taken for that only if every value in it is possible, and is converted to version 1.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

MAGIC: Final = 0x4F
VERSION: Final = 1
CONFIG_SIZE: Final = 144
TABLE_SIZE: Final = 368
NODES: Final = 10
FACTORY_NODES: Final = 3
TEMPERATURES: Final = 160
MAX_COARSE: Final = 0x3F_FFFF
"""Largest coarse word of an mRO50; -1 stands for "not known"."""
MAX_FINE_TENTHS: Final = 48_000
"""Fine words reach 4800 and are stored in tenths; 0 stands for "not known"."""
LAST_DATE_UNIX_S: Final = 253_402_300_799
"""The end of the year 9999."""
_SMALLEST_NODE: Final = 1e-6
_BODY: Final = "10f10f3f3f2i"
_CONFIG: Final = struct.Struct(f"<BBxx{_BODY}4xqBB?xH")
_OLD_CONFIG: Final = struct.Struct(f"<{_BODY}qBB?xH")
_WORDS: Final = struct.Struct(f"<{TEMPERATURES}H")


class ContentsError(ValueError):
    """What is stored, or shall be stored, is not a valid parameter set; the text names the field."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DiscipliningConfig:
    """Load nodes are fractions of the fine range, drift coefficients ppb there (singles, as stored)."""

    ctrl_load_nodes: tuple[float, ...]
    ctrl_drift_coeffs: tuple[float, ...]
    ctrl_load_nodes_factory: tuple[float, ...]
    ctrl_drift_coeffs_factory: tuple[float, ...]
    coarse_equilibrium_factory: int
    coarse_equilibrium: int
    calibration_date_unix_s: int
    ctrl_nodes_length_factory: int
    """How many of the factory nodes count."""
    ctrl_nodes_length: int
    calibration_valid: bool
    estimated_equilibrium_es: int

    def __post_init__(self) -> None:
        for name, size in _ARRAYS.items():
            values = getattr(self, name)
            if len(values) != size:
                raise ContentsError(f"{name}: {len(values)} values instead of {size}")
            for number, value in enumerate(values):
                if not math.isfinite(value):
                    raise ContentsError(f"{name}[{number}] is {value}")
                if abs(value) > _LARGEST_SINGLE:
                    raise ContentsError(f"{name}[{number}] is {value}, beyond a single")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ContentsError(f"{name} is {value}, possible is {low} to {high}")
        for nodes, count in (
            (self.ctrl_load_nodes, self.ctrl_nodes_length),
            (self.ctrl_load_nodes_factory, self.ctrl_nodes_length_factory),
        ):
            for value in nodes[:count]:
                if not 0.0 <= value <= 1.0:
                    raise ContentsError(f"a load node is {value}, possible is 0 to 1")


@dataclasses.dataclass(frozen=True, slots=True)
class TemperatureTable:
    """Mean fine word in tenths, from 20 degrees C in steps of 0.25; 0 where nothing is known."""

    mean_fine_tenths: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.mean_fine_tenths) != TEMPERATURES:
            raise ContentsError(
                f"temperature table: {len(self.mean_fine_tenths)} values instead of {TEMPERATURES}"
            )
        for number, value in enumerate(self.mean_fine_tenths):
            if not 0 <= value <= MAX_FINE_TENTHS:
                raise ContentsError(
                    f"temperature table [{number}] is {value}, possible is 0 to {MAX_FINE_TENTHS}"
                )


_ARRAYS: Final = {
    "ctrl_load_nodes": NODES,
    "ctrl_drift_coeffs": NODES,
    "ctrl_load_nodes_factory": FACTORY_NODES,
    "ctrl_drift_coeffs_factory": FACTORY_NODES,
}
_RANGES: Final = {
    "coarse_equilibrium_factory": (-1, MAX_COARSE),
    "coarse_equilibrium": (-1, MAX_COARSE),
    "calibration_date_unix_s": (0, LAST_DATE_UNIX_S),
    "ctrl_nodes_length_factory": (0, FACTORY_NODES),
    "ctrl_nodes_length": (0, NODES),
    "estimated_equilibrium_es": (0, 0xFFFF),
}
_LARGEST_SINGLE: Final = 3.4028234663852886e38
FACTORY_CONFIG: Final = DiscipliningConfig(
    ctrl_load_nodes=(0.25, 0.5, 0.75, *(0.0,) * 7),
    ctrl_drift_coeffs=(0.0,) * NODES,
    ctrl_load_nodes_factory=(0.25, 0.5, 0.75),
    # Singles, so that what is read back compares equal.
    ctrl_drift_coeffs_factory=struct.unpack("<3f", struct.pack("<3f", 1.2, 0.0, -1.2)),
    coarse_equilibrium_factory=-1,
    coarse_equilibrium=-1,
    calibration_date_unix_s=0,
    ctrl_nodes_length_factory=3,
    ctrl_nodes_length=3,
    calibration_valid=False,
    estimated_equilibrium_es=0,
)
"""What a card without calibration starts from."""
EMPTY_TABLE: Final = TemperatureTable((0,) * TEMPERATURES)


def decode_config(raw: bytes) -> DiscipliningConfig:
    """The area ``disciplining_config``; raises ``ContentsError``."""
    _check_header("disciplining_config", raw, CONFIG_SIZE)
    return _config(_CONFIG.unpack_from(raw)[2:])


def encode_config(config: DiscipliningConfig) -> bytes:
    """The area, filled with zeros behind the structure."""
    return _CONFIG.pack(MAGIC, VERSION, *_flat(config)).ljust(CONFIG_SIZE, b"\0")


def decode_table(raw: bytes) -> TemperatureTable:
    """The area ``temperature_table``; raises ``ContentsError``."""
    _check_header("temperature_table", raw, TABLE_SIZE)
    return TemperatureTable(_WORDS.unpack_from(raw, 2))


def encode_table(table: TemperatureTable) -> bytes:
    """The area, filled with zeros behind the table."""
    return (bytes((MAGIC, VERSION)) + _WORDS.pack(*table.mean_fine_tenths)).ljust(TABLE_SIZE, b"\0")


def decode_old_layout(config: bytes, table: bytes) -> tuple[DiscipliningConfig, TemperatureTable]:
    """Both areas of a card that was written before there were headers; raises ``ContentsError``."""
    raw = config + table
    if len(config) != CONFIG_SIZE or len(table) != TABLE_SIZE:
        raise ContentsError(f"{len(config)} and {len(table)} bytes instead of {CONFIG_SIZE} and {TABLE_SIZE}")
    old = _config(_OLD_CONFIG.unpack_from(raw))
    if not old.ctrl_nodes_length_factory:
        raise ContentsError("no header, and without factory nodes it is not the older layout either")
    for value in (*old.ctrl_load_nodes, *old.ctrl_load_nodes_factory):
        # Pieces of other data look like denormal or huge numbers.
        if value != 0.0 and not _SMALLEST_NODE <= value <= 1.0:
            raise ContentsError(f"no header, and load node {value} is not of the older layout either")
    return old, TemperatureTable(_WORDS.unpack_from(raw, _OLD_CONFIG.size))


def config_to_json(config: DiscipliningConfig) -> dict[str, Any]:
    """Plain values; numbers come back to the last bit."""
    return dataclasses.asdict(config)


def config_from_json(values: Mapping[str, Any]) -> DiscipliningConfig:
    """From untrusted values; raises ``ContentsError`` that names the field."""
    names = {field.name: field.type for field in dataclasses.fields(DiscipliningConfig)}
    if set(values) != set(names):
        wrong = ", ".join(sorted(set(values) ^ set(names)))
        raise ContentsError(f"disciplining_config: missing or unknown: {wrong}")
    checked: dict[str, Any] = {}
    for name in names:
        value = values[name]
        if name in _ARRAYS:
            checked[name] = tuple(_single(name, number) for number in _sequence(name, value))
        elif name in _RANGES:
            checked[name] = _integer(name, value)
        elif isinstance(value, bool):
            checked[name] = value
        else:
            raise ContentsError(f"{name} is {value!r:.60}, not true or false")
    return DiscipliningConfig(**checked)


def table_from_json(values: object) -> TemperatureTable:
    """The table from a list of numbers; raises ``ContentsError``."""
    name = "temperature table"
    return TemperatureTable(tuple(_integer(name, value) for value in _sequence(name, values)))


def _check_header(name: str, raw: bytes, size: int) -> None:
    if len(raw) != size:
        raise ContentsError(f"{name}: {len(raw)} bytes instead of {size}")
    if raw in (b"\xff" * size, bytes(size)):
        raise ContentsError(f"{name}: blank")
    if raw[0] != MAGIC:
        raise ContentsError(f"{name}: header {raw[0]:#04x} instead of {MAGIC:#04x} ('O')")
    if raw[1] != VERSION:
        raise ContentsError(f"{name}: version {raw[1]}, known is {VERSION}")


def _config(values: Sequence[Any]) -> DiscipliningConfig:
    return DiscipliningConfig(
        ctrl_load_nodes=tuple(values[0:10]),
        ctrl_drift_coeffs=tuple(values[10:20]),
        ctrl_load_nodes_factory=tuple(values[20:23]),
        ctrl_drift_coeffs_factory=tuple(values[23:26]),
        coarse_equilibrium_factory=values[26],
        coarse_equilibrium=values[27],
        calibration_date_unix_s=values[28],
        ctrl_nodes_length_factory=values[29],
        ctrl_nodes_length=values[30],
        calibration_valid=values[31],
        estimated_equilibrium_es=values[32],
    )


def _flat(config: DiscipliningConfig) -> list[Any]:
    flat: list[Any] = []
    for value in dataclasses.astuple(config):
        flat += value if isinstance(value, tuple) else [value]
    return flat


def _sequence(name: str, value: object) -> Sequence[object]:
    if not isinstance(value, (list, tuple)):
        raise ContentsError(f"{name} is {value!r:.60}, not a list")
    return value


def _integer(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ContentsError(f"{name}: {value!r:.60} is not a whole number")
    return value


def _single(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ContentsError(f"{name}: {value!r:.60} is not a number")
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except (OverflowError, struct.error):  # the latter for a whole number beyond a double
        raise ContentsError(f"{name}: {value!r:.60} is beyond a single") from None
    return rounded
