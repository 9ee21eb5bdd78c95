"""What is remembered of one source: how it scatters, how it moves, how often it was odd."""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import Final

from appliance.ensemble.intersection import Interval
from appliance.ensemble.place import NEAR_S, Place
from appliance.ensemble.rates import SlopeMeter
from appliance.ensemble.values import Doubt, MemberView, Reading, Source, Standing
from timecard.timescale import NS_PER_S

K: Final = 4.0
"""Intervals reach so many sigma beyond the bias."""
ODD_OF: Final = 15
ODD_LIMIT: Final = 8
"""A source is odd when ``ODD_LIMIT`` of its last ``ODD_OF`` readings were: one glitch is nothing."""
GAP_NS: Final = 3 * NS_PER_S
ABSENT_NS: Final = 10 * NS_PER_S
NOISE_SAMPLES: Final = 60
NOISE_LEAST: Final = 20
OVERCLAIM: Final = (2.0, 3.0)
"""A source scatters more than it claims: not any more, and from when on (ratio)."""
RATE_RUN: Final = 3
"""Votes on rates in a row that a source must lose."""


class Member:
    """One source and its past."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.standing = Standing.MEMBER if source.trusted else Standing.JOINING
        self.slopes = SlopeMeter(source.wander_ns)
        self.odd: deque[bool] = deque(maxlen=ODD_OF)
        self.rate_run: dict[int, int] = {}
        self.spell = 0
        """Readings in agreement since it was odd last."""
        self.evidence: str | None = None
        self.doubt = Doubt()
        self.place = Place()
        """Its readings minus the ensemble's."""
        self.reading: Reading | None = None
        self.sigma_ns = 0.0
        self.overclaims: str | None = None
        self._convicted_s = 0
        self._heard_ns: int | None = None
        self._steps: deque[float] = deque(maxlen=NOISE_SAMPLES)

    @property
    def name(self) -> str:
        """Of the source."""
        return self.source.name

    @property
    def group(self) -> str:
        """What it shares a fault with."""
        return (self.reading and self.reading.group) or self.source.group

    @property
    def is_odd(self) -> bool:
        """Persistently outside of what the others agree on."""
        return sum(self.odd) >= ODD_LIMIT

    @property
    def out(self) -> bool:
        """Evicted."""
        return self.standing is Standing.EVICTED

    def absent(self, mono_ns: int) -> bool:
        """Has given no reading lately."""
        return self._heard_ns is None or mono_ns - self._heard_ns > ABSENT_NS

    def hear(self, mono_ns: int, reading: Reading) -> Interval:
        """Take a reading; returns what it claims."""
        if self._heard_ns is not None and self.absent(mono_ns):
            self._return()
        before = self.reading
        lately = self._heard_ns is not None and mono_ns - self._heard_ns <= GAP_NS
        if before is not None and before is not reading and lately:  # one reading may count for some seconds
            self._steps.append(reading.offset_ns - before.offset_ns)
        self.reading, self._heard_ns = reading, mono_ns
        self.sigma_ns = self._believed_sigma_ns(reading.sigma_ns)
        self.slopes.add(mono_ns, reading.offset_ns, self.sigma_ns)
        half_ns = self.half_width_ns(reading)
        return Interval(self.name, self.group, reading.offset_ns - half_ns, reading.offset_ns + half_ns)

    def _return(self) -> None:
        """It may be another one now: like a newcomer it has to agree before it counts as a member.

        The reference has the discipline's own checks of a return.
        """
        if self.standing is Standing.MEMBER and not self.source.trusted:
            self.standing, self.spell = Standing.JOINING, 0
            self.slopes.clear()
            self.place = Place()

    def half_width_ns(self, reading: Reading) -> float:
        """Of its interval."""
        return reading.bias_ns + K * self.sigma_ns

    def variance_ns2(self, reading: Reading) -> float:
        """For the weights: a bias counts as if it were uniformly spread or so."""
        return self.sigma_ns**2 + (reading.bias_ns / 2.0) ** 2

    def moved(self) -> Interval | None:
        """How far it has moved from its place in the last minutes; None while that is not known."""
        if not self.place.known or self.standing is not Standing.MEMBER:
            return None
        half_ns = K * math.hypot(self.sigma_ns / math.sqrt(2.0 * NEAR_S), self.source.wander_ns)
        middle_ns = self.place.moved_ns
        return Interval(self.name, self.group, middle_ns - half_ns, middle_ns + half_ns)

    def lost_rate_vote(self, window_s: int, *, lost: bool) -> bool:
        """Count the votes on one window's rates; True when it has lost too many in a row."""
        self.rate_run[window_s] = self.rate_run.get(window_s, 0) + 1 if lost else 0
        return self.rate_run[window_s] >= RATE_RUN

    def evict(self, evidence: str, doubt: Doubt, window_s: int = 0) -> None:
        """Out, on evidence, of its rate over ``window_s`` if given; its rate is learnt anew from now on."""
        self.standing, self.evidence, self.doubt = Standing.EVICTED, evidence, doubt
        self._convicted_s = window_s
        self.spell = 0
        self.slopes.clear()
        self.rate_run.clear()

    def relapse(self) -> None:
        """Odd: the good spell begins anew, and what its rate was is of no interest unless it is a member."""
        self.spell = 0
        if self.standing is not Standing.MEMBER:
            self.slopes.clear()

    def has_mended(self, readings: int) -> bool:
        """Has been good for so many readings, and over the window that convicted it."""
        slopes = self.slopes.slopes()
        longest_s = slopes[-1].window_s if slopes else 0
        return self.spell >= readings and longest_s >= self._convicted_s

    def admit(self) -> None:
        """In, or in again; it enters where it lies now, so that nothing jumps."""
        self.standing, self.evidence, self.doubt = Standing.MEMBER, None, Doubt()
        self.place.settle()

    def stepped(self, delta_ns: float) -> None:
        """Our clock was stepped."""
        self.slopes.stepped(delta_ns)
        self.reading = None

    def view(self, *, present: bool, weight: float) -> MemberView:
        """As others see it."""
        slopes = self.slopes.slopes() if present else []
        standing = self.standing if present or self.out else Standing.ABSENT
        reading = self.reading if present else None
        return MemberView(
            name=self.name,
            group=self.group,
            standing=standing,
            offset_ns=reading.offset_ns if reading else None,
            sigma_ns=self.sigma_ns if reading else None,
            half_width_ns=self.half_width_ns(reading) if reading else None,
            rate_ppb=slopes[-1].ppb if slopes else None,
            weight=weight,
            evidence=self.evidence or self.overclaims,
        )

    def _believed_sigma_ns(self, claimed_ns: float) -> float:
        """The larger of what is claimed and what is measured from reading to reading."""
        if len(self._steps) < NOISE_LEAST:
            return claimed_ns
        measured_ns = 1.4826 * median(map(abs, self._steps)) / math.sqrt(2.0)
        less, more = OVERCLAIM
        if len(self._steps) == NOISE_SAMPLES and measured_ns > more * claimed_ns:
            self.overclaims = f"scatters by {measured_ns:.3g} ns but claims {claimed_ns:.3g} ns"
        elif measured_ns < less * claimed_ns:
            self.overclaims = None
        return max(claimed_ns, measured_ns)
