"""Signal generators make pulses, and cables carry them: to timestampers, to the PPS selector."""

from __future__ import annotations

import pytest

from tests.fpga_world import START_S, World, make_world
from timecard.emulator.fpga_sma import Cable
from timecard.timescale import NS_PER_S

ENABLE_OUT, ENABLE_IN = 0x8000, 0x8000
GEN1, GEN2 = 0x0040, 0x0080
PHC, GNSS1, MAC = 0x0001, 0x0004, 0x0002
TS1, TS2, PPS1 = 0x0004, 0x0008, 0x0001
MS = 1_000_000


def wire(world: World, output: int, inputs: int) -> None:
    """SMA4 puts ``output`` out, SMA1 leads to ``inputs``."""
    world.write("sma_map1", "gpio2", (ENABLE_OUT | output) << 16)
    world.write("sma_map1", "gpio1", ENABLE_IN | inputs)


def start(world: World, number: int = 0, start_ns: int | None = None, **settings: int) -> None:
    """As the kernel's driver does it, in its order."""
    block = f"signal_out[{number}]"
    begin_ns = (START_S + 1) * NS_PER_S if start_ns is None else start_ns
    period_ns, pulse_ns = settings.get("period_ns", NS_PER_S), settings.get("pulse_ns", NS_PER_S // 2)
    world.write(block, "intr_mask", 0)
    world.write(block, "enable", 0)
    for name, value in (("start", begin_ns), ("period", period_ns), ("pulse", pulse_ns)):
        world.write(block, f"{name}_sec", value // NS_PER_S)
        world.write(block, f"{name}_ns", value % NS_PER_S)
    world.write(block, "polarity", settings.get("polarity", 1))
    world.write(block, "cable_delay", settings.get("cable_delay", 0))
    world.write(block, "repeat_count", settings.get("repeat_count", 0))
    world.write(block, "intr", 0)
    world.write(block, "intr_mask", 1)
    world.write(block, "enable", 3)


def listen(world: World, channel: str = "ts1") -> None:
    world.write(channel, "enable", 1)
    world.write(channel, "intr", 1)


def stamps(world: World, seconds: float, step_s: float, channel: str = "ts1") -> list[int]:
    """Stamps in ns from the start of the world's first whole second on."""
    found = []
    for _ in range(round(seconds / step_s)):
        world.sleep_s(step_s)
        if world.read(channel, "intr"):
            at_ns = world.read(channel, "time_sec") * NS_PER_S + world.read(channel, "time_ns")
            found.append(at_ns - START_S * NS_PER_S)
            world.write(channel, "intr", 1)
    return found


def looped(delay_ns: float = 0.0, board: str = "fb") -> World:
    world = make_world(board=board, cables=[Cable(4, 1, delay_ns)])
    world.free_run()
    wire(world, GEN1, TS1)
    listen(world)
    return world


@pytest.mark.parametrize("board", ["fb", "litepcie", "celestica", "adva", "adva-x1"])
def test_pulses_come_through_a_cable_with_its_delay(board: str) -> None:
    world = looped(250.0, board)
    start(world, period_ns=100 * MS, pulse_ns=10 * MS)
    got = stamps(world, 1.45, 0.01)
    assert len(got) == 7
    for n, stamp_ns in enumerate(got):
        assert stamp_ns == pytest.approx(NS_PER_S + n * 100 * MS + 250, abs=8)
    assert world.read("signal_out[0]", "status") == 0


def test_pulses_follow_the_cards_clock_and_not_the_true_time() -> None:
    world = make_world(ppb=20_000.0, cables=[Cable(4, 1)])
    world.free_run()
    wire(world, GEN1, TS1)
    listen(world)
    start(world)
    got = stamps(world, 4, 0.5)
    assert got == pytest.approx([n * NS_PER_S for n in (1, 2, 3, 4)], abs=8)


def test_without_a_cable_nothing_arrives() -> None:
    world = make_world()
    world.free_run()
    wire(world, GEN1, TS1)
    listen(world)
    start(world)
    assert stamps(world, 3, 0.5) == []


def test_what_is_not_switched_to_the_connector_does_not_arrive() -> None:
    world = looped()
    wire(world, GEN2, TS1)
    start(world, number=0)
    assert stamps(world, 3, 0.5) == []
    wire(world, GEN1, TS2)
    assert stamps(world, 3, 0.5) == []


def test_the_generators_own_delay_makes_pulses_early() -> None:
    world = looped(400.0)
    start(world, cable_delay=400)
    assert stamps(world, 3, 0.5) == pytest.approx([NS_PER_S, 2 * NS_PER_S, 3 * NS_PER_S], abs=8)


def test_an_inverted_output_rises_at_the_end_of_the_pulse() -> None:
    world = looped()
    start(world, polarity=0, period_ns=200 * MS, pulse_ns=30 * MS)
    got = stamps(world, 1.2, 0.01)
    assert got[0] == pytest.approx(NS_PER_S + 30 * MS, abs=8)
    assert got[1] - got[0] == pytest.approx(200 * MS, abs=8)


def test_a_falling_edge_is_stamped_at_the_width() -> None:
    world = looped()
    world.write("ts1", "polarity", 0)
    start(world, pulse_ns=30 * MS)
    assert stamps(world, 1.0, 0.05)[0] == pytest.approx(NS_PER_S + 30 * MS, abs=8)


def test_so_many_pulses_and_no_event() -> None:
    world = looped()
    raised: list[int] = []
    world.card.on_interrupt = raised.append
    start(world, period_ns=10 * MS, pulse_ns=MS, repeat_count=5)
    assert len(stamps(world, 2.0, 0.002)) == 5
    assert raised == []
    assert world.read("signal_out[0]", "enable") == 1


def test_fast_pulses_are_counted_all_and_flagged_as_dropped() -> None:
    world = looped()
    start(world, period_ns=10_000, pulse_ns=5_000)
    world.sleep_s(0.75 + 1.0)
    assert world.read("ts1", "event_count") == pytest.approx(100_000, abs=1_000)
    assert world.read("ts1", "error") == 1
    assert world.read("ts1", "time_sec") == START_S + 1


@pytest.mark.parametrize(
    ("start_ns", "settings"),
    [
        (START_S * NS_PER_S, {}),
        (0, {}),
        (None, {"period_ns": 0}),
        (None, {"pulse_ns": 0}),
        (None, {"period_ns": 1000, "pulse_ns": 1000}),
    ],
)
def test_an_impossible_start_is_an_error_and_one_message(
    start_ns: int | None, settings: dict[str, int]
) -> None:
    world = looped()
    raised: list[int] = []
    world.card.on_interrupt = raised.append
    start(world, start_ns=start_ns, **settings)
    assert world.read("signal_out[0]", "status") == 1
    assert raised == [11]
    world.write("signal_out[0]", "intr", 0)
    assert raised == [11], "the driver's zero clears nothing and raises nothing"
    assert stamps(world, 3, 0.5) == []
    world.write("signal_out[0]", "enable", 0)
    assert world.read("signal_out[0]", "status") == 0
    start(world, start_ns=(START_S + 5) * NS_PER_S)
    assert raised == [11], "unmasking what is still held raises nothing"
    assert len(stamps(world, 3, 0.5)) == 2


def test_a_jump_of_the_clock_ends_the_output() -> None:
    world = looped()
    raised: list[int] = []
    world.card.on_interrupt = raised.append
    start(world)
    assert len(stamps(world, 2, 0.5)) == 2
    world.write("reg", "adjust_sec", 5)
    world.write("reg", "ctrl", 3)
    assert world.read("signal_out[0]", "status") & 2
    assert raised == [11]
    assert stamps(world, 3, 0.5) == []
    start(world, start_ns=20 * NS_PER_S)
    world.write("reg", "adjust_sec", 6)
    world.write("reg", "ctrl", 3)
    assert raised == [11, 11], "the next event is a message of its own"


def test_a_slew_of_the_clock_moves_the_pulses_with_it() -> None:
    world = looped()
    start(world, period_ns=100 * MS, pulse_ns=MS)
    world.write("reg", "offset_ns", 20 * MS)
    world.write("reg", "offset_interval", NS_PER_S)
    world.write("reg", "ctrl", 5)
    got = stamps(world, 2.0, 0.01)
    assert world.read("signal_out[0]", "status") == 0
    assert [stamp_ns % (100 * MS) for stamp_ns in got] == pytest.approx([0] * len(got), abs=8)


def test_a_start_far_in_the_future_keeps_few_plans() -> None:
    world = looped()
    start(world, start_ns=(START_S + 100_000) * NS_PER_S)
    world.sleep_s(300)
    assert len(world.card.fabric.agenda._events) < 20
    assert world.read("signal_out[0]", "status") == 0


def test_the_clocks_own_pulse_and_the_receivers_go_out_too() -> None:
    world = looped(100.0)
    for output in (PHC, GNSS1):
        wire(world, output, TS1)
        got = stamps(world, 3, 0.5)
        assert [stamp_ns % NS_PER_S for stamp_ns in got] == pytest.approx([100] * len(got), abs=8)
        assert len(got) >= 2


def test_a_pulse_on_pps1_is_an_external_pulse_for_the_selector() -> None:
    world = looped(0.0)
    wire(world, PHC, PPS1)
    world.sleep_s(6)
    assert world.read("pps_select", "gpio1") & 1
    assert world.card.fabric.selector is not None
    assert world.card.fabric.selector.selected(world.now_ns) == "sma"


def test_one_connector_can_feed_two_functions() -> None:
    world = looped(0.0)
    wire(world, PHC, PPS1 | TS1)
    assert len(stamps(world, 6, 0.5)) >= 5
    assert world.read("pps_select", "gpio1") & 1


def test_live_inputs() -> None:
    world = looped(0.0)
    start(world, period_ns=NS_PER_S, pulse_ns=NS_PER_S // 2)
    world.sleep_s(0.75 + 0.25)
    assert world.read("sma_status", "input_status") == 0b11, "SMA1 is an input, and high"
    world.sleep_s(0.5)
    assert world.read("sma_status", "input_status") == 0b01
    world.write("sma_map2", "gpio1", 0x8000_0000)
    assert world.read("sma_status", "input_status") == 0x1001
    wire(world, 0x4000, TS1)
    assert world.read("sma_status", "input_status") & 2, "VCC"
    wire(world, 0x2000, TS1)
    assert not world.read("sma_status", "input_status") & 2, "GND"
