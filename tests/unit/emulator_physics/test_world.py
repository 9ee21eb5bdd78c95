"""True time: offset, rate, slewing, host steps, and virtual time."""

from __future__ import annotations

import time

import pytest

from timecard.emulator.world import HostWorldTime, VirtualTime

S = 1_000_000_000
TAI_MINUS_UTC_NS = 37 * S


class HostClocks:
    """The host's two clocks, moved by the test."""

    def __init__(self) -> None:
        self.real_ns = 1_700_000_000 * S
        self.raw_ns = 5_000 * S

    def __call__(self) -> tuple[int, int, int]:
        return self.real_ns, self.raw_ns, 50

    def pass_s(self, seconds: float) -> None:
        self.real_ns += round(seconds * S)
        self.raw_ns += round(seconds * S)


def test_offset_and_rate() -> None:
    clocks = HostClocks()
    world = HostWorldTime(1_234_567, 100.0, clocks)
    assert world.true_tai_ns() == clocks.real_ns + TAI_MINUS_UTC_NS + 1_234_567
    clocks.pass_s(1000)
    assert world.true_tai_ns() == clocks.real_ns + TAI_MINUS_UTC_NS + 1_234_567 + 100_000
    assert world.host_offset_ns() == -1_334_567
    assert world.mono_raw_ns() == clocks.raw_ns
    assert world.sample() == (clocks.real_ns + TAI_MINUS_UTC_NS + 1_334_567, clocks.raw_ns, 50)


def test_new_rate_counts_from_now_on() -> None:
    clocks = HostClocks()
    world = HostWorldTime(0, 1000.0, clocks)
    clocks.pass_s(10)
    world.set_rate_ppb(-500.0)
    clocks.pass_s(10)
    assert world.true_tai_ns() == clocks.real_ns + TAI_MINUS_UTC_NS + 10_000 - 5_000


def test_new_offset_is_slewed_and_never_goes_back() -> None:
    clocks = HostClocks()
    world = HostWorldTime(2_000_000, 0.0, clocks)
    last = world.true_tai_ns()
    assert world.set_offset_ns(1_000_000) == pytest.approx(2.0)
    for _ in range(300):
        clocks.pass_s(0.01)
        now = world.true_tai_ns()
        assert 0.9995 * 10_000_000 - 1 <= now - last <= 10_000_000
        last = now
    assert now == clocks.real_ns + TAI_MINUS_UTC_NS + 1_000_000


def test_a_large_offset_belongs_to_the_start() -> None:
    world = HostWorldTime(0, 0.0, HostClocks())
    with pytest.raises(ValueError, match="start the emulator with this offset"):
        world.set_offset_ns(S)
    with pytest.raises(ValueError, match="rate_ppb"):
        world.set_rate_ppb(1e9)
    with pytest.raises(ValueError, match="rate_ppb"):
        HostWorldTime(0, float("nan"), HostClocks())


@pytest.mark.parametrize("step_ns", [3 * S, -3 * S, -5_000_000])
def test_a_step_of_the_host_is_not_a_step_of_true_time(step_ns: int) -> None:
    clocks = HostClocks()
    world = HostWorldTime(0, 0.0, clocks)
    before = world.true_tai_ns()
    clocks.pass_s(1)
    clocks.real_ns += step_ns
    assert world.true_tai_ns() - before == S
    assert world.host_offset_ns() == step_ns


def test_slow_corrections_of_the_host_are_followed() -> None:
    clocks = HostClocks()
    world = HostWorldTime(0, 0.0, clocks)
    for _ in range(100):
        clocks.pass_s(1)
        clocks.real_ns += 20_000
        world.sample()
    assert world.true_tai_ns() == clocks.real_ns + TAI_MINUS_UTC_NS


def test_real_host_clocks() -> None:
    world = HostWorldTime(500_000)
    before = time.clock_gettime_ns(time.CLOCK_REALTIME)
    sample = world.sample()
    after = time.clock_gettime_ns(time.CLOCK_REALTIME)
    assert before <= sample.true_tai_ns - TAI_MINUS_UTC_NS - 500_000 <= after
    assert world.sample().true_tai_ns >= sample.true_tai_ns


def test_virtual_time_moves_only_when_slept() -> None:
    world = VirtualTime(1_700_000_000 * S, offset_ns=250, rate_ppb=1000.0)
    mono = world.mono_ns()
    assert world.true_tai_ns() == world.true_tai_ns() == 1_700_000_000 * S
    assert world.host_offset_ns() == -250
    for _ in range(1000):
        world.sleep_s(0.1)
    assert world.mono_ns() - mono == 100 * S
    assert world.true_tai_ns() == 1_700_000_000 * S + 100 * S + 100_000
    assert world.host_offset_ns() == -100_250
    world.set_offset_ns(7)
    assert world.host_offset_ns() == -7
    world.sleep_s(-1)
    assert world.mono_ns() - mono == 100 * S


@pytest.mark.parametrize("rate_ppb", [0.0, 12_345.6, -54_321.0])
def test_virtual_time_runs_what_is_due_on_the_way(rate_ppb: float) -> None:
    start = 1_700_000_000 * S
    world = VirtualTime(start, rate_ppb=rate_ppb)
    seen: list[tuple[str, int]] = []
    world.call_at(start + 2 * S + 3, lambda: seen.append(("b", world.true_tai_ns() - start)))
    world.call_at(start + 1 * S, lambda: seen.append(("a", world.true_tai_ns() - start)))
    world.call_at(start + 9 * S, lambda: seen.append(("never", 0)))
    world.sleep_s(5)
    assert seen == [("a", S), ("b", 2 * S + 3)]
    assert world.mono_ns() == 1_005 * S
    assert world.true_tai_ns() - start == pytest.approx(5 * S * (1 + rate_ppb * 1e-9), abs=2)


def test_a_periodic_action_does_not_bend_virtual_time() -> None:
    start = 1_700_000_000 * S
    world = VirtualTime(start, rate_ppb=333.3)

    def again() -> None:
        world.call_at(world.true_tai_ns() + S, again)

    again()
    for _ in range(500):
        world.sleep_s(2.5)
    assert world.true_tai_ns() - start == pytest.approx(1250 * S * (1 + 333.3e-9), abs=2)
