"""The ensemble as witness of the discipline: whether it may go on following its reference.

The reference (our GNSS pulse) is one source among the others. It loses its case when a strict majority of
independent groups contradicts it, in phase or in rate, or when there is no majority for long. It wins it back
when it agrees with them again *and is where it was*: a reference that was dragged off and now stands still
agrees in rate, and perhaps within the witnesses' wide bounds, but not in place.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from appliance.ensemble.chauvenet import ChauvenetScheme
from appliance.ensemble.interval import IntervalScheme
from appliance.ensemble.values import Doubt, Estimate, MemberView, Reading, Scheme, Source, Standing
from timecard.timescale import NS_PER_S

SchemeName = Literal["interval", "chauvenet"]
SCHEMES: Final[Mapping[SchemeName, type[IntervalScheme] | type[ChauvenetScheme]]] = {
    "interval": IntervalScheme,
    "chauvenet": ChauvenetScheme,
}
RELATION_S: Final = 600.0
"""Time constant of the mean distance between a witness and the reference."""
KEEP_EVERY_NS: Final = 300 * NS_PER_S
KEEP: Final = 11
"""So many copies of each distance: the oldest is from before a ramp that took most of an hour to show."""
MAX_EVIDENCE: Final = 500
PLACE_K: Final = 4.0
RELEASE_NS: Final = 3600 * NS_PER_S
"""Without any witness for this long the case is closed: nobody is left who could ever clear the reference."""


@dataclass(slots=True)
class Relation:
    """Where a witness lies relative to the reference."""

    mean_ns: float
    count: int = 1
    kept: deque[float] = field(default_factory=lambda: deque(maxlen=KEEP))

    def follow(self, distance_ns: float) -> None:
        """Another reading."""
        self.count += 1
        self.mean_ns += max(1.0 / self.count, 1.0 / RELATION_S) * (distance_ns - self.mean_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The verdict on the reference."""

    against: str | None
    """Why it must not be followed; None: it may."""
    doubt: Doubt
    """How far it may have led us astray."""
    disputed: bool = False
    """No majority has convicted it: there is only none that clears it."""


DISPUTE_MOST: Final = Doubt(phase_ns=10_000.0, rate_ppb=10.0)
"""What is disputed counts no more than this: it may be a single peer that names any figure."""

CLEARED: Final = Case(against=None, doubt=Doubt())


class Witness:
    """The ensemble and the case against the reference."""

    def __init__(self, reference: Source, others: Sequence[Source], scheme: SchemeName = "interval") -> None:
        self.reference = reference.name
        self.case = CLEARED
        self._told = CLEARED
        self.estimate: Estimate | None = None
        self._sources = {source.name: source for source in (reference, *others)}
        self._kind = SCHEMES[scheme]
        self._scheme: Scheme = self._kind((reference, *others))
        self._relations: dict[str, Relation] = {}
        self._then: dict[str, float] = {}
        """Distances from before the reference lost its case."""
        self._alone_since_ns: int | None = None
        self._unknown_since_ns: int | None = None
        """Since when no witness that knew the place has been a member."""
        self._kept_ns = 0

    @property
    def told_against(self) -> bool:
        """An open case that an earlier tick has told of."""
        return self._told.against is not None

    def tick(
        self, mono_ns: int, readings: Mapping[str, Reading], *, steady_ppb: float | None = None
    ) -> Case | None:
        """One second; returns the verdict when it changed. Arguments as of ``Scheme.update``."""
        estimate = self.estimate = self._scheme.update(mono_ns, readings, steady_ppb=steady_ppb)
        self._relate(mono_ns, readings, keep=not estimate.unsettled)
        if self.case.against is None:
            doubt = estimate.doubts.get(self.reference)
            if doubt is not None:
                self._open(self._made(estimate, doubt))
        elif self.case.disputed and estimate.members[self.reference].standing is Standing.EVICTED:
            self.case = self._made(estimate, estimate.doubts[self.reference])  # a majority has been found
        elif self._acquitted(mono_ns, estimate) or self._alone_too_long(mono_ns, estimate):
            self._close()
        if self.case is self._told:
            return None
        self._told = self.case
        return self.case

    def forgive(self) -> None:
        """Begin anew: an operator accepts the reference as it is, or our clock has been lost."""
        self.case, self.estimate = CLEARED, None
        self._relations.clear()
        self._then.clear()
        self._scheme = self._kind(tuple(self._sources.values()))

    def stepped(self, delta_ns: float) -> None:
        """Our clock was stepped."""
        self._scheme.stepped(delta_ns)

    def to_record(self) -> dict[str, Any]:
        """JSON-able, for a restart: an open case is not to be won by it. Empty without one."""
        case = self.case
        if case.against is None:
            return {}
        return {"against": case.against, "disputed": case.disputed, "places": dict(self._then)}

    def take_up(self, record: object) -> None:
        """Go on with the case of a record; one that does not make sense is as good as none.

        How far the reference may have led us astray is in the bound of the discipline's own record.
        """
        if not isinstance(record, Mapping) or not isinstance(record.get("against"), str):
            return
        places = record.get("places")
        known = {
            name: float(place_ns)
            for name, place_ns in (places.items() if isinstance(places, Mapping) else ())
            if name in self._sources and isinstance(place_ns, int | float) and math.isfinite(place_ns)
        }
        if not known:  # nobody of these sources could ever clear the reference
            return
        disputed = record.get("disputed") is True
        self._open(Case(against=record["against"][:MAX_EVIDENCE], doubt=Doubt(), disputed=disputed))
        self._then = known

    # ------------------------------------------------------------------ the case

    def _made(self, estimate: Estimate, doubt: Doubt) -> Case:
        view = estimate.members[self.reference]
        disputed = view.standing is not Standing.EVICTED
        if disputed:
            doubt = Doubt(
                phase_ns=min(doubt.phase_ns, DISPUTE_MOST.phase_ns),
                rate_ppb=min(doubt.rate_ppb, DISPUTE_MOST.rate_ppb),
            )
        against = view.evidence or estimate.reason or "disputed"
        return Case(against=against, doubt=doubt, disputed=disputed)

    def _open(self, case: Case) -> None:
        self.case = case
        self._then = {
            name: relation.kept[0] if relation.kept else relation.mean_ns
            for name, relation in self._relations.items()
        }
        self._relations.clear()
        self._alone_since_ns = self._unknown_since_ns = None

    def _close(self) -> None:
        self.case = CLEARED
        self._scheme.held_out = None
        self._scheme.settle()
        self._then.clear()
        self._relations.clear()

    def _acquitted(self, mono_ns: int, estimate: Estimate) -> bool:
        """The reference lies where it lay, if anybody is left who knows, and the scheme has it back."""
        in_place = self._in_place(estimate) or self._unknown_too_long(mono_ns, estimate)
        self._scheme.held_out = None if in_place else self.reference
        back = estimate.members[self.reference].standing is Standing.MEMBER and estimate.offset_ns is not None
        return in_place and back

    def _in_place(self, estimate: Estimate) -> bool:
        """Relative to most witnesses."""
        reference = estimate.members[self.reference]
        verdicts: dict[str, bool] = {}
        for name, then_ns in self._then.items():
            view, relation = estimate.members[name], self._relations.get(name)
            if view.standing is Standing.MEMBER and relation is not None and relation.count >= RELATION_S / 2:
                near = abs(relation.mean_ns - then_ns) <= self._tolerance_ns(reference, view)
                verdicts[view.group] = verdicts.get(view.group, False) or near
        return bool(verdicts) and 2 * sum(verdicts.values()) > len(verdicts)

    def _tolerance_ns(self, reference: MemberView, witness: MemberView) -> float:
        """What the mean distance may change with nothing wrong: wander of both, and what is left of noise."""
        wander_ns = [self._sources[view.name].wander_ns for view in (reference, witness)]
        noise_ns = [(view.sigma_ns or 0.0) / math.sqrt(RELATION_S / 10.0) for view in (reference, witness)]
        return PLACE_K * math.hypot(*wander_ns, *noise_ns)

    def _unknown_too_long(self, mono_ns: int, estimate: Estimate) -> bool:
        """Nobody who knew the place is a member any more: decommissioned, or odd itself."""
        if any(estimate.members[name].standing is Standing.MEMBER for name in self._then):
            self._unknown_since_ns = None
            return False
        if self._unknown_since_ns is None:
            self._unknown_since_ns = mono_ns
        return mono_ns - self._unknown_since_ns >= RELEASE_NS

    def _alone_too_long(self, mono_ns: int, estimate: Estimate) -> bool:
        witnesses = (view for name, view in estimate.members.items() if name != self.reference)
        if any(view.offset_ns is not None for view in witnesses):
            self._alone_since_ns = None
            return False
        if self._alone_since_ns is None:
            self._alone_since_ns = mono_ns
        return mono_ns - self._alone_since_ns >= RELEASE_NS

    def _relate(self, mono_ns: int, readings: Mapping[str, Reading], *, keep: bool) -> None:
        """``keep``: all agree, so that this is where the reference belongs."""
        reference = readings.get(self.reference)
        if reference is None:
            return
        for name, reading in readings.items():
            if name == self.reference:
                continue
            distance_ns = reading.offset_ns - reference.offset_ns
            relation = self._relations.get(name)
            if relation is None:
                self._relations[name] = Relation(distance_ns)
            else:
                relation.follow(distance_ns)
        if keep and mono_ns - self._kept_ns >= KEEP_EVERY_NS:
            self._kept_ns = mono_ns
            for relation in self._relations.values():
                if relation.count >= RELATION_S / 2:
                    relation.kept.append(relation.mean_ns)
