"""``timecard list`` and ``timecard info``.

``list --watch`` has a line for each card: those that are there, then those that come, go or change.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from timecard.boards.board import Role
from timecard.bringup.oscillator import open_oscillator
from timecard.card_protocols import Card
from timecard.cli.common import (
    NO_SOCKET,
    Answer,
    AsJson,
    Facts,
    asked,
    emit,
    on_card,
    plain,
    rows,
    shown,
    until_told,
)
from timecard.discovery import CardDescriptor, list_cards, vfio_user_card
from timecard.errors import DeviceAbsentError
from timecard.gnss.detect import detect
from timecard.hotplug import RESCAN_S, CardWatcher, describe
from timecard.kernel.cross_timestamp import host_clocks
from timecard.timebase import HostTimebase, Timebase
from timecard.timescale import NS_PER_S, TAI_MINUS_UTC_2017_S

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
RECEIVER_S: Final = 15.0
"""For the port's own rate and the likeliest others."""
_CLOCK_STATUS: Final = ("in_sync", "in_holdover", "offset_ns", "drift_ppb")

Sockets = Annotated[
    list[Path] | None,
    typer.Option("--vfio-user", metavar="PATH", help="Socket of an emulated card; repeatable."),
]
Watch = Annotated[
    bool, typer.Option("--watch", help="Go on, with a line for each card that comes, goes or changes.")
]


def register(app: typer.Typer) -> None:
    """Add ``list`` and ``info``."""
    app.command("list")(list_command)
    app.command("info")(info_command)


def list_command(vfio_user: Sockets = None, watch: Watch = False, as_json: AsJson = False) -> None:
    """List the cards on the PCI bus, and those behind the given sockets. Opens and changes nothing."""
    if watch:
        if vfio_user:
            raise typer.BadParameter("--watch is about the PCI bus: leave --vfio-user out")
        _watch(as_json)
        return
    cards = list_cards()
    for path in vfio_user or []:
        if not path.is_socket():
            raise DeviceAbsentError(str(path), "list", NO_SOCKET)
        cards.append(vfio_user_card(path))
    emit([dataclasses.asdict(card) for card in cards], map(_card_line, cards), as_json)
    if not cards and not as_json:
        typer.echo("timecard: no Time Card on the PCI bus; --vfio-user PATH names an emulated one", err=True)


def _watch(as_json: bool) -> None:
    """Ctrl-C or SIGTERM ends it, with status 0."""
    with until_told(), CardWatcher() as watcher:
        typer.echo("timecard: waiting for cards to come and go (Ctrl-C ends it)", err=True)
        for facts, line in watched(watcher):
            emit(facts, [line], as_json)


def watched(watcher: CardWatcher) -> Iterator[tuple[Facts, str]]:
    """The cards that are there, then what happens to them, for ever: ready for JSON, and as text."""
    for card in watcher.cards:
        yield (
            {"change": "present", "card": dataclasses.asdict(card)},
            f"card {card.id} ({card.address}) present",
        )
    while True:
        for event in watcher.wait(RESCAN_S):
            facts = {"change": event.change.value, "card": dataclasses.asdict(event.card)}
            if event.before is not None:
                facts["before"] = dataclasses.asdict(event.before)
            yield facts, describe(event)


@on_card("info")
def info_command(card: Card) -> Answer:
    """Show what one card, its receiver and its oscillator say now; without a choice, the only card there is.

    Changes no setting of clock, receiver or oscillator. It does take the serial lines: stop a daemon first.
    """
    facts = card_info(card, HostTimebase())
    return facts, _info_lines(facts)


def card_info(card: Card, timebase: Timebase) -> Facts:
    """Everything that the card, its receiver and its oscillator say, ready for JSON.

    The same keys on every board and way to it: what cannot be shown is null, its reason stands in ``reasons``
    under the same key. A card whose clock cannot be read raises ``TimeCardError``.
    """
    cross = card.clock.cross_timestamp()
    ahead_ns, host_half_ns = host_clocks()
    host_ns = cross.mono_raw_ns + ahead_ns + TAI_MINUS_UTC_2017_S * NS_PER_S
    questions = {
        "image": lambda: str(card.image()),
        "clock_status": card.clock_status,
        "selector": lambda: _selector(card),
        "pps_slave": card.pps_slave,
        "sma": lambda: [str(connector) for connector in card.sma.read()],
        "tod": card.time_of_day,
        "identity": card.identity,
        "receiver": lambda: _receiver(card, timebase),
        "oscillator": lambda: _oscillator(card, timebase),
    }
    answers: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, ask in questions.items():
        answers[name], reason = asked(ask)
        if reason is not None:
            reasons[name] = reason
    status = answers.pop("clock_status") or {}
    facts = None if status else card.facts()
    return {
        "id": card.id,
        "board": card.board.name,
        "product": card.board.product,
        "access": card.access.value,
        "access_path": card.access_path,
        "image": answers["image"],
        "clock": {
            "core_version": ".".join(map(str, status["version"])) if status.get("version") else None,
            "time_tai_ns": str(cross.card_tai_ns),
            "time_tai": date_text(cross.card_tai_ns),
            "minus_host_ns": str(cross.card_tai_ns - host_ns),
            "half_width_ns": cross.half_width_ns + host_half_ns,
            "method": cross.method,
            "source": status["source"] if status else card.clock.source_name(),
            **{name: status.get(name) for name in _CLOCK_STATUS},
            **({"in_sync": facts.in_sync} if facts else {}),
        },
        **{name: answer for name, answer in answers.items() if name != "image"},
        "missing": dict(card.missing()),
        "reasons": reasons,
    }


def _selector(card: Card) -> Facts:
    found = card.selector()
    return {
        "pps_present": sorted(source.name for source in found.present),
        "pps_selected": found.selected.name if found.selected else None,
        "pps_forced": found.forced is not None,
        "clock_10mhz": found.clock_10mhz,
    }


def _receiver(card: Card, timebase: Timebase) -> Any:
    found = detect(card.serial(Role.GNSS), timebase, limit_s=RECEIVER_S)
    return {"driver": found.driver.name, "baud": found.baud, **plain(found.identity)}


def _oscillator(card: Card, timebase: Timebase) -> Any:
    _, identity = open_oscillator(card, timebase, rounds=1)
    return identity


def host_tai_ns() -> int:
    """The host's CLOCK_REALTIME as TAI."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME) + TAI_MINUS_UTC_2017_S * NS_PER_S


def date_text(tai_ns: int) -> str:
    """An instant of TAI as a date, to the nanosecond."""
    seconds, ns = divmod(tai_ns, NS_PER_S)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}.{ns:09d} TAI"


def _card_line(card: CardDescriptor) -> str:
    held = f" driver={card.driver}" if card.driver else ""
    return f"{card.id}  {card.access}={card.address}{held}  {card.product}"


def _info_lines(facts: Mapping[str, Any]) -> list[str]:
    clock = facts["clock"]
    sync = {True: "in sync", False: "not in sync", None: "not told whether in sync"}[clock["in_sync"]]
    sma: Sequence[str] = facts["sma"] or ()
    core = f", clock core {clock['core_version']}" if clock["core_version"] else ""
    return rows(
        [
            ("card", f"{facts['id']} ({facts['access_path']})"),
            ("board", f"{facts['product']}, by {facts['access']}"),
            ("image", f"{_part(facts, 'image', str)}{core}"),
            ("serial", _part(facts, "identity", _identity)),
            ("clock", f"{clock['time_tai']}, {int(clock['minus_host_ns'])} ns from the host's clock"),
            ("source", f"{clock['source']}, {sync}{', holdover' if clock['in_holdover'] else ''}"),
            ("pps", _part(facts, "selector", _pps)),
            ("pps errors", _part(facts, "pps_slave", _pps_errors)),
            ("10 MHz", _part(facts, "selector", lambda selector: shown(selector["clock_10mhz"]))),
            *((line.split()[0], " ".join(line.split()[1:])) for line in sma),
            ("time of day", _part(facts, "tod", _tod)),
            ("receiver", _part(facts, "receiver", _words("model", "firmware", "protocol"))),
            ("oscillator", _part(facts, "oscillator", _words("family", "model", "serial", "firmware"))),
        ]
    )


def _part(facts: Mapping[str, Any], name: str, text: Any) -> str:
    value = facts[name]
    return str(facts["reasons"].get(name, "unknown") if value is None else text(value))


def _identity(identity: Mapping[str, Any]) -> str:
    problems = f" ({'; '.join(identity['problems'])})" if identity["problems"] else ""
    return f"{shown(identity['serial'])}, board id {shown(identity['board_id'])}{problems}"


def _pps(selector: Mapping[str, Any]) -> str:
    return f"{shown(selector['pps_selected'])} of {', '.join(selector['pps_present']) or 'none'}"


def _pps_errors(slave: Mapping[str, Any]) -> str:
    found = [name for name in ("filter_error", "lost") if slave[name]]
    unseen = [name for name in ("filter_error", "lost") if slave[name] is None]
    return f"{', '.join(found) or 'none'}{f' ({unseen[0]} is not shown)' if unseen else ''}"


def _tod(tod: Mapping[str, Any]) -> str:
    satellites = f"{shown(tod['satellites_used'])} of {shown(tod['satellites_seen'])} satellites"
    return f"{tod['protocol']}, TAI-UTC {shown(tod['tai_minus_utc_s'])} s, {satellites}"


def _words(*names: str) -> Any:
    return lambda values: " ".join(str(values[name]) for name in names)
