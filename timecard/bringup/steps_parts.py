"""Steps about what hangs on the card's serial ports: receiver and oscillator."""

from __future__ import annotations

from collections.abc import Mapping

from timecard.boards.board import Role
from timecard.bringup.bench import Bench
from timecard.bringup.engine import Stepper
from timecard.bringup.report import Outcome
from timecard.errors import DeviceLostError, TimeCardError, UnsupportedError
from timecard.mac.oscillators.sa5x import FAMILY, Sa5x
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
        differences = found.compare()
    except DeviceLostError:
        raise
    except TimeCardError as error:
        stepper.lack("receiver", error, required=wanted.required)
        return
    identity = found.identity
    name = f"{identity.model} {identity.firmware}" if identity else "unknown"
    stepper.add("receiver", Outcome.AS_INTENDED, before=name)
    if not differences:
        stepper.add("receiver settings", Outcome.AS_INTENDED, before="as wanted")
    elif stepper.check:
        stepper.add("receiver settings", Outcome.WOULD_CHANGE, **_keys(differences))
    else:
        stepper.changing("receiver settings", " ".join(f"{k}={v}" for k, (v, _) in differences.items()))
        found.start()
        left = found.compare()
        if left:
            stepper.add("receiver settings", Outcome.FAILED, reason=f"could not be set: {', '.join(left)}")
        else:
            stepper.add("receiver settings", Outcome.CHANGED, **_keys(differences))
    stepper.notes.extend(f"receiver: {warning}" for warning in found.health().warnings)
    if wanted.wait_fix_s:
        _fix(bench, stepper, wanted.wait_fix_s)


def _keys(differences: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    names = list(differences)[:_SHOWN_KEYS]
    more = len(differences) - len(names)
    tail = f" and {more} more" if more else ""
    return {
        "before": " ".join(f"{name}={differences[name][0]}" for name in names) + tail,
        "wanted": " ".join(f"{name}={differences[name][1]}" for name in names) + tail,
    }


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
    card = bench.card
    family = wanted.family or card.board.oscillator_family
    try:
        if family != FAMILY:
            raise UnsupportedError(card.name, "ask the oscillator", f"there is no driver for {family} yet")
        module = Sa5x(card.serial(Role.MAC), bench.timebase)
        identity = module.identify()
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
