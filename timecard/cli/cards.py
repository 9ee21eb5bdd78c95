"""``timecard list`` and ``timecard info``."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from timecard.card import Card, open_card
from timecard.cli.common import NO_SOCKET, AsJson, CardId, Pci, VfioUser, choose
from timecard.discovery import CardDescriptor, list_cards, vfio_user_card
from timecard.errors import DeviceAbsentError, TimeCardError
from timecard.gnss.receiver import UbloxReceiver
from timecard.gnss.ublox_profile import UbloxOptions
from timecard.mac.oscillators.sa5x import Sa5x
from timecard.pcie.status import (
    read_clock_status,
    read_image_version,
    read_pps_slave,
    read_selector,
    read_sma,
    read_tod,
)
from timecard.timebase import HostTimebase, Timebase
from timecard.timescale import NS_PER_S, TAI_MINUS_UTC_2017_S

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Sockets = Annotated[
    list[Path] | None,
    typer.Option("--vfio-user", metavar="PATH", help="Socket of an emulated card; repeatable."),
]


def register(app: typer.Typer) -> None:
    """Add ``list`` and ``info``."""
    app.command("list")(list_command)
    app.command("info")(info_command)


def list_command(vfio_user: Sockets = None, as_json: AsJson = False) -> None:
    """List the cards on the PCI bus, and those behind the given sockets. Opens and changes nothing."""
    cards = list_cards()
    for path in vfio_user or []:
        if not path.is_socket():
            raise DeviceAbsentError(str(path), "list", NO_SOCKET)
        cards.append(vfio_user_card(path))
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(card) for card in cards]))
        return
    for card in cards:
        typer.echo(_card_line(card))
    if not cards:
        typer.echo("timecard: no Time Card on the PCI bus; --vfio-user PATH names an emulated one", err=True)


def info_command(
    card_id: CardId = None, pci: Pci = None, vfio_user: VfioUser = None, as_json: AsJson = False
) -> None:
    """Show what one card, its receiver and its oscillator say now; without a choice, the only card there is.

    Changes no setting of clock, receiver or oscillator. It does take the serial lines: stop a daemon first.
    """
    timebase = HostTimebase()
    with open_card(choose(card_id, pci, vfio_user, "info"), timebase) as card:
        facts = card_info(card, timebase)
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        for line in _info_lines(facts):
            typer.echo(line)


def card_info(card: Card, timebase: Timebase) -> dict[str, Any]:
    """Everything that the card, its receiver and its oscillator say, ready for JSON.

    A receiver or oscillator that does not answer is null, with the reason beside it; a card that fails raises
    ``TimeCardError``.
    """
    bus = card.bus
    clock, selector = read_clock_status(bus), read_selector(bus)
    cross = card.clock.cross_timestamp()
    host_tai_ns = _host_tai_ns(cross.mono_raw_ns, timebase)
    receiver, receiver_error = _asked(lambda: _receiver(card, timebase))
    oscillator, oscillator_error = _asked(lambda: Sa5x(card.mac_stream, timebase).identify())
    return {
        "id": card.id,
        "access": card.access_path,
        "image": str(read_image_version(bus)),
        "clock": {
            "core_version": ".".join(map(str, clock.version)),
            "time_tai_ns": str(cross.card_tai_ns),
            "time_tai": _date(cross.card_tai_ns),
            "minus_host_ns": str(cross.card_tai_ns - host_tai_ns),
            "source": clock.source,
            "in_sync": clock.in_sync,
            "in_holdover": clock.in_holdover,
            "last_offset_ns": clock.offset_ns,
            "drift_ppb": clock.drift_ppb,
        },
        "selector": {
            "pps_present": sorted(source.name for source in selector.present),
            "pps_selected": selector.selected.name if selector.selected else None,
            "pps_forced": selector.forced is not None,
            "clock_10mhz": selector.clock_10mhz,
        },
        "pps_slave": dataclasses.asdict(read_pps_slave(bus)),
        "sma": [str(connector) for connector in read_sma(bus)],
        "tod": dataclasses.asdict(read_tod(bus)),
        "receiver": receiver,
        "receiver_error": receiver_error,
        "oscillator": oscillator,
        "oscillator_error": oscillator_error,
    }


def _receiver(card: Card, timebase: Timebase) -> Any:
    receiver = UbloxReceiver(card.gnss_stream, timebase, UbloxOptions(configure=False))
    receiver.start()
    return receiver.identity


def _asked(ask: Callable[[], Any]) -> tuple[dict[str, Any] | None, str | None]:
    try:
        answer = ask()
    except TimeCardError as error:
        return None, str(error)
    values = dataclasses.asdict(answer)
    values.pop("read_mono_ns", None)
    return values, None


def _host_tai_ns(mono_raw_ns: int, timebase: Timebase) -> int:
    """The host's CLOCK_REALTIME as TAI at a raw monotonic instant that is just past."""
    realtime_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
    return realtime_ns + TAI_MINUS_UTC_2017_S * NS_PER_S - (timebase.mono_ns() - mono_raw_ns)


def _date(tai_ns: int) -> str:
    seconds, ns = divmod(tai_ns, NS_PER_S)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}.{ns:09d} TAI"


def _card_line(card: CardDescriptor) -> str:
    held = f" driver={card.driver}" if card.driver else ""
    return f"{card.id}  {card.access}={card.address}{held}  {card.product}"


def _info_lines(facts: dict[str, Any]) -> list[str]:
    clock, selector, slave, tod = facts["clock"], facts["selector"], facts["pps_slave"], facts["tod"]
    state = "in sync" if clock["in_sync"] else "not in sync"
    satellites = f"{_shown(tod['satellites_used'])} of {_shown(tod['satellites_seen'])} satellites"
    rows = [
        ("card", f"{facts['id']} ({facts['access']})"),
        ("image", f"{facts['image']}, clock core {clock['core_version']}"),
        ("clock", f"{clock['time_tai']}, {int(clock['minus_host_ns'])} ns from the host's clock"),
        ("source", f"{clock['source']}, {state}{', holdover' if clock['in_holdover'] else ''}"),
        ("pps", f"{_shown(selector['pps_selected'])} of {', '.join(selector['pps_present']) or 'none'}"),
        ("pps errors", ", ".join(name for name in ("filter_error", "lost") if slave[name]) or "none"),
        ("10 MHz", selector["clock_10mhz"]),
        *((line.split()[0], " ".join(line.split()[1:])) for line in facts["sma"]),
        ("time of day", f"{tod['protocol']}, TAI-UTC {_shown(tod['tai_minus_utc_s'])} s, {satellites}"),
        ("receiver", _identity(facts, "receiver", ("model", "firmware", "protocol"))),
        ("oscillator", _identity(facts, "oscillator", ("family", "model", "serial", "firmware"))),
    ]
    return [f"{name:12} {text}" for name, text in rows]


def _identity(facts: dict[str, Any], part: str, names: Sequence[str]) -> str:
    values = facts[part]
    return facts[f"{part}_error"] if values is None else " ".join(str(values[name]) for name in names)


def _shown(value: object) -> str:
    return "unknown" if value is None else str(value)
