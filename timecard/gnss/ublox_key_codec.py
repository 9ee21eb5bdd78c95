"""Key-value pairs of the u-blox configuration interface as bytes: CFG-VALSET, -VALGET, -VALDEL.

u-blox F9 interface description, "Configuration interface": bits 30-28 of a key's id give the size of its
value; at most 64 pairs fit one message. Names and types of keys come from pyubx2's database.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pyubx2.ubxtypes_configdb import UBX_CONFIG_DATABASE

from timecard.gnss import ublox_messages as ubx
from timecard.gnss.ubx import encode

CFG_VALDEL: Final = 0x068C
MAX_PAIRS: Final = 64
"""What one message takes."""
RAM: Final = 1
BBR: Final = 2
FLASH: Final = 4
POLL_LAYER: Final = {RAM: 0, BBR: 1, FLASH: 2}
"""CFG-VALSET names layers by bits, CFG-VALGET by numbers."""
POLL_DEFAULTS: Final = 7
EVERYTHING: Final = 0x0FFF_FFFF
"""Wildcard for all keys of a layer."""
TRANSACTION: Final = {"none": 0, "begin": 1, "continue": 2, "end": 3}

_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8}
_NAMES: Final[dict[int, str]] = {key: name for name, (key, _) in UBX_CONFIG_DATABASE.items()}
_HEADER: Final = struct.Struct("<BBH")


def key_id(name: str) -> int:
    """Id of a key; also of one without a name, written ``CFG_0x20110099``. Raises ``ValueError``."""
    if name.startswith("CFG_0x"):
        return int(name[6:], 16)
    if name not in UBX_CONFIG_DATABASE:
        raise ValueError(f"{name}: no such configuration key")
    return int(UBX_CONFIG_DATABASE[name][0])


def key_name(key: int) -> str:
    """Name of a key, or its number."""
    return _NAMES.get(key, f"CFG_0x{key:08x}")


def value_of(key: int, data: bytes) -> int | float:
    """A value as a number."""
    kind = UBX_CONFIG_DATABASE[_NAMES[key]][1] if key in _NAMES else "X"
    if kind.startswith("R"):
        number: float = struct.unpack("<d" if len(data) == 8 else "<f", data)[0]
        return number
    return int.from_bytes(data, "little", signed=kind.startswith("I"))


def value_bytes(name: str, value: int) -> bytes:
    """An integer as a key's value; raises ``ValueError`` when it does not fit."""
    size = _SIZES[key_id(name) >> 28 & 7]
    try:
        return value.to_bytes(size, "little", signed=UBX_CONFIG_DATABASE[name][1].startswith("I"))
    except OverflowError as error:
        raise ValueError(f"{name}={value}: does not fit {size} bytes") from error


def split_pairs(data: bytes) -> dict[int, bytes] | None:
    """Key ids and value bytes; None when they do not come out even."""
    pairs = {}
    at = 0
    while at < len(data):
        key = int.from_bytes(data[at : at + 4], "little")
        end = at + 4 + _SIZES.get(key >> 28 & 7, 0)
        if end == at + 4 or end > len(data):
            return None
        pairs[key] = data[at + 4 : end]
        at = end
    return pairs


def valget(poll_layer: int, keys: Iterable[str | int], position: int = 0) -> bytes:
    """Frame of a CFG-VALGET poll."""
    ids = [key if isinstance(key, int) else key_id(key) for key in keys]
    return encode(ubx.CFG_VALGET, _HEADER.pack(0, poll_layer, position) + struct.pack(f"<{len(ids)}I", *ids))


def valget_reply(payload: bytes, poll_layer: int, position: int) -> dict[str, int | float] | None:
    """Values by name out of an answer of that layer and position; None when it is another one."""
    if payload[: _HEADER.size] != _HEADER.pack(1, poll_layer, position):
        return None
    pairs = split_pairs(payload[_HEADER.size :])
    return None if pairs is None else {key_name(key): value_of(key, data) for key, data in pairs.items()}


def valset(layers: int, values: Mapping[str, int], transaction: str = "none") -> bytes:
    """Frame of a CFG-VALSET; raises ``ValueError`` for a value that does not fit its key."""
    action = TRANSACTION[transaction]
    pairs = b"".join(
        struct.pack("<I", key_id(name)) + value_bytes(name, value) for name, value in values.items()
    )
    return encode(ubx.CFG_VALSET, bytes((1 if action else 0, layers, action, 0)) + pairs)


def valdel(layers: int, names: Sequence[str]) -> bytes:
    """Frame of a CFG-VALDEL."""
    ids = struct.pack(f"<{len(names)}I", *map(key_id, names))
    return encode(CFG_VALDEL, bytes((0, layers, 0, 0)) + ids)


def in_messages(names: Sequence[str]) -> list[Sequence[str]]:
    """Cut into what one message takes."""
    return [names[at : at + MAX_PAIRS] for at in range(0, len(names), MAX_PAIRS)]
