"""The clock map over a socket in real time, against the emulator's own log of the instants it latched.

For every snapshot the log holds the host's CLOCK_MONOTONIC_RAW and what the card's clock showed; the map that
was in force must have known the one from the other, within its claim. Nothing is fitted: both sides count the
same clock.
"""

from __future__ import annotations

import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.clock_map import ClockMap, MapState
from timecard.card import open_card
from timecard.card_protocols import Card
from timecard.discovery import vfio_user_card
from timecard.emulator.faults import PolledAgenda
from timecard.emulator.fpga_latches import CAPACITY
from timecard.emulator.options import CardOptions
from timecard.emulator.vfio_user_device import VfioUserDevice
from timecard.emulator.vfio_user_server import VfioUserServer
from timecard.emulator.virtual_card import VirtualCard
from timecard.emulator.world import HostWorldTime
from timecard.timebase import HostTimebase

PERIOD_S = 0.01
SETTLE_S = 3.0
COVERED = 0.999
PTM_TIGHT_NS = 100.0


@contextmanager
def served(board: str) -> Iterator[tuple[Card, VirtualCard]]:
    world = HostWorldTime()
    virtual = VirtualCard(CardOptions(board=board), world, PolledAgenda(), name="card")
    with tempfile.TemporaryDirectory(prefix="map-") as folder:
        path = Path(folder) / "card.sock"
        server = VfioUserServer(path, VfioUserDevice(virtual.fpga), world)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            with open_card(vfio_user_card(path), HostTimebase()) as card:
                yield card, virtual
        finally:
            server.stop()
            thread.join(5)
            server.close()


@pytest.mark.parametrize("reads", [500, pytest.param(10_000, marks=pytest.mark.full)])
@pytest.mark.parametrize(("board", "method"), [("fb", "ptm"), ("adva", "bracket")])
def test_what_was_latched_lies_within_the_claim(board: str, method: str, reads: int) -> None:
    with served(board) as (card, virtual):
        clock, log = card.clock, virtual.fpga.latches
        clock.select_source("REGS")
        clock_map = ClockMap()
        states: list[MapState] = []

        def compare() -> None:
            states.append(clock_map.add(clock.cross_timestamp()))
            time.sleep(PERIOD_S)

        settled_s = time.monotonic() + SETTLE_S
        while time.monotonic() < settled_s:
            compare()
        states.clear()
        first = log.next_sequence
        while log.next_sequence < first + reads:
            compare()
        latches = log.since(first, CAPACITY)
    assert clock_map.jumps == 0
    assert {state.method for state in states} == {method}
    anchors = [state.anchor_raw_ns for state in states]
    checked = missed = 0
    for latch in latches:
        # The line that was in force: the newest one that was made of a comparison before.
        newest = bisect_left(anchors, latch.mono_raw_ns) - 1
        if newest >= 0:
            error_ns = states[newest].tai_ns(latch.mono_raw_ns) - latch.card_tai_ns
            missed += abs(error_ns) > states[newest].error_ns
            checked += 1
    assert checked >= 0.95 * reads
    # The host may be interrupted between the two clocks that the emulated world is made of: once is allowed.
    assert missed <= max(1, (1 - COVERED) * checked)
    if method == "ptm":
        assert max(state.error_ns for state in states) <= PTM_TIGHT_NS
