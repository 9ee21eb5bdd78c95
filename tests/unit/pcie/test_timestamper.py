"""The timestamper driver."""

from __future__ import annotations

import pytest

from tests.fpga_world import START_S, make_world
from timecard.boards.fb import BLOCKS, CHANNELS
from timecard.errors import DeviceLostError, ProtocolError, RefusedError, UnsupportedError
from timecard.pcie.timestamper import Timestamper
from timecard.timescale import NS_PER_S


def test_each_pulse_is_stamped_once() -> None:
    world = make_world()
    world.free_run()
    world.gnss.error_ns = lambda second: 40.0
    ts0 = Timestamper(world.card, world.time, "ts0")
    ts0.enable()
    assert ts0.poll() is None
    for n in range(1, 5):
        world.time.sleep_s(1)
        stamp = ts0.poll()
        assert stamp is not None
        assert abs(stamp.card_tai_ns - (START_S + n) * NS_PER_S - 40) <= 3
        assert (stamp.channel, stamp.event_count, stamp.dropped) == ("ts0", n, False)
        assert stamp.read_mono_ns == world.time.mono_ns()
        assert ts0.poll() is None


def test_pulses_that_nobody_fetched_are_counted_and_reported_once() -> None:
    world = make_world()
    ts0 = Timestamper(world.card, world.time, "ts0")
    ts0.enable()
    world.time.sleep_s(3)
    first = ts0.poll()
    assert first is not None
    assert (first.card_tai_ns // NS_PER_S, first.event_count, first.dropped) == (START_S + 1, 3, True)
    world.time.sleep_s(1)
    second = ts0.poll()
    assert second is not None
    assert (second.event_count, second.dropped) == (4, False)


def test_cable_delay_is_subtracted() -> None:
    world = make_world()
    ts0 = Timestamper(world.card, world.time, "ts0")
    ts0.enable(cable_delay_ns=250)
    world.time.sleep_s(1)
    stamp = ts0.poll()
    assert stamp is not None
    assert abs(stamp.card_tai_ns + 250 - (START_S + 1) * NS_PER_S) <= 3


def test_a_falling_edge_setting_of_somebody_else_is_undone() -> None:
    world = make_world()
    world.card.write32(BLOCKS["ts0"].at("polarity"), 0)
    ts0 = Timestamper(world.card, world.time, "ts0")
    ts0.enable()
    world.time.sleep_s(1)
    assert ts0.poll() is not None


def test_a_disabled_channel_stays_silent() -> None:
    world = make_world()
    ts0 = Timestamper(world.card, world.time, "ts0")
    ts0.enable()
    ts0.disable()
    world.time.sleep_s(2)
    assert ts0.poll() is None


def test_a_dead_card_is_lost() -> None:
    world = make_world()
    ts0 = Timestamper(world.card, world.time, "ts0")
    ts0.enable()
    world.card.dead = True
    with pytest.raises(DeviceLostError, match="ts0"):
        ts0.poll()


def test_impossible_nanoseconds_are_a_protocol_error() -> None:
    world = make_world()
    ts0 = Timestamper(world.card, world.time, "ts0")
    block = world.card.fabric.timestampers["ts0"]
    block.words[0x30], block.words[0x44] = 1, NS_PER_S
    with pytest.raises(ProtocolError, match="time_ns"):
        ts0.poll()


def test_bad_arguments_are_refused_by_name() -> None:
    world = make_world()
    with pytest.raises(UnsupportedError, match=r"ts9.*ts0, ts1"):
        Timestamper(world.card, world.time, "ts9")
    with pytest.raises(RefusedError, match="cable delay 65536"):
        Timestamper(world.card, world.time, "ts0").enable(cable_delay_ns=65_536)


def test_every_channel_has_its_block_and_vector() -> None:
    world = make_world()
    vectors = {Timestamper(world.card, world.time, channel).vector for channel in CHANNELS}
    assert vectors == {0, 1, 2, 6, 15, 16}
