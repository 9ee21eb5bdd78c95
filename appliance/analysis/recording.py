"""What a reader takes from a file: values in their own unit, when they were taken, and where they stood."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.analysis.errors import InputError
from appliance.analysis.lines import Lines
from appliance.analysis.units import Kind, Unit

Array = NDArray[np.float64]
MAX_SAMPLES: Final = 10_000_000
"""116 days of seconds; the analysis holds about ten arrays of that length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What the user says of a file; None leaves it to the file."""

    kind: Kind | None = None
    unit: Unit | None = None
    nominal_hz: float | None = None
    """Nominal frequency, for values in Hz."""
    rate_hz: float | None = None
    column: str | None = None
    """Name of the column of values, or its number from 1."""
    time_column: str | None = None
    """Name or number of the column of times; ``none`` if there is none."""
    time_unit: str | None = None
    """Unit of the times, or ``mjd``."""
    clock: str | None = None
    """Which of several clocks in one log."""
    skip_bad: bool = False
    """Take what cannot be used as missing instead of refusing the file."""
    from_s: float = 0.0
    """Leave out what is earlier than this after the first sample."""
    to_s: float | None = None
    """Leave out what is later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A file as it was read; nothing is scaled yet."""

    source: str
    clock: str | None = None
    """Which clock it is, where the file says so."""
    values: Array
    """NaN where a sample is missing."""
    times_s: Array | None = None
    """Seconds since the first sample, rising; None where the file has no times."""
    unit: Unit | None = None
    unit_origin: str = ""
    interval_s: float | None = None
    """Where there are no times, what a header says."""
    notes: tuple[str, ...] = ()


class Reader(Protocol):
    """One kind of file. A new kind is one more entry in ``reading.READERS``."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins like this is of this kind."""
        ...

    def read(self, lines: Lines, options: ReadOptions) -> Recording:
        """Read it; raises ``InputError``."""
        ...


@dataclass
class SampleBuffer:
    """Samples while a file is read: bounded, finite, rising in time."""

    source: str
    skip_bad: bool
    bad: int = 0
    _values: array[float] = field(default_factory=lambda: array("d"))
    _times: array[float] = field(default_factory=lambda: array("d"))
    _first: float | None = None

    def add(self, line: int, value: float | None, time: float | None = None) -> None:
        """One sample; ``value`` None is a missing one. ``time`` in any unit; integers keep all digits."""
        if value is not None and not math.isfinite(value):
            return self.refuse(line, f"{value} is no number; --skip-bad takes such samples as missing", time)
        if time is not None:
            if not math.isfinite(time):
                return self.refuse(line, f"{time} is no time")
            self._first = time if self._first is None else self._first
            since = float(time - self._first)
            if self._times and since <= self._times[-1]:
                return self.refuse(line, "the time does not rise; --time-column names another, or none")
            self._times.append(since)
        if len(self._values) >= MAX_SAMPLES:
            raise InputError(self.source, f"more than {MAX_SAMPLES:,} samples; cut the file", line)
        self._values.append(math.nan if value is None else value)
        return None

    def refuse(self, line: int, text: str, time: float | None = None) -> None:
        """A sample that cannot be used: an error, or a missing one that is counted."""
        if not self.skip_bad:
            raise InputError(self.source, text, line)
        self.bad += 1
        if time is not None or not self._times:
            self.add(line, None, time)

    @property
    def values(self) -> Array:
        """All values, NaN where missing."""
        return np.frombuffer(self._values, dtype=np.float64) if self._values else np.empty(0)

    @property
    def first_time(self) -> float | None:
        """The first time as it was given."""
        return self._first

    def times_s(self, unit_s: float) -> Array | None:
        """Times since the first, if there are any; ``unit_s`` is what one of their units is."""
        return np.frombuffer(self._times, dtype=np.float64) * unit_s if self._times else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        return (f"bad samples taken as missing: {self.bad}",) if self.bad else ()
