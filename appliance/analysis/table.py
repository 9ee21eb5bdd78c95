"""Text tables: one value a line, or columns with or without names, in any usual spelling."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from appliance.analysis.columns import Columns, choose_columns, time_unit_s
from appliance.analysis.errors import AnalysisError, InputError
from appliance.analysis.lines import Lines
from appliance.analysis.recording import ReadOptions, Recording, SampleBuffer
from appliance.analysis.units import Unit, parse_unit

COMMENT: Final = ("#", "%", "!", "//")
DELIMITERS: Final = (";", "\t", ",")
_HINTS: Final = (
    ("unit", re.compile(r"\bunits?\s*[:=]\s*(\S+?)[.,;]?(?:\s|$)", re.IGNORECASE)),
    ("unit", re.compile(r"\bin ((?:nano|pico|micro|milli|femto)?seconds|hertz|hz|ppb|ppm)\b", re.IGNORECASE)),
    ("interval", re.compile(r"\binterval\s*[:=]?\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*s", re.IGNORECASE)),
)


class TableReader:
    """One value a line, or columns."""

    def recognises(self, head: bytes) -> bool:
        """Anything may be a table; the first line that is none is an error."""
        return True

    def read(self, lines: Lines, options: ReadOptions) -> Recording:
        """Read it; raises ``InputError``."""
        header, buffer = _Header(), SampleBuffer(lines.source, options.skip_bad)
        columns: Columns | None = None
        delimiter: str | None = None
        first_line = 0
        for line, text in lines:
            if not text:
                continue
            if text.startswith(COMMENT):
                header.take(line, text)
                continue
            if columns is None:
                delimiter = next((mark for mark in DELIMITERS if mark in text), None)
                cells = _cells(text, delimiter)
                if not header.names and not any(map(_is_value, cells)):
                    header.names = cells
                    continue
                columns, first_line = _columns(lines.source, line, header, cells, options), line
            cells = _cells(text, delimiter)
            if len(cells) != columns.count:
                buffer.refuse(line, f"{len(cells)} columns where line {first_line} has {columns.count}")
                continue
            _take_row(buffer, line, cells, columns)
        if columns is None:
            raise InputError(lines.source, "holds no samples")
        unit, origin = columns.unit, "name of the column"
        if unit is None and columns.time is None:  # with two columns a remark may mean either
            unit, origin = header.unit()
        step_s, note = time_unit_s(buffer, columns.time_name, options)
        return Recording(
            source=lines.source,
            clock=columns.value_name,
            values=buffer.values,
            times_s=buffer.times_s(step_s),
            unit=unit,
            unit_origin=origin,
            interval_s=header.interval_s(),
            notes=(*note, *buffer.notes),
        )


@dataclass
class _Header:
    """What stands before the data."""

    names: list[str] = field(default_factory=list)
    comment: str = ""
    """The last comment: names of columns, often."""
    hints: dict[str, tuple[str, int]] = field(default_factory=dict)

    def take(self, line: int, text: str) -> None:
        """One comment line."""
        self.comment = text.lstrip("#%!/ ")
        for name, pattern in _HINTS:
            match = pattern.search(text)
            if match is not None:
                self.hints.setdefault(name, (match[1], line))

    def unit(self) -> tuple[Unit | None, str]:
        """Unit that a comment names, and where."""
        text, line = self.hints.get("unit", ("", 0))
        try:
            return (parse_unit(text), f"line {line}") if text else (None, "")
        except AnalysisError:
            return None, ""

    def interval_s(self) -> float | None:
        """Interval of the samples that a comment names."""
        return float(self.hints["interval"][0]) if "interval" in self.hints else None


def _columns(source: str, line: int, header: _Header, cells: list[str], options: ReadOptions) -> Columns:
    delimiter = next((mark for mark in DELIMITERS if mark in header.comment), None)
    commented = _cells(header.comment, delimiter)
    names = next((found for found in (header.names, commented) if len(found) == len(cells)), [])
    if names is commented and len(cells) == 1:
        names = []  # a sentence of one word is no name of a column
    try:
        return choose_columns(names, len(cells), options)
    except AnalysisError as error:
        raise InputError(source, str(error), line) from error


def _take_row(buffer: SampleBuffer, line: int, cells: list[str], columns: Columns) -> None:
    time: float | None = None
    if columns.time is not None:
        time = _time(cells[columns.time])
        if time is None:
            return buffer.refuse(line, f"{_shown(cells[columns.time])} is no time")
    text = cells[columns.value]
    if not text:
        return buffer.add(line, None, time)
    try:
        value = _number(text)
    except ValueError:
        return buffer.refuse(line, f"{_shown(text)} is no number", time)
    return buffer.add(line, value, time)


def _cells(text: str, delimiter: str | None) -> list[str]:
    return [cell.strip(' "') for cell in text.split(delimiter)]


def _number(text: str) -> float:
    """As ``float``, but without the underscores that Python allows."""
    if "_" in text:
        raise ValueError
    return float(text)


def _is_value(text: str) -> bool:
    return not text or _time(text) is not None


def _time(text: str) -> float | None:
    """A number, whole ones exact; or the seconds of a date in ISO 8601, which without a zone is UTC."""
    try:
        return int(text) if text.isdecimal() and len(text) < 25 else _number(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
