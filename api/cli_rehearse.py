"""``time-appliance rehearse holdover``: what a loss of the reference would be like, with a witness.

Exit status: 0 it lasted as planned and the forecast was kept; 1 it was refused, ended early, or the forecast
was not kept; 3 nobody answers; 64 the command line is wrong.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from api.cli_errors import CommandError
from api.cli_status import duration
from api.cli_values import ConfigOption, JsonOption, RuntimeOption, duration_s
from api.client import core_client
from appliance.config import load_config
from appliance.core_report import RehearsalReport, Reported
from appliance.events import CommandKind
from appliance.ipc import CoreClient, CoreError
from appliance.rehearsal_view import RehearsalState
from appliance.run_options import Overrides

Answer = TypeVar("Answer")
UNREACHABLE: Final = 3
LONGEST_S: Final = 86_400.0
POLL_S: Final = 0.5
TELL_EVERY_S: Final = 10.0
BEGINS_WITHIN_S: Final = 30.0
PATIENCE_S: Final = 10.0
"""How long core may be silent."""

rehearse_app = typer.Typer(help="Rehearse what one hopes never to need.", no_args_is_help=True)


@rehearse_app.callback()
def rehearse() -> None:
    """Rehearse what one hopes never to need."""


@rehearse_app.command("holdover")
def holdover_command(
    lasting: Annotated[str, typer.Option("--for", metavar="TIME", help="How long, up to 24h.")] = "1h",
    limit: Annotated[
        float, typer.Option(min=0.1, max=1e6, metavar="NS", help="End it when the clock is further off.")
    ] = 100.0,
    stop: Annotated[bool, typer.Option("--stop", help="End the one that is running.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Show the newest one; begin nothing.")] = False,
    config: ConfigOption = None,
    runtime_dir: RuntimeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Cut the reference from the clock, keep it as a witness, and compare forecast with fact.

    While it lasts the clock is in holdover, and announced so. Ctrl-C ends it.
    """
    seconds = duration_s(lasting)
    if not 1.0 <= seconds <= LONGEST_S:
        raise typer.BadParameter(f"--for {lasting}: a rehearsal lasts 1s to 24h")
    try:
        client = core_client(Overrides(runtime_dir=runtime_dir).apply(load_config(config)))
        if show:
            found = client.report().rehearsal
        elif stop:
            client.command(CommandKind.END_REHEARSAL)
            found = _watch(client, quiet=True)
        else:
            found = _rehearse(client, limit, seconds, quiet=as_json)
    except CoreError as error:
        raise CommandError(str(error), UNREACHABLE) from error
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        print_rehearsal(found, Console())
    return 0 if _as_planned(found) or (show and found.state is not RehearsalState.REFUSED) else 1


def print_rehearsal(found: RehearsalReport, console: Console) -> None:
    """One rehearsal, running or over."""
    if found.state is None:
        console.print(found.why_null["state"])
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    table.add_row("rehearsal", f"{found.state.value}{f': {found.reason}' if found.reason else ''}")
    if found.state is not RehearsalState.REFUSED:
        table.add_row("lasted", f"{duration(found.elapsed_s or 0)} of {duration(found.planned_s or 0)}")
        table.add_row("heard", f"the reference in {found.samples} seconds")
        table.add_row("offset", f"{_ns(found, 'offset_ns')}, at most {_ns(found, 'worst_ns')}")
        table.add_row("forecast", f"within {_ns(found, 'forecast_ns')} by now (p = {found.p:g})")
        table.add_row("verdict", _verdict(found))
    console.print(table)
    if found.crossings:
        crossings = Table(
            "offset passes", "50 %: at", "99 %: not before", "did", box=None, padding=(0, 2, 0, 0)
        )
        for row in found.crossings:
            times = [_after(row, name) for name in ("half_s", "earliest_s", "actual_s")]
            crossings.add_row(f"{row.limit_ns:g} ns", *times)
        console.print(crossings)
    if found.mtie:
        deviations = Table("interval", "MTIE", "TDEV", box=None, padding=(0, 2, 0, 0))
        tdev = {point.interval_s: f"{point.value_ns:.2f} ns" for point in found.tdev}
        for point in found.mtie:
            shown = tdev.get(point.interval_s, "-")
            deviations.add_row(f"{point.interval_s:g} s", f"{point.value_ns:.2f} ns", shown)
        console.print(deviations)


def _rehearse(client: CoreClient, limit_ns: float, seconds: float, *, quiet: bool) -> RehearsalReport:
    """Begin one and follow it to its end."""
    before = client.report().rehearsal.since_mono_ns
    client.rehearse(limit_ns, seconds)
    try:
        try:
            return _follow(client, before, quiet=quiet)
        except KeyboardInterrupt:
            _patiently(lambda: client.command(CommandKind.END_REHEARSAL))
            return _follow(client, before, quiet=True)
    except CoreError as error:
        raise CommandError(f"{error}; the rehearsal goes on; end it with --stop", UNREACHABLE) from error


def _follow(client: CoreClient, before_mono_ns: int | None, *, quiet: bool) -> RehearsalReport:
    """From the request to the end."""
    deadline_s = time.monotonic() + BEGINS_WITHIN_S
    while _patiently(client.report).rehearsal.since_mono_ns == before_mono_ns:
        if time.monotonic() > deadline_s:
            raise CommandError("core took the request, but no rehearsal has begun; see its log")
        time.sleep(POLL_S)
    return _watch(client, quiet=quiet)


def _patiently(ask: Callable[[], Answer]) -> Answer:
    """A core that is late for once is no reason to leave a clock in holdover alone."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except CoreError:
            if time.monotonic() > deadline_s:
                raise
        time.sleep(POLL_S)


def _watch(client: CoreClient, *, quiet: bool) -> RehearsalReport:
    """Until it is over; a line now and then tells how it goes."""
    told_s = 0.0
    while (found := _patiently(client.report).rehearsal).state is RehearsalState.ACTIVE:
        if not quiet and time.monotonic() - told_s >= TELL_EVERY_S:
            told_s = time.monotonic()
            sys.stderr.write(
                f"{duration(found.elapsed_s or 0)}: offset {_ns(found, 'offset_ns')},"
                f" forecast {_ns(found, 'forecast_ns')}\n"
            )
        time.sleep(POLL_S)
    return found


def _as_planned(found: RehearsalReport) -> bool:
    whole = (found.elapsed_s or 0.0) >= (found.planned_s or 0.0)
    return found.state is RehearsalState.ENDED and whole and found.inside is not False


def _verdict(found: RehearsalReport) -> str:
    if found.inside is None or found.largest_share is None:
        return found.why_null.get("inside", "-")
    kept = "the forecast was kept" if found.inside else "the forecast was NOT kept"
    return f"{kept}: at most {found.largest_share:.0%} of what it allowed"


def _ns(found: RehearsalReport, name: str) -> str:
    value = getattr(found, name)
    return found.why_null.get(name, "-") if value is None else f"{value:.1f} ns"


def _after(record: Reported, name: str) -> str:
    seconds = getattr(record, name)
    return record.why_null.get(name, "-") if seconds is None else duration(seconds)
