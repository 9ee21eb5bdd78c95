"""The clock map over a socket in real time, against the emulator's own log of the instants it latched.

For every snapshot the log holds the host's CLOCK_MONOTONIC_RAW and what the card's clock showed; the map that
was in force must have known the one from the other, within its claim.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.clock_map import ClockMap, MapState
from timecard.card import open_card
from timecard.card_protocols import Card
from timecard.discovery import vfio_user_card
from timecard.emulator.faults import PolledAgenda
from timecard.emulator.options import CardOptions
from timecard.emulator.vfio_user_device import VfioUserDevice
from timecard.emulator.vfio_user_server import VfioUserServer
from timecard.emulator.virtual_card import VirtualCard
from timecard.emulator.world import HostWorldTime
from timecard.timebase import HostTimebase

SECONDS = 8.0
PERIOD_S = 0.05
SETTLED = 40
S = 1_000_000_000


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


@pytest.mark.parametrize(("board", "method"), [("fb", "ptm"), ("adva", "bracket")])
def test_what_was_latched_lies_within_the_claim(board: str, method: str) -> None:
    with served(board) as (card, virtual):
        card.clock.select_source("REGS")
        clock_map = ClockMap()
        states: list[MapState] = []
        end_s = time.monotonic() + SECONDS
        while time.monotonic() < end_s:
            states.append(clock_map.add(card.clock.cross_timestamp()))
            time.sleep(PERIOD_S)
        latches = virtual.fpga.latches.since(0, 65_536)
    assert clock_map.jumps == 0
    assert {state.method for state in states} == {method}
    checked = inside = 0
    for state, following in zip(states[SETTLED:], states[SETTLED + 1 :], strict=False):
        for latch in latches:
            # What the line says of a time until the next one: the comparisons after its own.
            if not state.anchor_raw_ns < latch.mono_raw_ns <= following.anchor_raw_ns:
                continue
            error_ns = state.tai_ns(latch.mono_raw_ns) - latch.card_tai_ns
            inside += abs(error_ns) <= state.error_ns
            checked += 1
    assert checked > 50
    # The host may be interrupted between the two clocks that the emulated world is made of.
    assert inside >= 0.99 * checked
