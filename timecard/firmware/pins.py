"""Which images an administrator has approved: by SHA-256, with the cards and the version they are meant for.

A file of pins (TOML)::

    [[image]]
    name = "Time Card SOM 0.28"
    sha256 = "..."              # of the file, or of its payload behind the header
    boards = ["fb"]             # as `timecard list` calls them
    version = "0.28"            # tag.number that the card reports after the next power cycle
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from timecard.boards import BOARDS
from timecard.errors import DeviceAbsentError, RefusedError, from_oserror
from timecard.toml_reader import MAX_FILE_BYTES, IntentError, parse_document

PINS_FILE: Final = Path("/etc/time-appliance/firmware.toml")
SHA256: Final = re.compile(r"[0-9a-f]{64}")
_VERSION: Final = re.compile(r"([0-9]{1,2})\.([0-9]{1,5})")
_KEYS: Final = {"name", "sha256", "boards", "version"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One approved image."""

    sha256: str
    name: str
    boards: tuple[str, ...]
    """Cards that may take it; empty: whichever its header names."""
    tag: int
    number: int

    @property
    def version(self) -> str:
        """As the card will report it."""
        return f"{self.tag}.{self.number}"


def make_pin(sha256: str, version: str, *, name: str = "", boards: Sequence[str] = ()) -> Pin:
    """A pin from text; raises ``ValueError`` that names what is wrong."""
    digest = sha256.strip().lower()
    if not SHA256.fullmatch(digest):
        raise ValueError(f"sha256={sha256[:80]!r}: must be 64 hexadecimal digits")
    found = _VERSION.fullmatch(version.strip())
    if found is None or int(found[2]) > 0xFFFF:
        raise ValueError(
            f"version={version[:20]!r}: must be tag.number, such as 0.28 (SOM) or 1.14 (Production)"
        )
    unknown = [board for board in boards if board not in BOARDS]
    if unknown:
        raise ValueError(f"boards={unknown[0][:40]!r}: must be of {', '.join(BOARDS)}")
    return Pin(sha256=digest, name=name, boards=tuple(boards), tag=int(found[1]), number=int(found[2]))


def read_pins(file: Path = PINS_FILE) -> tuple[Pin, ...]:
    """Every pin of a file.

    Raises ``DeviceAbsentError`` when it does not exist, ``RefusedError`` that names the entry for a wrong
    one.
    """
    try:
        with file.open("rb") as source:
            text = source.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise DeviceAbsentError(str(file), "read pins", "no such file") from error
    except OSError as error:
        raise from_oserror(str(file), "read pins", error) from error
    try:
        table = parse_document(text, "the file", "file of pins")
    except IntentError as error:
        raise RefusedError(str(file), "read pins", str(error)) from error
    rows = table.get("image")
    if set(table) != {"image"} or not isinstance(rows, list):
        raise RefusedError(str(file), "read pins", "must hold [[image]] tables and nothing else")
    return tuple(_pin(file, number, row) for number, row in enumerate(rows, 1))


def find_pin(pins: Sequence[Pin], digests: Sequence[str]) -> Pin | None:
    """The pin for one of these SHA-256 digests."""
    return next((pin for pin in pins if pin.sha256 in digests), None)


def _pin(file: Path, number: int, row: Any) -> Pin:
    where = f"[[image]] number {number}"
    if not isinstance(row, dict) or set(row) != _KEYS:
        raise RefusedError(str(file), "read pins", f"{where}: needs exactly {', '.join(sorted(_KEYS))}")
    boards = row["boards"]
    texts = [row["name"], row["sha256"], row["version"]]
    if not all(isinstance(text, str) for text in texts):
        raise RefusedError(str(file), "read pins", f"{where}: name, sha256 and version must be text")
    if not isinstance(boards, list) or not boards or not all(isinstance(board, str) for board in boards):
        raise RefusedError(str(file), "read pins", f"{where}: boards must be a list of names")
    try:
        return make_pin(row["sha256"], row["version"], name=row["name"], boards=boards)
    except ValueError as error:
        raise RefusedError(str(file), "read pins", f"{where}: {error}") from error
