"""The stock kernel driver's probe, register by register, against every board.

The order is that of ``drivers/ptp/ptp_ocp.c``; the widths are its own: words, and bytes at the UARTs.
"""

from __future__ import annotations

import pytest

from tests.fpga_world import START_S, World, make_world, tod_status
from timecard.boards import BOARDS, Board
from timecard.boards import registers as r
from timecard.timescale import NS_PER_S

STOCK = [name for name, board in BOARDS.items() if board.kernel_binds]
UTC_SINKS = ("irig_out", "dcf_out", "nmea_out")


def registered_uarts(world: World) -> None:
    for port in world.card.board.serial_ports.values():
        world.card.write(world.card.board.blocks[port.block].offset + 0x10, 1, 0)


def image(world: World) -> str:
    """Tag and number as the driver works them out."""
    board = world.card.board
    if board.image_word.name == "CLOCK_VERSION":
        return f"2.{world.read('reg', 'version')}"
    word = world.read("image", "version")
    loader = word & 0xFFFF == 0
    word = word >> 16 if loader else word
    name = "loader" if loader else "fw"
    tag = board.image_tag
    return f"{name} {word >> 15}.{word & 0x7FFF}" if tag is None else f"{name} {tag}.{word & 0xFFFF}"


def time_of_day(world: World) -> None:
    world.write("tod", "ctrl", world.read("tod", "ctrl") & ~0x3_0000 | 0x1000_0001)
    status = world.read("tod", "utc_status")
    if status & 0x100:
        for sink in UTC_SINKS:
            if world.card.board.has(sink):
                world.write(sink, "adj_sec", status & 0xFF)


def connectors(world: World) -> list[str]:
    """Directions that the driver takes from the words."""
    if world.card.board.has("art_sma"):
        return [hex(world.read("art_sma", f"io{n}")) for n in range(4)]
    assert world.read("sma_map2", "gpio2") != r.ALL_ONES, "directions are not fixed"
    inputs, outputs = world.read("sma_map1", "gpio1"), world.read("sma_map1", "gpio2")
    return [
        "in" if inputs & 0x8000 else "out",
        "in" if inputs & 0x8000_0000 else "out",
        "out" if outputs & 0x8000 else "in",
        "out" if outputs & 0x8000_0000 else "in",
    ]


def init_clock(world: World, board: Board) -> None:
    world.write("reg", "ctrl", 1)
    names = ("servo_offset_p", "servo_offset_i", "servo_drift_p", "servo_drift_i")
    for name, value in zip(names, board.servo, strict=True):
        world.write("reg", name, value)
    world.write("reg", "ctrl", 0x101)
    assert world.read("reg", "ctrl") & 1, "clock not enabled"
    for _ in range(3):
        world.read("reg", "ctrl")
        world.write("reg", "ctrl", 0x4000_0001)
        assert world.read("reg", "ctrl") >> 31


def gettime_ns(world: World) -> int:
    world.write("reg", "ctrl", 0x4000_0001)
    for _ in range(100):
        if world.read("reg", "ctrl") >> 31:
            break
    else:
        raise AssertionError("ETIMEDOUT")
    return world.read("reg", "time_ns") + world.read("reg", "time_sec") * NS_PER_S


def settime(world: World, card_ns: int) -> None:
    kept = world.read("reg", "select") >> 16
    world.write("reg", "select", 0xFE)
    world.write("reg", "adjust_ns", card_ns % NS_PER_S)
    world.write("reg", "adjust_sec", card_ns // NS_PER_S)
    world.write("reg", "ctrl", 3)
    world.write("reg", "select", kept)


def probe(world: World) -> None:
    board = world.card.board
    registered_uarts(world)
    image(world)
    if board.has("board_config"):
        world.write("board_config", "mro50_serial_activate", 1)
    if board.has("tod"):
        time_of_day(world)
    if board.has("nmea_out"):
        for register, value in (("ctrl", 0), ("uart_baud", 7), ("ctrl", 1)):
            world.write("nmea_out", register, value)
    for n in range(board.generators):
        world.write(f"signal_out[{n}]", "enable", 0)
        world.read(f"signal_out[{n}]", "polarity")
    connectors(world)
    init_clock(world, board)
    if not world.read("reg", "status") & 1:
        settime(world, world.now_ns)
    world.read("reg", "version")
    world.read("reg", "select")


@pytest.mark.parametrize("board", STOCK)
def test_the_probe_finds_a_card_and_touches_nothing_that_is_not_there(board: str) -> None:
    world = make_world(board=board, start_card_tai_ns=0, tod=lambda t_ns: tod_status())
    probe(world)
    assert world.card.unmapped == 0
    assert gettime_ns(world) - world.now_ns == pytest.approx(0, abs=1000)
    for sink in UTC_SINKS:
        if BOARDS[board].has(sink):
            assert world.read(sink, "adj_sec") == 37


@pytest.mark.parametrize(
    ("board", "version"),
    [("fb", "fw 0.28"), ("celestica", "fw 1.14"), ("art", "2.15"), ("adva", "fw 3.4"), ("adva-x1", "fw 3.4")],
)
def test_the_version_that_devlink_would_show(board: str, version: str) -> None:
    assert image(make_world(board=board)) == version


@pytest.mark.parametrize("board", ["fb", "celestica", "adva", "adva-x1"])
def test_directions_at_the_start(board: str) -> None:
    assert connectors(make_world(board=board)) == ["in", "in", "out", "out"]


@pytest.mark.parametrize("board", STOCK)
def test_time_is_set_and_slewed_as_the_driver_does(board: str) -> None:
    world = make_world(board=board)
    probe(world)
    settime(world, 1_234_567_890 * NS_PER_S + 5)
    assert gettime_ns(world) == pytest.approx(1_234_567_890 * NS_PER_S + 5, abs=40)
    kept = world.read("reg", "select") >> 16
    for register, value in (
        ("select", 0xFE),
        ("offset_ns", 10_000_000 | 0x8000_0000),
        ("offset_interval", NS_PER_S),
        ("ctrl", 5),
        ("select", kept),
    ):
        world.write("reg", register, value)
    world.sleep_s(2.0)
    assert gettime_ns(world) == pytest.approx(1_234_567_892 * NS_PER_S - 10_000_000 + 5, abs=60)


@pytest.mark.parametrize("board", STOCK)
def test_external_timestamps_as_the_driver_takes_them(board: str) -> None:
    """Enable, one message, seconds before nanoseconds, acknowledge, and the next message."""
    world = make_world(board=board)
    probe(world)
    raised: list[int] = []
    world.card.on_interrupt = raised.append
    family = BOARDS[board]
    has_mask = any(row.name == "intr_mask" for row in family.blocks["ts0"].registers)
    for register in ("enable", *(("intr_mask",) if has_mask else ()), "intr"):
        world.write("ts0", register, 1)
    seconds: list[int] = []
    for _ in range(3):
        world.sleep_s(1)
        assert raised == [family.blocks["ts0"].vector] * (len(seconds) + 1)
        seconds.append(world.read("ts0", "time_sec"))
        assert world.read("ts0", "time_ns") < 10 or world.read("ts0", "time_ns") > NS_PER_S - 10
        world.write("ts0", "intr", 1)
    assert seconds == [START_S + n for n in (1, 2, 3)] or seconds == [START_S + n for n in (0, 1, 2)]


@pytest.mark.parametrize("board", [name for name in STOCK if BOARDS[name].has("pps_to_clk")])
def test_the_watchdog_sees_a_lost_pulse_every_second(board: str) -> None:
    world = make_world(board=board)
    probe(world)
    world.sleep_s(3)
    world.gnss.error_ns = lambda second: None
    world.sleep_s(3)
    for _ in range(3):
        status = world.read("pps_to_clk", "status")
        assert status & 2
        world.write("pps_to_clk", "status", status)
        kept = world.read("reg", "select") >> 16
        for register, value in (("select", 0xFE), ("drift_ns", 0), ("ctrl", 9), ("select", kept)):
            world.write("reg", register, value)
        world.sleep_s(1.0)


@pytest.mark.parametrize("board", [name for name in STOCK if BOARDS[name].generators])
def test_a_generators_interrupt_as_the_driver_handles_it(board: str) -> None:
    world = make_world(board=board)
    probe(world)
    block = "signal_out[0]"
    vector = BOARDS[board].blocks[block].vector
    raised: list[int] = []
    world.card.on_interrupt = raised.append
    now_ns = gettime_ns(world)
    begin_ns = (now_ns // NS_PER_S + 2) * NS_PER_S
    for register, value in (
        ("intr_mask", 0), ("enable", 0),
        ("start_sec", begin_ns // NS_PER_S), ("start_ns", begin_ns % NS_PER_S),
        ("period_sec", 1), ("period_ns", 0), ("pulse_sec", 0), ("pulse_ns", NS_PER_S // 2),
        ("polarity", 1), ("repeat_count", 0), ("intr", 0), ("intr_mask", 1), ("enable", 3),
    ):  # fmt: skip
        world.write(block, register, value)
    world.sleep_s(3)
    assert (world.read(block, "enable"), world.read(block, "status"), raised) == (1, 0, [])
    settime(world, now_ns)
    assert raised == [vector]
    assert world.read(block, "status")
    for register in ("intr_mask", "enable", "intr"):
        world.write(block, register, 0)
    world.sleep_s(3)
    assert raised == [vector]
    assert world.read(block, "enable") == 0
