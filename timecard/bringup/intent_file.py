"""Reading an intent file (TOML): ``Intent`` or every error at once, each naming file, table and key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from timecard.boards import BOARDS
from timecard.bringup.delays import (
    PLACES,
    SEGMENTS,
    DelayLedger,
    DelayRow,
    Place,
    Segment,
    ledger_problems,
)
from timecard.bringup.intent import (
    ACCESS_CHOICES,
    CLOCK_10MHZ_CHOICES,
    PPS_CHOICES,
    SOURCE_CHOICES,
    VERSION,
    CardIntent,
    CounterIntent,
    DoctorIntent,
    Intent,
    OscillatorIntent,
    OutputIntent,
    ProofIntent,
    ReceiverIntent,
    SelectionIntent,
    SmaIntent,
    TimeIntent,
)
from timecard.card_values import GeneratorSettings
from timecard.digits import whole_number
from timecard.gnss.intent import TIME_CARD
from timecard.gnss.intent_file import read_settings
from timecard.mac.oscillators import OSCILLATORS
from timecard.timescale import NS_PER_S
from timecard.toml_reader import IntentError, Table, parse_document, read_document

MAX_WAIT_S: Final = 86_400.0
MIN_PERIOD_NS: Final = 40
"""Twice the 20 ns tick of the FPGA's clock."""
MAX_PERIOD_NS: Final = 3_600 * NS_PER_S
PORTS: Final = 4
"""Connectors, generators and counters are numbered 1 to 4; what a board lacks is said when it is set up."""
STORES: Final = ("ram", "battery", "flash")
DUTY_PERCENT: Final = 50.0
_T = TypeVar("_T")


def load_intent(path: Path) -> Intent:
    """Read a file; raises ``IntentError``."""
    document, raw = read_document(path)
    return intent_from(document, str(path), hashlib.sha256(raw).hexdigest())


def parse_intent(text: str, source: str = "intent") -> Intent:
    """Read a text; raises ``IntentError``."""
    raw = text.encode("utf-8")
    return intent_from(parse_document(raw, source), source, hashlib.sha256(raw).hexdigest())


def load_delays(path: Path) -> DelayLedger:
    """Only the ``[[delays]]`` of a file, which may be an intent or the daemon's configuration.

    Raises ``IntentError``.
    """
    document, _ = read_document(path)
    problems: list[str] = []
    rows = _delay_rows(Table(document, str(path), "", problems))
    if problems:
        raise IntentError(problems)
    return DelayLedger(rows)


def intent_from(document: dict[str, Any], source: str = "intent", digest: str = "") -> Intent:
    """An intent from a dictionary as TOML gives it; raises ``IntentError`` with every problem."""
    problems: list[str] = []
    top = Table(document, source, "", problems)
    version = top.whole("version", 1, VERSION, VERSION)
    intent = Intent(
        card=_in_table(top, "card", _card) or CardIntent(),
        doctor=_in_table(top, "doctor", _doctor) or DoctorIntent(),
        selection=_in_table(top, "selection", _selection),
        receiver=_in_table(top, "receiver", _receiver),
        oscillator=_in_table(top, "oscillator", _oscillator),
        sma=_sma_rows(top),
        delays=_delay_rows(top) if "delays" in top else None,
        delays_required=top.flag("delays_required", False),
        outputs=_numbered(top, "outputs", "generator", _output),
        counters=_numbered(top, "counters", "counter", _counter),
        time=_in_table(top, "time", _time),
        proof=_in_table(top, "proof", _proof),
        source=source,
        digest=digest,
    )
    top.finish()
    if version is not None and not problems:
        _check_together(intent, top)
    if problems:
        raise IntentError(problems)
    return intent


def _in_table(top: Table, key: str, build: Callable[[Table], _T]) -> _T | None:
    table = top.table(key)
    if table is None:
        return None
    built = build(table)
    table.finish()
    return built


def _card(table: Table) -> CardIntent:
    socket = table.text("vfio_user")
    card = CardIntent(
        id=table.text("id"),
        pci=table.text("pci"),
        vfio_user=Path(socket) if socket else None,
        access=table.text("access", choices=ACCESS_CHOICES),
    )
    given = [name for name in ("id", "pci", "vfio_user") if name in table]
    if len(given) > 1:
        table.problem("", f"{' and '.join(given)} each select a card; keep one of them")
    if card.vfio_user is not None and card.access is not None:
        table.problem("access", "vfio_user already says how the card is reached; remove one of them")
    return card


def _doctor(table: Table) -> DoctorIntent:
    return DoctorIntent(stop_on_error=table.flag("stop_on_error", False))


def _selection(table: Table) -> SelectionIntent:
    return SelectionIntent(
        clock_10mhz=table.text("clock_10mhz", choices=CLOCK_10MHZ_CHOICES),
        pps=table.text("pps", choices=PPS_CHOICES),
        clock_source=table.text("clock_source", choices=SOURCE_CHOICES),
        wait_s=_wait(table, "wait_s", 0.0),
        required=table.flag("required", False),
    )


def _receiver(table: Table) -> ReceiverIntent:
    position = table.table("position")
    place, accuracy_m = None, 1.0
    if position is not None:
        place = (
            position.number("latitude_deg", -90, 90, 0.0, required=True) or 0.0,
            position.number("longitude_deg", -180, 180, 0.0, required=True) or 0.0,
            position.number("height_m", -1_000, 10_000, 0.0, required=True) or 0.0,
        )
        accuracy_m = position.number("accuracy_m", 0.01, 100, 1.0) or 1.0
        position.finish()
    if table.whole("cable_delay_ns", -32_768, 32_767) is not None:
        table.problem("cable_delay_ns", 'belongs to [[delays]], as a row with compensated_by = "receiver"')
    return ReceiverIntent(
        settings=read_settings(table, TIME_CARD),
        survey_s=table.whole("survey_s", 60, 604_800, 1_200) or 1_200,
        survey_accuracy_m=table.number("survey_accuracy_m", 0.01, 1_000, 5.0) or 5.0,
        position=place,
        position_accuracy_m=accuracy_m,
        store=table.text("store", "battery", choices=STORES) or "battery",
        wait_fix_s=_wait(table, "wait_fix_s", 0.0),
        required=table.flag("required", False),
    )


def _oscillator(table: Table) -> OscillatorIntent:
    return OscillatorIntent(
        family=table.text("family", choices=sorted(OSCILLATORS)),
        locked=table.flag("locked", True),
        wait_lock_s=_wait(table, "wait_lock_s", 0.0),
        required=table.flag("required", False),
    )


def _time(table: Table) -> TimeIntent:
    source = table.text("source", "receiver", choices=("receiver", "host"))
    return TimeIntent(
        source="host" if source == "host" else "receiver",
        limit_s=table.number("limit_s", 0.001, 3_600, 0.5) or 0.5,
        wait_s=_wait(table, "wait_s", 60.0),
        required=table.flag("required", False),
    )


def _proof(table: Table) -> ProofIntent:
    return ProofIntent(
        limit_ns=table.number("limit_ns", 1, 1e6, 1_000.0) or 1_000.0,
        seconds=table.whole("seconds", 2, 3_600, 10) or 10,
        wait_s=_wait(table, "wait_s", 120.0),
        required=table.flag("required", True),
    )


def _sma_rows(top: Table) -> tuple[SmaIntent, ...]:
    inputs, outputs = _names("inputs"), _names("outputs")
    rows: list[SmaIntent] = []
    where: dict[str, int] = {}
    for table in top.tables("sma"):
        connector = table.whole("connector", 1, PORTS, required=True)
        direction = table.text("direction", choices=("in", "out", "off"), required=True)
        names = () if direction == "off" else inputs if direction == "in" else outputs
        functions = table.texts("functions", names or sorted({*inputs, *outputs}))
        required = table.flag("required", False)
        table.finish()
        if connector is None or direction is None:
            continue
        if direction == "off" and functions:
            table.problem("functions", 'a connector that is "off" has no function; remove them')
        if direction != "off" and not functions:
            table.problem("functions", f"is missing; expected {', '.join(names)}")
        if direction == "out" and len(functions) > 1:
            table.problem("functions", f"an output has one function, not {len(functions)}: choose one")
        if len(functions) > 1 and "10MHz" in functions:
            table.problem("functions", "10MHz is an input without any other function: choose")
        if any(row.connector == connector for row in rows):
            table.problem("connector", f"{connector} has a row already; keep one")
        for function in functions if direction == "in" else ():
            if function in where:
                table.problem(
                    "functions",
                    f"{function} already comes from connector {where[function]}; the lower number would win: "
                    "choose one",
                )
            where.setdefault(function, connector)
        direction_value = cast(Any, direction)
        rows.append(
            SmaIntent(connector=connector, direction=direction_value, functions=functions, required=required)
        )
    return tuple(rows)


def _names(kind: str) -> tuple[str, ...]:
    """Every board's functions of one direction, in the order of their first mention."""
    return tuple(dict.fromkeys(name for board in BOARDS.values() for name in getattr(board.sma, kind)))


def _delay_rows(top: Table) -> tuple[DelayRow, ...]:
    rows: list[tuple[Table, DelayRow]] = []
    for table in top.tables("delays"):
        row = delay_row(table)
        if row is not None:
            rows.append((table, row))
    for index, problem in ledger_problems([row for _, row in rows]):
        rows[index][0].problem("", problem)
    return tuple(row for _, row in rows)


def delay_row(table: Table) -> DelayRow | None:
    """One row of ``[[delays]]``; None when something is wrong with it."""
    segment = table.text("segment", choices=SEGMENTS, required=True)
    value_ns = table.number("value_ns", -1e9, 1e9, required=True)
    uncertainty_ns = table.number("uncertainty_ns", 0, 1e9, required=True)
    origin = table.text("origin", required=True)
    place = table.text("compensated_by", choices=PLACES, required=True)
    table.finish()
    if place == "oscillator":
        table.problem(
            "compensated_by",
            "nothing writes an oscillator's own delay, so nobody would take it out; choose "
            + ", ".join(each for each in PLACES if each != place),
        )
    if None in (segment, value_ns, uncertainty_ns, origin, place):
        return None
    return DelayRow(
        segment=cast(Segment, segment),
        value_ns=value_ns or 0.0,
        uncertainty_ns=uncertainty_ns or 0.0,
        origin=origin or "",
        compensated_by=cast(Place, place),
    )


def _numbered(top: Table, key: str, number: str, build: Callable[[Table, int], _T]) -> tuple[_T, ...]:
    """Rows that are told apart by a number of 1 to 4, each at most once."""
    rows: dict[int, _T] = {}
    for table in top.tables(key):
        which = table.whole(number, 1, PORTS, required=True)
        row = build(table, which or 1)
        table.finish()
        if which in rows:
            table.problem(number, f"{which} has a row already; keep one")
        if which is not None:
            rows[which] = row
    return tuple(rows.values())


def _output(table: Table, generator: int) -> OutputIntent:
    required = table.flag("required", False)
    if not table.flag("enable", True):
        return OutputIntent(generator=generator, settings=None, required=required)
    period_ns = _period_ns(table)
    pulse_ns = _pulse_ns(table, period_ns)
    phase_ns = table.whole("phase_ns", 0, MAX_PERIOD_NS, 0) or 0
    if phase_ns >= period_ns:
        table.problem("phase_ns", f"{phase_ns} is not below the period of {period_ns} ns")
    return OutputIntent(
        generator=generator,
        settings=GeneratorSettings(
            period_ns=period_ns,
            pulse_ns=pulse_ns,
            phase_ns=phase_ns,
            active_high=table.flag("active_high", True),
            cable_delay_ns=table.whole("cable_delay_ns", 0, 0xFFFF, 0) or 0,
        ),
        required=required,
    )


def _period_ns(table: Table) -> int:
    period_ns = table.whole("period_ns", MIN_PERIOD_NS, MAX_PERIOD_NS)
    lowest_hz, highest_hz = NS_PER_S / MAX_PERIOD_NS, NS_PER_S / MIN_PERIOD_NS
    frequency_hz = table.number("frequency_hz", lowest_hz, highest_hz)
    if ("period_ns" in table) == ("frequency_hz" in table):
        table.problem("", "give one of period_ns and frequency_hz")
        return NS_PER_S
    if frequency_hz is None:
        return period_ns or NS_PER_S
    exact_ns = NS_PER_S / frequency_hz
    if abs(exact_ns - round(exact_ns)) > 1e-6:
        table.problem(
            "frequency_hz",
            f"{frequency_hz:g} has no period of whole ns ({exact_ns:.3f}); "
            f"give period_ns = {round(exact_ns)} if that will do",
        )
    return round(exact_ns)


def _pulse_ns(table: Table, period_ns: int) -> int:
    pulse_ns = table.whole("pulse_ns", 1, MAX_PERIOD_NS)
    duty_percent = table.number("duty_percent", 1, 99)
    if "pulse_ns" in table and "duty_percent" in table:
        table.problem("", "give one of pulse_ns and duty_percent")
    if pulse_ns is None:
        return max(1, round(period_ns * (duty_percent or DUTY_PERCENT) / 100))
    if pulse_ns >= period_ns:
        table.problem("pulse_ns", f"{pulse_ns} is not below the period of {period_ns} ns")
    return pulse_ns


def _counter(table: Table, counter: int) -> CounterIntent:
    gate_s = table.whole("gate_s", 0, 255, 1)
    required = table.flag("required", False)
    return CounterIntent(counter=counter, gate_s=1 if gate_s is None else gate_s, required=required)


def _wait(table: Table, key: str, default: float) -> float:
    value = table.number(key, 0, MAX_WAIT_S, default)
    return default if value is None else value


def _check_together(intent: Intent, top: Table) -> None:
    """What only shows when the tables are seen together."""
    if (
        intent.delays is not None
        and intent.receiver is None
        and any(row.compensated_by == "receiver" for row in intent.delays)
    ):
        top.problem("delays", 'a row is compensated_by "receiver", so a table [receiver] has to be there too')
    generators = {row.generator: row for row in intent.outputs}
    for row in intent.sma:
        for function in row.functions if row.direction == "out" else ():
            number = whole_number(function[3:]) if function.startswith("GEN") else None
            output = generators.get(number) if number else None
            if output is not None and output.settings is None:
                top.problem(
                    "outputs",
                    f"generator {number} is not enabled, but connector {row.connector} shows {function}",
                )
