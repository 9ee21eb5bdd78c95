"""What a bound page says, and its bytes: ``struct time_bound_data`` of ``native/time_bound.h``, layout 1."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from appliance.snapshot import ClockState

PAGE_NAME: Final = "bound"
"""In the runtime folder."""

# boot_minus_raw, boot_minus_mono (both filled in by the writer), leap_at_tai i64, p f64, epoch u32,
# utc_offset i32, leap_change i8, utc_known u8, state u8, clock_class u8, ended u8
DATA: Final = struct.Struct("=8x8xqdIibBBBx3x")
# anchor_raw, anchor_tai, valid_until i64, rate, error, error_wide, growth, reading, reading_growth f64,
# refusal u64
LINE: Final = struct.Struct("=qqqddddddQ")
PLANES: Final = 4

STATES: Final = (
    ClockState.FREE_RUN,
    ClockState.ACQUIRING,
    ClockState.LOCKED,
    ClockState.HOLDOVER,
    ClockState.RECOVERING,
    ClockState.HOLDOVER_EXPIRED,
)
"""By their number in the page."""


class Plane(IntEnum):
    """Where a clock is read."""

    CARD = 0
    """The card's clock: its PHC and its connectors."""
    HOST = 1
    """The host: CLOCK_MONOTONIC_RAW through the comparison with the card."""


class Refusal(IntEnum):
    """Why there is no interval. ``appliance.bound._native.reason`` has it in words."""

    NONE = 0
    NO_PAGE = 1
    FOREIGN = 2
    VERSION = 3
    OTHER_CLOCKS = 4
    TORN = 5
    ENDED = 6
    STALE = 7
    SUSPENDED = 8
    DISRUPTED = 9
    UNKNOWN = 10
    NO_PLANE = 11
    NONSENSE = 12
    UTC_UNKNOWN = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A plane's clock as a line over CLOCK_MONOTONIC_RAW, and what both may be wrong by."""

    anchor_raw_ns: int
    anchor_tai_ns: int
    """What the plane's clock shows then."""
    valid_until_raw_ns: int
    """At most 10 s after the anchor, or readers refuse."""
    rate_ppb: float
    """ns of that clock per raw ns, minus 1."""
    error_ns: float
    """|clock - TAI| at the anchor, with the page's probability."""
    error_wide_ns: float
    """The same with k = 5 and all biases."""
    growth_ns_per_s: float
    reading_ns: float
    """What the line may be off the clock at the anchor, where it is not counted in the error."""
    reading_growth_ns_per_s: float

    def pack(self) -> bytes:
        """As in the page."""
        return LINE.pack(
            self.anchor_raw_ns,
            self.anchor_tai_ns,
            self.valid_until_raw_ns,
            self.rate_ppb,
            self.error_ns,
            self.error_wide_ns,
            self.growth_ns_per_s,
            self.reading_ns,
            self.reading_growth_ns_per_s,
            Refusal.NONE,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UtcWords:
    """TAI - UTC and its next change."""

    offset_s: int | None = None
    """None: not known."""
    change_s: int = 0
    """+1, -1, or 0: no leap second is announced."""
    at_tai_ns: int = 0
    """00:00:00 UTC after the announced leap second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageData:
    """Everything between two writes."""

    card: Line | Refusal
    host: Line | Refusal
    p: float
    epoch: int
    state: ClockState
    clock_class: int
    utc: UtcWords

    def pack(self) -> bytes:
        """As in the page."""
        lines = (self.card, self.host, *(Refusal.NO_PLANE,) * (PLANES - 2))
        head = DATA.pack(
            self.utc.at_tai_ns,
            self.p,
            self.epoch,
            self.utc.offset_s or 0,
            self.utc.change_s,
            self.utc.offset_s is not None,
            STATES.index(self.state),
            self.clock_class,
        )
        return head + b"".join(map(_packed, lines))


def _packed(line: Line | Refusal) -> bytes:
    return LINE.pack(*(0,) * 9, line) if isinstance(line, Refusal) else line.pack()
