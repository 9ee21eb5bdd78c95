"""Opening a card and what it is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fpga_server import serving
from tests.fpga_world import make_world
from timecard.boards import Role
from timecard.card import card_on_bus, open_card
from timecard.discovery import vfio_user_card
from timecard.errors import DeviceLostError
from timecard.protocols import ByteStream, Clock, CrossTimestamping, EdgeSource
from timecard.timebase import HostTimebase


def test_a_card_on_a_bus_has_clock_timestampers_and_lines() -> None:
    world = make_world(serial=0x0011_2233_4455_6677)
    card = card_on_bus(world.card, world.time)
    clock: Clock = card.clock
    edges: list[EdgeSource] = [card.timestamper("ts0"), card.timestamper("ts5")]
    for channel in ("ts0", "ts5"):
        card.timestamper(channel).enable()
    lines: list[ByteStream] = [card.serial(Role.GNSS), card.serial(Role.MAC)]
    assert isinstance(clock, CrossTimestamping)
    assert (card.id, card.name) == ("00-11-22-33-44-55-66-77", "card 00-11-22-33-44-55-66-77")
    world.sleep_s(1)
    assert all(edge.poll() is not None for edge in edges)
    world.device.to_say = [(world.now_ns, b"hello")]
    assert lines[0].read(100, 0.1) == b"hello"
    assert lines[1].read(100, 0.1) == b""
    assert world.card.unmapped == 0


def test_opening_does_not_change_the_clocks_source() -> None:
    world = make_world()
    assert card_on_bus(world.card, world.time).facts().clock_source == "PPS"


def test_facts_in_words() -> None:
    world = make_world(image_version=0x800E)
    card = card_on_bus(world.card, world.time)
    world.sleep_s(5)
    facts = card.facts()
    assert (facts.image_version, facts.clock_core_version) == ("fw 1.14", "1.2.0")
    assert (facts.clock_source, facts.pps_source) == ("PPS", "GNSS")
    assert facts.sma == {"sma1": "in 10MHz", "sma2": "in PPS1", "sma3": "out PHC", "sma4": "out GNSS1"}


def test_a_card_without_serial_number_is_named_by_its_bus() -> None:
    world = make_world(serial=0, name="bench")
    assert card_on_bus(world.card, world.time).id == "bench"


def test_a_card_behind_a_socket_is_opened_and_closed(tmp_path: Path) -> None:
    with serving(tmp_path / "card.sock"):
        with open_card(vfio_user_card(tmp_path / "card.sock"), HostTimebase()) as card:
            assert card.id == "02-ac-cd-ff-fe-00-00-01"
            assert card.access_path == f"vfio-user:{tmp_path / 'card.sock'}"
            assert card.clock.now_tai_ns() > 0
        with pytest.raises(DeviceLostError):
            card.clock.now_tai_ns()


def test_a_card_that_fails_while_opening_is_closed_again(tmp_path: Path) -> None:
    with serving(tmp_path / "card.sock") as served:
        served.card.dead = True
        with pytest.raises(DeviceLostError):
            open_card(vfio_user_card(tmp_path / "card.sock"), HostTimebase())
        served.card.dead = False
        open_card(vfio_user_card(tmp_path / "card.sock"), HostTimebase()).close()
