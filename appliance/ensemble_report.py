"""What core publishes of the ensemble: every source with its standing, and what they say of our clock."""

from __future__ import annotations

from typing import Final

from appliance.ensemble.values import MemberView
from appliance.reported import Reported
from appliance.witnessing import Witnessing

NO_PEERS: Final = "no other source of time is configured ([[peers]])"
NO_CLOCK: Final = "our own clock is not known yet"
NO_READING: Final = "it gives no readings now"
NO_RATE: Final = "it has not been read for 100 s yet"


class MemberReport(Reported):
    """One source."""

    name: str
    kind: str
    """gnss, sptp, receiver or phc."""
    group: str
    """Sources of one group count once."""
    standing: str
    """joining, member, evicted or absent."""
    offset_ns: float | None
    """Our clock minus the source, newest reading."""
    sigma_ns: float | None
    """The larger of claimed and measured scatter."""
    half_width_ns: float | None
    """The offset is right within this if the source is honest."""
    rate_ppb: float | None
    """Slope of the offset over the longest window read, in ns/s."""
    weight: float
    evidence: str
    """What speaks against it; empty when nothing does."""


class EnsembleReport(Reported):
    """Our clock as several sources see it."""

    enabled: bool
    scheme: str | None
    """interval or chauvenet."""
    acts: bool | None
    """A verdict may cost the reference."""
    offset_ns: float | None
    """Our clock minus the ensemble."""
    bound_ns: float | None
    """|our clock - TAI| if the sources that agree are honest; in holdover often better than our own bound."""
    against_reference: str | None
    """Why the reference is not followed."""
    members: tuple[MemberReport, ...]
    alarms: tuple[str, ...]
    """Who is odd, and why."""


def ensemble_report(witnessing: Witnessing | None) -> EnsembleReport:
    """The newest; ``witnessing`` is None where there is nothing to compare with."""
    if witnessing is None:
        return EnsembleReport.partial(NO_PEERS, enabled=False, members=(), alarms=())
    estimate = witnessing.estimate
    why = {}
    if witnessing.against is None:
        why["against_reference"] = "nothing speaks against it"
    half_ns = estimate.half_width_ns if estimate else None
    offset_ns = estimate.offset_ns if estimate else None
    bound_ns = None if offset_ns is None or half_ns is None else abs(offset_ns) + half_ns
    views = estimate.members.values() if estimate else ()
    return EnsembleReport.partial(
        (estimate.reason or NO_CLOCK) if estimate else NO_CLOCK,
        enabled=True,
        scheme=witnessing.scheme,
        acts=witnessing.acts,
        offset_ns=offset_ns,
        bound_ns=bound_ns,
        against_reference=witnessing.against,
        members=tuple(_member(view, witnessing.kinds.get(view.name, "gnss")) for view in views),
        alarms=tuple(f"{name}: {text}" for name, text in (estimate.alarms if estimate else {}).items()),
        why_null=why,
    )


def _member(view: MemberView, kind: str) -> MemberReport:
    return MemberReport.partial(
        NO_READING,
        name=view.name,
        kind=kind,
        group=view.group,
        standing=view.standing.value,
        offset_ns=view.offset_ns,
        sigma_ns=view.sigma_ns,
        half_width_ns=view.half_width_ns,
        rate_ppb=view.rate_ppb,
        weight=view.weight,
        evidence=view.evidence or "",
        why_null={"rate_ppb": NO_RATE} if view.rate_ppb is None and view.offset_ns is not None else {},
    )
