"""A plan that was applied, kept in a file so that it can be undone later."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast, get_args

from timecard.errors import RefusedError, from_oserror
from timecard.gnss.intent import Change, Plan, Store

VERSION: Final = 1
MAX_FILE_BYTES: Final = 1 << 20
_READ: Final = "read what to undo"
_LIMIT: Final = 1 << 64
_NUMBER_OR_TEXT: Final = (int, float, str)


def save_plan(path: Path, plan: Plan, model: str, serial: str | None = None) -> None:
    """Keep it on the disk, in place of an older one; that stays when this fails.

    Raises ``TimeCardError`` when the file cannot be written.
    """
    document = {
        "version": VERSION,
        "model": model,
        "serial": serial,
        "store": plan.store,
        "changes": [
            {
                "setting": change.setting,
                "key": change.key,
                "before": change.before,
                "after": change.after,
                "stored": change.stored,
            }
            for change in plan.changes
        ],
        "stored": None if plan.stored is None else {store: dict(held) for store, held in plan.stored.items()},
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise from_oserror(str(path), "keep what to undo", error) from error


def _write(path: Path, text: str) -> None:
    """A name of its own for each writer, and in its place only when it is on the disk."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def load_plan(path: Path) -> tuple[Plan, str, str | None]:
    """The plan, and model and serial number of the receiver that it was for, the latter where it is known.

    Raises ``RefusedError`` when there is none or the file cannot be understood, ``TimeCardError`` when it
    cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise RefusedError(str(path), _READ, "there is none: nothing was configured from here") from None
    except OSError as error:
        raise from_oserror(str(path), _READ, error) from error
    try:
        if len(data) > MAX_FILE_BYTES:
            raise ValueError("it is too long")
        return _checked(json.loads(data))
    except (ValueError, RecursionError) as error:  # damaged JSON and UTF-8 are ValueErrors
        raise RefusedError(str(path), _READ, f"{error}; remove the file") from error


def _checked(document: Any) -> tuple[Plan, str, str | None]:
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise ValueError(f"it is no plan of version {VERSION}")
    model, serial, store = document.get("model"), document.get("serial"), document.get("store")
    if not isinstance(model, str) or not isinstance(serial, str | None) or store not in get_args(Store):
        raise ValueError("model, serial or store is wrong")
    changes = document.get("changes")
    if not isinstance(changes, list):
        raise ValueError("changes must be a list")
    plan = Plan(
        changes=tuple(_change(each) for each in changes),
        store=cast(Store, store),
        stored=_stored(document.get("stored")),
    )
    return plan, model, serial


def _change(each: Any) -> Change:
    names = ("setting", "key", "before", "after", "stored")
    if not isinstance(each, dict) or set(each) != set(names):
        raise ValueError(f"a change has {', '.join(names)}")
    if not isinstance(each["setting"], str) or not isinstance(each["key"], str):
        raise ValueError("setting and key are texts")
    for name in ("before", "after", "stored"):
        value = each[name]
        if isinstance(value, bool) or not (
            isinstance(value, _NUMBER_OR_TEXT) or (name == "stored" and value is None)
        ):
            raise ValueError(f"{each['key'][:60]}: {name} is neither number nor text")
        if isinstance(value, int | float) and not -_LIMIT < value < _LIMIT:
            raise ValueError(f"{each['key'][:60]}: {name} is too large")
    return Change(**each)


def _stored(held: Any) -> Mapping[str, Mapping[str, int]] | None:
    if held is None:
        return None
    if not isinstance(held, dict) or not set(held) <= set(get_args(Store)):
        raise ValueError("stored must be a table of memories")
    for values in held.values():
        if not isinstance(values, dict) or any(
            type(value) is not int or not -_LIMIT < value < _LIMIT for value in values.values()
        ):
            raise ValueError("stored: values must be whole numbers")
    return cast(dict[str, dict[str, int]], held)
