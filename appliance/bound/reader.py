"""Reading the bound page from Python: TAI now as an interval, or a ``BoundRefusedError`` with the reason.

    reader = BoundReader()
    now = reader.now()
    ...  # TAI is between now.earliest_tai_ns and now.latest_tai_ns

A reader follows a daemon that is stopped and started again by itself. It may be shared by threads. Without
Python take ``native/time_bound.c``: the two give the same answers, since this one calls that one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from appliance.bound import _native
from appliance.bound.layout import PAGE_NAME, STATES, Plane, Refusal
from appliance.bound.process import start_ticks
from appliance.snapshot import ClockState

DEFAULT_PATH: Final = Path("/run/time-appliance") / PAGE_NAME


class BoundRefusedError(Exception):
    """There is no interval now; ``refusal`` and the text say why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(_native.reason(refusal))
        self.refusal = refusal


class UtcBound(NamedTuple):
    """The interval in POSIX time: ns since 1970-01-01 00:00:00 UTC, leap seconds not counted.

    An inserted second repeats the numbers of the one before it, and is marked; a removed one is skipped.
    Compare TAI to order events.
    """

    earliest_ns: int
    latest_ns: int
    earliest_in_leap: int
    """1: within an inserted second, 23:59:60."""
    latest_in_leap: int
    tai_minus_utc_s: int
    """Until the announced leap second, if there is one."""


@dataclass(slots=True)  # not frozen: that would double the time of a read
class Bound:
    """TAI at ``raw_ns``, which is during the call that gave this."""

    earliest_tai_ns: int
    """TAI is not before this ..."""
    latest_tai_ns: int
    """... and not after this, with probability ``p``."""
    raw_ns: int
    """CLOCK_MONOTONIC_RAW."""
    valid_until_raw_ns: int
    """When the page expires unless it is renewed."""
    plane_error_ns: float
    """|the plane's clock - TAI| now: what to put around a stamp of that clock."""
    p: float
    state_number: int
    generation: int
    """Another one after every write."""
    epoch: int
    """Counts the steps of the served clock."""
    clock_class: int
    """As announced by PTP."""
    leap_change_s: int
    """+1, -1, or 0: no leap second is announced."""
    leap_at_tai_ns: int
    """00:00:00 UTC after the announced leap second; 0 without one."""
    utc_fields: _native.UtcFields | None

    @property
    def state(self) -> ClockState:
        """Of the served clock."""
        return STATES[self.state_number]

    @property
    def width_ns(self) -> int:
        """From earliest to latest."""
        return self.latest_tai_ns - self.earliest_tai_ns

    def utc(self) -> UtcBound:
        """The interval in UTC; ``BoundRefusedError`` while the daemon has not learnt TAI - UTC."""
        if self.utc_fields is None:
            raise BoundRefusedError(Refusal.UTC_UNKNOWN)
        return UtcBound(*self.utc_fields)


class BoundReader:
    """The page at ``path``, now or when there is one."""

    def __init__(self, path: Path = DEFAULT_PATH) -> None:
        """``ValueError`` when the path is longer than 255 bytes."""
        self._reader = _native.Reader(path)

    def now(self, plane: Plane = Plane.HOST, *, wide: bool = False) -> Bound:
        """TAI now. ``wide``: five sigma and all biases, for what orders events.

        Raises ``BoundRefusedError``; takes some microseconds, and no system call while all is well.
        """
        found = self._reader.now(plane, wide)
        if isinstance(found, int):
            raise BoundRefusedError(Refusal(found))
        return Bound(*found)

    def writer_alive(self) -> bool | None:
        """Whether the process that wrote the page still runs; None without a page."""
        writer = self._reader.writer()
        return None if writer is None else start_ticks(writer[0]) == writer[1]


def evaluate(data: bytes, raw_ns: int, plane: Plane = Plane.HOST, *, wide: bool = False) -> Bound:
    """What packed page data say at a reading of CLOCK_MONOTONIC_RAW; raises ``BoundRefusedError``."""
    found = _native.evaluate(data, raw_ns, plane, wide)
    if isinstance(found, int):
        raise BoundRefusedError(Refusal(found))
    return Bound(*found)


def is_before(a: Bound, b: Bound) -> bool:
    """Whether ``a`` was certainly before ``b``, on whichever hosts they were read. Commit wait awaits it."""
    return a.latest_tai_ns < b.earliest_tai_ns
