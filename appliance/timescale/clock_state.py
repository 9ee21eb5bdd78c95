"""The six states of the clock, as one table. Whatever is not in the table changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from appliance.snapshot import ClockState


class ClockEvent(Enum):
    """What moves the state."""

    TIME_KNOWN = "time known"
    """Coarse time verified, the loop begins to settle."""
    RESUMED = "resumed from a valid runtime record"
    SETTLED = "settled"
    """Bound inside the lock limit, innovation tests hold, no slew pending."""
    UNSETTLED = "unsettled"
    """The reference is there, but the bound is above the lock limit or the innovation tests fail."""
    REFERENCE_LOST = "reference lost"
    """Corroborated loss, distrust, or an operator's request."""
    REFERENCE_BACK = "reference back"
    """Back and checked against the holdover bound, or followed with the doubt in the bound, since nothing
    better was left; the error is being slewed out."""
    BUDGET_SPENT = "holdover budget spent"
    START_AGAIN = "acquiring again"
    """What was known is given up for a reference that an operator accepts."""
    CLOCK_LOST = "clock lost"
    """The card does not answer, or somebody else has set its clock."""


S, E = ClockState, ClockEvent

TRANSITIONS: Final[Mapping[tuple[ClockState, ClockEvent], ClockState]] = MappingProxyType(
    {
        (S.FREE_RUN, E.TIME_KNOWN): S.ACQUIRING,
        (S.FREE_RUN, E.RESUMED): S.HOLDOVER,
        (S.ACQUIRING, E.SETTLED): S.LOCKED,
        (S.ACQUIRING, E.REFERENCE_LOST): S.FREE_RUN,
        (S.ACQUIRING, E.CLOCK_LOST): S.FREE_RUN,
        (S.LOCKED, E.REFERENCE_LOST): S.HOLDOVER,
        (S.LOCKED, E.UNSETTLED): S.RECOVERING,
        (S.LOCKED, E.CLOCK_LOST): S.FREE_RUN,
        (S.HOLDOVER, E.REFERENCE_BACK): S.RECOVERING,
        (S.HOLDOVER, E.BUDGET_SPENT): S.HOLDOVER_EXPIRED,
        (S.HOLDOVER, E.START_AGAIN): S.ACQUIRING,
        (S.HOLDOVER, E.CLOCK_LOST): S.FREE_RUN,
        (S.HOLDOVER_EXPIRED, E.REFERENCE_BACK): S.RECOVERING,
        (S.HOLDOVER_EXPIRED, E.START_AGAIN): S.ACQUIRING,
        (S.HOLDOVER_EXPIRED, E.CLOCK_LOST): S.FREE_RUN,
        (S.RECOVERING, E.SETTLED): S.LOCKED,
        (S.RECOVERING, E.REFERENCE_LOST): S.HOLDOVER,
        (S.RECOVERING, E.CLOCK_LOST): S.FREE_RUN,
    }
)


class ClockStateMachine:
    """Current state, since when and why."""

    def __init__(self, mono_ns: int, reason: str = "start") -> None:
        self.state = ClockState.FREE_RUN
        self.since_mono_ns = mono_ns
        self.reason = reason

    def on(self, event: ClockEvent, mono_ns: int, reason: str = "") -> bool:
        """Take an event; True when the state changed."""
        after = TRANSITIONS.get((self.state, event))
        if after is None or after is self.state:
            return False
        self.state = after
        self.since_mono_ns = mono_ns
        self.reason = reason or event.value
        return True
