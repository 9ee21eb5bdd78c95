"""``bring_up``: make a card what an intent says, step by step; the same on every board and way to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from timecard.bringup import step_proof, step_sma, step_time, step_tod, steps_card, steps_parts
from timecard.bringup.bench import Bench, host_tai_ns
from timecard.bringup.engine import NamedStep, Stepper, StopRunError, run_steps
from timecard.bringup.intent import Intent
from timecard.bringup.journal import Journal, NoJournal
from timecard.bringup.report import BringUpReport, Outcome, StepReport
from timecard.card_protocols import Card
from timecard.timebase import Timebase


@dataclass(frozen=True, slots=True, kw_only=True)
class Ailment:
    """As much of one of doctor's findings as bring-up tells."""

    title: str
    fix: str
    is_error: bool
    """Something does not work."""


STEPS: Final[tuple[tuple[str, Callable[[Bench, Stepper], None]], ...]] = (
    ("selection", steps_card.selection),
    ("receiver", steps_parts.receiver),
    ("time-of-day", step_tod.time_of_day),
    ("oscillator", steps_parts.oscillator),
    ("sma", step_sma.sma),
    ("delays", steps_card.delays),
    ("time", step_time.right_time),
    ("proof", step_proof.proof),
    # Behind the proof: a clock that is still being pulled in stops a running generator.
    ("outputs", steps_card.outputs),
    ("counters", steps_card.counters),
)
"""After ``card`` and ``doctor``; a step whose table the intent lacks does nothing."""


def bring_up(
    card: Card,
    intent: Intent,
    timebase: Timebase,
    *,
    check: bool = False,
    journal: Journal | None = None,
    ailments: Sequence[Ailment] | None = None,
    on_step: Callable[[StepReport], None] = lambda report: None,
    host_time: Callable[[], int] = host_tai_ns,
) -> BringUpReport:
    """Make ``card`` what ``intent`` says; with ``check`` only find out what would be changed.

    Each step reads, compares, changes only what differs, and verifies; a second run changes nothing. Errors
    of the hardware become results of the report. ``journal`` keeps what a run was doing; ``ailments`` are
    what doctor found before, None if it was not asked. Raises ``JournalError`` when the journal cannot be
    written.
    """
    bench = Bench(card, intent, timebase, host_time)
    steps = [NamedStep("card", partial(steps_card.card, bench))]
    if ailments is not None:
        steps.append(NamedStep("doctor", partial(_doctor, bench, ailments)))
    steps.extend(NamedStep(name, partial(work, bench)) for name, work in STEPS)
    return run_steps(
        steps,
        timebase,
        journal or NoJournal(),
        check=check,
        card=card.id,
        board=card.board.name,
        access=card.access.value,
        on_step=on_step,
    )


def _doctor(bench: Bench, ailments: Sequence[Ailment], stepper: Stepper) -> None:
    """Findings are told, not acted on: much of what they name is what the next steps put right."""
    errors = [ailment for ailment in ailments if ailment.is_error]
    stepper.notes.extend(f"{ailment.title}: {ailment.fix}" for ailment in ailments)
    stepper.add("doctor", Outcome.AS_INTENDED, before=f"{len(ailments)} findings, {len(errors)} errors")
    if errors and bench.intent.doctor.stop_on_error:
        raise StopRunError(f"doctor found {len(errors)} errors ([doctor] stop_on_error): {errors[0].title}")
