"""What Announce says about the clock: class, accuracy, variance and traceable flags, from state and bound.

clockClass and clockAccuracy are those of IEEE 1588-2019, 7.6.2.5 and 7.6.2.6; the telecom values those of
ITU-T G.8275.1 (T-GM attributes). The ``meta`` profile sends what facebook/time ``ptp/c4u`` sends: 6 locked,
7 holdover, 13 calibrating, 52 uncalibrated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from appliance.snapshot import ClockState
from appliance.timescale.models import OscillatorKind
from timecard.timescale import NS_PER_S

Profile = Literal["meta", "ieee1588", "g8275"]

ACCURACY_NS: Final[tuple[tuple[int, float], ...]] = (
    (0x20, 25.0), (0x21, 100.0), (0x22, 250.0), (0x23, 1e3), (0x24, 2.5e3), (0x25, 1e4), (0x26, 2.5e4),
    (0x27, 1e5), (0x28, 2.5e5), (0x29, 1e6), (0x2A, 2.5e6), (0x2B, 1e7), (0x2C, 2.5e7), (0x2D, 1e8),
    (0x2E, 2.5e8), (0x2F, 1e9), (0x30, 1e10),
)  # fmt: skip
"""clockAccuracy code and its limit in ns (IEEE 1588-2019, table 5), from the floor on.

The codes 0x17..0x1F of the 2019 edition are not sent: clients of the 2008 edition do not know them.
"""
ACCURACY_WORSE: Final = 0x31
ACCURACY_UNKNOWN: Final = 0xFE
SOFTWARE_FLOOR: Final = 0x25
"""A software packet stamp can be late by scheduling: never announced better than this."""
VARIANCE_LOCKED: Final = 0x4E5D
"""offsetScaledLogVariance of a PRTC-traceable T-GM (ITU-T G.8275.1), which is within 100 ns."""
PRTC_ACCURACY: Final = 0x21
VARIANCE_UNKNOWN: Final = 0xFFFF
IMPROVE_NS: Final = 60 * NS_PER_S
"""Within a locked state a better accuracy is announced after the bound has held for this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockQuality:
    """The quality fields of Announce."""

    clock_class: int
    clock_accuracy: int
    offset_scaled_log_variance: int
    time_traceable: bool
    frequency_traceable: bool


@dataclass(frozen=True, slots=True)
class _ProfileRow:
    """clockClass by state; ``expired`` by oscillator kind."""

    free_run: int
    acquiring: int
    locked: int
    holdover: int
    expired: Mapping[OscillatorKind, int]
    unlocked_accuracy_known: bool
    """G.8275.1 sends accuracy 0xFE and variance 0xFFFF whenever not locked."""


def _same(value: int) -> Mapping[OscillatorKind, int]:
    return MappingProxyType({"rubidium": value, "ocxo": value, "crystal": value})


# G.8275.1: 140 needs a frequency source of category 1 (PRC-traceable), which no card has; rubidium is
# category 2 (150), an OCXO category 3 (160). A plain crystal is none of them and says 160 too, the worst that
# the profile has short of 248. IEEE 1588's 187 is for a clock that may become a time receiver: never ours.
_TELECOM_EXPIRED: Final[Mapping[OscillatorKind, int]] = MappingProxyType(
    {"rubidium": 150, "ocxo": 160, "crystal": 160}
)

PROFILES: Final[Mapping[Profile, _ProfileRow]] = MappingProxyType(
    {
        "meta": _ProfileRow(52, 13, 6, 7, _same(52), True),
        "ieee1588": _ProfileRow(248, 248, 6, 7, _same(52), True),
        "g8275": _ProfileRow(248, 248, 6, 7, _TELECOM_EXPIRED, False),
    }
)


def accuracy_code(bound_ns: float | None, *, floor: int = ACCURACY_NS[0][0]) -> int:
    """The smallest code whose limit is not below the bound; unknown when nothing is claimed."""
    if bound_ns is None:
        return ACCURACY_UNKNOWN
    for code, limit_ns in ACCURACY_NS:
        if bound_ns <= limit_ns:
            return max(code, floor)
    return ACCURACY_WORSE


def clock_quality(
    state: ClockState,
    bound_wide_ns: float | None,
    *,
    card_bound_ns: float | None = None,
    profile: Profile,
    budget_ns: float,
    oscillator: OscillatorKind,
    software_stamps: bool = False,
    floor: int = ACCURACY_NS[0][0],
) -> ClockQuality:
    """What to announce for one port or instance.

    ``bound_wide_ns`` is the bound at the port (k = 5 plus biases), None when nothing is claimed; the accuracy
    follows it. Recovering keeps the class of holdover while the bound is inside the budget, else it has that
    of expired holdover; ``card_bound_ns`` is what is held against the budget, by default the port's bound.
    """
    row = PROFILES[profile]
    expired = row.expired[oscillator]
    judged_ns = bound_wide_ns if card_bound_ns is None else card_bound_ns
    in_budget = judged_ns is not None and judged_ns <= budget_ns
    clock_class = {
        ClockState.FREE_RUN: row.free_run,
        ClockState.ACQUIRING: row.acquiring,
        ClockState.LOCKED: row.locked,
        ClockState.HOLDOVER: row.holdover,
        ClockState.RECOVERING: row.holdover if in_budget else expired,
        ClockState.HOLDOVER_EXPIRED: expired,
    }[state]
    locked = state is ClockState.LOCKED
    lowest = max(floor, SOFTWARE_FLOOR) if software_stamps else floor
    accuracy = accuracy_code(bound_wide_ns, floor=lowest)
    if not locked and not row.unlocked_accuracy_known:
        accuracy = ACCURACY_UNKNOWN
    traceable = clock_class in (row.locked, row.holdover)
    return ClockQuality(
        clock_class=clock_class,
        clock_accuracy=accuracy,
        offset_scaled_log_variance=variance_of(state, accuracy),
        time_traceable=traceable,
        frequency_traceable=traceable,
    )


def variance_of(state: ClockState, accuracy: int) -> int:
    """offsetScaledLogVariance beside an announced clockAccuracy: that of a PRTC, or none."""
    prtc = state is ClockState.LOCKED and accuracy <= PRTC_ACCURACY
    return VARIANCE_LOCKED if prtc else VARIANCE_UNKNOWN


class AccuracyHold:
    """Hysteresis of clockAccuracy: worse at once, better within ``locked`` after 60 s of a better bound."""

    def __init__(self) -> None:
        self._state: ClockState | None = None
        self._announced = ACCURACY_UNKNOWN
        self._better_since_ns: int | None = None
        self._worst_since = ACCURACY_NS[0][0]

    def update(self, mono_ns: int, state: ClockState, accuracy: int) -> int:
        """The code to announce now, given the code that the bound supports now."""
        if state is not self._state or state is not ClockState.LOCKED or accuracy >= self._announced:
            self._state, self._announced, self._better_since_ns = state, accuracy, None
            return accuracy
        if self._better_since_ns is None:
            self._better_since_ns, self._worst_since = mono_ns, accuracy
        self._worst_since = max(self._worst_since, accuracy)
        if mono_ns - self._better_since_ns >= IMPROVE_NS:
            self._announced, self._better_since_ns = self._worst_since, None
        return self._announced
