"""``timecard output`` and ``timecard counter``: signal generators and frequency counters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from timecard.card_protocols import Card
from timecard.card_values import GeneratorSettings
from timecard.cli.common import Answer, CardOptions, Facts, asked, card_options, on_card, plain
from timecard.timescale import NS_PER_S

outputs = typer.Typer(help="Signal generators: pulses at times of the card's clock.", no_args_is_help=True)
counters = typer.Typer(help="Frequency counters on SMA inputs.", no_args_is_help=True)
NUMBERS = (1, 2, 3, 4)

Number = Annotated[int, typer.Argument(min=1, max=4, metavar="NUMBER", help="1 to 4.")]
Frequency = Annotated[float | None, typer.Option("--frequency", metavar="HZ", min=1e-4, max=25e6)]
Period = Annotated[int | None, typer.Option("--period-ns", metavar="NS", min=1)]
Duty = Annotated[float | None, typer.Option("--duty", metavar="PERCENT", min=0.0001, max=99.9999)]
Pulse = Annotated[int | None, typer.Option("--pulse-ns", metavar="NS", min=1)]
Phase = Annotated[int, typer.Option("--phase-ns", metavar="NS", min=0)]
Start = Annotated[
    int | None, typer.Option("--start-tai-ns", metavar="NS", help="First edge; else the next period.")
]
Repeat = Annotated[int, typer.Option("--repeat", metavar="COUNT", min=0, help="Pulses; 0 is endless.")]
ActiveLow = Annotated[bool, typer.Option("--active-low", help="The pulse is low.")]
Gate = Annotated[int, typer.Option("--gate", metavar="S", min=1, max=255, help="Gate time in s.")]


def register(parent: typer.Typer) -> None:
    """Add both groups."""
    parent.add_typer(outputs, name="output")
    parent.add_typer(counters, name="counter")


@outputs.command("show")
@on_card("output show")
def show_outputs(card: Card) -> Answer:
    """Show what each generator does."""
    return _each(card, "generator", lambda number: card.generator(number).state(), _output_text)


@outputs.command("start")
@card_options("output start")
def start_output(
    options: CardOptions,
    number: Number,
    frequency: Frequency = None,
    period_ns: Period = None,
    duty: Duty = None,
    pulse_ns: Pulse = None,
    phase_ns: Phase = 0,
    start_tai_ns: Start = None,
    repeat: Repeat = 0,
    active_low: ActiveLow = False,
) -> None:
    """Start a generator. To see the signal, route it: timecard sma set 3 out GEN1."""
    settings = generator_settings(
        frequency, period_ns, duty, pulse_ns, phase_ns, start_tai_ns, repeat, not active_low
    )
    with options.opened() as card:
        state = card.generator(number).start(settings)
        facts, lines = _one(card, "generator", number, state, _output_text)
    options.emit(facts, lines)


@outputs.command("stop")
@on_card("output stop")
def stop_output(card: Card, number: Number) -> Answer:
    """Stop a generator."""
    generator = card.generator(number)
    generator.stop()
    return _one(card, "generator", number, generator.state(), _output_text)


@counters.command("show")
@on_card("counter show")
def show_counters(card: Card) -> Answer:
    """Show the newest result of each counter."""
    return _each(card, "counter", lambda number: card.counter(number).read(), _counter_text)


@counters.command("start")
@on_card("counter start")
def start_counter(card: Card, number: Number, gate_s: Gate = 1) -> Answer:
    """Count over and over. The signal comes by: timecard sma set 1 in FREQ1."""
    counter = card.counter(number)
    counter.start(gate_s)
    return _one(card, "counter", number, counter.read(), _counter_text)


@counters.command("stop")
@on_card("counter stop")
def stop_counter(card: Card, number: Number) -> Answer:
    """Switch a counter off."""
    counter = card.counter(number)
    counter.stop()
    return _one(card, "counter", number, counter.read(), _counter_text)


def generator_settings(
    frequency_hz: float | None,
    period_ns: int | None,
    duty_percent: float | None,
    pulse_ns: int | None,
    phase_ns: int,
    start_tai_ns: int | None,
    repeat_count: int,
    active_high: bool,
) -> GeneratorSettings:
    """Options as settings: 1 Hz with a duty of 50 % where nothing else is said. Raises a usage error."""
    if frequency_hz is not None and period_ns is not None:
        raise typer.BadParameter("give one of --frequency and --period-ns")
    if duty_percent is not None and pulse_ns is not None:
        raise typer.BadParameter("give one of --duty and --pulse-ns")
    if start_tai_ns is not None and phase_ns:
        raise typer.BadParameter("give one of --start-tai-ns and --phase-ns")
    if period_ns is None:
        exact_ns = NS_PER_S / (frequency_hz or 1.0)
        period_ns = round(exact_ns)
        if abs(exact_ns - period_ns) > 1e-6:
            raise typer.BadParameter(
                f"{frequency_hz:g} Hz has no period of whole ns ({exact_ns:.3f}); try --period-ns {period_ns}"
            )
    if pulse_ns is None:
        pulse_ns = max(1, round(period_ns * (50.0 if duty_percent is None else duty_percent) / 100))
    return GeneratorSettings(
        period_ns=period_ns,
        pulse_ns=pulse_ns,
        start_tai_ns=start_tai_ns,
        phase_ns=phase_ns,
        active_high=active_high,
        repeat_count=repeat_count,
    )


def _each(card: Card, name: str, ask: Callable[[int], object], text: Callable[[Facts], str]) -> Answer:
    """All generators, or all counters: null with a reason where there is none."""
    found: list[Facts] = []
    for number in NUMBERS:
        state, reason = asked(partial(ask, number))
        found.append({"number": number, "state": state, "reason": reason})
    lines = [f"{name} {row['number']}  {row['reason'] or text(row['state'])}" for row in found]
    return {"card": card.id, "board": card.board.name, f"{name}s": found}, lines


def _one(card: Card, name: str, number: int, state: object, text: Callable[[Facts], str]) -> Answer:
    """One generator or counter."""
    facts = {"card": card.id, name: number, **plain(state)}
    return facts, [f"{name} {number}  {text(facts)}"]


def _output_text(state: Facts) -> str:
    if not state["running"]:
        return f"stopped{': ' + state['error'] if state['error'] else ''}"
    sense = "high" if state["active_high"] else "low"
    return (
        f"{state['pulse_ns']} ns {sense} every {state['period_ns']} ns, from TAI {state['start_tai_ns']} ns"
    )


def _counter_text(reading: Facts) -> str:
    if not reading["gate_s"]:
        return "off"
    result = reading["error"] or (
        "no result yet" if reading["frequency_hz"] is None else f"{reading['frequency_hz']} Hz"
    )
    return f"{result}, gate {reading['gate_s']} s"
