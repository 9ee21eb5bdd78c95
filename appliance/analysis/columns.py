"""Which column is the value and which the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.analysis.errors import AnalysisError
from appliance.analysis.recording import ReadOptions, SampleBuffer
from appliance.analysis.units import Kind, Unit, is_time_name, parse_unit, split_name

NO_COLUMN: Final = "none"
DAY_S: Final = 86_400.0
_DAYS: Final = frozenset({"mjd", "d", "day", "days"})
_MJD_RANGE: Final = range(40_000, 90_000)
"""1968 to 2105."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where value and time stand in a row."""

    count: int
    value: int
    time: int | None
    value_name: str | None = None
    time_name: str | None = None
    unit: Unit | None = None
    """Of the value, where its name tells it."""


def choose_columns(names: Sequence[str], count: int, options: ReadOptions) -> Columns:
    """The columns asked for, or the only ones possible; ``names`` is empty where the file has none.

    Without names the first of several columns is the time. Raises ``AnalysisError`` when there is a choice.
    """
    time = _time_column(names, count, options)
    value = _asked(options.column, names, count, "--column")
    if value is None:
        candidates = [i for i in range(count) if i != time and not (names and is_time_name(names[i]))]
        with_unit = [i for i in candidates if names and split_name(names[i])[1]]
        candidates = with_unit or candidates
        if not candidates:
            raise AnalysisError("no column with numbers")
        if len(candidates) > 1:
            known = ", ".join(names[i] for i in candidates) if names else f"2 to {count}"
            raise AnalysisError(f"which column? choose with --column: {known}")
        value = candidates[0]
    return Columns(
        count,
        value,
        None if time == value else time,
        names[value] if names else None,
        names[time] if names and time is not None else None,
        split_name(names[value])[1] if names else None,
    )


def time_unit_s(
    buffer: SampleBuffer, name: str | None, options: ReadOptions
) -> tuple[float, tuple[str, ...]]:
    """Seconds of one unit of the times that were read, and a note where that is a guess."""
    text = options.time_unit
    if text is None and name is not None:
        unit = split_name(name)[1]
        text = "mjd" if name.strip().lower() == "mjd" else unit.text if unit else None
    if text is not None:
        if text.lower() in _DAYS:
            return DAY_S, ()
        unit = parse_unit(text)
        if unit.kind is not Kind.PHASE:
            raise AnalysisError(f"{text!r} is no unit of time; use s, ms, us, ns, d or mjd")
        return unit.scale * 1e-9, ()
    times = buffer.times_s(1.0)
    first = buffer.first_time
    if times is None or first is None or int(first) not in _MJD_RANGE or len(times) < 2 or times[1] >= 0.5:
        return 1.0, ()
    return DAY_S, ("times taken as MJD; --time-unit s if they are seconds",)


def _time_column(names: Sequence[str], count: int, options: ReadOptions) -> int | None:
    if options.time_column == NO_COLUMN:
        return None
    asked = _asked(options.time_column, names, count, "--time-column")
    if asked is not None:
        return asked
    if names:
        return next((i for i, name in enumerate(names) if is_time_name(name)), None)
    return 0 if count > 1 else None


def _asked(text: str | None, names: Sequence[str], count: int, option: str) -> int | None:
    if text is None:
        return None
    if text in names:
        return list(names).index(text)
    if text.isdecimal() and len(text) < 4 and 1 <= int(text) <= count:
        return int(text) - 1
    known = ", ".join(names) if names else f"1 to {count}"
    raise AnalysisError(f"{option} {text}: there is no such column; there is {known}")
