"""Replay: the recorded events through the same discipline again, and whether it decides the same.

Nothing here knows what the right decision is: the record's own are compared with those that come out now.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, cast

from appliance.events import Event
from appliance.flight.checkpoint import restore
from appliance.flight.decision import ACTIONS, EVENTS, MAX_TEXTS, Announcement, Decision, wrong_field
from appliance.flight.errors import FlightError
from appliance.flight.reader import FlightFile
from appliance.flight.recorder import machine
from appliance.flight.timeline import Timeline
from appliance.printable import shortened, shown
from appliance.timescale.discipline import Discipline
from appliance.version import installed_version
from timecard.timescale import NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where the replay first decided otherwise."""

    at_s: float
    """Since the file's beginning."""
    mono_ns: int
    field: str
    recorded: str
    recomputed: str


@dataclass
class Replay:
    """What a replay found."""

    path: Path
    header: dict[str, Any]
    events: int = 0
    actions: int = 0
    decisions: int = 0
    """Compared, if they were compared at all."""
    differing: int = 0
    """Decisions and answers to events that came out otherwise."""
    difference: Difference | None = None
    duration_s: float = 0.0
    ended: str | None = None
    cut: str | None = None
    product_here: str = field(default_factory=installed_version)
    other_machine: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What differs between the machine that wrote the file and this one, if anything."""
    timeline: Timeline = field(default_factory=Timeline)


def replay(path: Path, *, until_s: float | None = None, compare: bool = True) -> Replay:
    """Read a file and, unless ``compare`` is off, decide everything again.

    ``until_s``: stop so long after the file's beginning. Raises ``FlightError``.
    """
    with FlightFile(path) as file:
        found = Replay(path, dict(file.header))
        written, here = file.header.get("machine"), machine()
        if isinstance(written, dict):
            others = {name: (str(written.get(name)), mine) for name, mine in here.items()}
            found.other_machine = {name: pair for name, pair in others.items() if pair[0] != pair[1]}
        run = _Run(file, found, _discipline(file) if compare else None)
        for value in file.values():
            try:
                run.take(value)
            except FlightError:
                raise
            except Exception as error:
                what, why = shortened(repr(value)), shortened(str(error))
                raise FlightError(f"{path}: fails at {what} ({type(error).__name__}: {why})") from error
            if until_s is not None and found.duration_s >= until_s:
                break
        else:
            run.expect_no_more()
        found.ended, found.cut = file.ended, file.cut
    return found


def _discipline(file: FlightFile) -> Discipline:
    start, config, mono_ns = file.start, file.config, file.start_mono_ns
    try:
        if "checkpoint" not in start:
            return Discipline(config, mono_ns, **start["begin"])
        made = Discipline(config, mono_ns)
    except Exception as error:
        reason = shortened(str(error))
        raise FlightError(f"{file.path}: no discipline can be begun with what it holds ({reason})") from error
    restore(made, start["checkpoint"])
    return made


class _Run:
    """The discipline beside the record."""

    def __init__(self, file: FlightFile, found: Replay, discipline: Discipline | None) -> None:
        self._found, self._discipline = found, discipline
        self._path, self._start_ns = file.path, file.start_mono_ns
        self._expected: deque[Any] = deque()
        self._now_ns = file.start_mono_ns

    def take(self, value: Any) -> None:
        """The next value of the record."""
        found, discipline = self._found, self._discipline
        kind = type(value)
        if kind in _ACTIONS:
            found.actions += 1
            if discipline is not None:
                self._compare_action(value)
            return
        self.expect_no_more()
        if kind is Decision:
            wrong = wrong_field(value)
            if wrong is not None:
                raise FlightError(f"{self._path}: {wrong} of a decision is {shown(getattr(value, wrong))}")
            found.decisions += 1
            self._now_ns = value.as_of_mono_ns
            found.duration_s = (self._now_ns - self._start_ns) / NS_PER_S
            found.timeline.take(found.duration_s, value)
            if discipline is not None:
                self._compare(value, Decision.of(discipline.snapshot(value.as_of_mono_ns)))
        elif kind in _EVENTS:
            found.events += 1
            if discipline is not None:
                self._expected.extend(discipline.handle(cast(Event, value)))
                if len(discipline.alarms) > MAX_TEXTS:
                    raise FlightError(f"{self._path}: more alarms than there are")
        elif kind is Announcement:
            found.timeline.announced(found.duration_s, value)
        else:
            raise FlightError(f"{self._path}: {kind.__name__} where an event should be")

    def expect_no_more(self) -> None:
        """All that was asked for now must have been asked for then."""
        while self._expected:
            self._differs("action", "nothing", repr(self._expected.popleft()))

    def _compare_action(self, recorded: Any) -> None:
        recomputed = self._expected.popleft() if self._expected else None
        if repr(recorded) != repr(recomputed):
            self._differs("action", repr(recorded), "nothing" if recomputed is None else repr(recomputed))

    def _compare(self, recorded: Decision, recomputed: Decision) -> None:
        # Equal values may still differ in the sign of a zero, or be of different types.
        was, now = _ALL(recorded), _ALL(recomputed)
        if was == now and 0.0 not in _DOUBLES(recomputed) and [*map(type, was)] == [*map(type, now)]:
            return
        # Python writes no two doubles alike.
        for name, *pair in zip(_FIELDS, map(repr, was), map(repr, now), strict=True):
            if pair[0] != pair[1]:
                self._differs(name, *pair)
                return

    def _differs(self, what: str, recorded: str, recomputed: str) -> None:
        found = self._found
        found.differing += 1
        if found.difference is None:
            found.difference = Difference(
                at_s=found.duration_s,
                mono_ns=self._now_ns,
                field=what,
                recorded=recorded,
                recomputed=recomputed,
            )


_FIELDS: Final = tuple(field.name for field in fields(Decision))
_ALL: Final = attrgetter(*_FIELDS)
_DOUBLES: Final = attrgetter(*(field.name for field in fields(Decision) if "float" in str(field.type)))
_EVENTS: Final = frozenset(EVENTS)
_ACTIONS: Final = frozenset(ACTIONS)
