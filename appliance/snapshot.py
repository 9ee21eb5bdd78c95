"""What the discipline publishes: immutable, with a bound and the time after which it says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from appliance.leap.decision import NOTHING_SAID, LeapJudgement
from appliance.rehearsal_view import RehearsalView
from timecard.timescale import NS_PER_S

VOID_AFTER_S: Final = 5
"""A snapshot is renewed every second; five seconds of silence mean that the loop is dead."""


class ClockState(Enum):
    """The six states of the clock."""

    FREE_RUN = "free-run"
    ACQUIRING = "acquiring"
    LOCKED = "locked"
    HOLDOVER = "holdover"
    RECOVERING = "recovering"
    HOLDOVER_EXPIRED = "holdover-expired"


class HoldoverLimit(NamedTuple):
    """When the bound passes ``limit_ns`` if the reference were lost now (or since it was lost)."""

    limit_ns: float
    p: float
    kind: str
    """``at``: probability at that time; ``up_to``: of never having passed it until then."""
    seconds: float
    """From now; ``inf`` never happens, 0 when already passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSnapshot:
    """State, error bound and how the bound grows, at the card plane."""

    state: ClockState
    since_mono_ns: int
    reasons: tuple[str, ...]
    """Why the state is what it is, most important first, in plain words."""
    alarms: tuple[str, ...]
    epoch: int
    """Counts the steps of the served clock."""
    as_of_mono_ns: int
    as_of_tai_ns: int | None
    """The card's clock at ``as_of_mono_ns``."""
    void_after_mono_ns: int
    offset_ns: float | None
    """Estimated clock minus TAI; None before the first sample."""
    offset_sigma_ns: float | None
    last_sample_ns: float | None
    """The last accepted phase sample, after sawtooth and delays."""
    frequency_ppb: float
    """Steering in force."""
    oscillator_ppb: float | None
    """Estimated frequency error of the free-running oscillator."""
    oscillator_sigma_ppb: float | None
    bound_ns: float | None
    """|clock - TAI| at ``as_of``, with probability ``p``; None: nothing is claimed."""
    bound_wide_ns: float | None
    """The same with k = 5 plus biases: what may be announced."""
    bias_ns: float
    """The part of the bound that no averaging removes."""
    p: float
    drift_ppb: float
    """Growth of both bounds until ``void_after``: ns per second, never less than the truth supports."""
    holdover_since_mono_ns: int | None
    holdover_ready: bool
    not_ready_reasons: tuple[str, ...]
    limits: tuple[HoldoverLimit, ...]
    topology: str
    tai_minus_utc_s: int | None
    """As the leap second sources agree; None while that is not known."""
    leap_change_s: int
    """Of the leap second to come: +1, -1 or 0."""
    counters: dict[str, int]
    leap: LeapJudgement = NOTHING_SAID
    """What is believed of leap seconds: ``leap.coming`` names the second."""
    leap_tai_s: int | None = None
    """The second of TAI at ``as_of``, where the time is known."""
    holdover_forced: bool = False
    """An operator has asked for it, or for a rehearsal: no reference is followed."""
    rehearsal: RehearsalView | None = None
    """The newest rehearsal of holdover, running or over."""

    def bound_at_ns(self, mono_ns: int) -> float | None:
        """The bound at ``mono_ns``, or None when this snapshot is void."""
        return self._grown(self.bound_ns, mono_ns)

    def bound_wide_at_ns(self, mono_ns: int) -> float | None:
        """The announced (k = 5) bound at ``mono_ns``, or None when this snapshot is void."""
        return self._grown(self.bound_wide_ns, mono_ns)

    def _grown(self, bound_ns: float | None, mono_ns: int) -> float | None:
        if bound_ns is None or mono_ns > self.void_after_mono_ns:
            return None
        return bound_ns + self.drift_ppb * max(0, mono_ns - self.as_of_mono_ns) / NS_PER_S
