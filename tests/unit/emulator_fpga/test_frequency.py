"""Frequency counters: pulses and carriers over whole seconds of the card's clock."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fpga_world import START_S, World, make_world
from tests.unit.emulator_fpga.test_generators import GEN1, start, wire
from timecard.emulator.fpga_sma import Cable
from timecard.timescale import NS_PER_S

VALID, ERROR, OVERRUN = 1 << 31, 1 << 30, 1 << 29
FREQ1, FREQ2 = 0x0100, 0x0200
TEN_MHZ = 0x0000


def counting(gate_s: int = 1, ppb: float = 0.0, **card: Any) -> World:
    world = make_world(ppb=ppb, cables=[Cable(4, 1)], **card)
    world.free_run()
    world.write("freq_in[0]", "ctrl", gate_s << 8 | 1)
    return world


def result(world: World) -> int:
    return world.read("freq_in[0]", "status")


@pytest.mark.parametrize("hz", [1, 10, 1000, 100_000, 4_000_000])
def test_pulses_of_a_generator_are_counted(hz: int) -> None:
    world = counting()
    wire(world, GEN1, FREQ1)
    start(world, period_ns=NS_PER_S // hz, pulse_ns=NS_PER_S // hz // 2)
    world.sleep_s(3.5)
    assert result(world) & VALID
    assert result(world) & 0xFF_FFFF == pytest.approx(hz, abs=1)
    assert result(world) & (ERROR | OVERRUN) == 0


@pytest.mark.parametrize("gate_s", [1, 2, 5])
def test_a_result_comes_with_the_full_second_that_ends_the_gate(gate_s: int) -> None:
    world = counting(gate_s)
    wire(world, TEN_MHZ, FREQ1)
    world.sleep_s(0.75 + gate_s - 0.01)
    assert result(world) == 0
    world.sleep_s(0.02)
    assert result(world) == VALID | 10_000_000 or result(world) == VALID | 9_999_999


def test_ten_mhz_is_counted_against_the_clock_that_it_drives() -> None:
    world = counting(ppb=5_000.0)
    wire(world, TEN_MHZ, FREQ1)
    world.sleep_s(3)
    assert result(world) & 0xFF_FFFF == pytest.approx(10_000_000, abs=1)
    world.write("reg", "drift_ns", 100_000)
    world.write("reg", "drift_interval", NS_PER_S)
    world.write("reg", "ctrl", 9)
    world.sleep_s(3)
    assert result(world) & 0xFF_FFFF == pytest.approx(10_000_000 - 1_000, abs=2)


def test_a_signal_from_outside_is_counted_in_seconds_of_the_clock() -> None:
    world = counting(ppb=20_000.0, signals={1: 5e6})
    wire(world, GEN1, FREQ1)
    world.sleep_s(3)
    assert result(world) & 0xFF_FFFF == pytest.approx(5e6 * (1 - 20e-6), abs=2)


@pytest.mark.parametrize("hz", [10_000_200.0, 25e6])
def test_above_ten_mhz_both_flags_are_set_and_no_figure(hz: float) -> None:
    world = counting(signals={1: hz})
    wire(world, GEN1, FREQ1)
    world.sleep_s(3)
    assert result(world) == ERROR | OVERRUN


def test_a_fast_generator_is_too_fast() -> None:
    world = counting()
    wire(world, GEN1, FREQ1)
    start(world, period_ns=50, pulse_ns=20)
    world.sleep_s(3)
    assert result(world) == ERROR | OVERRUN


def test_nothing_connected_is_zero_hertz_and_off_is_no_result() -> None:
    world = counting()
    world.sleep_s(2)
    assert result(world) == VALID
    world.write("freq_in[0]", "ctrl", 0)
    assert result(world) == 0
    world.sleep_s(3)
    assert result(world) == 0


def test_a_jump_of_the_clock_throws_the_count_away() -> None:
    world = counting(3)
    wire(world, TEN_MHZ, FREQ1)
    world.sleep_s(2)
    world.write("reg", "adjust_sec", 100)
    world.write("reg", "ctrl", 3)
    world.sleep_s(3.5)
    assert result(world) == 0, "the gate began anew with second 101"
    world.sleep_s(1)
    assert result(world) & 0xFF_FFFF == pytest.approx(10_000_000, abs=1)


def test_of_two_connectors_with_one_function_the_lower_is_heard() -> None:
    world = make_world(cables=[Cable(4, 1)], signals={2: 1000.0})
    world.free_run()
    world.write("freq_in[0]", "ctrl", 0x101)
    world.write("sma_map1", "gpio2", (0x8000 | TEN_MHZ) << 16)
    world.write("sma_map1", "gpio1", (0x8000 | FREQ1) << 16 | 0x8000 | FREQ1)
    world.sleep_s(3)
    assert result(world) & 0xFF_FFFF == pytest.approx(10_000_000, abs=1)
    world.write("sma_map1", "gpio1", (0x8000 | FREQ1) << 16 | 0x8000 | FREQ2)
    world.sleep_s(3)
    assert result(world) & 0xFF_FFFF == pytest.approx(1000, abs=1)


def test_switched_on_amid_a_second_the_rest_of_it_does_not_count() -> None:
    world = make_world(cables=[Cable(4, 1)])
    world.free_run()
    wire(world, GEN1, FREQ1)
    start(world, start_ns=START_S * NS_PER_S + NS_PER_S // 2, period_ns=100_000_000, pulse_ns=1_000_000)
    world.sleep_s(0.5)
    world.write("freq_in[0]", "ctrl", 0x101)
    world.sleep_s(1.5)
    assert result(world) == VALID | 10
