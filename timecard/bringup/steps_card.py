"""Steps about the card itself: selection, delays, generators, counters."""

from __future__ import annotations

from timecard.bringup.bench import Bench
from timecard.bringup.card_settings import (
    can_force_pps,
    delay_register,
    force_pps,
    has_clock_sources,
    pulse_tolerance_ns,
)
from timecard.bringup.delays import PLACE_RANGE_NS, Place
from timecard.bringup.engine import Setting, Stepper
from timecard.bringup.intent import AUTO, CLOCK_10MHZ_CHOICES, CounterIntent, OutputIntent, SelectionIntent
from timecard.bringup.report import Outcome
from timecard.card_protocols import Card
from timecard.card_values import CounterReading, GeneratorSettings, GeneratorState, PpsSource, SelectorStatus
from timecard.errors import TimeCardError, UnsupportedError

REGISTER_PLACES: tuple[Place, ...] = ("timestamper", "pps-slave")
"""Places of the ledger that are registers of the card."""
NO_FORCING_10MHZ = (
    "the FPGA takes the 10 MHz of the SMA before that of the MAC, and that before its own; route or plug the "
    "inputs accordingly ([[sma]]), and see whether the oscillator gives 10 MHz at all"
)


def selection(bench: Bench, stepper: Stepper) -> None:
    """10 MHz, pulse and source of the clock."""
    wanted = bench.intent.selection
    if wanted is None:
        return
    card = bench.card
    if wanted.clock_10mhz is not None:
        clock_10mhz = wanted.clock_10mhz
        stepper.settle(
            Setting(
                what="10 MHz",
                wanted=clock_10mhz,
                read=lambda: _clock_10mhz(card),
                matches=lambda found: found == clock_10mhz,
                write=None,  # a choice of an input that has no signal would stop the clock
                required=wanted.required,
                wait_s=wanted.wait_s,
                unmet=NO_FORCING_10MHZ,
            )
        )
    if wanted.pps is not None:
        _pps(card, stepper, wanted, wanted.pps)
    if wanted.clock_source is not None:
        source = wanted.clock_source

        def source_name() -> str:
            if not has_clock_sources(card.board):
                raise UnsupportedError(
                    card.name, "choose the clock's source", f"the clock of {card.board.product} only counts"
                )
            return card.clock.source_name()

        stepper.settle(
            Setting(
                what="clock source",
                wanted=source,
                read=source_name,
                matches=lambda found: found == source,
                write=lambda: card.clock.select_source(source),
                required=wanted.required,
            )
        )


def _clock_10mhz(card: Card) -> str:
    found = card.selector().clock_10mhz
    if found not in CLOCK_10MHZ_CHOICES:
        raise UnsupportedError(card.name, "see the 10 MHz input", "this way to the card does not show it")
    return found


def _pps(card: Card, stepper: Stepper, wanted: SelectionIntent, name: str) -> None:
    source = None if name == AUTO else PpsSource[name.upper()]

    def read() -> SelectorStatus:
        found = card.selector()
        if found.forced is not source and found.selected is not source:
            can_force_pps(card)
        return found

    if source is not None:
        try:
            can_force_pps(card)
        except UnsupportedError as error:
            _pps_as_it_is(card, stepper, wanted, source, error)
            return
        present = stepper.settle(
            Setting(
                what=f"PPS of {name} present",
                wanted="present",
                read=card.selector,
                matches=lambda found: source in found.present,
                write=None,
                show=_presence,
                required=wanted.required,
                wait_s=wanted.wait_s,
                unmet="choosing it would leave the clock without a pulse; see its source and its cable",
            )
        )
        if present.outcome is not Outcome.AS_INTENDED:
            return
    stepper.settle(
        Setting(
            what="PPS",
            wanted="the best that is present" if source is None else name,
            read=read,
            matches=lambda found: found.forced is None if source is None else found.selected is source,
            write=lambda: force_pps(card, source),
            show=_choice,
            required=wanted.required,
        )
    )


def _pps_as_it_is(
    card: Card, stepper: Stepper, wanted: SelectionIntent, source: PpsSource, error: UnsupportedError
) -> None:
    """The pulse cannot be chosen: it may be the right one all the same."""
    try:
        found = card.selector()
    except UnsupportedError as hidden:
        error = hidden
    else:
        if found.selected is source:
            stepper.add("PPS", Outcome.AS_INTENDED, before=source.name.lower())
            return
    stepper.lack("PPS", error, required=wanted.required, wanted=source.name.lower())


def _presence(found: SelectorStatus) -> str:
    return ", ".join(sorted(source.name.lower() for source in found.present)) or "no pulse"


def _choice(found: SelectorStatus) -> str:
    selected = found.selected.name.lower() if found.selected else "none"
    return f"{selected}, {'forced' if found.forced else 'chosen by the card'}"


def delays(bench: Bench, stepper: Stepper) -> None:
    """The ledger's registers: what they hold is exactly what the ledger says, so nothing counts twice."""
    if bench.intent.delays is None:
        return
    ledger, required = bench.intent.ledger, bench.intent.delays_required
    for place in REGISTER_PLACES:
        _delay(bench, stepper, place, ledger.register_ns(place), required)
    if ledger.register_ns("timestamper") and card_follows_pps(bench):
        stepper.notes.append(
            "the clock's servo follows the pulse itself, which the timestamper's delay does not reach: with "
            "clock source PPS let the receiver or the PPS slave compensate"
        )
    if ledger.not_calibrated_reason:
        stepper.notes.append(ledger.not_calibrated_reason)
    software_ns = ledger.software_ns("port")
    if software_ns:
        stepper.notes.append(
            f"{software_ns:.1f} ns are left to software: give the daemon's configuration the same [[delays]]"
        )


def card_follows_pps(bench: Bench) -> bool:
    """Whether a servo in the card follows the GNSS pulse."""
    return has_clock_sources(bench.card.board) and bench.card.clock.source_name() == "PPS"


def _delay(bench: Bench, stepper: Stepper, place: Place, wanted_ns: int, required: bool) -> None:
    card = bench.card
    try:
        register = delay_register(card, place)
    except UnsupportedError as error:
        if wanted_ns:
            stepper.lack(f"delay in {place}", error, required=required, wanted=f"{wanted_ns} ns")
        return
    low_ns, high_ns = PLACE_RANGE_NS[place]
    stepper.settle(
        Setting(
            what=f"delay in {place}",
            wanted=f"{wanted_ns} ns",
            read=register.cable_delay_ns,
            matches=lambda found: found == wanted_ns,
            write=lambda: register.set_cable_delay_ns(max(low_ns, min(high_ns, wanted_ns))),
            show=lambda found: f"{found} ns",
            required=required,
        )
    )


def outputs(bench: Bench, stepper: Stepper) -> None:
    """Signal generators."""
    for row in bench.intent.outputs:
        try:
            _output(bench, stepper, row)
        except UnsupportedError as error:
            stepper.lack(f"generator {row.generator}", error, required=row.required)


def _output(bench: Bench, stepper: Stepper, row: OutputIntent) -> None:
    generator = bench.card.generator(row.generator)
    settings = row.settings

    def write() -> None:
        if settings is None:
            generator.stop()
        else:
            generator.start(settings)

    stepper.settle(
        Setting(
            what=f"generator {row.generator}",
            wanted="stopped" if settings is None else settings_text(settings),
            read=generator.state,
            matches=lambda found: generates(found, settings, bench),
            write=write,
            show=state_text,
            required=row.required,
        )
    )


def generates(state: GeneratorState, settings: GeneratorSettings | None, bench: Bench) -> bool:
    """Whether a generator does what is wanted; its start only counts modulo the period."""
    if settings is None:
        return not state.running
    tolerance_ns = pulse_tolerance_ns(bench.card, settings.period_ns)
    return (
        state.running
        and state.error is None
        and state.period_ns == settings.period_ns
        and abs(state.pulse_ns - settings.pulse_ns) <= tolerance_ns
        and state.active_high == settings.active_high
        and state.start_tai_ns % settings.period_ns == settings.phase_ns % settings.period_ns
    )


def settings_text(settings: GeneratorSettings) -> str:
    """Settings of a generator in words."""
    sense = "" if settings.active_high else ", active low"
    phase = f", phase {settings.phase_ns} ns" if settings.phase_ns else ""
    return f"{settings.pulse_ns} ns every {settings.period_ns} ns{phase}{sense}"


def state_text(state: GeneratorState) -> str:
    """What a generator does in words."""
    if not state.running:
        return f"stopped ({state.error})" if state.error else "stopped"
    return settings_text(
        GeneratorSettings(
            period_ns=state.period_ns,
            pulse_ns=state.pulse_ns,
            phase_ns=state.start_tai_ns % state.period_ns if state.period_ns else 0,
            active_high=state.active_high,
        )
    )


def counters(bench: Bench, stepper: Stepper) -> None:
    """Frequency counters."""
    for row in bench.intent.counters:
        try:
            _counter(bench, stepper, row)
        except UnsupportedError as error:
            stepper.lack(f"counter {row.counter}", error, required=row.required)


def _counter(bench: Bench, stepper: Stepper, row: CounterIntent) -> None:
    counter = bench.card.counter(row.counter)

    def show(reading: CounterReading) -> str:
        return f"gate {reading.gate_s} s" if reading.gate_s else "off"

    stepper.settle(
        Setting(
            what=f"counter {row.counter}",
            wanted=f"gate {row.gate_s} s" if row.gate_s else "off",
            read=counter.read,
            matches=lambda found: found.gate_s == row.gate_s,
            write=(lambda: counter.start(row.gate_s)) if row.gate_s else counter.stop,
            show=show,
            required=row.required,
        )
    )


def card(bench: Bench, stepper: Stepper) -> None:
    """Which card it is, and that it answers."""
    found = bench.card
    stepper.add(
        "card", Outcome.AS_INTENDED, before=f"{found.id}, {found.board.product}, {found.access.value}"
    )
    try:
        stepper.add("FPGA image", Outcome.AS_INTENDED, before=str(found.image()))
    except UnsupportedError as error:
        stepper.notes.append(str(error))
    except TimeCardError as error:
        stepper.add("FPGA image", Outcome.FAILED, reason=str(error))
