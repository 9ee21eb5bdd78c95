"""The REST contract. What core publishes, seen by a client that may be on another host.

Instants are TAI in nanoseconds, as strings of digits. A null field has its reason in ``why_null``.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from appliance.core_report import (
    Announced,
    Bounds,
    CardReport,
    ClockMapReport,
    ClockReport,
    EnsembleReport,
    GnssReport,
    GrowthReport,
    InstantNs,
    LeapReport,
    LearntReport,
    LimitForecast,
    OscillatorReport,
    ProcessReport,
    PtpReport,
    RehearsalReport,
    Reported,
)
from appliance.snapshot import ClockState
from appliance.verdict import Verdict


class Envelope(Reported):
    """For which time an answer holds."""

    as_of_tai_ns: InstantNs | None
    """When the values were true."""
    valid_until_tai_ns: InstantNs | None
    """After this they say nothing."""


class Health(Reported):
    """Whether to use this appliance. Status 200 for serve and degraded, 503 for do_not_serve."""

    verdict: Verdict
    reasons: tuple[str, ...]
    """Most important first."""
    state: ClockState | None
    since: InstantNs | None
    """TAI at which the state was entered."""
    clock_class: int | None
    """clockClass as announced."""
    clock_accuracy: int | None
    """clockAccuracy as announced, enumeration value: 33 (0x21) is 100 ns."""
    bound: Bounds
    """|clock - TAI| in ns at ``as_of_tai_ns``, with probability ``p``."""
    p: float | None
    as_of_tai_ns: InstantNs | None
    """When the values were true."""
    valid_until_tai_ns: InstantNs | None
    """After this they say nothing."""
    epoch: int | None
    """Counts the steps of the served clock."""


class HoldoverView(Envelope):
    """Readiness for holdover and its forecast."""

    ready: bool
    not_ready_reasons: tuple[str, ...]
    forced: bool
    """An operator has asked for it, or for a rehearsal: no reference is followed until that ends."""
    entered_tai_ns: InstantNs | None
    """When the present holdover began."""
    budget_ns: float
    """Holdover ends when the card's bound passes this."""
    limits: tuple[LimitForecast, ...]
    """``seconds`` count from ``as_of_tai_ns``."""
    growth: GrowthReport | None
    """For any other limit and probability."""
    temperature_assumption: str | None
    """What the forecast takes the temperature to do."""
    excluded_events: tuple[str, ...]
    """What the forecast does not cover."""


class RehearsalView(Envelope, RehearsalReport):
    """The newest rehearsal of holdover, running or over; ``state`` is null before the first."""

    since_tai_ns: InstantNs | None
    until_tai_ns: InstantNs | None


class ClockView(Envelope, ClockReport):
    """The disciplined clock, its bounds, and how its time reaches the host's clocks."""

    since_tai_ns: InstantNs | None
    bound: Bounds
    """With probability ``p``."""
    bound_wide: Bounds
    """With k = 5 plus biases: what the announced accuracy is taken from."""
    clock_maps: dict[str, ClockMapReport]
    """``host``, and one per interface whose clock is mapped."""


class LeapView(Envelope, LeapReport):
    """Leap seconds: TAI - UTC, its next change, and what every source says."""


class GnssView(Envelope, GnssReport):
    """The receiver."""


class OscillatorView(Envelope, OscillatorReport):
    """The oscillator module, and what the clock has learnt of it."""

    learnt: LearntReport


class EnsembleView(Envelope, EnsembleReport):
    """Our clock as other sources of time see it."""


class PtpView(Envelope, PtpReport):
    """The PTP and SPTP server."""

    announced: Announced


class CardView(Envelope, CardReport):
    """The card."""


class StatusView(Reported):
    """All resources of one report."""

    health: Health
    holdover: HoldoverView
    rehearsal: RehearsalView
    clock: ClockView
    leap: LeapView
    gnss: GnssView
    oscillator: OscillatorView
    ensemble: EnsembleView
    ptp: PtpView
    card: CardView
    core: ProcessReport


class Problem(BaseModel):
    """An error, as application/problem+json (RFC 9457)."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    verdict: Verdict | None = None
    """``do_not_serve`` when core gives no valid report; otherwise absent."""
    reasons: tuple[str, ...] | None = None
    """With ``verdict``."""

    def document(self) -> dict[str, Any]:
        """As it goes out."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def no_report(cls, reason: str, kind: str) -> Self:
        """Core gives no valid report."""
        return cls(
            type=f"urn:time-appliance:problem:{kind}",
            title="No valid report from core",
            status=503,
            detail=reason,
            verdict=Verdict.DO_NOT_SERVE,
            reasons=(reason,),
        )
