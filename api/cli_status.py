"""What ``status`` and ``holdover`` print for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.schemas import HoldoverView, StatusView
from appliance.core_report import LearntReport, Reported
from appliance.verdict import Verdict
from timecard.timescale import NS_PER_S

STYLES: Final = {
    Verdict.SERVE: "bold green",
    Verdict.DEGRADED: "bold yellow",
    Verdict.DO_NOT_SERVE: "bold red",
}
Row = tuple[str, Text | str]


def print_status(status: StatusView, console: Console) -> None:
    """The whole state, one screen."""
    health = status.health
    table = _table()
    table.add_row("verdict", Text(health.verdict.value, STYLES[health.verdict]))
    for reason in health.reasons:
        table.add_row("", reason)
    sections = (
        _clock_rows,
        _announce_rows,
        _leap_rows,
        _holdover_rows,
        _gnss_rows,
        _oscillator_rows,
        _learnt_rows,
        _ensemble_rows,
        _ptp_rows,
        _card_rows,
    )
    for section in sections:
        table.add_section()
        for name, text in section(status):
            table.add_row(name, text)
    console.print(table)


def print_holdover(status: StatusView, console: Console) -> None:
    """Readiness and forecast."""
    view, leap = status.holdover, status.leap
    table = _table()
    table.add_row("holdover", _readiness(view))
    for reason in view.not_ready_reasons:
        table.add_row("", reason)
    if view.entered_tai_ns is None:
        entered = view.why_null["entered_tai_ns"]
    else:
        entered = instant(view.entered_tai_ns, leap.tai_minus_utc_s if leap.valid else None)
    table.add_row("entered", entered)
    if view.forced:
        table.add_row("", "asked for by an operator; `time-appliance holdover leave` ends it")
    table.add_row("budget", f"{view.budget_ns:g} ns")
    table.add_row("temperature", _shown(view, "temperature_assumption"))
    for event in view.excluded_events:
        table.add_row("not covered", event)
    console.print(table)
    if view.limits:
        console.print(_forecast(view))


def _table() -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    return table


def _forecast(view: HoldoverView) -> Table:
    """A row for each limit and kind, a column for each probability."""
    columns = sorted({limit.p for limit in view.limits})
    table = Table(
        "bound passes", "kind", *(f"{p * 100:g} %" for p in columns), box=None, padding=(0, 2, 0, 0)
    )
    cells: dict[tuple[float, str], dict[float, str]] = {}
    for limit in view.limits:
        row = cells.setdefault((limit.limit_ns, limit.kind.replace("_", " ")), {})
        row[limit.p] = limit.why_null["seconds"] if limit.seconds is None else duration(limit.seconds)
    for (limit_ns, kind), row in sorted(cells.items()):
        table.add_row(f"{limit_ns:g} ns", kind, *(row.get(p, "") for p in columns))
    return table


def _clock_rows(status: StatusView) -> Iterator[Row]:
    clock, health = status.clock, status.health
    state = clock.state.value
    if health.since is not None and health.as_of_tai_ns is not None:
        state += f" for {duration((health.as_of_tai_ns - health.since) / NS_PER_S)}"
    yield "clock", f"{state}, topology {clock.topology}, epoch {clock.epoch}"
    yield "offset", _shown(clock, "offset_ns", "{:+.1f} ns")
    yield "bound", _bound(status)
    yield "steering", f"{clock.frequency_ppb:+.3f} ppb"
    for alarm in clock.alarms:
        yield "alarm", Text(alarm, "yellow")
    for name, mapped in clock.clock_maps.items():
        half_width = _shown(mapped, "half_width_ns", "half width {:.0f} ns")
        yield f"map {name}", f"{_shown(mapped, 'method')}, {half_width}"


def _bound(status: StatusView) -> str:
    bound = status.clock.bound
    planes = [
        f"card {_shown(bound, 'card_ns', '{:.0f} ns')}",
        f"host {_shown(bound, 'host_ns', '{:.0f} ns')}",
    ]
    for name, value in bound.port.items():
        planes.append(
            f"{name} " + (f"{value:.0f} ns" if value is not None else bound.why_null[f"port.{name}"])
        )
    return f"{', '.join(planes)} (p = {status.clock.p:g})"


def _announce_rows(status: StatusView) -> Iterator[Row]:
    announced = status.ptp.announced
    yield (
        "announced",
        f"class {_shown(announced, 'clock_class')}, "
        f"accuracy {_shown(announced, 'clock_accuracy', '0x{:02X}')}, "
        f"variance {_shown(announced, 'offset_scaled_log_variance', '0x{:04X}')}",
    )


def _leap_rows(status: StatusView) -> Iterator[Row]:
    leap = status.leap
    doubt = "" if leap.valid else ", not to be relied on"
    yield "utc", f"{_shown(leap, 'utc')}, TAI - UTC {leap.tai_minus_utc_s} s{doubt}"
    if leap.coming is not None:
        yield "leap second", leap.coming


def _holdover_rows(status: StatusView) -> Iterator[Row]:
    view = status.holdover
    yield "holdover", _readiness(view)
    for reason in view.not_ready_reasons:
        yield "", reason


def _gnss_rows(status: StatusView) -> Iterator[Row]:
    gnss = status.gnss
    yield "gnss", f"{_shown(gnss, 'model')}, firmware {_shown(gnss, 'firmware')}"
    yield "fix", f"{_shown(gnss, 'fix')}, satellites {_shown(gnss, 'satellites_used')} used"
    yield "antenna", f"{_shown(gnss, 'antenna')}, jamming {_shown(gnss, 'jamming')}"
    yield from (("fault", Text(fault, "yellow")) for fault in gnss.faults)


def _oscillator_rows(status: StatusView) -> Iterator[Row]:
    oscillator = status.oscillator
    if oscillator.model is None:
        yield "oscillator", oscillator.why_null["model"]
    else:
        locked = {True: "locked", False: "not locked", None: oscillator.why_null.get("locked", "")}
        yield "oscillator", f"{oscillator.model}, {locked[oscillator.locked]}"
        yield "temperature", _shown(oscillator, "temperature_c", "{:.1f} degC")
        yield from (("alarm", Text(alarm, "yellow")) for alarm in oscillator.alarms or ())
    yield from (("fault", Text(fault, "yellow")) for fault in oscillator.faults)


def _learnt_rows(status: StatusView) -> Iterator[Row]:
    learnt = status.oscillator.learnt
    if learnt.drift_ppb_per_day is None:
        yield "learnt", f"nothing yet ({learnt.why_null['drift_ppb_per_day']})"
    else:
        yield "learnt", f"drift {_figure(learnt, 'drift_ppb_per_day', 'ppb/day')}"
        yield "", f"slope {_figure(learnt, 'tempco_ppb_per_degc', 'ppb/degC')}"
    if learnt.white_fm_1s is not None:
        after = "" if learnt.noise_from_s is None else f" ({duration(learnt.noise_from_s)} of samples)"
        names = {"white_fm_1s": "white FM", "flicker_floor": "flicker", "random_walk_1day": "walk"}
        shown = ", ".join(f"{name} {getattr(learnt, field).value:.1e}" for field, name in names.items())
        yield "noise", f"{shown}{after}"
        if learnt.pulse_white_ns is not None and learnt.pulse_coloured_ns is not None:
            white_ns, coloured_ns = learnt.pulse_white_ns.value, learnt.pulse_coloured_ns.value
            yield "", f"pulse {white_ns:.1f} ns white, {coloured_ns:.1f} ns coloured"


def _figure(learnt: LearntReport, name: str, unit: str) -> str:
    figure = getattr(learnt, name)
    return _shown(learnt, name) if figure is None else f"{figure.value:+.2g} +- {figure.sigma:.1g} {unit}"


def _ensemble_rows(status: StatusView) -> Iterator[Row]:
    view = status.ensemble
    if not view.enabled:
        return
    bound = _shown(view, "bound_ns", "{:.0f} ns")
    yield "ensemble", f"offset {_shown(view, 'offset_ns', '{:+.1f} ns')}, bound {bound}"
    if view.against_reference is not None:
        yield "", Text(f"the reference is contradicted: {view.against_reference}", "red")
    for member in view.members:
        offset = _shown(member, "offset_ns", "{:+.1f} ns")
        yield f"  {member.name}", f"{member.standing}, {offset}, weight {member.weight:.2f}"
        if member.evidence:
            yield "", Text(member.evidence, "yellow")


def _ptp_rows(status: StatusView) -> Iterator[Row]:
    ptp = status.ptp
    if not ptp.enabled:
        yield "ptp", "disabled"
        return
    ports = "/".join(map(str, ptp.ports)) if ptp.ports else _shown(ptp, "ports")
    yield "ptp", f"UDP {ports}, profile {_shown(ptp, 'profile')}, {_shown(ptp, 'contracts')} contracts"


def _card_rows(status: StatusView) -> Iterator[Row]:
    card = status.card
    yield "card", f"{_shown(card, 'id')} via {_shown(card, 'access_path')}"
    yield "source", f"{_shown(card, 'clock_source')}, PPS from {_shown(card, 'pps_selector')}"
    yield from (("fault", Text(fault, "yellow")) for fault in card.faults)


def _readiness(view: HoldoverView) -> Text:
    return Text("ready", "green") if view.ready else Text("not ready", "yellow")


def _shown(record: Reported, name: str, form: str = "{}") -> str:
    """A field, or why it is null."""
    value: Any = getattr(record, name)
    return f"unknown ({record.why_null[name]})" if value is None else form.format(value)


def instant(tai_ns: int, tai_minus_utc_s: int | None) -> str:
    """An instant as UTC, or as TAI where the difference is not known: for reading, not for computing."""
    scale = "TAI" if tai_minus_utc_s is None else "UTC"
    try:
        moment = datetime.fromtimestamp(tai_ns // NS_PER_S - (tai_minus_utc_s or 0), UTC)
    except (ValueError, OverflowError, OSError):
        return f"TAI {tai_ns} ns"
    return f"{moment:%Y-%m-%d %H:%M:%S} {scale}"


def duration(seconds: float) -> str:
    """``5 d 3 h``, ``2 h 10 min``, ``42 s``."""
    left = max(0, round(seconds))
    for unit_s, unit, lesser_s, lesser in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if left >= unit_s:
            return f"{left // unit_s} {unit} {left % unit_s // lesser_s} {lesser}"
    return f"{left} s"
