"""The bound page as REST and the command line show it."""

from __future__ import annotations

from typing import Final

from appliance.bound.layout import Plane, Refusal
from appliance.bound.reader import Bound, BoundReader, BoundRefusedError
from appliance.core_report import InstantNs, Reported
from appliance.snapshot import ClockState

NO_LEAP: Final = "no leap second is announced"


class IntervalView(Reported):
    """TAI now, for a clock at this plane; without an interval everything is null with the reason."""

    refusal: str
    """``none``, or why there is no interval: ``stale``, ``ended``, ``disrupted``, ``unknown``, ..."""
    earliest_tai_ns: InstantNs | None
    """TAI is not before this ..."""
    latest_tai_ns: InstantNs | None
    """... and not after this, with probability ``p``."""
    valid_until_tai_ns: InstantNs | None
    """The page expires not before this, unless it is renewed, which is due ten times a second."""
    plane_error_ns: float | None
    """|the plane's clock - TAI|: what to put around a stamp of that clock."""
    p: float | None
    state: ClockState | None
    epoch: int | None
    """Counts the steps of the served clock."""
    clock_class: int | None
    """As announced by PTP."""
    tai_minus_utc_s: int | None
    """Until the announced leap second, if there is one."""
    leap_change_s: int | None
    """+1, -1, or 0: no leap second is announced."""
    leap_at_tai_ns: InstantNs | None
    """00:00:00 UTC after the announced leap second."""


class BoundView(Reported):
    """TAI now, as an interval that contains it."""

    planes: dict[str, IntervalView]
    """``card``: the card's clock; ``host``: CLOCK_MONOTONIC_RAW through the comparison with the card."""


def bound_view(reader: BoundReader, *, wide: bool) -> BoundView:
    """What the page says now."""
    return BoundView(
        planes={plane.name.lower(): interval_view(read(reader, plane, wide=wide)) for plane in Plane}
    )


def read(reader: BoundReader, plane: Plane, *, wide: bool) -> Bound | BoundRefusedError:
    """The interval, or why there is none, as a value."""
    try:
        return reader.now(plane, wide=wide)
    except BoundRefusedError as error:
        return error


def interval_view(found: Bound | BoundRefusedError) -> IntervalView:
    """What was read of one plane."""
    if isinstance(found, BoundRefusedError):
        return IntervalView.partial(str(found), refusal=_word(found.refusal))
    unknown = {} if found.utc_fields else {"tai_minus_utc_s": str(BoundRefusedError(Refusal.UTC_UNKNOWN))}
    return IntervalView.partial(
        NO_LEAP,
        refusal=_word(Refusal.NONE),
        earliest_tai_ns=found.earliest_tai_ns,
        latest_tai_ns=found.latest_tai_ns,
        valid_until_tai_ns=found.earliest_tai_ns + found.valid_until_raw_ns - found.raw_ns,
        plane_error_ns=found.plane_error_ns,
        p=found.p,
        state=found.state,
        epoch=found.epoch,
        clock_class=found.clock_class,
        tai_minus_utc_s=found.utc().tai_minus_utc_s if found.utc_fields else None,
        leap_change_s=found.leap_change_s,
        leap_at_tai_ns=found.leap_at_tai_ns or None,
        why_null=unknown,
    )


def _word(refusal: Refusal) -> str:
    return refusal.name.lower().replace("_", "-")
