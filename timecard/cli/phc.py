"""``timecard phc``: the card's clock, whatever leads to it: read, set, steer, compare, edges, pulses."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from timecard.bringup.bench import Bench
from timecard.bringup.intent import Intent
from timecard.card_protocols import Card, EdgeChannel
from timecard.card_values import GeneratorSettings
from timecard.cli.cards import date_text
from timecard.cli.common import AsJson, CardId, Pci, VfioUser, Way, emit, opened, plain
from timecard.errors import DeviceTimeoutError
from timecard.timebase import HostTimebase, Timebase
from timecard.timescale import NS_PER_S, TAI_MINUS_UTC_2017_S, nearest_second_ns
from timecard.values import CrossTimestamp, EdgeStamp

app = typer.Typer(help="The card's clock: read, set, step, steer, compare.", no_args_is_help=True)
NEGATIVE_NUMBERS: Final = {"ignore_unknown_options": True}
"""So that ``-5`` is a number and no option."""
_POLL_S: Final = 0.02
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")

Samples = Annotated[int, typer.Option("--count", min=1, max=100_000, help="How many.")]
Interval = Annotated[float, typer.Option("--interval", min=0.0, max=3600.0, help="Seconds between two.")]


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="phc")


@app.command("read")
def read_command(
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Read the clock."""
    with opened("phc read", card_id, pci, vfio_user, access) as card:
        facts = clock_facts(card)
    emit(facts, _clock_lines(facts), as_json)


@app.command("set")
def set_command(
    when: Annotated[
        str, typer.Argument(metavar="TIME", help="`host`, a TAI date (2026-10-02T12:00:00), or TAI in ns.")
    ],
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Set the clock. A clock that follows GNSS sets itself again; running generators stop."""
    tai_ns = None if when == "host" else parse_time(when)
    with opened("phc set", card_id, pci, vfio_user, access) as card:
        if tai_ns is None:
            card.clock.step_ns(_host_tai_ns() - card.clock.now_tai_ns())
        else:
            card.clock.set_tai_ns(tai_ns)
        facts = clock_facts(card)
    emit(facts, _clock_lines(facts), as_json)


@app.command("step", context_settings=NEGATIVE_NUMBERS)
def step_command(
    delta_ns: Annotated[int, typer.Argument(metavar="NS", help="To add to the clock, in ns.")],
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Add to the clock at once. Below 50 ms the kernel driver spreads it over one second."""
    with opened("phc step", card_id, pci, vfio_user, access) as card:
        card.clock.step_ns(delta_ns)
        facts = clock_facts(card) | {"stepped_ns": delta_ns}
    emit(facts, _clock_lines(facts), as_json)


@app.command("steer", context_settings=NEGATIVE_NUMBERS)
def steer_command(
    frequency_ppb: Annotated[float, typer.Argument(metavar="PPB", help="Positive makes it faster.")],
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Let the clock run faster or slower. It has to follow the registers: timecard phc source REGS."""
    with opened("phc steer", card_id, pci, vfio_user, access) as card:
        in_force_ppb = card.clock.set_frequency_ppb(frequency_ppb)
        facts = clock_facts(card) | {"frequency_ppb": in_force_ppb}
    emit(facts, [*_clock_lines(facts), f"{'frequency':12} {in_force_ppb:+.6f} ppb in force"], as_json)


@app.command("source")
def source_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="PPS, REGS, TOD, ...")],
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Let the clock follow another source."""
    with opened("phc source", card_id, pci, vfio_user, access) as card:
        card.clock.select_source(name.upper())
        facts = clock_facts(card)
    emit(facts, _clock_lines(facts), as_json)


@app.command("compare")
def compare_command(
    count: Samples = 5,
    interval_s: Interval = 1.0,
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Compare the card's clock with the host's: cross timestamps with the bound of their error."""
    timebase = HostTimebase()
    with opened("phc compare", card_id, pci, vfio_user, access, timebase) as card:
        samples = list(compare(card, timebase, count, interval_s))
    best_ns = min(sample["half_width_ns"] for sample in samples)
    facts = {"card": card.id, "samples": samples, "best_half_width_ns": best_ns}
    emit(facts, [_sample_line(sample) for sample in samples], as_json)


@app.command("watch-edges")
def watch_command(
    channel: Annotated[
        str, typer.Option("--channel", help="ts0 GNSS, ts1 to ts4 SMA inputs, ts5 the clock.")
    ] = "ts0",
    count: Samples = 5,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, max=86_400.0)] = 5.0,
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Print rising edges as the card's clock saw them; one JSON object a line with --json.

    The timestamper is switched off again, unless it was on before.
    """
    timebase = HostTimebase()
    with opened("phc watch-edges", card_id, pci, vfio_user, access, timebase) as card:
        edges = Bench(card, Intent(), timebase)
        was_on = edges.stamping(channel)
        source = edges.timestamper(channel)
        try:
            for stamp in watch(source, timebase, count, timeout_s, card.name):
                facts = edge_facts(stamp)
                typer.echo(json.dumps(facts) if as_json else _edge_line(facts))
        finally:
            if not was_on:
                source.disable()


@app.command("pulse")
def pulse_command(
    generator: Annotated[int, typer.Option("--generator", min=1, max=4, help="Which one makes it.")] = 1,
    period_ns: Annotated[int, typer.Option("--period-ns", min=1)] = NS_PER_S,
    duty: Annotated[float, typer.Option("--duty", metavar="PERCENT", min=1.0, max=99.0)] = 10.0,
    off: Annotated[bool, typer.Option("--off", help="Stop it.")] = False,
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Make a periodic pulse at whole periods of the clock (PEROUT); `timecard output` can do more."""
    with opened("phc pulse", card_id, pci, vfio_user, access) as card:
        maker = card.generator(generator)
        if off:
            maker.stop()
        else:
            maker.start(
                GeneratorSettings(period_ns=period_ns, pulse_ns=max(1, round(period_ns * duty / 100)))
            )
        state = plain(maker.state())
        facts = {"card": card.id, "generator": generator, **state}
    text = f"every {state['period_ns']} ns, {state['pulse_ns']} ns" if state["running"] else "stopped"
    emit(facts, [f"generator {generator}  {text}"], as_json)


def clock_facts(card: Card) -> dict[str, Any]:
    """The clock, ready for JSON."""
    tai_ns = card.clock.now_tai_ns()
    return {
        "card": card.id,
        "time_tai_ns": str(tai_ns),
        "time_tai": date_text(tai_ns),
        "source": card.clock.source_name(),
        "max_frequency_ppb": card.clock.max_frequency_ppb,
    }


def parse_time(text: str) -> int:
    """A TAI instant from nanoseconds or a date; raises a usage error."""
    if text.isdecimal() and text.isascii():
        return int(text)
    if _DATE.match(text):
        try:
            date = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            if date.tzinfo is None:
                # As if it were UTC: TAI counts days of 86,400 s as Unix time does.
                return int(date.replace(tzinfo=UTC).timestamp()) * NS_PER_S + date.microsecond * 1000
    raise typer.BadParameter(f"{text!r} is neither `host`, nor a TAI date without zone, nor TAI in ns")


def compare(card: Card, timebase: Timebase, count: int, interval_s: float) -> Iterator[dict[str, Any]]:
    """Comparisons of the card's clock with the host's, ready for JSON."""
    for number in range(count):
        if number:
            timebase.sleep_s(interval_s)
        cross: CrossTimestamp = card.clock.cross_timestamp()
        host_ns = _host_tai_ns() - (timebase.mono_ns() - cross.mono_raw_ns)
        yield {
            "card_tai_ns": str(cross.card_tai_ns),
            "mono_raw_ns": str(cross.mono_raw_ns),
            "minus_host_ns": cross.card_tai_ns - host_ns,
            "half_width_ns": cross.half_width_ns,
            "method": cross.method,
        }


def watch(
    source: EdgeChannel, timebase: Timebase, count: int, timeout_s: float, name: str
) -> Iterator[EdgeStamp]:
    """The next ``count`` edges; raises ``DeviceTimeoutError`` when one does not come within ``timeout_s``."""
    for _ in range(count):
        deadline_ns = timebase.mono_ns() + round(timeout_s * NS_PER_S)
        while (stamp := source.poll()) is None:
            if timebase.mono_ns() >= deadline_ns:
                raise DeviceTimeoutError(
                    name, f"watch {source.channel}", f"no edge in {timeout_s:g} s: is a signal routed there?"
                )
            timebase.sleep_s(_POLL_S)
        yield stamp


def edge_facts(stamp: EdgeStamp) -> dict[str, Any]:
    """An edge, ready for JSON; ``offset_ns`` from the nearest second of the card's clock."""
    return {
        "channel": stamp.channel,
        "card_tai_ns": str(stamp.card_tai_ns),
        "offset_ns": stamp.card_tai_ns - nearest_second_ns(stamp.card_tai_ns),
        "event_count": stamp.event_count,
        "dropped": stamp.dropped,
    }


def _host_tai_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_REALTIME) + TAI_MINUS_UTC_2017_S * NS_PER_S


def _clock_lines(facts: dict[str, Any]) -> list[str]:
    return [f"{'clock':12} {facts['time_tai']}", f"{'source':12} {facts['source']}"]


def _sample_line(sample: dict[str, Any]) -> str:
    return (
        f"{sample['minus_host_ns']:+d} ns from the host's clock, +- {sample['half_width_ns']:.0f} ns "
        f"({sample['method']})"
    )


def _edge_line(facts: dict[str, Any]) -> str:
    dropped = ", edges were lost before" if facts["dropped"] else ""
    return f"{facts['channel']} {date_text(int(facts['card_tai_ns']))}, {facts['offset_ns']:+d} ns{dropped}"
