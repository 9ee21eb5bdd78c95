"""JSON: one object a line, an array of objects or numbers, or an object of arrays (columns).

Fields are chosen as columns of a table are; numbers may be text, as programs write integers of nanoseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from appliance.analysis.columns import Columns, choose_columns, time_unit_s
from appliance.analysis.errors import AnalysisError, InputError
from appliance.analysis.lines import Lines
from appliance.analysis.recording import ReadOptions, Recording, SampleBuffer

_RUN_REPORT: Final = frozenset({"duration_s", "states", "holdovers"})
_MAX_DIGITS: Final = 40
_MAX_WHOLE: Final = 2**63


class JsonReader:
    """Rows of JSON."""

    def recognises(self, head: bytes) -> bool:
        """It begins as an object or an array does."""
        return head.lstrip()[:1] in (b"{", b"[")

    def read(self, lines: Lines, options: ReadOptions) -> Recording:
        """Read it; raises ``InputError``."""
        first = lines.head.split(b"\n", 1)[0]
        try:
            by_line = isinstance(json.loads(first), dict) and b"\n" in lines.head.strip()
        except (ValueError, RecursionError):
            by_line = False
        rows = _lines(lines) if by_line else _document(lines)
        return _recording(lines.source, rows, options)


def _lines(lines: Lines) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, text in lines:
        if not text:
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(lines.source, f"is no JSON: {error}", line) from error
        if not isinstance(row, dict):
            raise InputError(lines.source, "is no JSON object as the lines before", line)
        yield line, row


def _document(lines: Lines) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        document = json.loads(lines.document())
    except (ValueError, RecursionError) as error:
        raise InputError(lines.source, f"is no JSON: {error}") from error
    rows: Iterable[Any]
    if isinstance(document, list):
        rows = (row if isinstance(row, dict) else {"value": row} for row in document)
    elif document.keys() >= _RUN_REPORT:
        raise InputError(lines.source, "is the summary of a run and has no series; run with --series FILE")
    else:
        arrays = {name: value for name, value in document.items() if isinstance(value, list)}
        if len({len(value) for value in arrays.values()}) > 1:
            raise InputError(lines.source, "holds arrays of several lengths; it is no series")
        columns = zip(*arrays.values(), strict=True)
        rows = (dict(zip(arrays, row, strict=True)) for row in columns) if arrays else (document,)
    yield from enumerate(rows, start=1)


def _recording(source: str, rows: Iterable[tuple[int, Mapping[str, Any]]], options: ReadOptions) -> Recording:
    """From rows; their number stands for the line where the file is one document."""
    buffer = SampleBuffer(source, options.skip_bad)
    columns: Columns | None = None
    timeless = 0
    for line, row in rows:
        if columns is None:
            if options.column is not None and not options.column.isdecimal() and options.column not in row:
                continue  # other events of the same stream
            columns = _columns(source, line, row, options)
        name = columns.value_name
        if name is None or name not in row:
            continue
        try:
            value = _number(row[name])
            time = None if columns.time_name is None else _number(row.get(columns.time_name))
        except (ValueError, TypeError, OverflowError):
            buffer.refuse(line, f"{name} or {columns.time_name} is no number")
            continue
        if columns.time_name is not None and time is None:
            timeless += 1
        else:
            buffer.add(line, value, time)
    if columns is None:
        raise InputError(source, f"no row has {options.column or 'a field with a number'}")
    step_s, note = time_unit_s(buffer, columns.time_name, options)
    left_out = (f"left out, without a time: {timeless}",) if timeless else ()
    return Recording(
        source=source,
        clock=columns.value_name,
        values=buffer.values,
        times_s=buffer.times_s(step_s),
        unit=columns.unit,
        unit_origin="name of the field" if columns.unit else "",
        notes=(*note, *left_out, *buffer.notes),
    )


def _columns(source: str, line: int, row: Mapping[str, Any], options: ReadOptions) -> Columns:
    """By the fields of the first row that may be numbers; null may become one."""
    names = [name for name, value in row.items() if value is None or _is_numeric(value)]
    try:
        return choose_columns(names, len(names), options)
    except AnalysisError as error:
        raise InputError(source, str(error), line) from error


def _is_numeric(value: Any) -> bool:
    try:
        return _number(value) is not None
    except (ValueError, TypeError, OverflowError):
        return False


def _number(value: Any) -> float | None:
    """A number or None; whole numbers stay exact."""
    if isinstance(value, str) and len(value) <= _MAX_DIGITS:
        value = int(value) if value.lstrip("-").isdecimal() else float(value)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value if not isinstance(value, int) or abs(value) < _MAX_WHOLE else float(value)
    raise TypeError
