"""``timecard gnss``: the receiver: its state, its settings, its position; recording, replay, and a tap.

Exit status: 0 done, 1 the hardware failed, 2 the command was wrong, 3 ``--check`` found something to change.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from timecard.cli.common import EXIT_USAGE, AsJson, CardOptions, card_options, until_told
from timecard.cli.gnss_events import event_facts, event_line, second_facts, second_line
from timecard.cli.gnss_line import (
    Baud,
    Found,
    Line,
    Listen,
    Port,
    Second,
    found_on,
    heard_on,
    opened_line,
)
from timecard.cli.gnss_settings import configure_command, survey_command
from timecard.cli.gnss_status import look, status_facts, status_lines
from timecard.cli.progress import progress_bar
from timecard.errors import ProtocolError, TimeCardError, from_oserror
from timecard.gnss.capture import CaptureWriter, replay
from timecard.gnss.receivers import RECEIVERS
from timecard.gnss.series import per_second
from timecard.gnss.stream_receiver import StreamReceiver
from timecard.gnss.tap import Tap, parse_tap_address, tapped
from timecard.timescale import NS_PER_S
from timecard.values import GnssEvent

READ_BYTES: Final = 4096
READ_S: Final = 0.2
MAX_CAPTURE_S: Final = 7 * 86_400.0


def register(app: typer.Typer) -> None:
    """Add the group ``gnss``."""
    group = typer.Typer(help="GNSS receiver: state, settings, recordings.", no_args_is_help=True)
    group.command("status")(status_command)
    group.command("configure")(configure_command)
    group.command("survey")(survey_command)
    group.command("capture")(capture_command)
    group.command("replay")(replay_command)
    group.command("tap")(tap_command)
    app.add_typer(group, name="gnss")


@card_options("gnss status")
def status_command(
    options: CardOptions,
    *,
    port: Port = None,
    second: Second = False,
    baud: Baud = None,
    listen: Listen = False,
) -> None:
    """Show everything that the receiver says. What is not heard in some seconds is named."""
    with opened_line(options, port, second, baud) as line:
        found = _listening(line) if listen else found_on(line)
        picture, missing = look(found, ask=not listen, everything=listen)
        facts = status_facts(found, picture, missing)
    options.emit(facts, status_lines(facts))


@card_options("gnss capture")
def capture_command(
    options: CardOptions,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make.", show_default=False)],
    *,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=MAX_CAPTURE_S, help="How long to record.")
    ] = 60.0,
    port: Port = None,
    second: Second = False,
    baud: Baud = None,
) -> None:
    """Record the line with the host's times; nothing is sent to the receiver. Ctrl-C ends it early."""
    with opened_line(options, port, second, baud) as line, _new_file(file) as stream:
        heard_on(line)
        timebase = line.timebase
        begun_ns = timebase.mono_ns()
        writer = CaptureWriter(
            stream, str(file), device=line.place, baud=line.baud, mono_ns=begun_ns, unix_ns=time.time_ns()
        )
        end_ns = begun_ns + round(seconds * NS_PER_S)
        with progress_bar(options.as_json) as bar, contextlib.suppress(KeyboardInterrupt):
            while (left_ns := end_ns - timebase.mono_ns()) > 0:
                data = line.stream.read(READ_BYTES, min(READ_S, left_ns / NS_PER_S))
                if data:
                    writer.received(data, timebase.mono_ns())
                bar("seconds", (timebase.mono_ns() - begun_ns) // NS_PER_S, round(seconds))
        recorded_s = (timebase.mono_ns() - begun_ns) / NS_PER_S
    facts = {"file": str(file), "place": line.place, "baud": line.baud, "seconds": round(recorded_s, 3),
             "bytes": writer.bytes_received}  # fmt: skip
    options.emit(facts, [f"{file}: {writer.bytes_received} bytes in {recorded_s:.1f} s"])


def replay_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording.", show_default=False)],
    series: Annotated[
        bool, typer.Option("--series", help="One line for each second: pulse, sawtooth and time together.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Decode a recording as a live line is decoded: one event a line; the counts go to stderr at the end.

    Besides our own recordings: raw bytes with or without header lines, and text exports of u-center.
    """
    run, kinds = replay(file), Counter[str]()
    try:
        for line in _replayed(run, kinds, series=series, as_json=as_json):
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read us has seen enough; the interpreter shall not trip over it once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    counts, capture = run.counts, run.capture
    facts = {
        "format": capture.kind,
        "header_lines": capture.header_lines,
        "damaged_lines": capture.damaged_lines,
        "sent_pieces": capture.sent_pieces,
        "frames": {name: getattr(counts, name) for name in ("good", "unknown", "bad", "bad_bytes")},
        "frames_by_name": counts.by_name,
        "events": dict(kinds),
        "foreign_protocol": run.foreign_protocol,
        "problem": run.problem,
    }  # fmt: skip
    if as_json:
        typer.echo(json.dumps(facts), err=True)
        return
    lines = [
        f"{capture.header_lines} header lines skipped, {capture.damaged_lines} damaged lines",
        f"frames: {counts.good} good, {counts.unknown} unknown, {counts.bad} bad ({counts.bad_bytes} bytes)",
        "events: " + (", ".join(f"{count} {name}" for name, count in kinds.items()) or "none"),
    ]
    if run.foreign_protocol:
        lines.append(f"this is {run.foreign_protocol}: there is no driver for it ({', '.join(RECEIVERS)})")
    if run.problem:
        lines.append(run.problem)
    for text in lines:
        typer.echo(text, err=True)


@card_options("gnss tap")
def tap_command(
    options: CardOptions,
    addresses: Annotated[
        list[str],
        typer.Argument(
            metavar="ADDRESS...", help="UNIX socket, or loopback address and port: 127.0.0.1:2950.",
            show_default=False,
        ),
    ],
    *,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0.1, help="End after so long.")] = None,
    port: Port = None,
    second: Second = False,
    baud: Baud = None,
) -> None:  # fmt: skip
    """Let other programs (gpsd, u-center) watch the line. What they send does not reach the receiver."""
    wanted = []
    for text in addresses:
        try:
            wanted.append(parse_tap_address(text))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    with contextlib.ExitStack() as opened:
        line = opened.enter_context(opened_line(options, port, second, baud))
        heard_on(line)
        stream, taps = line.stream, []
        for address in wanted:
            taps.append(opened.enter_context(contextlib.closing(Tap(address))))
            stream = tapped(stream, taps[-1])
        typer.echo(f"ready {' '.join(str(tap.address) for tap in taps)}", err=options.as_json)
        passed = 0
        end_ns = None if seconds is None else line.timebase.mono_ns() + round(seconds * NS_PER_S)
        with until_told():
            while end_ns is None or line.timebase.mono_ns() < end_ns:
                passed += len(stream.read(READ_BYTES, READ_S))
    facts = {
        "place": line.place,
        "baud": line.baud,
        "bytes": passed,
        "dropped_readers": sum(t.dropped for t in taps),
    }
    options.emit(facts, [f"{passed} bytes passed, {facts['dropped_readers']} readers dropped"])


# --- internals ---


def _replayed(
    events: Iterable[GnssEvent], kinds: Counter[str], *, series: bool, as_json: bool
) -> Iterator[str]:
    """Lines to show; ``kinds`` counts what they were made from."""

    def counted() -> Iterator[GnssEvent]:
        for event in events:
            kinds[type(event).__name__] += 1
            yield event

    if series:
        for second in per_second(counted()):
            yield json.dumps(second_facts(second)) if as_json else second_line(second)
        return
    for event in counted():
        yield json.dumps(event_facts(event)) if as_json else event_line(event)


def _listening(line: Line) -> Found:
    """A receiver that is not spoken to."""
    detected = heard_on(line)
    if detected is None:
        raise ProtocolError(line.place, "listen", f"no frame that we know at {line.baud} baud")
    receiver = StreamReceiver(line.stream, line.timebase)
    return Found(line=line, driver=detected.driver, receiver=receiver, identity=detected.identity)


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("xb")
    except FileExistsError:
        typer.echo(f"timecard: {path} exists already", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    except OSError as error:
        raise from_oserror(str(path), "write GNSS recording", error) from error
    try:
        yield file
    except TimeCardError:
        file.close()
        if not path.stat().st_size:
            path.unlink()  # nothing was recorded
        raise
    try:
        file.close()
    except OSError as error:  # what was buffered did not find room
        raise from_oserror(str(path), "write GNSS recording", error) from error
