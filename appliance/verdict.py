"""Serve, degraded, or do not serve: the one question that a load balancer and an operator ask."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from appliance.core_report import CoreReport
from appliance.snapshot import ClockState
from timecard.timescale import NS_PER_S


class Verdict(Enum):
    """What a client of this appliance should do."""

    SERVE = "serve"
    DEGRADED = "degraded"
    DO_NOT_SERVE = "do_not_serve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict and why, most important reason first."""

    verdict: Verdict
    reasons: tuple[str, ...]


_BY_STATE: Final = {
    ClockState.LOCKED: Verdict.SERVE,
    ClockState.HOLDOVER: Verdict.DEGRADED,
    ClockState.RECOVERING: Verdict.DEGRADED,
    ClockState.FREE_RUN: Verdict.DO_NOT_SERVE,
    ClockState.ACQUIRING: Verdict.DO_NOT_SERVE,
    ClockState.HOLDOVER_EXPIRED: Verdict.DO_NOT_SERVE,
}


def judge(report: CoreReport, mono_ns: int) -> Judgement:
    """The verdict at ``mono_ns`` (CLOCK_MONOTONIC_RAW).

    Locked serves. Holdover and recovery are degraded while the card's bound, grown to now, is inside the
    budget; so is a locked clock when a PTP port has no bound. Everything else, an expired report included,
    must not be served.
    """
    if report.expired(mono_ns):
        late_s = (mono_ns - report.valid_until_mono_ns) / NS_PER_S
        return Judgement(
            verdict=Verdict.DO_NOT_SERVE,
            reasons=(f"core's report expired {late_s:.1f} s ago: core has stalled",),
        )
    verdict = _BY_STATE[report.clock.state]
    reasons = list(report.clock.reasons)
    if verdict is Verdict.DO_NOT_SERVE:
        return Judgement(
            verdict=verdict, reasons=tuple(reasons) or (f"the clock is {report.clock.state.value}",)
        )
    bound_ns = report.card_bound_at_ns(mono_ns)
    if bound_ns is None:
        return Judgement(
            verdict=Verdict.DO_NOT_SERVE,
            reasons=(f"no bound is claimed: {report.bounds.why_null.get('card_ns', 'unknown')}", *reasons),
        )
    if verdict is Verdict.DEGRADED:
        budget_ns = report.holdover.budget_ns
        if bound_ns > budget_ns:
            return Judgement(
                verdict=Verdict.DO_NOT_SERVE,
                reasons=(
                    f"the bound of {bound_ns:.0f} ns is outside the budget of {budget_ns:g} ns",
                    *reasons,
                ),
            )
        return Judgement(
            verdict=verdict, reasons=tuple(reasons) or (f"the clock is in {report.clock.state.value}",)
        )
    unbounded = [name for name in report.bounds.port if report.bounds.port[name] is None]
    if unbounded:
        reasons = [
            f"no bound at port {name}: {report.bounds.why_null[f'port.{name}']}" for name in unbounded
        ] + reasons
        return Judgement(verdict=Verdict.DEGRADED, reasons=tuple(reasons))
    return Judgement(verdict=verdict, reasons=tuple(reasons))
