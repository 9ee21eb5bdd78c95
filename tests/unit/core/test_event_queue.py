"""A main loop that stalls: samples are dropped and counted, what is said only once is not."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from appliance.config import Config
from appliance.daemon import QUEUE_SIZE, Core
from appliance.event_queue import EventQueue
from appliance.events import (
    Command,
    CommandKind,
    Event,
    GnssEdge,
    SourceFault,
    SourceRestored,
    SteeringApplied,
)
from appliance.ipc import CommandRefusedError
from appliance.publisher import Publisher
from appliance.sources import SourceRunner, SourceThread
from tests.unit.core.test_core_troubles import build
from timecard.timebase import HostTimebase
from timecard.values import Alarm, EdgeStamp


def edge(number: int) -> GnssEdge:
    stamp = EdgeStamp(
        channel="ts0", card_tai_ns=number, event_count=number, dropped=False, read_mono_ns=number
    )
    return GnssEdge(stamp=stamp)


SAID_ONCE: tuple[Event, ...] = (
    SourceFault(source="oscillator", reason="gone", mono_ns=1),
    Command(kind=CommandKind.ENTER_HOLDOVER, mono_ns=2),
    SteeringApplied(frequency_ppb=1.5, mono_ns=3),
    Alarm(name="spoofing", active=True, unusable=True, evidence="test", read_mono_ns=4),
    SourceRestored(source="oscillator", mono_ns=5),
)


def taken(events: EventQueue) -> list[Event]:
    return [events.get_nowait() for _ in range(events.qsize())]


def test_the_oldest_samples_go_and_what_is_said_once_stays_in_its_place() -> None:
    events = EventQueue(8)
    for number, once in enumerate(SAID_ONCE):
        events.put(once)
        events.put(edge(number))
    for number in range(100, 200):
        events.put(edge(number))
    assert taken(events) == [*SAID_ONCE, edge(197), edge(198), edge(199)]
    assert events.dropped == 102


def test_more_that_is_said_once_than_there_is_room_for_is_kept() -> None:
    events = EventQueue(3)
    for number in range(50):
        events.put(edge(number))
        for once in SAID_ONCE:
            events.put(once)
    assert taken(events) == [*SAID_ONCE] * 50
    assert events.dropped == 50


def test_a_fault_outlives_the_flood_of_another_source() -> None:
    events = EventQueue(16)
    left = 1_000

    def flood() -> Iterable[Event]:
        nonlocal left
        left -= 1
        if left < 0:
            thread.stop()
        return [edge(left)]

    events.put(SAID_ONCE[0])
    thread = SourceThread(
        SourceRunner("pps", flood, HostTimebase(), period_s=0.0),
        events,
        lambda error: pytest.fail(str(error)),
    )
    thread.start()
    thread.join()
    assert taken(events)[0] == SAID_ONCE[0]
    assert events.dropped > 900


def test_a_command_is_refused_while_nobody_takes_anything_and_drops_are_in_the_report() -> None:
    core = Core(Config())
    for number in range(QUEUE_SIZE + 7):
        core._events.put(edge(number))
    with pytest.raises(CommandRefusedError, match="overloaded"):
        core.command(CommandKind.ENTER_HOLDOVER)
    core._events.get_nowait()
    core.command(CommandKind.ENTER_HOLDOVER)
    assembly, timebase = build(Config())
    publisher = Publisher(Config(), assembly, timebase, bytes(8))
    assert "events_dropped" not in publisher.publish(None, None).clock.counters
    report = publisher.publish(None, None, dropped=core._events.dropped)
    assert report.clock.counters["events_dropped"] == 7
