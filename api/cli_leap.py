"""``time-appliance leap``: what is believed of leap seconds, and a rehearsal of one."""

from __future__ import annotations

import json
import logging
import sys
from typing import Annotated, Final, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api import views
from api.cli_errors import CommandError
from api.cli_values import JsonOption
from api.schemas import LeapView

KNOWN, DOUBTED, UNKNOWN = 0, 1, 2
"""Exit status of ``leap``: TAI - UTC is known; it is, but there are alarms; it is not known."""
STYLES: Final = {"agrees": "green", "expired": "yellow", "silent": "dim"}


def leap_status(view: LeapView) -> int:
    """The exit status."""
    if not view.valid:
        return UNKNOWN
    return DOUBTED if view.alarms else KNOWN


def print_leap(view: LeapView, console: Console) -> None:
    """The belief, then every source."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    known = Text("known", "green") if view.valid else Text("not to be relied on", "red")
    table.add_row("TAI - UTC", Text(f"{view.tai_minus_utc_s} s, ").append_text(known).append(f", {view.why}"))
    table.add_row("UTC", view.utc or view.why_null["utc"])
    table.add_row("leap second", view.coming or view.why_null["coming"])
    for alarm in view.alarms:
        table.add_row("alarm", Text(alarm, "yellow"))
    console.print(table)
    sources = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("source", "verdict", "TAI - UTC", "announces", ""):
        sources.add_column(column, overflow="fold")
    for source in view.sources:
        offset = "-" if source.tai_minus_utc_s is None else f"{source.tai_minus_utc_s} s"
        style = STYLES.get(source.verdict, "red")
        sources.add_row(source.source, Text(source.verdict, style), offset, source.coming or "-", source.why)
    console.print(sources)


def rehearse_command(
    sign: Annotated[Literal["+1", "-1"], typer.Option(help="A second inserted, or left out.")] = "+1",
    whole: Annotated[
        bool, typer.Option("--whole", help="Play all twelve hours of announcement; takes minutes.")
    ] = False,
    restart: Annotated[
        int | None, typer.Option(metavar="SECONDS", min=1, max=50, help="Restart core so long before it.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Play a leap second in virtual time with an emulated card; exit status 1 when an output is wrong.

    Uses a free port on loopback; what runs on this host is not touched.
    """
    logging.getLogger("appliance").setLevel(logging.ERROR)  # that the clock is set at the start is no news

    from appliance.leap.rehearsal import rehearse
    from appliance.leap.rehearsal_verdict import verdict
    from appliance.simulate import SimulationError

    def progress(share: float) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{share:.0%} " if share < 1.0 else "\r")

    labels = {"GET /api/v1/leap": lambda report: views.leap(report).utc}
    try:
        played = rehearse(
            int(sign), whole=whole, restart_before_s=restart, labels=labels, on_progress=progress
        )
    except (SimulationError, ValueError, OSError) as error:
        raise CommandError(f"leap rehearse: {error}") from error
    rows = verdict(played)
    right = all(row.ok for row in rows)
    if as_json:
        typer.echo(
            json.dumps({"sign": sign, "ok": right, "outputs": [row._asdict() for row in rows]}, indent=2)
        )
        return 0 if right else 1
    table = Table("output", "", "what it did", box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(row.output, Text("right", "green") if row.ok else Text("WRONG", "red"), row.did)
    console = Console()
    console.print(f"{sign} s at the end of {played.label(-1)[:10]}, in virtual time")
    console.print(table)
    return 0 if right else 1
