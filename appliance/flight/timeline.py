"""What happened during a flight, in lines: states, steps, alarms, holdovers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from appliance.flight.decision import Decision
from appliance.snapshot import ClockState

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
    """``state``, ``alarm``, ``step`` or ``holdover``."""
    text: str


@dataclass
class Timeline:
    """Takes decisions in order."""

    entries: list[Entry] = field(default_factory=list)
    _previous: Decision | None = None
    _alarms: dict[str, str] = field(default_factory=dict)
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

    def _note_alarms(self, at_s: float, now: Decision) -> None:
        """An alarm is the same one while only its figures change."""
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

    def _add(self, at_s: float, now: Decision, kind: str, text: str) -> None:
        self.entries.append(
            Entry(
                at_s=at_s,
                tai_ns=now.as_of_tai_ns,
                tai_minus_utc_s=now.tai_minus_utc_s,
                kind=kind,
                text=text,
            )
        )
