"""``time-appliance bound``: TAI now as an interval, read from the bound page as any program reads it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.table import Table

from api.bound_view import interval_view, read
from api.cli_errors import CommandError, complain
from appliance.bound.layout import PAGE_NAME, Plane, Refusal
from appliance.bound.reader import Bound, BoundReader, BoundRefusedError
from timecard.timescale import NS_PER_S

WATCH_S: Final = 1.0
REFUSED: Final = 2
NO_PAGE: Final = 3
"""Exit statuses, as those of ``status``: 2 do not use it, 3 there is nobody."""
Row = tuple[str, str]


def show_bound(directories: Sequence[Path], plane: Plane, *, wide: bool, as_json: bool, watch: bool) -> int:
    """Print it once, or once a second until Ctrl-C; the exit status.

    Of several folders the first one with a page counts.
    """
    try:
        readers = [BoundReader(directory / PAGE_NAME) for directory in directories]
    except ValueError as error:
        raise CommandError(f"--runtime-dir {error}") from error
    while True:
        for reader in readers:
            found = read(reader, plane, wide=wide)
            if not (isinstance(found, BoundRefusedError) and found.refusal is Refusal.NO_PAGE):
                break
        if as_json:
            document = {"plane": plane.name.lower(), **interval_view(found).model_dump(mode="json")}
            typer.echo(json.dumps(document, indent=None if watch else 2))
        elif isinstance(found, BoundRefusedError):
            complain(f"no bound: {found}{_writer_note(reader, found.refusal)}")
        elif watch:
            typer.echo(_one_line(found))
        else:
            Console().print(_table(found, plane))
        if not watch:
            break
        time.sleep(WATCH_S)
    if isinstance(found, BoundRefusedError):
        return NO_PAGE if found.refusal is Refusal.NO_PAGE else REFUSED
    return 0


def _writer_note(reader: BoundReader, refusal: Refusal) -> str:
    if refusal is not Refusal.STALE:
        return ""
    return " (its process runs, but has stalled)" if reader.writer_alive() else " (its process is gone)"


def _one_line(bound: Bound) -> str:
    return (
        f"{instant(bound.earliest_tai_ns)} .. {instant(bound.latest_tai_ns)} TAI "
        f"({bound.width_ns} ns, {bound.state.value}, epoch {bound.epoch})"
    )


def _table(bound: Bound, plane: Plane) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, text in _rows(bound, plane):
        table.add_row(name, text)
    return table


def _rows(bound: Bound, plane: Plane) -> Iterator[Row]:
    yield "earliest", f"{instant(bound.earliest_tai_ns)} TAI"
    yield "latest", f"{instant(bound.latest_tai_ns)} TAI"
    yield "width", f"{bound.width_ns} ns, p = {bound.p:g}"
    yield "plane", f"{plane.name.lower()}, its clock within {bound.plane_error_ns:.0f} ns of TAI"
    yield "state", f"{bound.state.value}, class {bound.clock_class}, epoch {bound.epoch}"
    left_s = (bound.valid_until_raw_ns - bound.raw_ns) / NS_PER_S
    yield "valid", f"{left_s:.1f} s unless renewed"
    try:
        utc = bound.utc()
    except BoundRefusedError as error:
        yield "utc", str(error)
        return
    yield "utc", f"{_utc(utc.earliest_ns, utc.earliest_in_leap)} .. {_utc(utc.latest_ns, utc.latest_in_leap)}"
    leap = f"TAI - UTC = {utc.tai_minus_utc_s} s"
    if bound.leap_change_s:
        leap += f", {bound.leap_change_s:+d} s at {instant(bound.leap_at_tai_ns)} TAI"
    yield "leap", leap


def instant(ns: int) -> str:
    """Date and time to the ns, of a count of ns since 1970."""
    seconds, fraction_ns = divmod(ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{fraction_ns:09d}"


def _utc(ns: int, in_leap: int) -> str:
    """Within an inserted second it is 23:59:60, which no date library writes."""
    text = instant(ns)
    return text.replace(":59.", ":60.") if in_leap else text
