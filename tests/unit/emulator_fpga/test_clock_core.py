"""The clock core's registers as a driver sees them."""

from __future__ import annotations

import pytest

from tests.fpga_world import START_NS, START_S, World, make_world, tod_status
from timecard.boards.fb import BLOCKS
from timecard.boards.registers import signed_magnitude, to_signed_magnitude
from timecard.timescale import NS_PER_S

AT = {row.name: BLOCKS["reg"].offset + row.offset for row in BLOCKS["reg"].registers}


def write(world: World, **values: int) -> None:
    for name, value in values.items():
        world.card.write32(AT[name], value)


def read(world: World, name: str) -> int:
    return world.card.read32(AT[name])


def offset_by_registers(world: World, offset_ns: int, interval_ns: int = NS_PER_S) -> None:
    write(world, select=254, offset_ns=to_signed_magnitude(offset_ns), offset_interval=interval_ns, ctrl=5)


def test_the_read_handshake_of_the_kernel_driver() -> None:
    world = make_world()
    assert read(world, "ctrl") == 1
    write(world, ctrl=0x4000_0001)
    assert read(world, "ctrl") == 0x8000_0001
    first = (read(world, "time_sec"), read(world, "time_ns"))
    assert 0 <= first[0] * NS_PER_S + first[1] - world.now_ns <= 20
    world.sleep_s(1)
    assert (read(world, "time_sec"), read(world, "time_ns")) == first, "a snapshot stays put"
    write(world, ctrl=1)
    assert read(world, "ctrl") == 1, "DONE is cleared by the next command"


def test_command_bits_clear_themselves() -> None:
    world = make_world()
    write(world, ctrl=0x10F | 0x20)
    assert read(world, "ctrl") == 1


def test_select_is_mirrored_into_both_halves() -> None:
    world = make_world()
    assert read(world, "select") == 0x0003_0003
    write(world, select=0xFE)
    assert read(world, "select") == 0x00FE_00FE
    write(world, select=read(world, "select") >> 16)
    assert read(world, "select") == 0x00FE_00FE


def test_adjustments_act_only_while_the_registers_are_the_source() -> None:
    world = make_world()
    write(world, adjust_sec=5, adjust_ns=7, offset_ns=1000, offset_interval=1000, drift_ns=500)
    write(world, drift_interval=NS_PER_S, ctrl=0xF)
    world.sleep_s(0.1)
    assert world.error_ns() == 0
    write(world, select=254, ctrl=3)
    assert world.card.card_tai_ns(world.now_ns) == 5 * NS_PER_S + 7


@pytest.mark.parametrize("offset_ns", [49_999_999, -49_999_999, 12_345, -1])
def test_an_offset_below_a_twentieth_of_the_interval_is_slewed(offset_ns: int) -> None:
    world = make_world()
    offset_by_registers(world, offset_ns)
    assert world.error_ns() == 0
    world.sleep_s(0.5)
    assert world.error_ns() == pytest.approx(offset_ns / 2, rel=0.06, abs=1)
    world.sleep_s(0.6)
    assert world.error_ns() == pytest.approx(offset_ns, abs=1e-3)
    world.sleep_s(5)
    assert world.error_ns() == pytest.approx(offset_ns, abs=1e-3)


@pytest.mark.parametrize(("offset_ns", "interval_ns"), [(50_000_000, NS_PER_S), (-1, 20), (-1, 0), (7, 159)])
def test_an_offset_of_a_twentieth_of_the_interval_is_a_jump(offset_ns: int, interval_ns: int) -> None:
    world = make_world()
    offset_by_registers(world, offset_ns, interval_ns)
    assert world.error_ns() == offset_ns


def test_a_new_offset_replaces_the_rest_of_the_old_one() -> None:
    world = make_world()
    offset_by_registers(world, 10_000)
    world.sleep_s(0.5)
    offset_by_registers(world, -1_000)
    world.sleep_s(2)
    assert world.error_ns() == pytest.approx(5_000 - 1_000, abs=1)


def test_a_slew_goes_on_after_the_source_was_put_back() -> None:
    world = make_world()
    world.gnss.error_ns = lambda second: None
    offset_by_registers(world, 10_000)
    write(world, select=3)
    world.sleep_s(1.5)
    assert world.error_ns() == pytest.approx(10_000, abs=1)


@pytest.mark.parametrize(
    ("version", "fraction", "expected_ppb"), [((1, 2, 0), 0, 250.0), ((2, 0, 0), 32_768, 250.5)]
)
def test_drift_from_the_registers_replaces(
    version: tuple[int, int, int], fraction: int, expected_ppb: float
) -> None:
    world = make_world(clock_version=version)
    write(world, select=254, drift_ns=9_999, drift_interval=NS_PER_S, ctrl=9)
    write(world, drift_ns=250, ctrl=9)
    if fraction:
        write(world, drift_fraction=fraction, ctrl=9)
    world.sleep_s(100)
    assert world.error_ns() / 100 == pytest.approx(expected_ppb, rel=1e-6)
    assert signed_magnitude(read(world, "status_drift")) == 250
    write(world, drift_ns=0x8000_0000 | 250, ctrl=9)
    world.sleep_s(100)
    assert world.error_ns() == pytest.approx(0, abs=0.1)


def test_drift_is_limited_to_a_nanosecond_per_tick() -> None:
    world = make_world()
    write(world, select=254, drift_ns=NS_PER_S - 1, drift_interval=NS_PER_S, ctrl=9)
    world.sleep_s(1)
    assert world.error_ns() == pytest.approx(50_000_000)
    write(world, drift_interval=0, ctrl=9)
    before_ns = world.error_ns()
    world.sleep_s(1)
    assert world.error_ns() == before_ns, "no interval, no drift"


def test_fraction_registers_exist_from_version_2_on() -> None:
    old, new = make_world(), make_world(clock_version=(2, 1, 3))
    assert read(old, "drift_fraction") == 0xFFFF_FFFF
    assert old.card.unmapped == 1
    assert read(new, "drift_fraction") == 0
    assert read(new, "version") == 0x0201_0003
    assert new.card.unmapped == 0


def test_disabling_zeroes_and_enabling_counts_from_zero() -> None:
    world = make_world()
    write(world, select=254, drift_ns=1000, drift_interval=NS_PER_S, ctrl=9)
    write(world, ctrl=0)
    world.sleep_s(3)
    write(world, ctrl=0x4000_0000)
    assert (read(world, "time_sec"), read(world, "time_ns")) == (0, 0)
    write(world, ctrl=1)
    world.sleep_s(2)
    assert world.card.card_tai_ns(world.now_ns) == 2 * NS_PER_S


@pytest.mark.parametrize(
    ("gains", "ppb"),
    [
        ((0xC000, 0x3000, 0xC000, 0x3000), 0.0),
        ((0xC000, 0x3000, 0xC000, 0x3000), 5_000.0),
        ((0xC000, 0x3000, 0xC000, 0x3000), -5_000.0),
        ((0x2000, 0x1000, 0, 0), 100.0),
        ((0x2000, 0x1000, 0, 0), -100.0),
    ],
)
def test_the_servo_pulls_the_clock_to_the_pulse(gains: tuple[int, int, int, int], ppb: float) -> None:
    """With the gains of the core's reset and with those that the kernel writes, which follow no drift."""
    world = make_world(ppb=ppb, start_card_tai_ns=START_NS + 30_000_000, tod=lambda t_ns: tod_status())
    p, i, drift_p, drift_i = gains
    write(world, servo_offset_p=p, servo_offset_i=i, servo_drift_p=drift_p, servo_drift_i=drift_i, ctrl=0x101)
    world.sleep_s(400)
    for _ in range(20):
        world.sleep_s(1)
        assert abs(world.error_ns()) < (60 if drift_p else 30 + abs(ppb))
    assert read(world, "status") == 1


def test_in_sync_needs_four_good_corrections_and_a_load_ends_it() -> None:
    world = make_world(tod=lambda t_ns: tod_status())
    seen = []
    for _ in range(8):
        world.sleep_s(1)
        seen.append(read(world, "status"))
    # The first pulse starts the period, the second the offset (as 0), which counts.
    assert seen == [0, 0, 0, 0, 1, 1, 1, 1]
    write(world, select=254, adjust_sec=START_S, adjust_ns=0, ctrl=3, offset_interval=NS_PER_S)
    write(world, select=3)
    assert read(world, "status") == 0


def test_holdover_shows_after_three_seconds_without_correction() -> None:
    world = make_world(tod=lambda t_ns: tod_status())
    world.sleep_s(8)
    world.gnss.error_ns = lambda second: None
    seen = []
    for _ in range(5):
        world.sleep_s(1)
        seen.append(read(world, "status"))
    # The last correction came a little before the clock's own second, which counts as the first.
    assert seen == [1, 3, 3, 3, 3]
    world.gnss.error_ns = lambda second: 0.0
    world.sleep_s(3)
    assert read(world, "status") == 1


def test_the_time_of_day_slave_sets_the_seconds() -> None:
    world = make_world(start_card_tai_ns=0, tod=lambda t_ns: tod_status())
    world.sleep_s(1)
    # The phase is still that of power-on, the second is the true one.
    assert abs(world.error_ns()) < NS_PER_S / 2
    world.sleep_s(60)
    assert abs(world.error_ns()) < 1_000


def test_a_receiver_with_the_wrong_second_moves_the_clock_unless_the_registers_have_it() -> None:
    wrong = [0]
    world = make_world(tod=lambda t_ns: tod_status(time_error_s=wrong[0]))
    world.sleep_s(5)
    write(world, select=254)
    wrong[0] = 10
    world.sleep_s(2)
    assert abs(world.error_ns()) < 100
    write(world, select=3)
    world.sleep_s(2)
    assert world.error_ns() == pytest.approx(10 * NS_PER_S, abs=1_000)


def test_an_unselected_pulse_does_not_move_the_clock() -> None:
    world = make_world()
    world.gnss.error_ns = lambda second: 250.0
    write(world, select=254)
    world.sleep_s(20)
    assert world.error_ns() == 0
