"""The default scheme: intervals and rates are voted on, the odd ones go, the others are averaged.

Each second the intervals that the sources claim are intersected; each ten seconds so are their rates over
windows of 100 s and more, and how far each has moved lately, which shows ramps that still fit inside the
intervals. A source that contradicts a strict majority of independent groups again and again is evicted with
the evidence; after a long good spell it is back. Without a majority there is no answer. The mean of those who
agree is weighted by measured and claimed uncertainty; when weights change, the output goes to the new mean by
a slow slew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.ensemble.intersection import Agreement, Interval, agreement, outvoted
from appliance.ensemble.member import Member
from appliance.ensemble.place import Place
from appliance.ensemble.rates import BIN_S, WINDOWS_S
from appliance.ensemble.values import Doubt, Estimate, Reading, Source, Standing
from appliance.ensemble.weights import capped_weights
from timecard.timescale import NS_PER_S

OWN_CLOCK: Final = "own clock"
JOIN_READINGS: Final = 60
READMIT_READINGS: Final = 600
DISPUTE_S: Final = 120.0
"""A vote without a majority that lasts as long makes the sources disputed: nobody can say who is right."""
YOUNG_PHASE: Final = 2.0
YOUNG_RATE: Final = 5.0
SHORTER_RATE: Final = 1.5
DISPUTED_RATE: Final = 3.0
"""A ramp that fills a fifth of a window or more shows in it as a slope that is too small: so many times for
what it has moved, and for its rate (by that window, by the next shorter one, and when it is disputed)."""
PLACE_PHASE: Final = 1.5
PLACE_WINDOW_S: Final = 300
"""What a place has moved lags behind by so much; this window limits the rate of such a move."""
OWN_STEP_NS: Final = 10.0
"""Our own clock's noise, as the slope that it may feign: this over the window."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """A vote that found no majority."""

    since_ns: int
    reason: str
    doubt: Doubt


class IntervalScheme:
    """See the module's text."""

    def __init__(self, sources: Sequence[Source], *, slew_ns_per_s: float = 0.1) -> None:
        """``slew_ns_per_s``: how fast the output goes to a new mean when members come and go."""
        self.held_out: str | None = None
        self._members = {source.name: Member(source) for source in sources}
        self._slew_ns_per_s = slew_ns_per_s
        self._weights: dict[str, float] = {}
        self._carry_ns = 0.0
        self._last_ns: int | None = None
        self._steady_since_ns: int | None = None
        self._disputes: dict[str, Dispute] = {}
        self._rates_agree: dict[str, bool] = {}
        self._fast_ppb = 0.0
        self._place = Place()
        """Of our own clock against the ensemble."""

    def stepped(self, delta_ns: float) -> None:
        """Our clock was stepped."""
        self._place.shift(delta_ns)
        for member in self._members.values():
            member.stepped(delta_ns)

    def settle(self) -> None:
        """Rates are learnt anew: the longest window would hold the excursion for hours."""
        self._disputes.clear()
        for member in self._members.values():
            if not member.out:
                member.slopes.clear()

    def update(
        self, mono_ns: int, readings: Mapping[str, Reading], *, steady_ppb: float | None = None
    ) -> Estimate:
        """Take one second's readings."""
        claims = {
            name: member.hear(mono_ns, readings[name])
            for name, member in self._members.items()
            if name in readings
        }
        if steady_ppb is None:
            self._steady_since_ns = None
        elif self._steady_since_ns is None:
            self._steady_since_ns = mono_ns
        new_bin = self._last_ns is None or _bin(mono_ns) != _bin(self._last_ns)
        elapsed_s = 0.0 if self._last_ns is None else (mono_ns - self._last_ns) / NS_PER_S
        self._last_ns = mono_ns
        if new_bin:
            self._vote_on_rates(mono_ns, list(claims), steady_ppb)
            self._vote_on_places(mono_ns, list(claims))
        agreed = self._vote_on_phase(mono_ns, claims)
        reason = next((dispute.reason for dispute in self._lasting(mono_ns)), None)
        if agreed is None and reason is None:
            dispute = self._disputes.get("phase")
            reason = dispute.reason if dispute else "no source that is not evicted gives readings"
        if agreed is None:
            self._weights = {}
            self._carry_ns = 0.0
            return self._estimate(mono_ns, None, None, reason)
        offset_ns = self._mean(agreed, readings, elapsed_s)
        for name in claims:
            if not self._members[name].odd[-1]:
                self._members[name].place.follow(readings[name].offset_ns - offset_ns)
        self._place.follow(offset_ns)
        if reason is not None:
            return self._estimate(mono_ns, None, None, reason)
        half_ns = max(agreed.high - offset_ns, offset_ns - agreed.low)
        return self._estimate(mono_ns, offset_ns, half_ns, None)

    # ------------------------------------------------------------------ votes

    def _vote(self, claims: Sequence[Interval]) -> tuple[list[Interval], Agreement | None]:
        """Who votes, and what a majority of them agrees on.

        All that are not out vote; where they are split, those who have agreed before decide.
        """
        voters = [c for c in claims if c.name == OWN_CLOCK or not self._members[c.name].out]
        found = agreement(voters)
        if found is None:
            voters = [c for c in voters if c.name == OWN_CLOCK or self._is_member(c.name)]
            found = agreement(voters)
        return voters, found

    def _is_member(self, name: str) -> bool:
        return self._members[name].standing is Standing.MEMBER

    def _vote_on_phase(self, mono_ns: int, claims: Mapping[str, Interval]) -> Agreement | None:
        voters, agreed = self._vote(list(claims.values()))
        if agreed is None:
            self._dispute("phase", mono_ns, "no majority", "ns", 0, list(claims.values()))
            return None
        self._disputes.pop("phase", None)
        for name, claim in claims.items():
            others = outvoted(claim, voters)
            member = self._members[name]
            member.odd.append(bool(others))
            self._judge(member, claim, agreed, others)
        return agreed

    def _judge(self, member: Member, claim: Interval, agreed: Agreement, others: Sequence[str]) -> None:
        if member.is_odd:
            member.relapse()
            apart_ns, half_ns = claim.middle - agreed.middle, (agreed.high - agreed.low) / 2
            evidence = (
                f"{apart_ns:+.0f} ns from {', '.join(others or agreed.names)} (within {half_ns:.0f} ns)"
            )
            if member.standing is Standing.MEMBER:
                member.evict(evidence, Doubt(phase_ns=_beyond_zero(agreed.low, agreed.high)))
            elif member.standing is Standing.JOINING:
                member.evidence = f"never agreed since it was added: {evidence}"
        elif not others and self._rates_agree.get(member.name, True):
            member.spell += 1
            if member.standing is Standing.JOINING:
                ready = member.spell >= JOIN_READINGS
            else:
                ready = member.out and member.name != self.held_out and member.has_mended(READMIT_READINGS)
            if ready:
                member.admit()

    def _vote_on_rates(self, mono_ns: int, present: Sequence[str], steady_ppb: float | None) -> None:
        slopes = {name: {s.window_s: s for s in self._members[name].slopes.slopes()} for name in present}
        self._rates_agree = dict.fromkeys(present, True)
        shorter: Agreement | None = None
        for window_s in WINDOWS_S:
            found = {name: s[window_s] for name, s in slopes.items() if window_s in s}
            claims = [
                Interval(name, self._members[name].group, s.ppb - s.half_ppb, s.ppb + s.half_ppb)
                for name, s in found.items()
            ]
            claims += self._own_claim(mono_ns, window_s, steady_ppb)
            voters, agreed = self._vote(claims)
            if window_s == PLACE_WINDOW_S:
                limits = [max(-c.low, c.high) for c in voters if c.name != OWN_CLOCK]
                self._fast_ppb = max(limits, default=0.0)
            if agreed is None:
                what = f"no majority over {window_s} s"
                self._dispute(f"rate {window_s}", mono_ns, what, "ns/s", window_s, claims)
                continue
            self._disputes.pop(f"rate {window_s}", None)
            for claim in claims:
                if claim.name != OWN_CLOCK:
                    others = outvoted(claim, voters)
                    self._judge_rate(window_s, claim, agreed, others, _doubt(window_s, agreed, shorter))
            shorter = agreed

    def _own_claim(self, mono_ns: int, window_s: int, steady_ppb: float | None) -> list[Interval]:
        since_ns = self._steady_since_ns
        if steady_ppb is None or since_ns is None or mono_ns - since_ns < window_s * NS_PER_S:
            return []
        half_ppb = steady_ppb + OWN_STEP_NS / window_s
        return [Interval(OWN_CLOCK, OWN_CLOCK, -half_ppb, half_ppb)]

    def _judge_rate(
        self, window_s: int, claim: Interval, agreed: Agreement, others: Sequence[str], doubt: Doubt
    ) -> None:
        member = self._members[claim.name]
        if others:
            self._rates_agree[member.name] = False
            member.relapse()
        if member.lost_rate_vote(window_s, lost=bool(others)) and member.standing is Standing.MEMBER:
            apart_ppb = claim.middle - agreed.middle
            evidence = f"runs {apart_ppb:+.3g} ns/s against {', '.join(others)} over {window_s} s"
            member.evict(evidence, doubt, window_s)

    def _vote_on_places(self, mono_ns: int, present: Sequence[str]) -> None:
        """Who has moved against the others by more than noise and wander: ramps that rates show later."""
        claims = [claim for name in present if (claim := self._members[name].moved()) is not None]
        voters, agreed = self._vote(claims)
        if agreed is None:
            self._dispute("place", mono_ns, "no majority on who has moved", "ns", 0, claims)
            return
        self._disputes.pop("place", None)
        for claim in claims:
            others = outvoted(claim, voters)
            member = self._members[claim.name]
            if member.lost_rate_vote(0, lost=bool(others)):
                moved_ns = claim.middle - agreed.middle
                evidence = f"has moved by {moved_ns:+.3g} ns against {', '.join(others)}"
                own_ns = self._place.moved_ns
                doubt = self._doubt_of_place(_beyond_zero(agreed.low + own_ns, agreed.high + own_ns))
                member.evict(evidence, doubt, PLACE_WINDOW_S)

    def _doubt_of_place(self, moved_ns: float) -> Doubt:
        """``moved_ns``: how far our own clock has moved against those who are right."""
        if moved_ns == 0.0:
            return Doubt()
        return Doubt(phase_ns=PLACE_PHASE * moved_ns, rate_ppb=SHORTER_RATE * self._fast_ppb)

    def _dispute(
        self, vote: str, mono_ns: int, what: str, unit: str, window_s: int, claims: Sequence[Interval]
    ) -> None:
        """``window_s`` is 0 for a vote on phase."""
        voting = [c for c in claims if c.name != OWN_CLOCK and not self._members[c.name].out]
        if not voting:
            self._disputes.pop(vote, None)
            return
        most = max(max(-c.low, c.high) for c in voting)
        doubt = Doubt(phase_ns=most)
        if vote == "place":
            doubt = self._doubt_of_place(most + abs(self._place.moved_ns))
        elif window_s:
            doubt = Doubt(phase_ns=YOUNG_PHASE * most * window_s, rate_ppb=DISPUTED_RATE * most)
        said = ", ".join(f"{c.name} {c.middle:+.3g} {unit}" for c in voting)
        before = self._disputes.get(vote)
        since_ns = mono_ns if before is None else before.since_ns
        self._disputes[vote] = Dispute(since_ns, f"{what}: {said}", doubt)

    def _lasting(self, mono_ns: int) -> list[Dispute]:
        limit_ns = DISPUTE_S * NS_PER_S
        return [dispute for dispute in self._disputes.values() if mono_ns - dispute.since_ns >= limit_ns]

    # ------------------------------------------------------------------ the answer

    def _mean(self, agreed: Agreement, readings: Mapping[str, Reading], elapsed_s: float) -> float:
        """Weighted mean of those who agree; a change of weights is carried along and slewed out."""
        usable = [name for name in agreed.names if not self._members[name].out and name != self.held_out]
        chosen = [name for name in usable if self._is_member(name)] or usable or agreed.names
        weights = capped_weights(
            {name: self._members[name].variance_ns2(readings[name]) for name in chosen},
            {name: self._members[name].group for name in chosen},
        )
        if self._weights:
            self._carry_ns += self._deviation_ns(self._weights) - self._deviation_ns(weights)
        self._weights = weights
        limit_ns = self._slew_ns_per_s * elapsed_s
        slewed_ns = max(-limit_ns, min(limit_ns, self._carry_ns))
        self._carry_ns -= slewed_ns
        for member in self._members.values():  # all lie elsewhere now, and none has moved
            member.place.shift(slewed_ns)
        self._place.shift(-slewed_ns)
        mean_ns = sum(weight * readings[name].offset_ns for name, weight in weights.items())
        return max(agreed.low, min(agreed.high, mean_ns + self._carry_ns))

    def _deviation_ns(self, weights: Mapping[str, float]) -> float:
        return sum(weight * self._members[name].place.near_ns for name, weight in weights.items())

    def _estimate(
        self, mono_ns: int, offset_ns: float | None, half_ns: float | None, reason: str | None
    ) -> Estimate:
        doubts = {name: member.doubt for name, member in self._members.items() if member.out}
        for dispute in self._lasting(mono_ns):
            doubts |= {n: dispute.doubt for n, m in self._members.items() if not m.absent(mono_ns)}
        return Estimate(
            offset_ns=offset_ns,
            half_width_ns=half_ns,
            reason=reason,
            members={
                name: member.view(present=not member.absent(mono_ns), weight=self._weights.get(name, 0.0))
                for name, member in self._members.items()
            },
            doubts=doubts,
            unsettled=bool(self._disputes),
        )


def _beyond_zero(low: float, high: float) -> float:
    """How wrong our clock may be by those who agree; 0 when they do not say that it is wrong at all."""
    return 0.0 if low <= 0.0 <= high else max(-low, high)


def _doubt(window_s: int, agreed: Agreement, shorter: Agreement | None) -> Doubt:
    """By a vote on rates; ``shorter`` is that over the next shorter window, which a ramp fills sooner."""
    slope_ppb = _beyond_zero(agreed.low, agreed.high)
    rate_ppb = YOUNG_RATE * slope_ppb
    if shorter is not None:
        rate_ppb = min(rate_ppb, SHORTER_RATE * max(-shorter.low, shorter.high))
    return Doubt(phase_ns=YOUNG_PHASE * slope_ppb * window_s, rate_ppb=rate_ppb)


def _bin(mono_ns: int) -> int:
    return mono_ns // (BIN_S * NS_PER_S)
