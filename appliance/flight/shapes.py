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

import struct
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, Final

from appliance.flight.errors import FlightError
from appliance.flight.shape_parser import Build, ShapeParser, Vocabulary
from appliance.printable import shortened

ITEM: Final = struct.Struct("<BI")
STRING, SHAPE, VALUE = b"SFV"
MAX_STRING_BYTES: Final = 16 << 10
MAX_SHAPE_BYTES: Final = 256 << 10
MAX_VALUE_CHARS: Final = 512 << 10
"""Of all strings of one value, each as often as it is there."""
MAX_DEFINED: Final = 60_000
"""Strings and shapes of a file: texts with figures in them are new every time."""
MAX_WEIGHT: Final = 32 << 20
"""And the memory that they take, roughly. The reader takes twice as much of both as the recorder writes."""
_LONGEST: Final = {STRING: MAX_STRING_BYTES, SHAPE: MAX_SHAPE_BYTES}
_INT64: Final = range(-(1 << 63), 1 << 63)

Leaf = int | float | bool | str


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
            codes, _ = ShapeParser(shape, self._vocabulary).parse()
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
        if len(data) > _LONGEST[kind]:
            raise ValueError(f"a text of {len(data)} bytes")
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
        self._shapes: list[tuple[struct.Struct, Build, int]] = []
        """Row, what makes the value from it, and how many strings are in it."""
        self._weight = 0
        self._longest = 0
        """Characters of a string."""

    def unpack(self, data: bytes) -> Iterator[Any]:
        """The values of a whole number of items."""
        at, end = 0, len(data)
        while at < end:
            try:
                kind, number = ITEM.unpack_from(data, at)
                at += ITEM.size
                if kind == VALUE:
                    row, build, texts = self._shapes[number]
                    leaves = row.unpack_from(data, at)
                    if texts * self._longest > MAX_VALUE_CHARS:
                        self._check_texts(row, leaves)
                    at += row.size
                    value = build(iter(leaves))
                else:
                    at = self._define(kind, data, at, number)
                    continue
            except (struct.error, IndexError, KeyError, TypeError, ValueError) as error:
                raise FlightError(
                    f"damaged item at byte {at} of its block ({shortened(str(error))})"
                ) from error
            yield value

    def _define(self, kind: int, data: bytes, at: int, length: int) -> int:
        if kind not in _LONGEST:
            raise ValueError(f"unknown kind {kind}")
        if length > min(_LONGEST[kind], len(data) - at):
            raise ValueError(f"text of {length} bytes")
        text = data[at : at + length].decode("utf-8", "surrogatepass")
        codes = ""
        if kind == SHAPE:
            codes, build = ShapeParser(text, self._vocabulary, self._strings).parse()
        self._weight += _weight(length, codes)
        if len(self._strings) + len(self._shapes) >= 2 * MAX_DEFINED or self._weight > 2 * MAX_WEIGHT:
            raise ValueError("too many strings and shapes")
        if kind == STRING:
            self._strings.append(text)
            self._longest = max(self._longest, len(text))
        else:
            self._shapes.append((struct.Struct("<" + codes), build, codes.count("I")))
        return at + length

    def _check_texts(self, row: struct.Struct, leaves: tuple[Any, ...]) -> None:
        codes = row.format[1:].replace("x", "")
        strings = (self._strings[leaf] for code, leaf in zip(codes, leaves, strict=True) if code == "I")
        if sum(map(len, strings)) > MAX_VALUE_CHARS:
            raise ValueError("the texts of a value are too long")


def _runs(shapes: Iterable[str]) -> str:
    """Equal neighbours as ``count*shape``."""
    runs: list[list[Any]] = []
    for shape in shapes:
        if runs and runs[-1][1] == shape:
            runs[-1][0] += 1
        else:
            runs.append([1, shape])
    return ",".join(f"{count}*{shape}" for count, shape in runs)


def _weight(length: int, codes: str) -> int:
    """Bytes of memory that a string, or a shape with its format, takes at most."""
    return 64 + 4 * length + (80 * length + 40 * len(codes) if codes else 0)
