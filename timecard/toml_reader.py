"""Typed reading of a TOML document: every problem is collected and names its table and key.

A small relative of the daemon's configuration, without its libraries: this package is usable alone.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

MAX_FILE_BYTES: Final = 1 << 20
MAX_ROWS: Final = 64
"""Rows of one list of tables."""
MAX_DEPTH: Final = 32
"""Tables and lists within one another."""
_MAX_SHOWN: Final = 60
_LONG_BITS: Final = 1024
_BARE_KEY: Final = re.compile(r"^[A-Za-z0-9_-]{1,60}\Z")
_TOML_PLACE: Final = re.compile(r"^(?P<what>.*) \((?:at )?(?P<place>[^()]*)\)$", re.DOTALL)


class IntentError(ValueError):
    """A file that says what is wanted cannot be used; one line per problem, file and key named."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = tuple(errors)


def read_document(path: Path) -> tuple[dict[str, Any], bytes]:
    """A TOML file as a dictionary, and its bytes; raises ``IntentError``."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise IntentError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    return parse_document(raw, str(path)), raw


def parse_document(raw: bytes, source: str, kind: str = "intent file") -> dict[str, Any]:
    """TOML text as a dictionary; raises ``IntentError`` that names ``source`` and the line."""
    if len(raw) > MAX_FILE_BYTES:
        raise IntentError([f"{source}: larger than {MAX_FILE_BYTES} bytes; this is no {kind}"])
    try:
        document = tomllib.loads(raw.decode("utf-8"))
        check_depth(document)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise IntentError([f"{source}: line {line}: not UTF-8 text; save the file as UTF-8"]) from error
    except tomllib.TOMLDecodeError as error:
        match = _TOML_PLACE.match(str(error))
        what, place = (match["what"], f"{match['place']}: ") if match else (str(error), "")
        if place.startswith("end of document"):
            place = f"line {raw.count(10) + 1} (end of file): "
        raise IntentError([f"{source}: {place}not valid TOML: {what}"]) from error
    except RecursionError as error:
        raise IntentError([f"{source}: not valid TOML: nested too deeply"]) from error
    except ValueError as error:  # the only one that tomllib lets through: int() has a limit
        raise IntentError([f"{source}: not valid TOML: a number has too many digits"]) from error
    return document


class Table:
    """One table; asks for its keys one by one and notes what is wrong with them.

    A key that is wrong returns the default, so that all problems are found in one pass. ``finish`` complains
    about keys that nobody asked for.
    """

    def __init__(self, values: Mapping[str, Any], source: str, at: str, problems: list[str]) -> None:
        self._values = values
        self._source = source
        self._at = at
        self._problems = problems
        self._asked: dict[str, None] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def problem(self, key: str, text: str) -> None:
        """Note what is wrong with a key (the table itself for an empty one)."""
        where = ".".join(part for part in (self._at, key) if part)
        self._problems.append(f"{self._source}: {where}: {text}")

    def text(
        self, key: str, default: str | None = None, *, choices: Sequence[str] = (), required: bool = False
    ) -> str | None:
        """A string, one of ``choices`` if given."""
        expected = f"one of {', '.join(choices)}" if choices else "text in quotes, of 1 to 200 characters"
        value = self._take(key, expected, required)
        if value is None:
            return default
        fitting = isinstance(value, str) and (value in choices if choices else 0 < len(value) <= 200)
        if not fitting or "\0" in value:
            near = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else None
            hint = f'; did you mean "{near[0]}"?' if near else ""
            self._wrong(key, value, expected + hint)
            return default
        return str(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._take(key, "true or false")
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self._wrong(key, value, "true or false")
        return default

    def maybe(self, key: str, default: bool | None = None) -> bool | None:
        """True, false, or nothing said."""
        value = self._take(key, "true or false")
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self._wrong(key, value, "true or false")
        return default

    def whole(
        self, key: str, low: int, high: int, default: int | None = None, *, required: bool = False
    ) -> int | None:
        """An integer in a range."""
        expected = f"a whole number from {low} to {high}"
        value = self._take(key, expected, required)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self._wrong(key, value, expected)
            return default
        return value

    def number(
        self, key: str, low: float, high: float, default: float | None = None, *, required: bool = False
    ) -> float | None:
        """A number in a range."""
        expected = f"a number from {low:g} to {high:g}"
        value = self._take(key, expected, required)
        if value is None:
            return default
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= value <= high:  # nan is in none
            self._wrong(key, value, expected)
            return default
        return float(value)

    def texts(self, key: str, choices: Sequence[str]) -> tuple[str, ...]:
        """A list of strings out of ``choices``, each at most once; one string stands for a list of it."""
        expected = f"a list of {', '.join(choices)}"
        value = self._take(key, expected)
        if value is None:
            return ()
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            self._wrong(key, value, expected)
            return ()
        for item in items:
            if item not in choices:
                near = difflib.get_close_matches(item, choices, n=1)
                hint = f'; did you mean "{near[0]}"?' if near else ""
                self._wrong(key, item, f"one of {', '.join(choices)}{hint}")
        if len(set(items)) != len(items):
            self.problem(key, "names something twice")
        return tuple(dict.fromkeys(item for item in items if item in choices))

    def table(self, key: str) -> Table | None:
        """A table below this one; None when it is not there."""
        value = self._take(key, "a table")
        if value is None:
            return None
        if not isinstance(value, dict):
            self._wrong(key, value, f"a table [{key}]")
            return None
        return Table(value, self._source, self._below(key), self._problems)

    def tables(self, key: str) -> Iterator[Table]:
        """The rows of ``[[key]]``."""
        value = self._take(key, "tables")
        if value is None:
            return
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            self._wrong(key, value, f"tables written as [[{key}]]")
            return
        if len(value) > MAX_ROWS:
            self.problem(key, f"has {len(value)} rows; at most {MAX_ROWS} are taken")
        for index, row in enumerate(value[:MAX_ROWS]):
            yield Table(row, self._source, f"{self._below(key)}[{index}]", self._problems)

    def finish(self) -> None:
        """Complain about unknown keys."""
        for key in self._values:
            if key in self._asked:
                continue
            near = difflib.get_close_matches(key, self._asked, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(self._asked)}"
            self.problem(key if _BARE_KEY.match(key) else shown(key), f"unknown key; {hint}")

    def _take(self, key: str, expected: str, required: bool = False) -> Any:
        self._asked[key] = None
        if key not in self._values and required:
            self.problem(key, f"is missing; expected {expected}")
        return self._values.get(key)

    def _wrong(self, key: str, value: object, expected: str) -> None:
        self.problem(key, f"got {shown(value)}, expected {expected}")

    def _below(self, key: str) -> str:
        return f"{self._at}.{key}" if self._at else key


def check_depth(document: dict[str, Any]) -> None:
    """Raise ``RecursionError`` for what is nested deeper than any document of ours.

    A parser that gets by without recursion, or with less, leaves that to whoever walks or shows a value.
    """
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        items = (each.values() if isinstance(each, dict) else each for each in level)
        level = [inner for each in items for inner in each if isinstance(inner, dict | list)]
    if level:
        raise RecursionError("nested too deeply")


def shown(value: object) -> str:
    """A value as TOML would write it, short and on one line."""
    match value:
        case bool():
            text = "true" if value else "false"
        case str():
            text = '"' + value.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'
        case dict():
            text = "a table"
        case list():
            text = "a list"
        case int() if value.bit_length() > _LONG_BITS:  # str() has a limit
            text = hex(value)
        case _:
            text = str(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
