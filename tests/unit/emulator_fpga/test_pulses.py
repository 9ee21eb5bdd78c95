"""Pulses through the FPGA: timestampers, selector, supervision, the clock's own pulse."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fpga_world import START_S, ScriptedPulses, World, make_world
from timecard.boards.fb import BLOCKS
from timecard.boards.registers import to_signed_magnitude
from timecard.timescale import NS_PER_S


def at(block: str, register: str) -> int:
    return BLOCKS[block].at(register)


def enable(world: World, block: str, mask: int = 0) -> None:
    world.card.write32(at(block, "enable"), 1)
    world.card.write32(at(block, "intr_mask"), mask)
    world.card.write32(at(block, "intr"), 1)


def stamp_ns(world: World, block: str) -> int:
    return world.card.read32(at(block, "time_sec")) * NS_PER_S + world.card.read32(at(block, "time_ns"))


def held(world: World, block: str) -> bool:
    return bool(world.card.read32(at(block, "intr")))


@given(
    error_ns=st.floats(-400_000_000, 400_000_000),
    ppb=st.floats(-20_000, 20_000),
    looks=st.lists(st.integers(1, 700_000_000), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_a_pulse_is_stamped_where_it_was_however_late_it_is_looked_at(
    error_ns: float, ppb: float, looks: list[int]
) -> None:
    world = make_world(ppb=ppb)
    world.free_run()
    world.gnss.error_ns = lambda second: error_ns
    enable(world, "ts0")
    for look_ns in looks:
        world.time.sleep_s(look_ns / 1e9)
        world.card.read32(at("ts0", "intr"))
    world.time.sleep_s(2.5)
    second = START_S + 1
    # The clock runs by its oscillator from the start of the world, a quarter of a second after a second.
    true_ns = 0.75e9 + error_ns
    expected_ns = error_ns + true_ns * ppb * 1e-9
    assert stamp_ns(world, "ts0") - second * NS_PER_S == pytest.approx(expected_ns, abs=3.1)


def test_an_edge_while_one_is_held_is_counted_flagged_and_dropped() -> None:
    world = make_world()
    world.free_run()
    enable(world, "ts0")
    world.sleep_s(3)
    assert stamp_ns(world, "ts0") // NS_PER_S == START_S + 1
    assert world.card.read32(at("ts0", "event_count")) == 3
    assert world.card.read32(at("ts0", "ts_count")) == 1
    assert world.card.read32(at("ts0", "error")) == 1
    world.card.write32(at("ts0", "intr"), 1)
    assert world.card.read32(at("ts0", "error")) == 1, "the flag is acknowledged by itself"
    world.card.write32(at("ts0", "error"), 1)
    assert world.card.read32(at("ts0", "error")) == 0
    world.sleep_s(1)
    assert stamp_ns(world, "ts0") // NS_PER_S == START_S + 4
    assert world.card.read32(at("ts0", "ts_count")) == 2


def test_disabling_clears_counters_event_and_flag() -> None:
    world = make_world()
    enable(world, "ts0")
    world.sleep_s(3)
    world.card.write32(at("ts0", "enable"), 0)
    for register in ("event_count", "ts_count", "intr", "error"):
        assert world.card.read32(at("ts0", register)) == 0
    world.sleep_s(3)
    assert world.card.read32(at("ts0", "event_count")) == 0


def test_polarity_0_stamps_the_end_of_the_pulse() -> None:
    world = make_world()
    world.free_run()
    world.card.write32(at("ts0", "polarity"), 0)
    enable(world, "ts0")
    world.sleep_s(0.8)
    assert not held(world, "ts0")
    world.sleep_s(0.1)
    assert stamp_ns(world, "ts0") - (START_S + 1) * NS_PER_S == pytest.approx(100_000_000, abs=3)


def test_a_vector_is_raised_once_per_event_and_only_unmasked() -> None:
    world = make_world()
    raised: list[int] = []
    world.card.on_interrupt = raised.append
    enable(world, "ts0", mask=0)
    world.sleep_s(1)
    assert raised == []
    world.card.write32(at("ts0", "intr_mask"), 1)
    assert raised == [1], "unmasking a held event raises it"
    world.sleep_s(2)
    assert raised == [1], "no further one before the acknowledge"
    world.card.write32(at("ts0", "intr"), 1)
    world.sleep_s(1)
    assert raised == [1, 1]


def test_the_clocks_own_pulse_comes_at_its_own_seconds() -> None:
    world = make_world(ppb=10_000.0)
    world.free_run()
    enable(world, "pps", mask=1)
    raised: list[int] = []
    world.card.on_interrupt = raised.append
    for n in range(1, 6):
        world.sleep_s(1)
        assert 0 <= stamp_ns(world, "pps") - (START_S + n) * NS_PER_S <= 5
        world.card.write32(at("pps", "intr"), 1)
    assert raised == [0] * 5


def test_the_own_pulse_follows_a_jump_and_the_generator_reports_it() -> None:
    world = make_world()
    world.free_run()
    enable(world, "pps")
    world.card.write32(at("reg", "adjust_sec"), 5)
    world.card.write32(at("reg", "adjust_ns"), 900_000_000)
    world.card.write32(at("reg", "ctrl"), 3)
    assert world.card.read32(at("pps_to_ext", "status")) == 1
    world.card.write32(at("pps_to_ext", "status"), 1)
    assert world.card.read32(at("pps_to_ext", "status")) == 0
    world.sleep_s(0.2)
    assert stamp_ns(world, "pps") == 6 * NS_PER_S
    assert world.card.read32(at("pps", "event_count")) == 1


@pytest.mark.parametrize("offset_ns", [40_000_000, -40_000_000])
def test_the_own_pulse_is_on_time_during_a_fast_slew(offset_ns: int) -> None:
    world = make_world()
    world.free_run()
    enable(world, "pps")
    world.card.write32(at("reg", "offset_ns"), to_signed_magnitude(offset_ns))
    world.card.write32(at("reg", "offset_interval"), NS_PER_S)
    world.card.write32(at("reg", "ctrl"), 5)
    due_s = 0.75 / (1 + offset_ns / 1e9)
    world.sleep_s(due_s - 1e-6)
    assert not held(world, "pps")
    world.sleep_s(2e-6)
    assert held(world, "pps")


def test_a_disabled_generator_makes_no_pulse() -> None:
    world = make_world()
    world.card.write32(at("pps_to_ext", "ctrl"), 0)
    enable(world, "pps")
    world.sleep_s(3)
    assert world.card.read32(at("pps", "event_count")) == 0


def test_connectors_feed_the_timestampers_that_the_map_names() -> None:
    sma1, sma3 = ScriptedPulses(lambda second: 100.0), ScriptedPulses(lambda second: 300.0)
    world = make_world(sma_pulses={1: sma1, 3: sma3})
    world.free_run()
    for block in ("ts1", "ts2", "ts3", "ts4"):
        enable(world, block)
    world.card.write32(at("sma_map1", "gpio1"), 0x8000_8004)  # sma1: TS1; sma2: 10 MHz
    world.card.write32(at("sma_map2", "gpio1"), 0x0000_804C)  # sma3: TS1, TS2, TS3
    world.sleep_s(1)
    second_ns = (START_S + 1) * NS_PER_S
    assert stamp_ns(world, "ts1") - second_ns == pytest.approx(100, abs=3), "the lower connector wins"
    assert stamp_ns(world, "ts2") - second_ns == pytest.approx(300, abs=3)
    assert stamp_ns(world, "ts3") - second_ns == pytest.approx(300, abs=3)
    assert not held(world, "ts4")


def test_the_pps_slave_rejects_a_pulse_at_the_wrong_time() -> None:
    world = make_world()
    wrong = START_S + 6
    world.gnss.error_ns = lambda second: 200_000_000.0 if second == wrong else 0.0
    world.sleep_s(5)
    status = at("pps_to_clk", "status")
    assert world.card.read32(status) == 0
    world.sleep_s(2.9)
    assert world.card.read32(status) & 1
    assert abs(world.error_ns()) < 100, "the clock did not follow it"


def test_the_cable_delay_of_the_pps_slave_moves_the_clock() -> None:
    world = make_world()
    world.card.write32(at("pps_to_clk", "cable_delay"), 500)
    world.sleep_s(60)
    # The pulse is taken as 500 ns late, so the clock is put that much ahead of it.
    assert world.error_ns() == pytest.approx(500, abs=15)


def test_a_pulse_source_needs_three_good_periods_and_goes_after_as_many_misses() -> None:
    world = make_world()
    select = at("pps_select", "gpio1")
    seen = []
    for _ in range(6):
        world.sleep_s(1)
        seen.append(world.card.read32(select) & 4)
    assert seen == [0, 0, 0, 4, 4, 4]
    world.gnss.error_ns = lambda second: None
    seen = []
    for _ in range(5):
        world.sleep_s(1)
        seen.append(world.card.read32(select) & 4)
    assert seen[0] == 4
    assert seen[-1] == 0


def test_time_that_was_slept_through_happens_in_order() -> None:
    """One look after an hour finds the same as a look every second."""
    sleepy, watched = make_world(ppb=200.0), make_world(ppb=200.0)
    sleepy.time.sleep_s(3600)
    for _ in range(3600):
        watched.sleep_s(1)
    assert sleepy.error_ns() == pytest.approx(watched.error_ns(), abs=1e-6)
    for register in ("status", "status_offset", "status_drift"):
        assert sleepy.card.read32(at("reg", register)) == watched.card.read32(at("reg", register))
