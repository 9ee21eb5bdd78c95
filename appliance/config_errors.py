"""Validation errors of the configuration, worded for the person who wrote the file."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from timecard.toml_reader import shown

Location = tuple[str | int, ...]

_BOUND_WORDS: Final = (
    (Ge, "ge", "at least"),
    (Gt, "gt", "above"),
    (Le, "le", "at most"),
    (Lt, "lt", "below"),
)
_TYPE_WORDS: Final[dict[object, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    Path: "an absolute path in quotes",
}
_BARE_KEY: Final = re.compile(r"^[A-Za-z0-9_-]{1,80}\Z")
_SAID_BY_US: Final = frozenset(
    {
        "address",
        "exclusive",
        "model_name",
        "not_loopback",
        "order",
        "relative_path",
        "tap",
    }
)
"""Errors raised by our own validators: their text already says what is right."""


@dataclass(frozen=True)
class _Example:
    text: Any


def describe_error(error: ValidationError, root: type[BaseModel]) -> Iterator[tuple[Location, str]]:
    """Location and ``key: what is wrong; what is right`` of every error."""
    details = error.errors(include_url=False)
    for detail in details:
        location: Location = detail["loc"]
        if detail["type"] in ("too_short", "too_long") and any(
            len(other["loc"]) > len(location) and other["loc"][: len(location)] == location
            for other in details
        ):
            continue  # a list with a bad item is also counted too short: the item's error says enough
        if detail["type"] == "delays":
            for index, text in detail["ctx"]["rows"]:
                yield (*location, index), f"{dotted((*location, index))}: {text}"
            continue
        yield location, f"{dotted(location)}: {_what(detail, location, root)}"


def dotted(location: Location) -> str:
    """``delays[0].value_ns``: the key as one would write it."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE_KEY.match(part) else _shown(part))
    return text


def _what(detail: ErrorDetails, location: Location, root: type[BaseModel]) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(location, root)
    found = _field_at(location, root)
    if kind == "missing":
        expected = _expected(*found) if found else "a value"
        return f"is missing; expected {expected}"
    if kind in _SAID_BY_US:
        text = detail["msg"]
        if kind in ("exclusive", "order"):
            return text
        return f"got {_shown(detail['input'])}{',' if text.startswith('expected') else ':'} {text}"
    if kind == "model_type":
        section = dotted(tuple(part for part in location if isinstance(part, str)))
        return f"got {_shown(detail['input'])}, expected a table [{section}]"
    expected = _expected(*found) if found else detail["msg"]
    return f"got {_shown(detail['input'])}, expected {expected}"


def _unknown_key(location: Location, root: type[BaseModel]) -> str:
    key = str(location[-1])
    inside = location[:-1]
    model = _model_at(inside, root) or root
    names = list(model.model_fields)
    noun = "key" if inside else "section"
    near = difflib.get_close_matches(key, names, n=1)
    if near:
        return f'unknown {noun}; did you mean "{near[0]}"?'
    elsewhere = {
        name: dotted(place)
        for place, other in _tables(root, ())
        if other is not model
        for name in other.model_fields
    }
    far = difflib.get_close_matches(key, list(elsewhere), n=1, cutoff=0.8)
    if far:
        section = elsewhere[far[0]]
        return f'unknown {noun}; did you mean "{far[0]}" in {f"[{section}]" if section else "the top level"}?'
    where = f"[{dotted(inside)}] knows" if inside else "there are"
    return f"unknown {noun}; {where}: {', '.join(names)}"


def _tables(model: type[BaseModel], at: Location) -> Iterator[tuple[Location, type[BaseModel]]]:
    yield at, model
    for name, info in model.model_fields.items():
        inner = _model_in(info.annotation)
        if inner is not None:
            yield from _tables(inner, (*at, name))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model behind ``Model``, ``Model | None`` or ``tuple[Model, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        inner = _model_in(argument)
        if inner is not None:
            return inner
    return None


def _model_at(location: Location, root: type[BaseModel]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = root
    for part in location:
        if isinstance(part, int):
            continue
        info = model.model_fields.get(part) if model is not None else None
        model = _model_in(info.annotation) if info is not None else None
    return model


def _field_at(location: Location, root: type[BaseModel]) -> tuple[Any, list[Any], Any] | None:
    """Annotation, constraints and default of the key at ``location``; of its items for an index behind it."""
    names = [part for part in location if isinstance(part, str)]
    if not names:
        return None
    model = _model_at(tuple(names[:-1]), root)
    info: FieldInfo | None = model.model_fields.get(names[-1]) if model is not None else None
    if info is None:
        return None
    if isinstance(location[-1], int):
        items = get_args(info.annotation)
        item = items[0] if items[-1:] == (Ellipsis,) else items[min(location[-1], len(items) - 1)]
        return (*_unwrapped(item), PydanticUndefined)
    annotation, metadata = _unwrapped(info.annotation)
    return annotation, [*info.metadata, *metadata, *_examples(info)], info.default


def _unwrapped(annotation: Any) -> tuple[Any, list[Any]]:
    """Strip ``Annotated`` and ``| None``; constraints inside ``Field(...)`` are spread out."""
    metadata: list[Any] = []
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *extra = get_args(annotation)
            for item in extra:
                metadata += [*item.metadata, *_examples(item)] if isinstance(item, FieldInfo) else [item]
        elif origin in (Union, types.UnionType):
            annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
        else:
            return annotation, metadata


def _examples(info: FieldInfo) -> list[_Example]:
    return [_Example(text) for text in info.examples or ()]


def _expected(annotation: Any, metadata: list[Any], default: Any) -> str:
    inner = _model_in(annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        text = "one of " + ", ".join(f'"{choice}"' for choice in get_args(annotation))
    elif origin is tuple and inner is not None:
        text = "tables written as [[...]]"
    elif origin is tuple:
        text = _expected_list(get_args(annotation), metadata)
    elif inner is not None:
        text = "a table"
    else:
        text = " ".join([_TYPE_WORDS.get(annotation, "a value"), *_bounds(metadata)])
    if default not in (PydanticUndefined, None) and isinstance(default, str | int | float | tuple):
        text += f" (default {_shown(default)})"
    return text


def _expected_list(items: tuple[Any, ...], metadata: list[Any]) -> str:
    annotation, inner = _unwrapped(items[0])
    what = _expected(annotation, inner, PydanticUndefined)
    if items[-1] is not Ellipsis:
        return f"a list of {len(items)}, each {what}"
    least = max((item.min_length for item in metadata if hasattr(item, "min_length")), default=0)
    return f"a list{f' of at least {least}' if least else ''}, each {what}"


def _bounds(metadata: list[Any]) -> Iterator[str]:
    words: list[str] = []
    examples = [_shown(item.text) for item in metadata if isinstance(item, _Example)]
    shortest = max((getattr(item, "min_length", None) or 0 for item in metadata), default=0)
    longest = [item.max_length for item in metadata if getattr(item, "max_length", None) is not None]
    if examples:
        words.append(f"such as {', '.join(examples)}")
    elif longest:
        words.append(f"of {shortest} to {min(longest)} characters")
    for item in metadata:
        for kind, name, word in _BOUND_WORDS:
            if isinstance(item, kind):
                words.append(f"{word} {getattr(item, name):.12g}")
    if words:
        yield " and ".join(words)


def _shown(value: Any) -> str:
    """A value as TOML would write it, short and on one line."""
    match value:
        case str() | Path():
            text = '"' + str(value).encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'
        case list() | tuple():
            text = "[" + ", ".join(_shown(item) for item in value[:8]) + (", ...]" if len(value) > 8 else "]")
        case _:
            text = shown(value)
    return text if len(text) <= 80 else text[:77] + "..."
