"""Steps about what hangs on the card's serial ports: receiver and oscillator."""

from __future__ import annotations

from collections.abc import Sequence

from timecard.bringup.bench import Bench, receiver_intent
from timecard.bringup.engine import Stepper
from timecard.bringup.oscillator import open_oscillator
from timecard.bringup.report import Outcome
from timecard.errors import DeviceLostError, TimeCardError
from timecard.gnss.driver import Receiver
from timecard.gnss.intent import Change, GnssIntent
from timecard.values import GnssFix

CHECK_LOOK_S = 2.0
"""How long ``--check`` listens for what comes once a second."""
_SHOWN_KEYS = 4


def receiver(bench: Bench, stepper: Stepper) -> None:
    """The receiver's settings, and a fix if it is to be waited for."""
    wanted = bench.intent.receiver
    if wanted is None:
        return
    try:
        found = bench.receiver()
    except DeviceLostError:
        raise
    except TimeCardError as error:
        stepper.lack("receiver", error, required=wanted.required)
        return
    identity = found.identity
    name = f"{identity.model} {identity.firmware}".strip() if identity else "unknown"
    stepper.add("receiver", Outcome.AS_INTENDED, before=name)
    try:
        _settings(found, receiver_intent(wanted, bench.intent), stepper)
    except DeviceLostError:
        raise
    except TimeCardError as error:
        stepper.lack("receiver settings", error, required=wanted.required)
    if wanted.wait_fix_s:
        _fix(bench, stepper, wanted.wait_fix_s)


def _settings(found: Receiver, intent: GnssIntent, stepper: Stepper) -> None:
    plan = found.plan(intent)
    if not plan.changes:
        stepper.add("receiver settings", Outcome.AS_INTENDED, before="as wanted")
    elif stepper.check:
        stepper.add("receiver settings", Outcome.WOULD_CHANGE, **_keys(plan.changes))
    else:
        stepper.changing(
            "receiver settings", " ".join(f"{change.key}={_before(change)}" for change in plan.changes)
        )
        found.apply(plan)
        left = found.plan(intent).changes
        if left:
            names = ", ".join(change.key for change in left)
            stepper.add("receiver settings", Outcome.FAILED, reason=f"could not be set: {names}")
        else:
            stepper.add("receiver settings", Outcome.CHANGED, **_keys(plan.changes))
    stepper.notes.extend(f"receiver: {lack}" for lack in plan.unsupported)


def _keys(changes: Sequence[Change]) -> dict[str, str]:
    shown = changes[:_SHOWN_KEYS]
    more = len(changes) - len(shown)
    tail = f" and {more} more" if more else ""
    return {
        "before": " ".join(f"{change.key}={_before(change)}" for change in shown) + tail,
        "wanted": " ".join(f"{change.key}={change.after}" for change in shown) + tail,
    }


def _before(change: Change) -> int | float | str:
    """The value in force, or, where that is right already, the one of the next start."""
    return change.before if change.stored is None else change.stored


def _fix(bench: Bench, stepper: Stepper, wait_s: float) -> None:
    wait_s = min(wait_s, CHECK_LOOK_S) if stepper.check else wait_s
    newest: GnssFix | None = None
    for event in bench.events(wait_s):
        if isinstance(event, GnssFix):
            newest = event
            if event.fix_ok and event.time_valid:
                satellites = f"{event.satellites_used} satellites" if event.satellites_used else "time only"
                stepper.add("GNSS fix", Outcome.AS_INTENDED, before=satellites)
                return
    if stepper.check:
        stepper.add(
            "GNSS fix", Outcome.NOT_TRIED, reason=f"none within {wait_s:g} s; a real run waits longer"
        )
        return
    said = "the receiver reports none" if newest else "the receiver says nothing about it"
    stepper.add("GNSS fix", Outcome.FAILED, reason=f"{said} within {wait_s:g} s: see antenna and sky view")


def oscillator(bench: Bench, stepper: Stepper) -> None:
    """Who answers on the MAC port, and whether it is locked."""
    wanted = bench.intent.oscillator
    if wanted is None:
        return
    try:
        module, identity = open_oscillator(bench.card, bench.timebase, wanted=wanted.family or None)
    except DeviceLostError:
        raise
    except TimeCardError as error:
        stepper.lack("oscillator", error, required=wanted.required)
        return
    stepper.add(
        "oscillator",
        Outcome.AS_INTENDED,
        before=f"{identity.family} {identity.model} {identity.serial}, firmware {identity.firmware}",
    )
    status = module.status(full=True)
    stepper.notes.extend(f"oscillator: {alarm}" for alarm in status.alarm_names)
    if not wanted.locked:
        return
    waited = stepper.wait_until(
        lambda: module.status(full=True).locked, 0.0 if stepper.check else wanted.wait_lock_s
    )
    if waited:
        stepper.add("oscillator lock", Outcome.AS_INTENDED, before="locked")
        return
    progress = f"not locked, {module.status(full=True).lock_progress_percent} % of the way"
    if stepper.check and wanted.wait_lock_s:
        reason = f"{progress}; a real run waits up to {wanted.wait_lock_s:g} s"
        stepper.add("oscillator lock", Outcome.NOT_TRIED, reason=reason)
        return
    stepper.add(
        "oscillator lock",
        Outcome.FAILED,
        reason=f"{progress}, within {wanted.wait_lock_s:g} s; a cold start takes minutes: raise wait_lock_s, "
        "or say locked = false",
    )
