"""What core publishes of a rehearsal of holdover."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from appliance.rehearsal_view import RehearsalState, RehearsalView
from appliance.reported import InstantNs, Reported
from appliance.snapshot import ClockState

if TYPE_CHECKING:
    from appliance.core_report import CoreReport

NEVER: Final = "not within the forecast's horizon"
NOT_PASSED: Final = "the limit was not passed"
NONE_YET: Final = "no rehearsal has been asked for since core started"
RUNNING: Final = "the rehearsal is running"
TOO_SHORT: Final = "there is no minute of samples yet"


class CrossingReport(Reported):
    """When the witnessed error was to pass a limit, and when it did; seconds from the beginning."""

    limit_ns: float
    half_s: float | None
    """By then with a probability of one half (at)."""
    earliest_s: float | None
    """Not until then with 99 % (up to)."""
    actual_s: float | None


class IntervalValue(Reported):
    """A value at one observation interval."""

    interval_s: float
    value_ns: float


class RehearsalReport(Reported):
    """The newest rehearsal: forecast against actual, as the reference that is not followed shows it."""

    state: RehearsalState | None
    """refused, active or ended."""
    reason: str | None
    """Why it was refused, or why it ended."""
    since_mono_ns: InstantNs | None
    until_mono_ns: InstantNs | None
    limit_ns: float | None
    """Ends when the clock is further off than this."""
    planned_s: float | None
    elapsed_s: float | None
    p: float | None
    """Of the forecast: not passed until then."""
    samples: int | None
    """Seconds in which the reference was heard."""
    offset_ns: float | None
    """Clock minus reference, mean of the last minute."""
    forecast_ns: float | None
    """What the forecast of the beginning allows it to be by now."""
    worst_ns: float | None
    """Largest mean of a minute."""
    inside: bool | None
    """The forecast was kept in every minute."""
    largest_share: float | None
    """Largest offset in units of what was allowed at that time."""
    crossings: tuple[CrossingReport, ...]
    mtie: tuple[IntervalValue, ...]
    """Of the witnessed offset, noise of the reference included; empty until the end."""
    tdev: tuple[IntervalValue, ...]


def rehearsal_report(view: RehearsalView | None) -> RehearsalReport:
    """The newest; ``view`` is None before the first."""
    if view is None:
        return RehearsalReport.partial(NONE_YET, crossings=(), mtie=(), tdev=())
    active = view.state is RehearsalState.ACTIVE
    return RehearsalReport.partial(
        TOO_SHORT,
        state=view.state,
        reason=None if active else view.reason,
        since_mono_ns=view.since_mono_ns,
        until_mono_ns=view.until_mono_ns,
        limit_ns=view.limit_ns,
        planned_s=view.planned_s,
        elapsed_s=view.elapsed_s,
        p=view.p,
        samples=view.samples,
        offset_ns=view.offset_ns,
        forecast_ns=view.forecast_ns,
        worst_ns=view.worst_ns,
        inside=view.inside,
        largest_share=view.largest_share,
        crossings=tuple(
            CrossingReport.partial(
                NEVER,
                limit_ns=crossing.limit_ns,
                half_s=_finite(crossing.half_s),
                earliest_s=_finite(crossing.earliest_s),
                actual_s=crossing.actual_s,
                why_null={} if crossing.actual_s is not None else {"actual_s": NOT_PASSED},
            )
            for crossing in view.crossings
        ),
        mtie=_curve(view.mtie_ns),
        tdev=_curve(view.tdev_ns),
        why_null={"reason": RUNNING, "until_mono_ns": RUNNING} if active else {},
    )


def rehearsal_obstacles(report: CoreReport, limit_ns: float) -> list[str]:
    """Why no rehearsal can begin, by the newest report."""
    clock, holdover, budget_ns = report.clock, report.holdover, report.holdover.budget_ns
    table = (
        (report.rehearsal.state is RehearsalState.ACTIVE, "a rehearsal is running already"),
        (clock.topology == "D", "in topology D nothing but the reference steers the clock"),
        (clock.state is not ClockState.LOCKED, f"the clock is {clock.state.value}, not locked"),
        (limit_ns > budget_ns, f"the limit is above the budget of {budget_ns:g} ns"),
    )
    return [text for holds, text in table if holds] or list(holdover.not_ready_reasons)


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None


def _curve(points: tuple[tuple[float, float], ...]) -> tuple[IntervalValue, ...]:
    return tuple(IntervalValue(interval_s=interval_s, value_ns=value) for interval_s, value in points)
