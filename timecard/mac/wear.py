"""Writes to a part's non-volatile memory: counted per part, limited, and refused with a reason.

The count is kept in a state file and raised *before* the write happens: a crash may lose a write, never a
count. Limits: a CSAC allows fewer than 20,000 writes in its life, including those it makes by itself ("SA.45s
CSAC User Guide", 990-00123); half of that is ours. The other makers publish no figure: theirs are low ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from timecard.errors import CardPermissionError, RefusedError, from_oserror

VERSION: Final = 1
WRITES_FILE: Final = "oscillator-writes.json"
"""The usual name of the state file."""
MAX_FILE_BYTES: Final = 1 << 20
MAX_PARTS: Final = 1_000
MAX_NAME: Final = 64
_DAY_S: Final = 86_400
_MAX_COUNT: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class WearLimit:
    """How many writes are allowed."""

    per_day: int
    per_life: int


LIMITS: Final[Mapping[str, WearLimit]] = MappingProxyType(
    {"csac": WearLimit(24, 10_000), "sa5x": WearLimit(24, 5_000), "mro50": WearLimit(10, 1_000)}
)
OTHER: Final = WearLimit(5, 500)
"""For a family without a line in ``LIMITS``."""
NEAR: Final = 0.8
"""From this part of the life limit on it counts as near."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WearUsage:
    """What was written so far."""

    family: str
    serial: str
    today: int
    life: int
    limit: WearLimit

    @property
    def near(self) -> bool:
        """Time to look why so much is written."""
        return self.life >= NEAR * self.limit.per_life

    @property
    def reached(self) -> bool:
        """Nothing more will be written."""
        return self.life >= self.limit.per_life


class WearLedger:
    """The counts. Without a file they are kept for as long as the process lives."""

    def __init__(
        self,
        path: Path | None = None,
        limits: Mapping[str, WearLimit] = LIMITS,
        now_unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._limits = limits
        self._now_unix_s = now_unix_s
        self._memory: dict[str, dict[str, int]] = {}

    def usage(self, family: str, serial: str) -> WearUsage:
        """The count of one part. Raises ``RefusedError`` when the file cannot be understood."""
        return self._usage(self._load(), family, serial)

    def charge(self, device: str, family: str, serial: str, what: str) -> WearUsage:
        """Count one write that is about to happen.

        ``RefusedError`` when a limit is reached or the count cannot be kept; then nothing may be written.
        """
        with self._exclusive():
            parts = self._load()
            usage = self._usage(parts, family, serial)
            self._check(device, what, usage)
            key = _key(family, serial)
            if key not in parts and len(parts) >= MAX_PARTS:
                raise RefusedError(device, what, f"{self._path} has {MAX_PARTS} parts: remove old ones")
            parts[key] = {"day": self._day(parts.get(key)), "today": usage.today + 1, "life": usage.life + 1}
            self._save(parts)
            return self._usage(parts, family, serial)

    # --- internals ---

    def _check(self, device: str, what: str, usage: WearUsage) -> None:
        limit = usage.limit
        part = f"{usage.family} {usage.serial or 'without serial number'}"
        if usage.life >= limit.per_life:
            raise RefusedError(
                device,
                what,
                f"{part}: {usage.life} of {limit.per_life} non-volatile writes of its life are used",
            )
        if usage.today >= limit.per_day:
            raise RefusedError(
                device,
                what,
                f"{part}: {usage.today} non-volatile writes today, at most {limit.per_day} a day; "
                "they wear the part out: find what repeats them, or wait until tomorrow",
            )

    def _usage(self, parts: Mapping[str, Mapping[str, int]], family: str, serial: str) -> WearUsage:
        found = parts.get(_key(family, serial))
        same_day = found is not None and found["day"] == self._day(found)
        return WearUsage(
            family=family,
            serial=serial,
            today=found["today"] if found and same_day else 0,
            life=found["life"] if found else 0,
            limit=self._limits.get(family, OTHER),
        )

    def _day(self, found: Mapping[str, int] | None) -> int:
        """Today; a host clock that went back does not begin a new day."""
        return max(int(self._now_unix_s()) // _DAY_S, found["day"] if found else 0)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise from_oserror(str(self._path), "keep count of non-volatile writes", error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _load(self) -> dict[str, dict[str, int]]:
        if self._path is None:
            return self._memory
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise from_oserror(str(self._path), "read", error) from error
        try:
            if len(data) > MAX_FILE_BYTES:
                raise ValueError("too long")
            return _checked(json.loads(data))
        except (
            ValueError,
            RecursionError,
        ) as error:  # damaged JSON and UTF-8 are ValueErrors
            raise RefusedError(
                str(self._path),
                "read the count of non-volatile writes",
                f"{error}; repair the file, or remove it to count from zero",
            ) from error

    def _save(self, parts: dict[str, dict[str, int]]) -> None:
        if self._path is None:
            return
        text = json.dumps({"version": VERSION, "parts": parts}, indent=1, sort_keys=True) + "\n"
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            with new.open("w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except PermissionError as error:
            raise CardPermissionError(str(self._path), "write", error.strerror or str(error)) from error
        except OSError as error:
            raise from_oserror(str(self._path), "write", error) from error


def _key(family: str, serial: str) -> str:
    return f"{family[:MAX_NAME]}/{serial[:MAX_NAME]}"


def _checked(document: Any) -> dict[str, dict[str, int]]:
    """The ``parts`` of a state file, or ``ValueError`` that says what is wrong."""
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise ValueError(f"is no count of version {VERSION}")
    parts = document.get("parts")
    if not isinstance(parts, dict) or len(parts) > MAX_PARTS:
        raise ValueError("parts: must be a table")
    for key, counts in parts.items():
        if not isinstance(counts, dict) or set(counts) != {"day", "today", "life"}:
            raise ValueError(f"parts.{key[:MAX_NAME]}: must have day, today and life")
        for name, value in counts.items():
            if type(value) is not int or not 0 <= value < _MAX_COUNT:
                raise ValueError(f"parts.{key[:MAX_NAME]}.{name}: must be a whole number from 0 on")
    return parts
