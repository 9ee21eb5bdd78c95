"""The UART stream against the emulated 16550, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fpga_world import SlowBus, World, make_world
from timecard.boards import FB
from timecard.boards.fb import BLOCKS
from timecard.errors import DeviceLostError, DeviceTimeoutError, ProtocolError, RefusedError
from timecard.pcie.uart import UartStream

BASE = BLOCKS["port[GNSS]"].offset
BYTE_S = 10 / 115_200


def open_stream(world: World, baud: int = 115_200) -> UartStream:
    return UartStream(world.card, world.time, BASE, baud, "GNSS")


def read_for(world: World, stream: UartStream, seconds: float, step_s: float, max_bytes: int = 4096) -> bytes:
    got = b""
    for _ in range(round(seconds / step_s)):
        world.time.sleep_s(step_s)
        got += stream.read(max_bytes, 0)
    return got


@given(
    messages=st.lists(st.tuples(st.floats(0, 0.5), st.binary(min_size=1, max_size=200)), max_size=8),
    step_s=st.sampled_from([0.0005, 0.003, 0.05, 0.7]),
    max_bytes=st.sampled_from([1, 5, 14, 15, 4096]),
)
@settings(max_examples=40, deadline=None)
def test_what_the_device_says_arrives_whole_and_in_order(
    messages: list[tuple[float, bytes]], step_s: float, max_bytes: int
) -> None:
    world = make_world()
    stream = open_stream(world)
    messages.sort(key=lambda message: message[0])
    world.device.to_say = [(world.now_ns + round(at_s * 1e9), said) for at_s, said in messages]
    got = read_for(world, stream, 1.4, step_s, max_bytes)
    while more := stream.read(max_bytes, 0.01):
        got += more
    assert got == b"".join(said for _, said in messages)
    assert not any(stream.errors.values())


@pytest.mark.parametrize("step_s", [0.0005, 0.003])
@pytest.mark.parametrize("access_s", [3e-6, 7e-6, 30e-6])
def test_bytes_that_arrive_between_the_accesses_of_a_look_are_not_lost(
    access_s: float, step_s: float
) -> None:
    world = make_world()
    stream = UartStream(SlowBus(world, access_s), world.time, BASE, 115_200, "GNSS")
    data = bytes(n % 256 for n in range(1000))
    world.device.to_say = [(world.now_ns, data)]
    assert read_for(world, stream, 0.2, step_s) == data


def test_bytes_do_not_come_faster_than_the_line() -> None:
    world = make_world()
    stream = open_stream(world)
    world.device.to_say = [(world.now_ns, bytes(100))]
    start_ns = world.time.mono_ns()
    got = 0
    while got < 100:
        got += len(stream.read(100, 0.1))
    took_s = (world.time.mono_ns() - start_ns) / 1e9
    assert 99 * BYTE_S <= took_s <= 100 * BYTE_S + 2 * 12 * BYTE_S


def test_waiting_ends_with_the_first_bytes_or_at_the_timeout() -> None:
    world = make_world()
    stream = open_stream(world)
    world.device.to_say = [(world.now_ns + 20_000_000, b"0123456789abcdef")]
    start_ns = world.time.mono_ns()
    assert stream.read(64, 1.0).startswith(b"0123456789abcd")
    assert 20e6 <= world.time.mono_ns() - start_ns < 25e6
    stream.read(64, 0.01)
    start_ns = world.time.mono_ns()
    assert stream.read(64, 0.25) == b""
    assert world.time.mono_ns() - start_ns == pytest.approx(250e6, abs=1e6)


def test_a_full_message_costs_one_status_read_per_14_bytes() -> None:
    world = make_world()
    stream = open_stream(world)
    world.device.to_say = [(world.now_ns, bytes(700))]
    world.time.sleep_s(0.2)
    looks = 0
    read32 = world.card.read32

    def counting(offset: int) -> int:
        nonlocal looks
        looks += offset == BASE + 0x08
        return read32(offset)

    world.card.read32 = counting  # type: ignore[method-assign]  # to count reads
    assert len(stream.read(4096, 0)) == 700
    assert looks == 51


def test_it_works_on_a_bus_without_bursts() -> None:
    world = make_world()

    class Plain:
        name = "plain"
        board = FB
        read32 = staticmethod(world.card.read32)
        write32 = staticmethod(world.card.write32)

    stream = UartStream(Plain(), world.time, BASE, 115_200, "GNSS")
    world.device.to_say = [(world.now_ns, b"hello, world: a bit more than fourteen bytes")]
    assert read_for(world, stream, 0.1, 0.01) == b"hello, world: a bit more than fourteen bytes"


@pytest.mark.parametrize("size", [0, 1, 16, 17, 300])
def test_writing_delivers_everything_at_the_rate_of_the_line(size: int) -> None:
    world = make_world()
    stream = open_stream(world)
    data = bytes(n % 256 for n in range(size))
    start_ns = world.time.mono_ns()
    stream.write(data)
    # All but the last FIFO's content has left.
    assert (world.time.mono_ns() - start_ns) / 1e9 >= (size - 17) * BYTE_S
    read_for(world, stream, 0.01, 0.001)
    assert bytes(world.device.heard) == data


def test_the_wrong_rate_is_seen_as_framing_errors_and_garbage() -> None:
    world = make_world()
    world.device.baud = 9_600
    stream = open_stream(world)
    world.device.to_say = [(world.now_ns, b"readable")]
    assert b"readable" not in read_for(world, stream, 0.1, 0.01)
    assert stream.errors["framing"] >= 1
    stream.write(b"nothing")
    read_for(world, stream, 0.1, 0.01)
    assert b"nothing" not in bytes(world.device.heard)
    framing = stream.errors["framing"]
    stream.set_baud(9_600)
    world.device.to_say = [(world.now_ns, b"readable")]
    assert read_for(world, stream, 0.1, 0.01) == b"readable"
    assert stream.errors["framing"] == framing


def test_an_overrun_is_counted() -> None:
    world = make_world()
    stream = open_stream(world)
    world.device.to_say = [(world.now_ns, bytes(70_000))]
    world.time.sleep_s(10)
    assert len(read_for(world, stream, 0.1, 0.01, 100_000)) == 65_536
    assert stream.errors["overrun"] == 1


def test_errors_from_before_the_stream_was_opened_do_not_count() -> None:
    world = make_world()
    world.device.to_say = [(world.now_ns, bytes(500))]
    world.time.sleep_s(1)
    assert world.card.read32(BASE + 0x14) & 0x08, "an unset divisor must garble"
    world.device.to_say = [(world.now_ns, bytes(50))]
    world.time.sleep_s(1)
    stream = open_stream(world)
    assert read_for(world, stream, 0.1, 0.01) == b""
    assert not any(stream.errors.values())


@pytest.mark.parametrize("baud", [0, -1, 4_000_000, 460_800, 10])
def test_a_rate_that_the_clock_cannot_make_is_refused(baud: int) -> None:
    with pytest.raises(RefusedError, match=f"{baud} baud"):
        open_stream(make_world(), baud)


def test_a_place_without_uart_is_a_protocol_error() -> None:
    world = make_world()
    with pytest.raises(ProtocolError, match="no 16550"):
        UartStream(world.card, world.time, 0x001A_1000, 115_200, "not there")


def test_a_dead_card_and_a_reset_uart_are_lost() -> None:
    world = make_world()
    stream = open_stream(world)
    world.card.dead = True
    with pytest.raises(DeviceLostError, match="IIR"):
        stream.read(10, 0)
    with pytest.raises(DeviceLostError, match="LSR"):
        stream.write(b"x")
    world.card.dead = False
    world.card.write32(BASE + 0x08, 0)
    with pytest.raises(DeviceLostError, match="reset"):
        stream.read(10, 0)


class StuckBus:
    """A UART whose status registers never change."""

    name = "stuck"
    board = FB

    def __init__(self, iir: int, lsr: int) -> None:
        self._words = {0x00: 27, 0x08: iir, 0x14: lsr}

    def read32(self, offset: int) -> int:
        return self._words.get(offset, 0)

    def write32(self, offset: int, value: int) -> None:
        pass


def test_a_transmitter_that_never_empties_is_a_timeout() -> None:
    world = make_world()
    stream = UartStream(StuckBus(0xC1, 0x00), world.time, 0, 115_200, "stuck")
    with pytest.raises(DeviceTimeoutError, match="transmitter"):
        stream.write(b"x")


@pytest.mark.parametrize("iir", [0xC6, 0xCC])
def test_a_cause_that_never_clears_does_not_hold_the_reader(iir: int) -> None:
    world = make_world()
    stream = UartStream(StuckBus(iir, 0x62), world.time, 0, 115_200, "stuck")
    assert stream.read(100, 0) == b""
