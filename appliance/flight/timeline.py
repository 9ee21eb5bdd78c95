"""What happened during a flight, in lines: states, steps, alarms, holdovers, what clients were told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from appliance.flight.decision import Announcement, Decision
from appliance.printable import shortened
from appliance.snapshot import ClockState

MAX_ENTRIES: Final = 10_000
HOLDING: Final = frozenset({ClockState.HOLDOVER, ClockState.HOLDOVER_EXPIRED})
_FIGURE: Final = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line."""

    at_s: float
    """Since the file's beginning."""
    tai_ns: int | None
    tai_minus_utc_s: int | None
    kind: str
    """``state``, ``alarm``, ``step``, ``holdover`` or ``announce``."""
    text: str


@dataclass
class Timeline:
    """Takes decisions in order."""

    entries: list[Entry] = field(default_factory=list)
    """The first ``MAX_ENTRIES``."""
    left_out: int = 0
    """So many more."""
    _previous: Decision | None = None
    _alarms: dict[str, str] = field(default_factory=dict)
    _texts: tuple[str, ...] = ()
    _holdover_s: float | None = None

    def take(self, at_s: float, now: Decision) -> None:
        """One decision."""
        before, self._previous = self._previous, now
        if before is None or before.state is not now.state:
            self._add(at_s, now, "state", f"{now.state.value}: {'; '.join(now.reasons) or '-'}")
        if before is not None and before.epoch != now.epoch:
            self._add(at_s, now, "step", f"epoch {now.epoch}: the clock was stepped or set")
        self._note_alarms(at_s, now)
        self._note_holdover(at_s, now)

    def announced(self, at_s: float, said: Announcement) -> None:
        """Clients are told something else."""
        text = (
            f"class {said.clock_class:d}, accuracy {said.clock_accuracy:#04x},"
            f" variance {said.offset_scaled_log_variance:#06x}, flags {said.flags:#06x},"
            f" TAI - UTC {said.utc_offset_s:d} s, time source {said.time_source:#04x}"
        )
        self._add(at_s, self._previous, "announce", text)

    def _note_alarms(self, at_s: float, now: Decision) -> None:
        """An alarm is the same one while only its figures change."""
        if now.alarms == self._texts:
            return
        self._texts = now.alarms
        present = {_FIGURE.sub("#", text): text for text in now.alarms}
        for key, text in present.items():
            if key not in self._alarms:
                self._add(at_s, now, "alarm", f"begins: {text}")
        for key, text in self._alarms.items():
            if key not in present:
                self._add(at_s, now, "alarm", f"ends: {text}")
        self._alarms = present

    def _note_holdover(self, at_s: float, now: Decision) -> None:
        holding = now.state in HOLDING
        if holding and self._holdover_s is None:
            self._holdover_s = at_s
        elif not holding and self._holdover_s is not None:
            self._add(at_s, now, "holdover", f"ended after {at_s - self._holdover_s:.0f} s")
            self._holdover_s = None

    def _add(self, at_s: float, now: Decision | None, kind: str, text: str) -> None:
        if len(self.entries) >= MAX_ENTRIES:
            self.left_out += 1
            return
        self.entries.append(
            Entry(
                at_s=at_s,
                tai_ns=None if now is None else now.as_of_tai_ns,
                tai_minus_utc_s=None if now is None else now.tai_minus_utc_s,
                kind=kind,
                text=shortened(text),
            )
        )
