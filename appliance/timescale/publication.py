"""From the discipline's state to the snapshot that everybody else reads, and readiness for holdover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.snapshot import VOID_AFTER_S, ClockSnapshot, ClockState, HoldoverLimit
from appliance.timescale.holdover import not_ready_reasons
from timecard.timescale import NS_PER_S

if TYPE_CHECKING:
    from appliance.timescale.discipline import Discipline
    from appliance.timescale.holdover import Claim, Growth
    from appliance.timescale.tracking import Tracker


def make_snapshot(discipline: Discipline, mono_ns: int) -> ClockSnapshot:
    """What may be said at ``mono_ns``: no tracker, no claim."""
    pilot = discipline.pilot
    tracker, machine = pilot.tracker, pilot.machine
    bias_ns = pilot.judge.bias_ns
    claim: Claim | None = None
    limits: tuple[HoldoverLimit, ...] = ()
    if tracker is not None:
        common = _known_now(discipline, tracker, mono_ns)
        claim = discipline.forecast.claim(
            tracker.estimator.covariance,
            elapsed_s=tracker.elapsed_s(mono_ns),
            rate_ppb=tracker.rate_ppb(),
            suspect_rate_ppb=pilot.judge.suspect_rate_ppb(tracker),
            **common,
        )
        limits = discipline.forecast.limits(
            tracker.estimator.covariance,
            limits_ns=sorted({*discipline.config.limits_ns, discipline.config.budget_ns}),
            **common,
        )
    leap, tai_s = discipline.leap.judgement, discipline.tai_s(mono_ns)
    coming = leap.coming_at(tai_s)
    not_ready = not_ready_for_holdover(discipline, mono_ns, None if claim is None else claim.bound_ns)
    reasons: tuple[str, ...] = (machine.reason,)
    if discipline.config.topology == "A":
        hand_over = discipline.hand_over
        why = "" if hand_over.hands_off else f" ({hand_over.reason})"
        reasons = (machine.reason, f"{hand_over.mode.value}{why}")
    if machine.state is ClockState.FREE_RUN:
        reasons = (f"waiting for {discipline.waiting_for}", machine.reason)
    return ClockSnapshot(
        state=machine.state,
        since_mono_ns=machine.since_mono_ns,
        reasons=reasons,
        alarms=tuple(_alarms(discipline, mono_ns)),
        epoch=discipline.epoch,
        as_of_mono_ns=mono_ns,
        as_of_tai_ns=discipline.card.time.card_tai_ns(mono_ns),
        void_after_mono_ns=mono_ns + VOID_AFTER_S * NS_PER_S,
        offset_ns=None if tracker is None else tracker.phase_ns(mono_ns),
        offset_sigma_ns=None if claim is None else claim.sigma_ns,
        last_sample_ns=None if tracker is None else tracker.last_sample_ns,
        frequency_ppb=pilot.steersman.frequency_ppb,
        oscillator_ppb=None if tracker is None else tracker.oscillator_ppb(),
        oscillator_sigma_ppb=None if tracker is None else tracker.estimator.oscillator_sigma_ppb,
        bound_ns=None if claim is None else claim.bound_ns,
        bound_wide_ns=None if claim is None else claim.bound_wide_ns,
        bias_ns=bias_ns,
        p=discipline.config.p,
        drift_ppb=0.0 if claim is None else claim.drift_ppb,
        holdover_since_mono_ns=pilot.holdover_since_mono_ns,
        holdover_forced=pilot.forced_holdover,
        holdover_ready=not not_ready,
        not_ready_reasons=not_ready,
        limits=limits,
        topology=discipline.config.topology,
        tai_minus_utc_s=leap.offset_at(tai_s) if leap.valid else None,
        leap_change_s=coming.change_s if coming else 0,
        leap=leap,
        leap_tai_s=tai_s,
        rehearsal=discipline.rehearsal.view(mono_ns),
        counters=dict(discipline.counters),
    )


def holdover_growth(discipline: Discipline, mono_ns: int) -> Growth | None:
    """How the bound grows from ``mono_ns`` on if the reference were lost now (or since it was lost)."""
    tracker = discipline.pilot.tracker
    if tracker is None:
        return None
    return discipline.forecast.growth(
        tracker.estimator.covariance, **_known_now(discipline, tracker, mono_ns)
    )


def _known_now(discipline: Discipline, tracker: Tracker, mono_ns: int) -> dict[str, Any]:
    """What every forecast begins with, beside the covariance."""
    judge = discipline.pilot.judge
    return {
        "phase_ns": tracker.phase_ns(mono_ns),
        "bias_ns": judge.bias_ns + judge.suspect_ns(tracker, mono_ns),
        "scale": tracker.statistics.scale,
        "temperature_degc": tracker.temperature_degc,
        "unfelt": tracker.unfelt(),
    }


def not_ready_for_holdover(discipline: Discipline, mono_ns: int, bound_ns: float | None) -> tuple[str, ...]:
    """``not_ready_reasons`` of this discipline, whose bound is ``bound_ns`` now."""
    pilot = discipline.pilot
    tracker, state = pilot.tracker, pilot.machine.state
    return not_ready_reasons(
        pilot.oscillator,
        state=state,
        watched_for_s=0.0 if tracker is None else tracker.age_s(mono_ns),
        learn_s=discipline.config.learn_s,
        frequency_sigma_ppb=None if tracker is None else tracker.estimator.oscillator_sigma_ppb,
        # In holdover the samples that did not fit are given up already.
        samples_fit=tracker is None or state is ClockState.HOLDOVER or tracker.statistics.holds,
        bound_ns=bound_ns,
        bias_ns=pilot.judge.bias_ns,
        budget_ns=discipline.config.budget_ns,
        oscillator_locked=discipline.module.locked,
    )


def _alarms(discipline: Discipline, mono_ns: int) -> list[str]:
    pilot = discipline.pilot
    steering = [] if pilot.steersman.alarm is None else [pilot.steersman.alarm]
    return [
        *discipline.alarms.values(),
        *discipline.module.alarms.values(),
        *pilot.alarms.values(),
        *steering,
        *discipline.health.alarms(mono_ns),
        *discipline.leap.judgement.alarms,
    ]
