"""A clock's series on its grid: gap-free pieces in ns or as a fraction, and what was left out on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.analysis.errors import AnalysisError, InputError
from appliance.analysis.recording import Array, ReadOptions, Recording
from appliance.analysis.units import FRACTIONAL, SECONDS, Kind, Unit
from appliance.printable import printable

Places = NDArray[np.int64]
Marks = NDArray[np.bool_]
MIN_SAMPLES: Final = 4
_NICE: Final = 1e-3
"""An interval is taken for the round figure that it is this close to: what stamps it is a clock, too."""
_IRREGULAR: Final = 0.25
_MAX_STEP: Final = 2**40
_INTERVALS_S: Final = (1e-9, 1e9)
_MAX_VALUE: Final = 1e21
"""Phase of 30,000 years; the squares of what is larger leave the range of numbers."""
_LARGE_PHASE_NS: Final = 1e9
_LARGE_FRACTION: Final = 1e-2


class Detrend(StrEnum):
    """What is removed before anything is computed; each includes those before it."""

    NONE = "none"
    PHASE = "phase"
    FREQUENCY = "frequency"
    DRIFT = "drift"


DEGREE: Final = {Detrend.PHASE: 0, Detrend.FREQUENCY: 1, Detrend.DRIFT: 2}
"""Degree of the polynomial of phase."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples without a gap; ``first`` is the place of the first on the grid."""

    first: int
    values: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A recorded clock. Phase in ns, frequency as a fraction; clock minus reference."""

    name: str
    kind: Kind
    unit: str
    interval_s: float
    pieces: tuple[Piece, ...]
    notes: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Samples that are there."""
        return sum(len(piece.values) for piece in self.pieces)

    @property
    def grid(self) -> int:
        """Samples that would be there without gaps."""
        return self.pieces[-1].first + len(self.pieces[-1].values) - self.pieces[0].first

    def times_s(self, piece: Piece) -> Array:
        """Times of a piece since the first sample of the series."""
        times_s: Array = np.arange(len(piece.values), dtype=np.float64) * self.interval_s
        return times_s + (piece.first - self.pieces[0].first) * self.interval_s

    def mapped(self, change: Callable[[Piece], Array]) -> Series:
        """The same grid with other values."""
        return replace(self, pieces=tuple(Piece(piece.first, change(piece)) for piece in self.pieces))

    def phase_ns(self) -> tuple[Array, ...]:
        """Phase of each piece; of frequency its integral, which begins at zero."""
        if self.kind is Kind.PHASE:
            return tuple(piece.values for piece in self.pieces)
        step_ns = self.interval_s * 1e9
        return tuple(np.append(0.0, np.cumsum(piece.values) * step_ns) for piece in self.pieces)


def to_series(recording: Recording, options: ReadOptions) -> Series:
    """Scale, put on a grid and cut at gaps. Raises ``AnalysisError``."""
    unit, origin = _unit(recording, options)
    values, note = _scaled(recording, unit, options)
    interval_s, places, timing = _grid(recording, options)
    since_s = (places - places[:1]) * interval_s
    last_s = np.inf if options.to_s is None else options.to_s
    there = ~np.isnan(values) & (since_s >= options.from_s) & (since_s <= last_s)
    if int(there.sum()) < MIN_SAMPLES:
        raise InputError(recording.source, f"{int(there.sum())} usable samples; {MIN_SAMPLES} are needed")
    return Series(
        name=printable(", ".join(filter(None, (recording.source, recording.clock)))),
        kind=unit.kind,
        unit=f"{unit.text} ({origin})",
        interval_s=interval_s,
        pieces=_pieces(values[there], places[there]),
        notes=(*recording.notes, *timing, *note, *_cut(options)),
    )


def without(series: Series, dropped: tuple[Marks, ...]) -> Series:
    """Without the samples that ``dropped`` marks, one array a piece; they become gaps."""
    values = np.concatenate([piece.values for piece in series.pieces])
    places = np.concatenate([piece.first + np.arange(len(piece.values)) for piece in series.pieces])
    kept = ~np.concatenate(dropped)
    return replace(series, pieces=_pieces(values[kept], places[kept]))


def _cut(options: ReadOptions) -> tuple[str, ...]:
    if not options.from_s and options.to_s is None:
        return ()
    end = "the end" if options.to_s is None else f"{options.to_s:g} s"
    return (f"only from {options.from_s:g} s to {end} after the first sample",)


def _unit(recording: Recording, options: ReadOptions) -> tuple[Unit, str]:
    unit, origin = recording.unit, recording.unit_origin
    if options.unit is not None:
        unit, origin = options.unit, "--unit"
    elif unit is None and options.nominal_hz is not None:
        unit, origin = Unit("Hz", Kind.FREQUENCY, 1.0, hertz=True), "--nominal"
    if unit is None:
        unit = FRACTIONAL if options.kind is Kind.FREQUENCY else SECONDS
        return unit, "assumed; --unit says otherwise"
    if options.kind not in (None, unit.kind):
        raise AnalysisError(f"--data {options.kind} does not go with unit {unit.text} ({origin})")
    if unit.hertz and options.nominal_hz is None:
        raise AnalysisError("values in Hz need their nominal frequency: --nominal 10e6")
    return unit, origin


def _scaled(recording: Recording, unit: Unit, options: ReadOptions) -> tuple[Array, tuple[str, ...]]:
    with np.errstate(all="ignore"):
        values = recording.values * unit.scale
        if unit.hertz and options.nominal_hz is not None:
            values = (values - options.nominal_hz) / options.nominal_hz
        largest = np.nanmax(np.abs(values), initial=0.0)
    if not largest < _MAX_VALUE:
        raise InputError(recording.source, "values too large for their unit")
    if unit.kind is Kind.FREQUENCY and largest > _LARGE_FRACTION:
        raise InputError(
            recording.source,
            f"frequency off by {largest:.3g} of itself; are the values in another unit (--unit ppb),"
            " or in Hz (--unit Hz --nominal 10e6)?",
        )
    if unit.kind is Kind.PHASE and largest > _LARGE_PHASE_NS:
        return values, (f"phase up to {largest * 1e-9:.3g} s: is the unit right (--unit)?",)
    return values, ()


def _grid(recording: Recording, options: ReadOptions) -> tuple[float, Places, tuple[str, ...]]:
    """Interval in s, place of each sample on the grid, and what is odd about them."""
    asked_s = None if options.rate_hz is None else 1.0 / options.rate_hz
    times_s = recording.times_s
    if times_s is None:
        given_s = asked_s or recording.interval_s
        note = () if given_s else ("rate of 1 Hz assumed; --rate says otherwise",)
        interval_s = _possible(recording.source, given_s or 1.0)
        return interval_s, np.arange(len(recording.values), dtype=np.int64), note
    if len(times_s) < 2:
        return asked_s or 1.0, np.arange(len(times_s), dtype=np.int64), ()
    steps_s = np.diff(times_s)
    interval_s = _possible(recording.source, asked_s or float(np.median(steps_s)))
    if float(times_s[-1]) / interval_s > _MAX_STEP:
        raise InputError(recording.source, "times reach too far for their interval")
    steps = np.maximum(1, np.rint(steps_s / interval_s))
    if asked_s is None:
        interval_s = _nice(float(steps_s[steps == 1].mean()))
    odd = float(np.mean(np.abs(steps_s / interval_s - steps) > _IRREGULAR))
    places = np.append(0, np.cumsum(steps)).astype(np.int64)
    note = (f"{odd:.1%} of the intervals are irregular; samples are taken as {interval_s:g} s apart",)
    return interval_s, places, note if odd > 0.01 else ()


def _possible(source: str, interval_s: float) -> float:
    low, high = _INTERVALS_S
    if not low <= interval_s <= high:
        raise InputError(
            source, f"an interval of {interval_s:g} s; is the unit of the times right (--time-unit)?"
        )
    return interval_s


def _nice(interval_s: float) -> float:
    """The round interval or rate that it is within 0.1 % of, if there is one."""
    for candidate in (float(round(interval_s)), 1.0 / max(1, round(1.0 / interval_s))):
        if candidate > 0 and abs(interval_s / candidate - 1) < _NICE:
            return candidate
    return interval_s


def _pieces(values: Array, places: Places) -> tuple[Piece, ...]:
    cuts = np.flatnonzero(np.diff(places) != 1) + 1
    starts = np.concatenate(([0], cuts))
    return tuple(
        Piece(int(places[start]), part) for start, part in zip(starts, np.split(values, cuts), strict=True)
    )
