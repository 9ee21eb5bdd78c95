"""``time-appliance replay``: a flight record decided again, and whether it comes out the same, bit for bit.

Exit status: 0 the same; 1 different; 2 the record cannot be read; 64 the command line is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api.cli_errors import CommandError
from api.cli_status import instant
from api.cli_values import JsonOption, duration_s

if TYPE_CHECKING:
    from appliance.flight.replay import Replay

DIFFERENT: Final = 1
UNREADABLE: Final = 2


def replay_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Flight record, *.flight.")],
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop so long after its beginning: 90s, 15m, 2h.")
    ] = None,
    compare: Annotated[
        bool, typer.Option(help="Decide everything again, or only tell what happened.")
    ] = True,
    as_json: JsonOption = False,
) -> int:
    """Replay a flight record; exit status 1 when it comes out otherwise, 2 when it cannot be read."""
    # Here, not above: other commands shall not wait for numpy.
    from appliance.flight.errors import FlightError
    from appliance.flight.replay import replay
    from appliance.printable import printable

    try:
        found = replay(file, until_s=None if until is None else duration_s(until), compare=compare)
    except FlightError as error:
        raise CommandError(printable(str(error)), UNREADABLE) from error
    if as_json:
        typer.echo(json.dumps(document(found, compared=compare), indent=2))
    else:
        for line in _lines(found, compared=compare):
            typer.echo(printable(line))
    return 0 if found.difference is None else DIFFERENT


def document(found: Replay, *, compared: bool) -> dict[str, Any]:
    """What was found, JSON-able; integers of nanoseconds as strings of digits."""
    difference = found.difference
    return {
        "file": str(found.path),
        "product": found.header.get("product"),
        "begins": found.header.get("begins"),
        "duration_s": found.duration_s,
        "events": found.events,
        "actions": found.actions,
        "decisions": found.decisions,
        "identical": difference is None if compared else None,
        "differing": found.differing,
        "first_difference": None
        if difference is None
        else {**asdict(difference), "mono_ns": str(difference.mono_ns)},
        "other_machine": {
            name: {"recorded": was, "here": here} for name, (was, here) in found.other_machine.items()
        },
        "ended": found.ended,
        "cut": found.cut,
        "timeline": [
            {**asdict(entry), "tai_ns": None if entry.tai_ns is None else str(entry.tai_ns)}
            for entry in found.timeline.entries
        ],
        "timeline_left_out": found.timeline.left_out,
    }


def _lines(found: Replay, *, compared: bool) -> Iterator[str]:
    for entry in found.timeline.entries:
        utc = "-" if entry.tai_ns is None else instant(entry.tai_ns, entry.tai_minus_utc_s)
        yield f"{utc:>23}  {entry.at_s:>9.1f} s  {entry.kind:<8}  {entry.text}"
    if found.timeline.left_out:
        yield f"... {found.timeline.left_out} more left out"
    yield (
        f"{found.duration_s:.0f} s, {found.events} events, {found.decisions} decisions,"
        f" {found.actions} actions; {_ending(found)}"
    )
    if not compared:
        return
    difference = found.difference
    if difference is None:
        yield "identical: every state, bound and steering value came out the same, bit for bit"
        return
    yield (
        f"different: first at {difference.at_s:.1f} s (mono_ns {difference.mono_ns}), {difference.field}:"
        f" recorded {difference.recorded}, now {difference.recomputed}; {found.differing} differ in all"
    )
    if found.header.get("product") != found.product_here:
        yield f"note: recorded by version {found.header.get('product')}, this is {found.product_here}"
    for name, (was, here) in found.other_machine.items():
        yield f"note: recorded with {name} {was}, here it is {here}: the last bits of a sum may differ"


def _ending(found: Replay) -> str:
    if found.ended is not None:
        return f"closed: {found.ended}"
    return f"cut: {found.cut}" if found.cut is not None else "stopped before its end"
