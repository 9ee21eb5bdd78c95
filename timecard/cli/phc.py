"""``timecard phc``: the card's clock, whatever leads to it: read, set, steer, compare, edges, pulses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from timecard.bringup.bench import Bench
from timecard.bringup.intent import Intent
from timecard.card_protocols import Card, EdgeChannel
from timecard.card_values import GeneratorSettings
from timecard.cli.cards import date_text, host_tai_ns
from timecard.cli.common import Answer, CardOptions, Facts, card_options, on_card, plain, rows
from timecard.errors import DeviceTimeoutError
from timecard.kernel.cross_timestamp import host_clocks
from timecard.timebase import HostTimebase, Timebase
from timecard.timescale import NS_PER_S, TAI_MINUS_UTC_2017_S, nearest_second_ns
from timecard.values import CrossTimestamp, EdgeStamp

app = typer.Typer(help="The card's clock: read, set, step, steer, compare.", no_args_is_help=True)
NEGATIVE_NUMBERS: Final = {"ignore_unknown_options": True}
"""So that ``-5`` is a number and no option."""
_POLL_S: Final = 0.02
_MAX_DIGITS: Final = 20
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")

Samples = Annotated[int, typer.Option("--count", min=1, max=100_000, help="How many.")]
Interval = Annotated[float, typer.Option("--interval", min=0.0, max=3600.0, help="Seconds between two.")]


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="phc")


@app.command("read")
@on_card("phc read")
def read_command(card: Card) -> Answer:
    """Read the clock."""
    return _clock(card)


@app.command("set")
@card_options("phc set")
def set_command(
    options: CardOptions,
    when: Annotated[
        str, typer.Argument(metavar="TIME", help="`host`, a TAI date (2026-10-02T12:00:00), or TAI in ns.")
    ],
) -> None:
    """Set the clock. A clock that follows GNSS sets itself again; running generators stop."""
    tai_ns = None if when == "host" else parse_time(when)
    with options.opened() as card:
        if tai_ns is None:
            card.clock.step_ns(host_tai_ns() - card.clock.now_tai_ns())
        else:
            card.clock.set_tai_ns(tai_ns)
        facts, lines = _clock(card)
    options.emit(facts, lines)


@app.command("step", context_settings=NEGATIVE_NUMBERS)
@on_card("phc step")
def step_command(
    card: Card, delta_ns: Annotated[int, typer.Argument(metavar="NS", help="To add to the clock, in ns.")]
) -> Answer:
    """Add to the clock at once. Below 50 ms the kernel driver spreads it over one second."""
    card.clock.step_ns(delta_ns)
    facts, lines = _clock(card)
    return facts | {"stepped_ns": delta_ns}, lines


@app.command("steer", context_settings=NEGATIVE_NUMBERS)
@on_card("phc steer")
def steer_command(
    card: Card,
    frequency_ppb: Annotated[float, typer.Argument(metavar="PPB", help="Positive makes it faster.")],
) -> Answer:
    """Let the clock run faster or slower. It has to follow the registers: timecard phc source REGS."""
    in_force_ppb = card.clock.set_frequency_ppb(frequency_ppb)
    facts, lines = _clock(card)
    frequency = rows([("frequency", f"{in_force_ppb:+.6f} ppb in force")])
    return facts | {"frequency_ppb": in_force_ppb}, [*lines, *frequency]


@app.command("source")
@on_card("phc source")
def source_command(
    card: Card, name: Annotated[str, typer.Argument(metavar="NAME", help="PPS, REGS, TOD, ...")]
) -> Answer:
    """Let the clock follow another source."""
    card.clock.select_source(name.upper())
    return _clock(card)


@app.command("compare")
@on_card("phc compare")
def compare_command(card: Card, count: Samples = 5, interval_s: Interval = 1.0) -> Answer:
    """Compare the card's clock with the host's: cross timestamps with the bound of their error."""
    samples = list(compare(card, HostTimebase(), count, interval_s))
    best_ns = min(sample["half_width_ns"] for sample in samples)
    facts = {"card": card.id, "samples": samples, "best_half_width_ns": best_ns}
    return facts, [_sample_line(sample) for sample in samples]


@app.command("watch-edges")
@card_options("phc watch-edges")
def watch_command(
    options: CardOptions,
    channel: Annotated[
        str, typer.Option("--channel", help="ts0 GNSS, ts1 to ts4 SMA inputs, ts5 the clock.")
    ] = "ts0",
    count: Samples = 5,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, max=86_400.0)] = 5.0,
) -> None:
    """Print rising edges as the card's clock saw them; one JSON object a line with --json.

    The timestamper is switched off again, unless it was on before.
    """
    timebase = HostTimebase()
    with options.opened() as card:
        edges = Bench(card, Intent(), timebase)
        was_on = edges.stamping(channel)
        source = edges.timestamper(channel)
        try:
            for stamp in watch(source, timebase, count, timeout_s, card.name):
                facts = edge_facts(stamp)
                options.emit(facts, [_edge_line(facts)])
        finally:
            if not was_on:
                source.disable()


@app.command("pulse")
@on_card("phc pulse")
def pulse_command(
    card: Card,
    generator: Annotated[int, typer.Option("--generator", min=1, max=4, help="Which one makes it.")] = 1,
    period_ns: Annotated[int, typer.Option("--period-ns", min=1)] = NS_PER_S,
    duty: Annotated[float, typer.Option("--duty", metavar="PERCENT", min=1.0, max=99.0)] = 10.0,
    off: Annotated[bool, typer.Option("--off", help="Stop it.")] = False,
) -> Answer:
    """Make a periodic pulse at whole periods of the clock (PEROUT); `timecard output` can do more."""
    maker = card.generator(generator)
    if off:
        maker.stop()
    else:
        maker.start(GeneratorSettings(period_ns=period_ns, pulse_ns=max(1, round(period_ns * duty / 100))))
    state = maker.state()
    text = f"every {state.period_ns} ns, {state.pulse_ns} ns" if state.running else "stopped"
    return {"card": card.id, "generator": generator, **plain(state)}, [f"generator {generator}  {text}"]


def _clock(card: Card) -> Answer:
    """What the clock says."""
    tai_ns = card.clock.now_tai_ns()
    facts = {
        "card": card.id,
        "time_tai_ns": str(tai_ns),
        "time_tai": date_text(tai_ns),
        "source": card.clock.source_name(),
        "max_frequency_ppb": card.clock.max_frequency_ppb,
    }
    return facts, rows([("clock", facts["time_tai"]), ("source", facts["source"])])


def parse_time(text: str) -> int:
    """A TAI instant from nanoseconds or a date; raises a usage error."""
    if text.isdecimal() and text.isascii() and len(text) <= _MAX_DIGITS:
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
    raise typer.BadParameter(f"{text[:40]!r} is neither `host`, nor a TAI date without zone, nor TAI in ns")


def compare(card: Card, timebase: Timebase, count: int, interval_s: float) -> Iterator[Facts]:
    """Comparisons of the card's clock with the host's, ready for JSON."""
    for number in range(count):
        if number:
            timebase.sleep_s(interval_s)
        cross: CrossTimestamp = card.clock.cross_timestamp()
        ahead_ns, host_half_ns = host_clocks()
        host_ns = cross.mono_raw_ns + ahead_ns + TAI_MINUS_UTC_2017_S * NS_PER_S
        yield {
            "card_tai_ns": str(cross.card_tai_ns),
            "mono_raw_ns": str(cross.mono_raw_ns),
            "minus_host_ns": cross.card_tai_ns - host_ns,
            "half_width_ns": cross.half_width_ns + host_half_ns,
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


def edge_facts(stamp: EdgeStamp) -> Facts:
    """An edge, ready for JSON; ``offset_ns`` from the nearest second of the card's clock."""
    return {
        "channel": stamp.channel,
        "card_tai_ns": str(stamp.card_tai_ns),
        "offset_ns": stamp.card_tai_ns - nearest_second_ns(stamp.card_tai_ns),
        "event_count": stamp.event_count,
        "dropped": stamp.dropped,
    }


def _sample_line(sample: Facts) -> str:
    return (
        f"{sample['minus_host_ns']:+d} ns from the host's clock, +- {sample['half_width_ns']:.0f} ns "
        f"({sample['method']})"
    )


def _edge_line(facts: Facts) -> str:
    dropped = ", edges were lost before" if facts["dropped"] else ""
    return f"{facts['channel']} {date_text(int(facts['card_tai_ns']))}, {facts['offset_ns']:+d} ns{dropped}"
