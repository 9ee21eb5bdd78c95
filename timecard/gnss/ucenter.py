"""Import of a receiver configuration that u-center exported: an intent, and what an intent does not say.

The export is text, one message a line: ``CFG-VALGET - 06 8B 44 01 ...``, the bytes being class, id, length
and payload. Receivers of generation 9 and later are exported by keys (CFG-VALGET or CFG-VALSET), older ones
by their CFG messages; both are understood, and MON-VER says whose they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from timecard.gnss import ublox_messages as ubx
from timecard.gnss.intent import GnssIntent, NotModelled
from timecard.gnss.receivers.ublox_timing import UbloxDecoder
from timecard.gnss.ublox_key_codec import key_name, split_pairs, value_of
from timecard.gnss.ublox_legacy_messages import PARTS, is_answer, value_in
from timecard.gnss.ublox_profile import UbloxOptions
from timecard.gnss.ublox_settings import intent_of
from timecard.gnss.ubx import UbxFrame, encode
from timecard.toml_reader import MAX_FILE_BYTES, IntentError
from timecard.values import ReceiverIdentity

_LINE: Final = re.compile(r"(?P<name>[A-Z0-9][A-Z0-9-]{1,30}) - (?P<bytes>(?:[0-9A-Fa-f]{2} ?){4,})\s*")
_HEADER: Final = 4
_PAIRS_AT: Final = 4
_MAX_SHOWN: Final = 40
_MAX_PROBLEMS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class UcenterExport:
    """What a file says."""

    identity: ReceiverIdentity | None
    """Whose settings these were."""
    intent: GnssIntent
    """All that can be said in neutral words, the baud rate included: apply that only if it is meant."""
    not_modelled: tuple[NotModelled, ...]
    """All that cannot."""
    values: Mapping[str, int | float]
    """Every setting of the file, by its key."""


def load_ucenter(path: Path) -> UcenterExport:
    """Read an export; raises ``IntentError`` that names the line."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise IntentError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    if len(raw) > MAX_FILE_BYTES:
        raise IntentError([f"{path}: larger than {MAX_FILE_BYTES} bytes; this is no export of u-center"])
    return parse_ucenter(raw.decode("utf-8", "replace"), str(path))


def parse_ucenter(text: str, source: str = "export") -> UcenterExport:
    """Read the text of an export; raises ``IntentError`` that names ``source`` and line."""
    problems: list[str] = []
    values: dict[str, int | float] = {}
    others: list[NotModelled] = []
    identity = None
    first_layer: int | None = None
    for number, name, frame in _frames(text, source, problems):
        if frame.key in (ubx.CFG_VALGET, ubx.CFG_VALSET):
            layer = frame.payload[1] if len(frame.payload) > 1 else 0
            first_layer = layer if first_layer is None else first_layer
            pairs = split_pairs(frame.payload[_PAIRS_AT:])
            if pairs is None:
                problems.append(f"{source}: line {number}: {name}: its keys and values do not come out even")
            elif layer != first_layer:
                others.append(
                    NotModelled(key=name, value=layer, reason="another layer than the first line's")
                )
            else:
                for key, data in pairs.items():
                    _note(values, key_name(key), value_of(key, data), f"{source}: line {number}", problems)
        elif frame.key == ubx.MON_VER:
            events = UbloxDecoder(UbloxOptions()).decode(frame, 0)
            identity = next((event for event in events if isinstance(event, ReceiverIdentity)), None)
        elif frame.key >> 8 == ubx.CFG_VALGET >> 8 and (found := _legacy(frame)):
            for key_text, value in found.items():
                _note(values, key_text, value, f"{source}: line {number}", problems)
        else:
            shown = frame.payload.hex(" ")
            shown = shown if len(shown) <= _MAX_SHOWN else shown[: _MAX_SHOWN - 3] + "..."
            others.append(NotModelled(key=name, value=shown, reason="not modelled"))
    if not values and not problems:
        problems.append(f"{source}: no configuration in it; expected lines such as CFG-VALGET - 06 8B ...")
    if problems:
        raise IntentError(problems[:_MAX_PROBLEMS])
    found_intent = intent_of(values)
    return UcenterExport(
        identity=identity,
        intent=found_intent.intent,
        not_modelled=(*found_intent.left_over, *others),
        values=values,
    )


def _frames(text: str, source: str, problems: list[str]) -> Iterator[tuple[int, str, UbxFrame]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            problems.append(
                f"{source}: line {number}: expected NAME - and bytes in hexadecimal, got {line[:30]!r}"
            )
            continue
        data = bytes.fromhex(match["bytes"])
        length = int.from_bytes(data[2:_HEADER], "little")
        if len(data) != _HEADER + length:
            problems.append(
                f"{source}: line {number}: {match['name']}: says {length} bytes, has {len(data) - _HEADER}"
            )
            continue
        key = int.from_bytes(data[:2], "big")
        yield number, match["name"], UbxFrame(key, encode(key, data[_HEADER:]))


def _legacy(frame: UbxFrame) -> dict[str, int]:
    """What a CFG message of generation 8 says, by key."""
    found = {}
    for key, part in PARTS.items():
        if part.source.key == frame.key and is_answer(part.source, frame.payload):
            value = value_in(part, frame.payload)
            if value is not None:
                found[key] = value
    return found


def _note(values: dict[str, int | float], key: str, value: float, where: str, problems: list[str]) -> None:
    if key in values and values[key] != value and not math.isnan(value):
        problems.append(f"{where}: {key}: {value} here, {values[key]} before; keep one of them")
    values[key] = value
