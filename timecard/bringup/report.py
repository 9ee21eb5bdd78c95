"""What bring-up found and did: one result per thing that was asked for, gathered in steps. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Outcome(Enum):
    """What became of one thing that was asked for."""

    AS_INTENDED = "as intended"
    CHANGED = "changed"
    WOULD_CHANGE = "would change"
    ABSENT = "not available"
    """Board or access path lack it; the reason says which. Not an error unless it was required."""
    FAILED = "failed"
    NOT_TRIED = "not tried"
    """Something before it failed, or ``--check`` could only find out by changing something."""


class Verdict(Enum):
    """What the whole of it comes to; the value is the exit status."""

    DONE = 0
    """The card is as intended."""
    FAILED = 1
    WOULD_CHANGE = 3
    """Only with ``check``: it is not as intended, and nothing speaks against changing it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One thing that was asked for."""

    what: str
    outcome: Outcome
    before: str | None = None
    """What was found; None where nothing was."""
    wanted: str | None = None
    reason: str | None = None
    """Why it failed or is absent; what would do."""

    def __str__(self) -> str:
        match self.outcome:
            case Outcome.CHANGED | Outcome.WOULD_CHANGE:
                return f"{self.what}: {self.outcome.value}: {self.before} -> {self.wanted}"
            case Outcome.AS_INTENDED:
                return f"{self.what}: {self.before if self.before is not None else self.wanted}"
            case _:
                return f"{self.what}: {self.outcome.value}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One step."""

    name: str
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()
    """Worth knowing, nothing to do."""

    def count(self, outcome: Outcome) -> int:
        """How many results had this outcome."""
        return sum(result.outcome is outcome for result in self.results)


@dataclass(frozen=True, slots=True, kw_only=True)
class BringUpReport:
    """The whole run."""

    card: str
    board: str
    access: str
    check: bool
    """Nothing was changed: what would be is reported."""
    steps: tuple[StepReport, ...]
    resumed: str | None = None
    """Step in which an earlier run with this intent was interrupted; None: there was none."""
    stopped: str | None = None
    """Why the run ended early."""

    def count(self, outcome: Outcome) -> int:
        """How many results of all steps had this outcome."""
        return sum(step.count(outcome) for step in self.steps)

    @property
    def verdict(self) -> Verdict:
        """What it comes to."""
        if self.stopped is not None or self.count(Outcome.FAILED):
            return Verdict.FAILED
        if self.count(Outcome.WOULD_CHANGE):
            return Verdict.WOULD_CHANGE
        return Verdict.DONE

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "card": self.card,
            "board": self.board,
            "access": self.access,
            "check": self.check,
            "verdict": self.verdict.name.lower(),
            "changes": self.count(Outcome.WOULD_CHANGE if self.check else Outcome.CHANGED),
            "resumed": self.resumed,
            "stopped": self.stopped,
            "steps": [
                {
                    "step": step.name,
                    "results": [
                        {
                            "what": result.what,
                            "outcome": result.outcome.value,
                            "before": result.before,
                            "wanted": result.wanted,
                            "reason": result.reason,
                        }
                        for result in step.results
                    ],
                    "notes": list(step.notes),
                }
                for step in self.steps
            ],
        }
