"""Faults that can be injected into the virtual card: what there is, with which arguments, when it ends.

This module knows time. Names and ranges are in ``fault_kinds``, what a fault *does* is in the handlers that
the card gives it.
"""

from __future__ import annotations

import heapq
import itertools
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from timecard.emulator.fault_kinds import FAULTS, Argument, FaultError
from timecard.timescale import NS_PER_S

MAX_SCHEDULED: Final = 10_000
MAX_FILE_BYTES: Final = 1_000_000
MAX_SECONDS: Final = 1e8
_NEVER_NS: Final = 1 << 63
CLEAR: Final = "clear"
"""In a schedule, the entry that ends faults."""


SECONDS: Final = Argument("seconds", 0.0, 0.001, MAX_SECONDS)


Stop = Callable[[int], None]
"""Ends a fault at a true TAI instant (ns)."""
Start = Callable[[int, Mapping[str, float]], Stop]
"""Begins a fault at a true TAI instant (ns) with all its arguments; returns what ends it."""


class Agenda(Protocol):
    """Something that runs an action when true TAI reaches an instant."""

    def call_at(self, true_tai_ns: int, action: Callable[[], None]) -> None:
        """Run ``action`` then."""
        ...


class PolledAgenda:
    """An agenda for live time: whoever looks at the time runs what is due."""

    def __init__(self) -> None:
        self._order = itertools.count()
        self._due: list[tuple[int, int, Callable[[], None]]] = []

    def call_at(self, true_tai_ns: int, action: Callable[[], None]) -> None:
        """Run ``action`` in the first ``run_due`` at or after this instant."""
        heapq.heappush(self._due, (true_tai_ns, next(self._order), action))

    def next_ns(self) -> int:
        """When something is due; far away when nothing is planned."""
        return self._due[0][0] if self._due else _NEVER_NS

    def run_due(self, true_tai_ns: int) -> None:
        """Run all that is due."""
        while self._due and self._due[0][0] <= true_tai_ns:
            heapq.heappop(self._due)[2]()


@dataclass(slots=True)
class _Active:
    arguments: Mapping[str, float]
    since_tai_ns: int
    stop: Stop


class FaultBoard:
    """The faults in force; at most one of each kind."""

    def __init__(self, handlers: Mapping[str, Start], agenda: Agenda, now_tai_ns: Callable[[], int]) -> None:
        """``handlers`` may leave out kinds that this card cannot have: injecting one is then an error."""
        self._handlers = handlers
        self._agenda = agenda
        self._now_tai_ns = now_tai_ns
        self._active: dict[str, _Active] = {}

    def inject(self, name: str, seconds: object = None, **given: object) -> None:
        """Begin a fault, replacing one of the same kind; it ends by itself after ``seconds``, if given.

        ``magnitude`` stands for the kind's first argument. Raises ``FaultError``.
        """
        arguments, seconds_s = check_fault(name, seconds, given)
        handler = self._handlers.get(name)
        if handler is None:
            raise FaultError(f"fault {name}: this card has no part that could have it")
        if name in self._active:
            self.clear(name)
        now = self._now_tai_ns()
        active = _Active(arguments, now, handler(now, arguments))
        self._active[name] = active
        if seconds_s is not None:
            self._agenda.call_at(now + round(seconds_s * NS_PER_S), lambda: self._expire(name, active))

    def clear(self, name: str | None = None) -> None:
        """End a fault, or all of them; does nothing where none is in force.

        Raises ``FaultError`` for a name that does not exist.
        """
        if name is not None and name not in FAULTS:
            raise FaultError(_unknown(name))
        for each in [name] if name is not None else list(self._active):
            active = self._active.pop(each, None)
            if active is not None:
                active.stop(self._now_tai_ns())

    def schedule(self, entries: list[ScheduledFault], start_tai_ns: int) -> None:
        """Put a checked schedule on the agenda, counted from ``start_tai_ns``."""
        for entry in entries:
            self._agenda.call_at(start_tai_ns + round(entry.at_s * NS_PER_S), partial(self._begin, entry))

    def in_force(self) -> dict[str, dict[str, float]]:
        """Names and arguments."""
        return {name: dict(active.arguments) for name, active in self._active.items()}

    def supported(self) -> list[str]:
        """Kinds that this card can have."""
        return [name for name in FAULTS if name in self._handlers]

    def _begin(self, entry: ScheduledFault) -> None:
        if entry.fault == CLEAR:
            self.clear(entry.clears)
        else:
            self.inject(entry.fault, entry.seconds, **entry.arguments)

    def _expire(self, name: str, active: _Active) -> None:
        if self._active.get(name) is active:
            self.clear(name)


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """One line of a schedule."""

    at_s: float
    fault: str
    seconds: float | None
    arguments: Mapping[str, float]
    clears: str | None = None


def check_fault(
    name: str, seconds: object, given: Mapping[str, object]
) -> tuple[dict[str, float], float | None]:
    """All arguments of a fault, defaults filled in, and its length; raises ``FaultError``."""
    kind = FAULTS.get(name)
    if kind is None:
        raise FaultError(_unknown(name))
    known = {argument.name: argument for argument in kind.arguments}
    arguments = {argument.name: argument.default for argument in kind.arguments}
    for key, value in given.items():
        argument = kind.arguments[0] if key == "magnitude" and kind.arguments else known.get(key)
        if argument is None:
            takes = ", ".join([*known, "seconds"])
            raise FaultError(f"fault {name}: unknown argument {key!r} (it takes {takes})")
        try:
            arguments[argument.name] = argument.check(value)
        except FaultError as error:
            raise FaultError(f"fault {name}: {error}") from None
    try:
        return arguments, None if seconds is None else SECONDS.check(seconds)
    except FaultError as error:
        raise FaultError(f"fault {name}: {error}") from None


def read_schedule(path: Path) -> list[ScheduledFault]:
    """Read a TOML file with ``[[fault]]`` tables of ``at_s``, ``fault`` and the fault's arguments.

    ``fault = "clear"`` with an optional ``name`` ends faults. Raises ``FaultError`` naming the file and
    entry.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FaultError(f"{path}: cannot read: {error.strerror or error}") from None
    if len(text) > MAX_FILE_BYTES:
        raise FaultError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    try:
        document = tomllib.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FaultError(f"{path}: no valid TOML: {error}") from None
    entries = document.pop("fault", [])
    if document:
        raise FaultError(
            f"{path}: unknown key {next(iter(document))!r}; a schedule has [[fault]] tables only"
        )
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise FaultError(f"{path}: write each fault as a [[fault]] table")
    if len(entries) > MAX_SCHEDULED:
        raise FaultError(f"{path}: more than {MAX_SCHEDULED} faults")
    schedule = []
    for number, entry in enumerate(entries, start=1):
        try:
            schedule.append(_scheduled(entry))
        except FaultError as error:
            raise FaultError(f"{path}, fault {number}: {error}") from None
    return schedule


def _scheduled(entry: dict[str, Any]) -> ScheduledFault:
    rest = dict(entry)
    if "at_s" not in rest or "fault" not in rest:
        raise FaultError("needs both at_s and fault")
    at_s = Argument("at_s", 0.0, 0.0, MAX_SECONDS).check(rest.pop("at_s"))
    name = rest.pop("fault")
    if not isinstance(name, str):
        raise FaultError("fault: must be the name of a fault, in quotes")
    if name == CLEAR:
        clears = rest.pop("name", None)
        if rest or not isinstance(clears, str | None) or (clears is not None and clears not in FAULTS):
            raise FaultError('fault = "clear": takes only a name, that of a fault')
        return ScheduledFault(at_s, CLEAR, None, {}, clears)
    seconds = rest.pop("seconds", None)
    arguments, length_s = check_fault(name, seconds, rest)
    return ScheduledFault(at_s, name, length_s, arguments)


def _unknown(name: object) -> str:
    return f"unknown fault {str(name)[:40]!r} (there are {', '.join(FAULTS)})"


__all__ = [
    "CLEAR",
    "FAULTS",
    "Agenda",
    "Argument",
    "FaultBoard",
    "FaultError",
    "PolledAgenda",
    "ScheduledFault",
    "Start",
    "Stop",
    "check_fault",
    "read_schedule",
]
