"""The step engine: read, compare, change only what differs, verify. Knows nothing of cards.

A step asks for things one by one (``Setting``) and gets a ``Result`` for each. Errors of the hardware become
results; a card that is gone ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from timecard.bringup.journal import Journal
from timecard.bringup.report import BringUpReport, Outcome, Result, StepReport
from timecard.errors import DeviceAbsentError, DeviceLostError, TimeCardError, UnsupportedError
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

_T = TypeVar("_T")
POLL_S: Final = 0.1
"""How often something is looked at that needs time to settle."""
LACKS: Final = (UnsupportedError, DeviceAbsentError)
"""Errors that say that something is not there, rather than that it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Generic[_T]):
    """One thing that shall be in some state."""

    what: str
    wanted: str
    """In words."""
    read: Callable[[], _T]
    matches: Callable[[_T], bool]
    write: Callable[[], None] | None
    """None: it can only be waited for."""
    show: Callable[[_T], str] = str
    required: bool = False
    wait_s: float = 0.0
    """How long the card may take until it shows what was written, or what is waited for."""
    unmet: str = "the card does not show it after it was written"
    """What to say when it stays otherwise."""


class Stepper:
    """What a step works with: settles settings, one after the other, and keeps the results."""

    def __init__(self, timebase: Timebase, journal: Journal, *, check: bool) -> None:
        self.timebase = timebase
        self.check = check
        self.results: list[Result] = []
        self.notes: list[str] = []
        self._journal = journal

    def settle(self, setting: Setting[_T]) -> Result:
        """Make a setting true, or say why not."""
        try:
            result = self._settle(setting)
        except DeviceLostError:
            raise
        except TimeCardError as error:
            result = self.lack(setting.what, error, required=setting.required, wanted=setting.wanted)
        else:
            self.results.append(result)
        return result

    def lack(self, what: str, error: TimeCardError, *, required: bool, wanted: str | None = None) -> Result:
        """What an error means for something that was asked for."""
        absent = isinstance(error, LACKS) and not required
        return self.add(
            what,
            Outcome.ABSENT if absent else Outcome.FAILED,
            wanted=wanted,
            reason=str(error) + ("; it is required" if required and isinstance(error, LACKS) else ""),
        )

    def add(
        self,
        what: str,
        outcome: Outcome,
        *,
        before: str | None = None,
        wanted: str | None = None,
        reason: str | None = None,
    ) -> Result:
        """Keep a result that was found in another way."""
        result = Result(what=what, outcome=outcome, before=before, wanted=wanted, reason=reason)
        self.results.append(result)
        return result

    def wait_until(self, holds: Callable[[], bool], wait_s: float) -> bool:
        """Look again and again until something holds, at most for ``wait_s``."""
        deadline_ns = self.timebase.mono_ns() + round(wait_s * NS_PER_S)
        while not holds():
            if self.timebase.mono_ns() >= deadline_ns:
                return False
            self.timebase.sleep_s(POLL_S)
        return True

    def changing(self, what: str, before: str) -> None:
        """Note in the journal what is about to be changed, with what was there before the first change."""
        self._journal.changing(what, before)

    def _settle(self, setting: Setting[_T]) -> Result:
        found = setting.read()
        before = setting.show(found)
        outcome, reason = Outcome.AS_INTENDED, None
        if not setting.matches(found):
            if setting.write is None:
                outcome, reason = self._await(setting)
                before = setting.wanted if outcome is Outcome.AS_INTENDED else before
            elif self.check:
                outcome = Outcome.WOULD_CHANGE
            else:
                self.changing(setting.what, before)
                setting.write()
                outcome, reason = self._await(setting)
                outcome = Outcome.CHANGED if outcome is Outcome.AS_INTENDED else outcome
        return Result(what=setting.what, outcome=outcome, before=before, wanted=setting.wanted, reason=reason)

    def _await(self, setting: Setting[_T]) -> tuple[Outcome, str | None]:
        newest = ""

        def holds() -> bool:
            nonlocal newest
            found = setting.read()
            newest = setting.show(found)
            return setting.matches(found)

        if self.wait_until(holds, 0.0 if self.check else setting.wait_s):
            return Outcome.AS_INTENDED, None
        if self.check and setting.wait_s:
            return Outcome.NOT_TRIED, f"{newest} at the moment; a real run waits up to {setting.wait_s:g} s"
        waited = f" within {setting.wait_s:g} s" if setting.wait_s else ""
        return Outcome.FAILED, f"{newest} instead of {setting.wanted}{waited}: {setting.unmet}"


class Step(Protocol):
    """One step: a name, and what it does."""

    @property
    def name(self) -> str:
        """In the report and the journal."""
        ...

    def run(self, stepper: Stepper) -> None:
        """Settle everything that the step is about."""
        ...


@dataclass(frozen=True, slots=True)
class NamedStep:
    """A step made of a function."""

    name: str
    work: Callable[[Stepper], None]

    def run(self, stepper: Stepper) -> None:
        """Do it."""
        self.work(stepper)


class StopRunError(Exception):
    """A step found that the rest must not be tried."""


def run_steps(
    steps: Sequence[Step],
    timebase: Timebase,
    journal: Journal,
    *,
    check: bool,
    card: str,
    board: str,
    access: str,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> BringUpReport:
    """Run steps in order; a step that fails does not keep the others from being tried, a lost card does.

    The journal is written before each step and before each change, so that a run which is cut off anywhere
    leaves behind what it was doing. Running again continues: what is done already is found as intended.
    """
    resumed = None if check else journal.begin()
    reports: list[StepReport] = []
    stopped: str | None = None
    for step in steps:
        if stopped is not None:
            continue
        stepper = Stepper(timebase, journal, check=check)
        if not check:
            journal.enter(step.name)
        try:
            step.run(stepper)
        except StopRunError as stop:
            stopped = str(stop)
        except DeviceLostError as error:
            stepper.add(step.name, Outcome.FAILED, reason=str(error))
            stopped = f"the card is gone: {error}"
        except TimeCardError as error:
            stepper.add(step.name, Outcome.FAILED, reason=str(error))
        report = StepReport(name=step.name, results=tuple(stepper.results), notes=tuple(stepper.notes))
        reports.append(report)
        on_step(report)
        if not check and stopped is None:
            journal.leave(step.name, failed=bool(report.count(Outcome.FAILED)))
    whole = BringUpReport(
        card=card,
        board=board,
        access=access,
        check=check,
        steps=tuple(reports),
        resumed=resumed,
        stopped=stopped,
    )
    if not check and stopped is None:
        journal.finish()
    return whole
