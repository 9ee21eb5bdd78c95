"""From core's report to the REST resources. Pure: a report and an instant in, a resource out."""

from __future__ import annotations

from typing import Any, TypeVar

from api.schemas import (
    CardView,
    ClockView,
    EnsembleView,
    GnssView,
    Health,
    HoldoverView,
    LeapView,
    OscillatorView,
    PtpView,
    RehearsalView,
    StatusView,
)
from appliance.core_report import Bounds, CoreReport, Reported
from appliance.reported import NO_CARD_CLOCK
from appliance.verdict import Verdict, judge

View = TypeVar("View", bound=Reported)


def health(report: CoreReport, mono_ns: int) -> Health:
    """Verdict of a valid report at ``mono_ns`` (CLOCK_MONOTONIC_RAW)."""
    judgement = judge(report, mono_ns)
    announced = report.announced
    why = {
        name: announced.why_null[name]
        for name in ("clock_class", "clock_accuracy")
        if getattr(announced, name) is None
    }
    return _view(
        Health,
        report,
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        state=report.clock.state,
        since=report.tai_at(report.clock.since_mono_ns),
        clock_class=announced.clock_class,
        clock_accuracy=announced.clock_accuracy,
        bound=report.bounds,
        p=report.clock.p,
        epoch=report.clock.epoch,
        why_null=why,
    )


def health_without_report(reason: str) -> Health:
    """The same resource when core gives no valid report: nothing but the verdict and the reason."""
    return Health.partial(
        reason,
        verdict=Verdict.DO_NOT_SERVE,
        reasons=(reason,),
        bound=Bounds.partial(reason, card_ns=None, host_ns=None, port={}),
    )


def holdover(report: CoreReport) -> HoldoverView:
    """Readiness and forecast."""
    values = _values(report.holdover)
    entered_ns = values.pop("entered_mono_ns")
    why = values.pop("why_null")
    reason = why.pop("entered_mono_ns", NO_CARD_CLOCK)
    values["entered_tai_ns"] = None if entered_ns is None else report.tai_at(entered_ns)
    if values["entered_tai_ns"] is None:
        why["entered_tai_ns"] = reason
    return _view(HoldoverView, report, **values, why_null=why)


def rehearsal(report: CoreReport) -> RehearsalView:
    """The newest rehearsal of holdover."""
    values = _values(report.rehearsal)
    why = values["why_null"]
    for name in ("since", "until"):
        mono_ns = values[f"{name}_mono_ns"]
        values[f"{name}_tai_ns"] = None if mono_ns is None else report.tai_at(mono_ns)
        if mono_ns is None:
            why[f"{name}_tai_ns"] = why[f"{name}_mono_ns"]
    return _view(RehearsalView, report, **values)


def clock(report: CoreReport) -> ClockView:
    """The disciplined clock."""
    return _view(
        ClockView,
        report,
        **_values(report.clock),
        since_tai_ns=report.tai_at(report.clock.since_mono_ns),
        bound=report.bounds,
        bound_wide=report.bounds_wide,
        clock_maps=report.clock_maps,
    )


def leap(report: CoreReport) -> LeapView:
    """Leap seconds."""
    return _view(LeapView, report, **_values(report.leap))


def gnss(report: CoreReport) -> GnssView:
    """The receiver."""
    return _view(GnssView, report, **_values(report.gnss))


def oscillator(report: CoreReport) -> OscillatorView:
    """The oscillator module, and what the clock has learnt of it."""
    return _view(OscillatorView, report, **_values(report.oscillator), learnt=report.learnt)


def ensemble(report: CoreReport) -> EnsembleView:
    """Our clock as other sources of time see it."""
    return _view(EnsembleView, report, **_values(report.ensemble))


def ptp(report: CoreReport) -> PtpView:
    """The server and what it announces."""
    return _view(PtpView, report, **_values(report.ptp), announced=report.announced)


def card(report: CoreReport) -> CardView:
    """The card."""
    return _view(CardView, report, **_values(report.card))


def status(report: CoreReport, mono_ns: int) -> StatusView:
    """Everything."""
    return StatusView(
        health=health(report, mono_ns),
        holdover=holdover(report),
        rehearsal=rehearsal(report),
        clock=clock(report),
        leap=leap(report),
        gnss=gnss(report),
        oscillator=oscillator(report),
        ensemble=ensemble(report),
        ptp=ptp(report),
        card=card(report),
        core=report.process,
    )


def _values(record: Reported) -> dict[str, Any]:
    """Field values of a record, nested records as they are; a copy that may be changed."""
    return {**dict(record), "why_null": dict(record.why_null)}


def _view(
    kind: type[View], report: CoreReport, *, why_null: dict[str, str] | None = None, **values: Any
) -> View:
    """A resource with its envelope; an instant that lacks only the card's clock says so."""
    if "as_of_tai_ns" in kind.model_fields:
        values["as_of_tai_ns"] = report.as_of_tai_ns
        values["valid_until_tai_ns"] = report.tai_at(report.valid_until_mono_ns)
    reason = report.why_null.get("as_of_tai_ns", NO_CARD_CLOCK)
    return kind.partial(reason, **values, why_null=why_null or {})
