"""Facts as JSON and back. What is read comes from a file of whatever origin: every value is checked."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

from timecard.doctor.facts import SystemFacts

FORMAT: Final = "timecard-doctor-facts"
VERSION: Final = 1
MAX_FILE_BYTES: Final = 4_000_000
MAX_ITEMS: Final = 10_000
MAX_TEXT: Final = 20_000
_MAX_INTEGER: Final = 1 << 70
_NUMBERS: Final = {int: "a whole number", float: "a finite number"}


class FactsError(ValueError):
    """A file of facts cannot be used; one line that names the field."""


def to_json(facts: SystemFacts) -> dict[str, Any]:
    """Facts as plain JSON values, with the format's name and version."""
    return {"format": FORMAT, "version": VERSION, "facts": _plain(facts)}


def from_json(document: object) -> SystemFacts:
    """The inverse of ``to_json``; raises ``FactsError``."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FactsError(
            f"format: is not {FORMAT!r}; the file is not one that `timecard doctor --record` wrote"
        )
    if document.get("version") != VERSION:
        raise FactsError(f"version: is {document.get('version')!r:.60}, this program reads version {VERSION}")
    facts = _value(SystemFacts, document.get("facts"), "facts")
    assert isinstance(facts, SystemFacts)
    return facts


def write_facts(path: Path, facts: SystemFacts) -> None:
    """Record facts; raises ``FactsError``."""
    try:
        path.write_text(json.dumps(to_json(facts), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise FactsError(f"{path}: cannot write: {error.strerror or error}") from None


def read_facts(path: Path) -> SystemFacts:
    """Read what ``write_facts`` wrote; raises ``FactsError``."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FactsError(f"{path}: cannot read: {error.strerror or error}") from None
    if len(data) > MAX_FILE_BYTES:
        raise FactsError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    try:
        return from_json(json.loads(data))
    except FactsError as error:
        raise FactsError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise FactsError(f"{path}: no valid JSON: {error}") from None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(_plain(each) for each in value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(kind: Any, value: object, where: str) -> Any:
    """``value`` as ``kind``: one of the few forms that the facts' types have."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        (inner,) = [each for each in arguments if each is not types.NoneType]
        return _value(inner, value, where)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        if not isinstance(value, str) or value not in kind.__members__:
            raise FactsError(f"{where}: must be one of {', '.join(kind.__members__)}")
        return kind[value]
    if origin is tuple:
        items = _list(value, where)
        inner = [arguments[0]] * len(items) if arguments[-1] is Ellipsis else list(arguments)
        if len(inner) != len(items):
            raise FactsError(f"{where}: must have {len(inner)} entries")
        return tuple(_value(k, v, f"{where}[{n}]") for n, (k, v) in enumerate(zip(inner, items, strict=True)))
    if origin is frozenset:
        return frozenset(_value(arguments[0], each, where) for each in _list(value, where))
    if origin is not None:  # the rest are mappings from text
        if not isinstance(value, dict) or len(value) > MAX_ITEMS:
            raise FactsError(f"{where}: must be an object of at most {MAX_ITEMS} entries")
        return {
            _text(key, where): _value(arguments[1], each, f"{where}.{key[:60]}")
            for key, each in value.items()
        }
    return _scalar(kind, value, where)


def _record(kind: type, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise FactsError(f"{where}: must be an object")
    hints = _hints(kind)
    unknown = [key for key in value if key not in hints]
    if unknown:
        raise FactsError(f"{where}.{str(unknown[0])[:60]}: no such field")
    values = {
        name: _value(hint, value[name], f"{where}.{name}") for name, hint in hints.items() if name in value
    }
    try:
        return kind(**values)
    except TypeError:
        lacking = [
            each.name
            for each in dataclasses.fields(kind)
            if each.name not in values
            and each.default is dataclasses.MISSING
            and each.default_factory is dataclasses.MISSING
        ]
        raise FactsError(f"{where}.{lacking[0]}: is missing") from None


def _scalar(kind: type, value: object, where: str) -> Any:
    if kind is str:
        return _text(value, where)
    if kind is bool and isinstance(value, bool):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int and number and isinstance(value, int) and abs(value) < _MAX_INTEGER:
        return value
    if kind is float and number and abs(typing.cast(float, value)) <= sys.float_info.max:  # nan is not
        return float(typing.cast(float, value))
    raise FactsError(f"{where}: must be {_NUMBERS.get(kind, f'a {kind.__name__}')}")


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise FactsError(f"{where}: must be text of at most {MAX_TEXT} characters")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise FactsError(f"{where}: must be a list of at most {MAX_ITEMS} entries")
    return value
