"""``timecard output`` and ``timecard counter``: signal generators and frequency counters."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from timecard.card_protocols import Card
from timecard.card_values import CounterReading, GeneratorSettings, GeneratorState
from timecard.cli.common import AsJson, CardId, Pci, VfioUser, Way, asked, emit, opened, plain
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
def show_outputs(
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Show what each generator does."""
    with opened("output show", card_id, pci, vfio_user, access) as card:
        facts = output_facts(card)
    emit(facts, _lines(facts["generators"], "generator", _output_text), as_json)


@outputs.command("start")
def start_output(
    number: Number,
    frequency: Frequency = None,
    period_ns: Period = None,
    duty: Duty = None,
    pulse_ns: Pulse = None,
    phase_ns: Phase = 0,
    start_tai_ns: Start = None,
    repeat: Repeat = 0,
    active_low: ActiveLow = False,
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Start a generator. To see the signal, route it: timecard sma set 3 out GEN1."""
    settings = generator_settings(
        frequency, period_ns, duty, pulse_ns, phase_ns, start_tai_ns, repeat, not active_low
    )
    with opened("output start", card_id, pci, vfio_user, access) as card:
        state = card.generator(number).start(settings)
        facts = {"card": card.id, "generator": number, **plain(state)}
    emit(facts, [f"generator {number}  {_output_text(plain(state))}"], as_json)


@outputs.command("stop")
def stop_output(
    number: Number,
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Stop a generator."""
    with opened("output stop", card_id, pci, vfio_user, access) as card:
        generator = card.generator(number)
        generator.stop()
        state = plain(generator.state())
        facts = {"card": card.id, "generator": number, **state}
    emit(facts, [f"generator {number}  {_output_text(state)}"], as_json)


@counters.command("show")
def show_counters(
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest result of each counter."""
    with opened("counter show", card_id, pci, vfio_user, access) as card:
        facts = counter_facts(card)
    emit(facts, _lines(facts["counters"], "counter", _counter_text), as_json)


@counters.command("start")
def start_counter(
    number: Number,
    gate_s: Gate = 1,
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Count over and over. The signal comes by: timecard sma set 1 in FREQ1."""
    with opened("counter start", card_id, pci, vfio_user, access) as card:
        counter = card.counter(number)
        counter.start(gate_s)
        reading = plain(counter.read())
        facts = {"card": card.id, "counter": number, **reading}
    emit(facts, [f"counter {number}  {_counter_text(reading)}"], as_json)


@counters.command("stop")
def stop_counter(
    number: Number,
    card_id: CardId = None,
    pci: Pci = None,
    vfio_user: VfioUser = None,
    access: Way = None,
    as_json: AsJson = False,
) -> None:
    """Switch a counter off."""
    with opened("counter stop", card_id, pci, vfio_user, access) as card:
        counter = card.counter(number)
        counter.stop()
        reading = plain(counter.read())
        facts = {"card": card.id, "counter": number, **reading}
    emit(facts, [f"counter {number}  {_counter_text(reading)}"], as_json)


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


def output_facts(card: Card) -> dict[str, Any]:
    """All generators, ready for JSON: null with a reason where there is none."""
    return {
        "card": card.id,
        "board": card.board.name,
        "generators": [_numbered(n, *asked(partial(_generator_state, card, n))) for n in NUMBERS],
    }


def counter_facts(card: Card) -> dict[str, Any]:
    """All counters, ready for JSON."""
    return {
        "card": card.id,
        "board": card.board.name,
        "counters": [_numbered(n, *asked(partial(_reading, card, n))) for n in NUMBERS],
    }


def _generator_state(card: Card, number: int) -> GeneratorState:
    return card.generator(number).state()


def _reading(card: Card, number: int) -> CounterReading:
    return card.counter(number).read()


def _numbered(number: int, state: Any, reason: str | None) -> dict[str, Any]:
    return {"number": number, "state": state, "reason": reason}


def _lines(found: list[dict[str, Any]], name: str, text: Any) -> list[str]:
    return [f"{name} {row['number']}  {row['reason'] or text(row['state'])}" for row in found]


def _output_text(state: dict[str, Any]) -> str:
    if not state["running"]:
        return f"stopped{': ' + state['error'] if state['error'] else ''}"
    sense = "high" if state["active_high"] else "low"
    return (
        f"{state['pulse_ns']} ns {sense} every {state['period_ns']} ns, from TAI {state['start_tai_ns']} ns"
    )


def _counter_text(reading: dict[str, Any]) -> str:
    if not reading["gate_s"]:
        return "off"
    result = reading["error"] or (
        "no result yet" if reading["frequency_hz"] is None else f"{reading['frequency_hz']} Hz"
    )
    return f"{result}, gate {reading['gate_s']} s"
