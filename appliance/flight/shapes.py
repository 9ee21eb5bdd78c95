"""Frozen values to bytes and back, by shapes.

A shape is the text of a value's structure, such as ``ClockStepped(delta_ns=q,mono_ns=q)``. It is written
once, and so is every string; a value is then the number of its shape and its leaves as one packed row
(little-endian). A stream so describes itself and stays small. Which classes may appear is said by the one who
packs and unpacks: nothing else is ever made from a file.

Leaves: ``q`` integer of 64 bits, ``i`` a larger one (string of digits), ``d`` double, ``?`` boolean, ``s``
string, ``n`` None. ``Name`` is a member of an enumeration (string), ``Name(field=shape,...)`` a dataclass,
``[3*shape,...]`` a tuple, ``{3*shape,...}`` a mapping of pairs. In a row a string is its number, u32.

Items: ``S`` length text: the next string; ``F`` length text: the next shape; ``V`` shape row: a value.
Strings and shapes are numbered from 0.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, Final, get_args, get_type_hints

from appliance.flight.errors import FlightError

ITEM: Final = struct.Struct("<BI")
STRING, SHAPE, VALUE = b"SFV"
MAX_TEXT_BYTES: Final = 256 << 10
MAX_ROW_BYTES: Final = 256 << 10
MAX_DEPTH: Final = 16
MAX_DEFINED: Final = 60_000
"""Strings and shapes of a file: texts with figures in them are new every time."""
MAX_WEIGHT: Final = 32 << 20
"""And the memory that they take, roughly. The reader takes twice as much of both as the recorder writes."""
_INT64: Final = range(-(1 << 63), 1 << 63)
_SIZES: Final = {"q": 8, "d": 8, "I": 4, "?": 1, "x": 1}
_PACKED: Final = {"q": "q", "d": "d", "?": "?", "s": "I", "i": "I", "n": "x"}
_NODE: Final = "x"
"""A byte for every None, tuple, mapping and dataclass: so the size of a row bounds all that is made of it."""
_TOKEN: Final = re.compile(r"\d{1,6}(?=\*)|[A-Za-z_]\w*|[][(){}*,=?]")

Leaf = int | float | bool | str


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


class Packer:
    """Values in, items out; remembers which strings and shapes the stream has had."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._strings: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, struct.Struct]] = {}
        self._weight = 0

    @property
    def full(self) -> bool:
        """The stream has so many strings and shapes that another one should begin."""
        return len(self._strings) + len(self._shapes) > MAX_DEFINED or self._weight > MAX_WEIGHT

    def pack(self, value: object) -> bytes:
        """The value, after what it needs to be understood; ``TypeError`` when it cannot be recorded."""
        leaves: list[Leaf] = []
        shape = self._flatten(value, leaves)
        items: list[bytes] = []
        row = [self._string(leaf, items) if isinstance(leaf, str) else leaf for leaf in leaves]
        known = self._shapes.get(shape)
        if known is None:
            codes, _ = _Parser(shape, self._vocabulary).parse()
            known = self._shapes[shape] = (len(self._shapes), struct.Struct("<" + codes))
            items.append(self._text_item(SHAPE, shape, codes))
        items.append(ITEM.pack(VALUE, known[0]))
        items.append(known[1].pack(*row))
        return b"".join(items)

    def _string(self, text: str, items: list[bytes]) -> int:
        number = self._strings.get(text)
        if number is None:
            number = self._strings[text] = len(self._strings)
            items.append(self._text_item(STRING, text))
        return number

    def _text_item(self, kind: int, text: str, codes: str = "") -> bytes:
        data = text.encode("utf-8", "surrogatepass")
        self._weight += _weight(len(data), codes)
        return ITEM.pack(kind, len(data)) + data

    def _flatten(self, value: object, leaves: list[Leaf]) -> str:
        if value is None:
            return "n"
        if value is True or value is False:
            leaves.append(value)
            return "?"
        if isinstance(value, Enum) and type(value).__name__ in self._vocabulary.enums:
            leaves.append(value.name)
            return type(value).__name__
        if isinstance(value, int):
            leaves.append(int(value) if value in _INT64 else str(int(value)))
            return "q" if value in _INT64 else "i"
        if isinstance(value, float):
            leaves.append(float(value))
            return "d"
        if isinstance(value, str):
            leaves.append(str(value))
            return "s"
        if isinstance(value, tuple):
            return f"[{_runs(self._flatten(item, leaves) for item in value)}]"
        if isinstance(value, dict):
            return f"{{{_runs(self._flatten(pair, leaves) for pair in value.items())}}}"
        names = self._vocabulary.fields.get(type(value))
        if names is None:
            raise TypeError(f"{type(value).__name__} is not known to the flight record")
        inner = ",".join([f"{name}={self._flatten(getattr(value, name), leaves)}" for name in names])
        return f"{type(value).__name__}({inner})"


class Unpacker:
    """Items in, values out. Whatever is wrong is a ``FlightError``."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._strings: list[str] = []
        self._shapes: list[tuple[struct.Struct, Callable[[Iterator[Any]], Any]]] = []
        self._weight = 0

    def unpack(self, data: bytes) -> Iterator[Any]:
        """The values of a whole number of items."""
        at, end = 0, len(data)
        while at < end:
            try:
                kind, number = ITEM.unpack_from(data, at)
                at += ITEM.size
                if kind == VALUE:
                    row, build = self._shapes[number]
                    leaves = row.unpack_from(data, at)
                    at += row.size
                    value = build(iter(leaves))
                else:
                    at = self._define(kind, data, at, number)
                    continue
            except (struct.error, IndexError, KeyError, TypeError, ValueError) as error:
                raise FlightError(f"damaged item at byte {at} of its block ({error})") from error
            yield value

    def _define(self, kind: int, data: bytes, at: int, length: int) -> int:
        if kind not in (STRING, SHAPE):
            raise ValueError(f"unknown kind {kind}")
        if length > min(MAX_TEXT_BYTES, len(data) - at):
            raise ValueError(f"text of {length} bytes")
        text = data[at : at + length].decode("utf-8", "surrogatepass")
        codes = ""
        if kind == SHAPE:
            codes, build = _Parser(text, self._vocabulary, self._strings).parse()
        self._weight += _weight(length, codes)
        if len(self._strings) + len(self._shapes) >= 2 * MAX_DEFINED or self._weight > 2 * MAX_WEIGHT:
            raise ValueError("too many strings and shapes")
        if kind == STRING:
            self._strings.append(text)
        else:
            self._shapes.append((struct.Struct("<" + codes), build))
        return at + length


Build = Callable[[Iterator[Any]], Any]


class _Parser:
    """The text of a shape -> format of its row, and what makes the value from it.

    ``ValueError`` for what is no shape, ``KeyError`` for a class that is not known.
    """

    def __init__(self, text: str, vocabulary: Vocabulary, strings: list[str] | None = None) -> None:
        self._tokens = _TOKEN.findall(text)
        if sum(map(len, self._tokens)) != len(text):
            raise ValueError("no shape")
        self._tokens.reverse()
        self._vocabulary = vocabulary
        self._strings = [] if strings is None else strings

    def parse(self) -> tuple[str, Build]:
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
        if token in _PACKED:
            return _PACKED[token], self._leaf(token)
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
        if token in self._vocabulary.enums:
            members, strings = self._vocabulary.enums[token].__members__, self._strings
            return "I", lambda row: members[strings[next(row)]]
        return self._dataclass(self._vocabulary.classes[token], depth)

    def _leaf(self, token: str) -> Build:
        strings = self._strings
        if token == "s":
            return lambda row: strings[next(row)]
        if token == "i":
            return lambda row: int(strings[next(row)])
        return (lambda row: None) if token == "n" else next

    def _dataclass(self, made: type[Any], depth: int) -> tuple[str, Build]:
        self._next("(")
        codes, names = _NODE, self._vocabulary.fields[made]
        builds: list[Build] = []
        for name in names:
            if builds:
                self._next(",")
            if self._next() != name:
                raise ValueError(f"fields of {made.__name__} are others in this version")
            self._next("=")
            inner, build = self._shape(depth + 1)
            codes += inner
            builds.append(build)
        self._next(")")
        if _size(codes) > MAX_ROW_BYTES:
            raise ValueError("a row is too large")
        if all(build is next for build in builds):
            # Not strict: others take from the row what this one leaves.
            return codes, lambda row: made(**dict(zip(names, row, strict=False)))
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


def _runs(shapes: Iterable[str]) -> str:
    """Equal neighbours as ``count*shape``."""
    runs: list[list[Any]] = []
    for shape in shapes:
        if runs and runs[-1][1] == shape:
            runs[-1][0] += 1
        else:
            runs.append([1, shape])
    return ",".join(f"{count}*{shape}" for count, shape in runs)


def _size(codes: str) -> int:
    """Of a row. ``struct.calcsize`` would keep what it made of the format."""
    return sum(codes.count(code) * size for code, size in _SIZES.items())


def _weight(length: int, codes: str) -> int:
    """Bytes of memory that a string, or a shape with its format, takes at most."""
    return 64 + 4 * length + (80 * length + 40 * len(codes) if codes else 0)
