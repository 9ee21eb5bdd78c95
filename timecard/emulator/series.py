"""Recorded clock and GNSS series: text, one number a line, ``#`` lines are remarks, optionally gzipped.

The files are somebody else's: every line, the number of lines and their length are checked.
"""

from __future__ import annotations

import gzip
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

import numpy as np
from numpy.typing import NDArray

NOMINAL_HZ: Final = 10_000_000.0
MAX_POINTS: Final = 4_000_000
"""46 days of seconds; 32 MB in memory."""
MAX_LINE_BYTES: Final = 256
MAX_REMARK_LINES: Final = 10_000
_MAX_PHASE_S: Final = 1e-3
_MAX_FRACTIONAL: Final = 1e-3


class SeriesError(ValueError):
    """A series file cannot be used; the text names the file and, where there is one, the line."""


def read_numbers(path: Path, limit: float, what: str, max_points: int = MAX_POINTS) -> NDArray[np.float64]:
    """Read all numbers of a file; each must be finite and at most ``limit`` in magnitude.

    ``what`` says in the error what was expected. Raises ``SeriesError``.
    """
    values = array("d")
    remarks = 0
    with _opened(path) as stream:
        for number, line in enumerate(_bounded_lines(stream, path), start=1):
            text = line.strip()
            if not text or text.startswith(b"#"):
                remarks += 1
                if remarks > MAX_REMARK_LINES:
                    raise SeriesError(f"{path}, line {number}: more than {MAX_REMARK_LINES} remark lines")
                continue
            try:
                value = float(text)
            except ValueError:
                shown = text[:40].decode("ascii", "backslashreplace")
                raise SeriesError(f"{path}, line {number}: {shown!r} is not {what}") from None
            if not abs(value) <= limit:
                raise SeriesError(f"{path}, line {number}: {value:g} is out of range for {what}")
            if len(values) >= max_points:
                raise SeriesError(f"{path}: more than {max_points} points; cut the file")
            values.append(value)
    if len(values) < 2:
        raise SeriesError(f"{path}: {len(values)} points; a series needs at least two")
    return np.frombuffer(values, dtype=np.float64)


def read_phase_ns(path: Path) -> NDArray[np.float64]:
    """Read a 1 Hz phase series in seconds; returns ns."""
    return read_numbers(path, _MAX_PHASE_S, "a phase in seconds of at most 1 ms") * 1e9


def read_frequency_ppb(path: Path) -> NDArray[np.float64]:
    """Read a 1 s frequency series in Hz of 10 MHz or fractional (the first point tells); returns ppb."""
    values = read_numbers(path, 1.1 * NOMINAL_HZ, "a frequency")
    hertz = abs(float(values[0])) > 1.0
    fractional = values / NOMINAL_HZ - 1.0 if hertz else values
    bad = np.flatnonzero(np.abs(fractional) > _MAX_FRACTIONAL)
    if bad.size:
        unit = "Hz of a 10 MHz output" if hertz else "fractional frequency"
        raise SeriesError(f"{path}, point {bad[0] + 1}: {values[bad[0]]:.12g} is no {unit} within 1e-3")
    return fractional * 1e9


class Playback:
    """A 1 Hz series looked up by second: repeated, or with an end."""

    def __init__(self, values: NDArray[np.float64], start_s: int, *, repeat: bool) -> None:
        """The first value belongs to ``start_s``."""
        self._values = values
        self._start_s = start_s
        self._repeat = repeat

    @property
    def end_s(self) -> int | None:
        """The first second after the series; None when it repeats."""
        return None if self._repeat else self._start_s + len(self._values)

    def at(self, second: int) -> float | None:
        """The value of a second; None outside a series that does not repeat."""
        index = second - self._start_s
        if self._repeat:
            return float(self._values[index % len(self._values)])
        return float(self._values[index]) if 0 <= index < len(self._values) else None


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with gzip.open(raw) as unpacked:
                    yield cast(IO[bytes], unpacked)
            else:
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SeriesError(f"{path}: damaged gzip file: {error}") from None
    except OSError as error:
        raise SeriesError(f"{path}: cannot read: {error.strerror or error}") from None


def _bounded_lines(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise SeriesError(f"{path}, line {number}: longer than {MAX_LINE_BYTES} bytes; not a series?")
        yield line
