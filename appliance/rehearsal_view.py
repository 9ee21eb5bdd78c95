"""What a rehearsal of holdover shows, while it runs and after its end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class RehearsalState(Enum):
    """Where a rehearsal is."""

    REFUSED = "refused"
    ACTIVE = "active"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """When the witnessed error was to pass a limit, and when it did; seconds from the beginning."""

    limit_ns: float
    half_s: float
    """The forecast passes the limit by then with a probability of one half (at)."""
    earliest_s: float
    """It has not passed it until then with 99 % (up to)."""
    actual_s: float | None
    """None: not passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalView:
    """The newest rehearsal. Offsets are clock minus reference, as the unused reference shows them."""

    state: RehearsalState
    reason: str
    """Why it was refused, or why it ended; empty while it runs."""
    since_mono_ns: int
    until_mono_ns: int | None
    """When it ended; None while it runs."""
    limit_ns: float
    planned_s: float
    elapsed_s: float = 0.0
    p: float = 0.0
    """Of the forecast bound: not passed until then."""
    samples: int = 0
    """Seconds in which the reference was heard."""
    offset_ns: float | None = None
    """Newest, mean of a minute."""
    forecast_ns: float | None = None
    """What the forecast of the beginning allows by now, noise of the reference included."""
    worst_ns: float | None = None
    """Largest |offset|, means of a minute."""
    inside: bool | None = None
    """Every minute's mean was inside the forecast; None before there is one."""
    largest_share: float | None = None
    """Largest |offset| in units of what the forecast allowed at that time."""
    crossings: tuple[Crossing, ...] = ()
    mtie_ns: tuple[tuple[float, float], ...] = ()
    """(interval in s, ns), once it has ended."""
    tdev_ns: tuple[tuple[float, float], ...] = ()
