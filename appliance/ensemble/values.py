"""What the sources say, and what the ensemble makes of it. All offsets are *our clock minus the source*."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One source of time."""

    name: str
    group: str
    """Sources of one group share a fault (an antenna, a grandmaster) and count once."""
    wander_ns: float = 0.0
    """One sigma of what its reading may wander slowly (minutes to hours) with nothing wrong."""
    trusted: bool = False
    """A member from the first reading, as the reference is; others have to agree for a minute first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One comparison of our clock with a source."""

    offset_ns: float
    """Our clock minus the source."""
    sigma_ns: float
    """One sigma of the random part, as claimed."""
    bias_ns: float = 0.0
    """Half-width of what no averaging removes, as claimed."""
    group: str | None = None
    """The group that it turned out to belong to, such as a grandmaster; None: the source's own."""


class Standing(Enum):
    """What a source counts for."""

    JOINING = "joining"
    """Not long enough here to be trusted, or never in agreement yet."""
    MEMBER = "member"
    EVICTED = "evicted"
    """Out, on evidence; read on, and back after a long good spell."""
    ABSENT = "absent"
    """Gives no readings now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """One source as the ensemble sees it now. None: not known."""

    name: str
    group: str
    standing: Standing
    offset_ns: float | None
    """Newest reading, our clock minus the source."""
    sigma_ns: float | None
    """The larger of the claimed and the measured scatter."""
    half_width_ns: float | None
    """The source's offset is right within this, it claims."""
    rate_ppb: float | None
    """Slope of its readings over the longest window that is full."""
    weight: float
    evidence: str | None
    """Why it was evicted, or what else speaks against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """How far our clock may be astray, as far as those tell who contradict the source that it follows."""

    phase_ns: float = 0.0
    rate_ppb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The ensemble's answer for one second."""

    offset_ns: float | None
    """Our clock minus the ensemble; None: no answer."""
    half_width_ns: float | None
    """The truth is within this of ``offset_ns`` if the sources that agree are honest."""
    reason: str | None
    """Why there is no answer."""
    members: Mapping[str, MemberView]
    doubts: Mapping[str, Doubt]
    """For each source that is out, or disputed."""
    unsettled: bool = False
    """A vote has no majority now, if only for a moment."""

    @property
    def alarms(self) -> dict[str, str]:
        """What speaks against whom, by source."""
        return {name: view.evidence for name, view in self.members.items() if view.evidence is not None}

    @property
    def evicted(self) -> tuple[str, ...]:
        """Those that are out."""
        return tuple(n for n, view in self.members.items() if view.standing is Standing.EVICTED)


class Scheme(Protocol):
    """One way to make time of several sources. Pure: no clock of its own."""

    held_out: str | None
    """This source does not count for the answer and, once evicted, must not come back yet."""

    def update(
        self, mono_ns: int, readings: Mapping[str, Reading], *, steady_ppb: float | None = None
    ) -> Estimate:
        """Take one second's readings.

        ``steady_ppb``: for as long as this is given, our own clock's rate is known to be right within it,
        which is one more vote on rates. None: it is not known, or the clock is being slewed.
        """
        ...

    def stepped(self, delta_ns: float) -> None:
        """Our clock was stepped: all that is remembered moves along."""
        ...

    def settle(self) -> None:
        """A case is closed: what was read while it was open is no evidence for another one."""
        ...
