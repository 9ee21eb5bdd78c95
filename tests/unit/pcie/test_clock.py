"""The clock driver on an emulated card, whose truth is known exactly, and on buses that misbehave."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fpga_world import START_NS, SlowBus, make_world
from timecard.boards import FB
from timecard.boards.fb import BLOCKS
from timecard.boards.registers import SOURCE_PPS, SOURCE_REGS
from timecard.clock_setting import TICK_NS
from timecard.errors import DeviceLostError, DeviceTimeoutError, ProtocolError, RefusedError
from timecard.pcie.clock import MAX_FREQUENCY_PPB, RegisterClock, drift_words
from timecard.timescale import NS_PER_S

CTRL = BLOCKS["reg"].at("ctrl")
SELECT = BLOCKS["reg"].at("select")


class ScriptedBus:
    """Answers each register with a fixed word."""

    name = "scripted"
    board = FB

    def __init__(self, words: dict[int, int], other: int = 0) -> None:
        self.words = words
        self.other = other
        self.writes: list[tuple[int, int]] = []

    def read32(self, offset: int) -> int:
        return self.words.get(offset, self.other)

    def write32(self, offset: int, value: int) -> None:
        self.writes.append((offset, value))


def test_reading_gives_the_tick_after_the_request() -> None:
    world = make_world()
    clock = RegisterClock(world.card, world.time)
    for _ in range(50):
        world.time.sleep_s(1e-7 * 1.37)
        late_ns = clock.now_tai_ns() - world.now_ns
        assert 0 < late_ns <= TICK_NS


@pytest.mark.parametrize("delta_ns", [1, -1, 17, -4_000, 999_999_999, -999_999_999])
def test_a_step_below_a_second_is_exact_and_immediate(delta_ns: int) -> None:
    world = make_world()
    clock = RegisterClock(world.card, world.time)
    clock.step_ns(delta_ns)
    assert world.error_ns() == delta_ns
    world.time.sleep_s(2)
    assert world.error_ns() == pytest.approx(delta_ns)


@pytest.mark.parametrize("delta_ns", [NS_PER_S, -10 * NS_PER_S, 3_600 * NS_PER_S + 123_456_789])
def test_a_large_step_is_exact_to_the_comparison_of_the_clocks(delta_ns: int) -> None:
    world = make_world(ptm=False)
    clock = RegisterClock(world.card, world.time)
    clock.step_ns(delta_ns)
    # Both comparisons are good to a tick.
    assert world.error_ns() == pytest.approx(delta_ns, abs=TICK_NS)


def test_a_large_step_makes_up_for_the_latency_of_the_bus() -> None:
    world = make_world()
    clock = RegisterClock(SlowBus(world, 10e-6), world.time)
    clock.step_ns(-5 * NS_PER_S)
    # Without the correction it would be late by several accesses, some 100 us.
    assert abs(world.error_ns() + 5 * NS_PER_S) < 30_000


def test_the_bracket_of_a_slow_bus_contains_the_truth() -> None:
    world = make_world()
    clock = RegisterClock(SlowBus(world, 7e-6), world.time)
    stamp = clock.cross_timestamp()
    assert stamp.method == "bracket"
    offset_ns = stamp.card_tai_ns - stamp.mono_raw_ns - (world.now_ns - world.time.mono_ns())
    assert abs(offset_ns) <= stamp.half_width_ns < 40_000


def test_setting_leaves_the_source_as_it_was() -> None:
    world = make_world(start_card_tai_ns=0)
    clock = RegisterClock(world.card, world.time)
    clock.set_tai_ns(START_NS)
    assert abs(world.error_ns()) < 1
    assert clock.source() == SOURCE_PPS


@pytest.mark.parametrize("tai_ns", [-1, (1 << 32) * NS_PER_S])
def test_a_time_that_the_card_cannot_hold_is_refused(tai_ns: int) -> None:
    world = make_world()
    with pytest.raises(RefusedError, match="32-bit seconds"):
        RegisterClock(world.card, world.time).set_tai_ns(tai_ns)


def test_steering_needs_the_registers_as_source() -> None:
    world = make_world()
    clock = RegisterClock(world.card, world.time)
    with pytest.raises(RefusedError, match=r"follows PPS.*take_control"):
        clock.set_frequency_ppb(1.0)
    clock.take_control()
    assert clock.source() == SOURCE_REGS
    clock.set_frequency_ppb(1.0)
    clock.release_control()
    assert clock.source() == SOURCE_PPS


@pytest.mark.parametrize("version", [(1, 2, 0), (2, 0, 0)])
@given(ppb=st.floats(-50_000, 50_000))
@settings(max_examples=30, deadline=None)
def test_the_frequency_in_force_is_the_one_returned(version: tuple[int, int, int], ppb: float) -> None:
    world = make_world(clock_version=version)
    clock = RegisterClock(world.card, world.time)
    clock.take_control()
    in_force_ppb = clock.set_frequency_ppb(ppb)
    before_ns = world.error_ns()
    world.time.sleep_s(1000.0)
    assert (world.error_ns() - before_ns) / 1000.0 == pytest.approx(in_force_ppb, rel=1e-9, abs=1e-6)


@given(st.floats(0.24, 5e6), st.sampled_from([1, -1]))
def test_rational_drift_is_far_finer_than_a_ppb(magnitude_ppb: float, sign: int) -> None:
    ns, fraction, interval_ns = drift_words(sign * magnitude_ppb, has_fraction=False)
    assert fraction == 0
    assert interval_ns % TICK_NS == 0
    assert 0 < interval_ns < 1 << 32
    assert 0 < ns < 1 << 30
    # Two neighbours with denominators up to n lie at most 1/n apart near 0, much closer elsewhere.
    assert abs(ns / interval_ns * 1e9 - magnitude_ppb) < 0.01 * magnitude_ppb
    if magnitude_ppb > 10:
        assert abs(ns / interval_ns * 1e9 - magnitude_ppb) < 1e-3


@given(st.floats(0, MAX_FREQUENCY_PPB))
def test_fractional_drift_is_good_to_its_resolution(magnitude_ppb: float) -> None:
    ns, fraction, interval_ns = drift_words(magnitude_ppb, has_fraction=True)
    assert interval_ns == NS_PER_S
    assert 0 <= fraction < 65536
    assert ns + fraction / 65536 == pytest.approx(magnitude_ppb, abs=0.5 / 65536 + 1e-9)


def test_a_frequency_near_zero_is_zero_or_the_smallest_step() -> None:
    assert drift_words(0.0, has_fraction=False)[0] == 0
    assert drift_words(0.01, has_fraction=False)[0] == 0
    ns, _, interval_ns = drift_words(0.2, has_fraction=False)
    assert ns / interval_ns * 1e9 == pytest.approx(0.2328, abs=1e-3)


@pytest.mark.parametrize("ppb", [5.1e7, -5.1e7, float("nan"), float("inf")])
def test_a_frequency_out_of_range_is_refused(ppb: float) -> None:
    world = make_world()
    clock = RegisterClock(world.card, world.time)
    clock.take_control()
    with pytest.raises(RefusedError, match="beyond"):
        clock.set_frequency_ppb(ppb)


def test_a_dead_card_is_lost_in_every_call() -> None:
    world = make_world(ptm=False)
    clock = RegisterClock(world.card, world.time)
    world.card.dead = True
    for call in (
        clock.now_tai_ns,
        clock.cross_timestamp,
        clock.take_control,
        lambda: clock.set_frequency_ppb(1.0),
        lambda: clock.step_ns(2 * NS_PER_S),
    ):
        with pytest.raises(DeviceLostError, match="all ones"):
            call()
    with pytest.raises(DeviceLostError, match="version reads all ones"):
        RegisterClock(world.card, world.time)


def test_a_snapshot_that_never_comes_is_a_timeout() -> None:
    world = make_world()
    bus = ScriptedBus({CTRL: 0x1})
    clock = RegisterClock(bus, world.time)
    with pytest.raises(DeviceTimeoutError, match="within 100 polls"):
        clock.now_tai_ns()


def test_impossible_nanoseconds_are_a_protocol_error() -> None:
    world = make_world()
    bus = ScriptedBus({CTRL: 0x8000_0001}, other=NS_PER_S)
    with pytest.raises(ProtocolError, match="time_ns"):
        RegisterClock(bus, world.time).now_tai_ns()


def test_a_stopped_clock_is_started() -> None:
    world = make_world()
    world.card.write32(CTRL, 0)
    assert world.card.card_tai_ns(world.now_ns) == 0
    RegisterClock(world.card, world.time)
    world.time.sleep_s(1.5)
    assert world.card.card_tai_ns(world.now_ns) == pytest.approx(1.5e9, abs=1e3)


def test_a_source_that_does_not_stick_is_noticed() -> None:
    world = make_world()
    bus = ScriptedBus({CTRL: 0x1, SELECT: 0x0003_0003})
    with pytest.raises(ProtocolError, match="source 254 was written, the clock follows 3"):
        RegisterClock(bus, world.time).take_control()
