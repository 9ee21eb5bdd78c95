"""The text of a shape, and what it says: how a row is laid out, and which value is made from it.

The language is told in ``shapes``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, get_args, get_type_hints

MAX_ROW_BYTES: Final = 256 << 10
MAX_DEPTH: Final = 16
_SIZES: Final = {"q": 8, "d": 8, "I": 4, "?": 1, "x": 1}
_PACKED: Final = {"q": "q", "d": "d", "?": "?", "s": "I", "i": "I", "n": "x"}
_NODE: Final = "x"
"""A byte for every None, tuple, mapping and dataclass: so the size of a row bounds all that is made of it."""
_TOKEN: Final = re.compile(r"\d{1,6}(?=\*)|[A-Za-z_]\w*|[][(){}*,=?]")

Build = Callable[[Iterator[Any]], Any]
Convert = Callable[[int], Any]


class Vocabulary:
    """The dataclasses and enumerations that a stream may hold, found from their annotations."""

    def __init__(self, roots: Iterable[type[Any]]) -> None:
        self.classes: dict[str, type[Any]] = {}
        self.enums: dict[str, type[Enum]] = {}
        self.fields: dict[type[Any], tuple[str, ...]] = {}
        for root in roots:
            self._learn(root)

    def _learn(self, hint: Any) -> None:
        if isinstance(hint, type) and issubclass(hint, Enum):
            self.enums[hint.__name__] = hint
        elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
            if hint not in self.fields:
                self.classes[hint.__name__] = hint
                self.fields[hint] = tuple(field.name for field in dataclasses.fields(hint))
                for inner in get_type_hints(hint).values():
                    self._learn(inner)
        else:
            for argument in get_args(hint):
                self._learn(argument)


class ShapeParser:
    """The text of a shape -> format of its row, and what makes the value from it.

    ``ValueError`` for what is no shape, ``KeyError`` for a class that is not known.
    """

    def __init__(self, text: str, vocabulary: Vocabulary, strings: list[str] | None = None) -> None:
        self._tokens = _TOKEN.findall(text)
        if sum(map(len, self._tokens)) != len(text):
            raise ValueError("no shape")
        self._tokens.reverse()
        self._vocabulary = vocabulary
        strings = [] if strings is None else strings
        self._converts: dict[str, Convert] = {
            "s": strings.__getitem__,
            "i": lambda number: int(strings[number]),
            **{name: _member(enum, strings) for name, enum in vocabulary.enums.items()},
        }
        """From the number of a string in a row to what is meant."""

    def parse(self) -> tuple[str, Build]:
        """Format of a row without its byte order, and what makes a value from its leaves."""
        codes, build = self._shape(0)
        if self._tokens:
            raise ValueError("text after a shape")
        return codes, build

    def _next(self, wanted: str | None = None) -> str:
        if not self._tokens:
            raise ValueError("a shape ends early")
        token = self._tokens.pop()
        if wanted is not None and token != wanted:
            raise ValueError(f"{token!r} in a shape, wants {wanted!r}")
        return str(token)

    def _shape(self, depth: int) -> tuple[str, Build]:
        """Format and builder; a builder takes its leaves from the row."""
        if depth > MAX_DEPTH:
            raise ValueError("a shape is nested too deeply")
        token = self._next()
        convert = self._converts.get(token)
        if convert is not None:
            return "I", lambda row: convert(next(row))
        if token in _PACKED:
            return _PACKED[token], (lambda row: None) if token == "n" else next
        if token == "[":
            codes, runs = self._runs("]", depth)
            return _NODE + codes, lambda row: tuple(
                [build(row) for count, build in runs for _ in range(count)]
            )
        if token == "{":
            codes, runs = self._runs("}", depth)
            return _NODE + codes, lambda row: dict(
                [build(row) for count, build in runs for _ in range(count)]
            )
        return self._dataclass(self._vocabulary.classes[token], depth)

    def _dataclass(self, made: type[Any], depth: int) -> tuple[str, Build]:
        self._next("(")
        codes, names = _NODE, self._vocabulary.fields[made]
        builds: list[Build] = []
        nothing: dict[str, None] = {}
        leaves: dict[str, Convert | None] = {}
        for name in names:
            if builds:
                self._next(",")
            if self._next() != name:
                raise ValueError(f"fields of {made.__name__} are others in this version")
            self._next("=")
            token = self._tokens[-1] if self._tokens else ""
            inner, build = self._shape(depth + 1)
            codes += inner
            builds.append(build)
            if token == "n":
                nothing[name] = None
            elif token in _PACKED or token in self._converts:
                leaves[name] = self._converts.get(token)
        self._next(")")
        if _size(codes) > MAX_ROW_BYTES:
            raise ValueError("a row is too large")
        if len(leaves) + len(nothing) == len(names):
            return codes, _flat(made, leaves, nothing)
        fields = tuple(zip(names, builds, strict=True))
        return codes, lambda row: made(**{name: build(row) for name, build in fields})

    def _runs(self, end: str, depth: int) -> tuple[str, list[tuple[int, Build]]]:
        pieces: list[str] = []
        runs: list[tuple[int, Build]] = []
        size = 0
        while not self._next_is(end):
            if runs:
                self._next(",")
            count = int(self._next())
            self._next("*")
            inner, build = self._shape(depth + 1)
            size += count * _size(inner)
            if size > MAX_ROW_BYTES:
                raise ValueError("a row is too large")
            pieces.append(inner * count)
            runs.append((count, build))
        return "".join(pieces), runs

    def _next_is(self, token: str) -> bool:
        if self._tokens and self._tokens[-1] == token:
            self._tokens.pop()
            return True
        return False


def _member(enum: type[Enum], strings: list[str]) -> Convert:
    members = enum.__members__
    return lambda number: members[strings[number]]


def _flat(made: type[Any], leaves: Mapping[str, Convert | None], nothing: Mapping[str, None]) -> Build:
    """A dataclass of leaves only, at once: most are, and a day has a million of them."""
    names = tuple(leaves)
    converted = tuple((name, convert) for name, convert in leaves.items() if convert is not None)

    def build(row: Iterator[Any]) -> Any:
        # Not strict: others take from the row what this one leaves.
        values = dict(zip(names, row, strict=False))
        for name, convert in converted:
            values[name] = convert(values[name])
        return made(**values, **nothing)

    return build


def _size(codes: str) -> int:
    """Of a row. ``struct.calcsize`` would keep what it made of the format."""
    return sum(codes.count(code) * size for code, size in _SIZES.items())
