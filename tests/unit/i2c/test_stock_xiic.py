"""Linux' i2c-xiic sequences against the emulated AXI IIC, with the host's speed and with a slow guest's."""

from __future__ import annotations

import pytest

from tests.unit.i2c.stock_xiic import Message, StockXiic, TransferError
from tests.unit.i2c.world import I2cWorld
from timecard.boards import FB

LATENCIES_NS = (1_000, 40_000, 150_000, 700_000)


@pytest.mark.parametrize("latency_ns", LATENCIES_NS)
@pytest.mark.parametrize("size", [1, 2, 6, 13, 15, 16, 17, 31, 32, 33, 128, 255])
def test_reads_of_every_kind_of_length(latency_ns: int, size: int) -> None:
    world = I2cWorld(FB)
    driver = StockXiic(world, latency_ns)
    read = Message(0x50, read=size)
    driver.transfer(Message(0x50, b"\x01"), read)
    expected = bytes(world.chips[0x50].memory[1 : 1 + size]).ljust(size, bytes(world.chips[0x50].memory[:1]))
    assert bytes(read.received) == expected[:size]


@pytest.mark.parametrize("latency_ns", LATENCIES_NS)
def test_the_serial_number_as_at24_reads_it(latency_ns: int) -> None:
    driver = StockXiic(I2cWorld(FB), latency_ns)
    read = Message(0x58, read=6)
    driver.transfer(Message(0x58, b"\x9a"), read)
    assert read.received.hex(":") == "02:ac:cd:00:00:01"


@pytest.mark.parametrize("latency_ns", LATENCIES_NS)
def test_writes_longer_than_the_fifo(latency_ns: int) -> None:
    world = I2cWorld(FB)
    driver = StockXiic(world, latency_ns)
    data = bytes(range(0x40, 0x40 + 30))
    driver.transfer(Message(0x70, data))  # the switch takes any number of bytes, the last one counts
    read = Message(0x70, read=1)
    driver.transfer(read)
    assert read.received == bytes((data[-1] & 0x0F,))


@pytest.mark.parametrize("latency_ns", LATENCIES_NS)
def test_a_page_write_and_the_wait_for_its_end(latency_ns: int) -> None:
    world = I2cWorld(FB)
    driver = StockXiic(world, latency_ns)
    world.chips[0x50].write_cycle_ns = 30_000_000  # longer than a start waits for a quiet host
    driver.transfer(Message(0x50, b"\x10abcdefgh"))
    refusals = 0
    for _ in range(100):
        try:
            driver.transfer(Message(0x50, b"\x10"))
            break
        except TransferError as error:
            assert str(error) == "EIO"
            refusals += 1
            world.now_ns += 200_000
    else:
        pytest.fail("the write cycle does not end")
    assert refusals > 0
    assert bytes(world.chips[0x50].memory[0x10:0x18]) == b"abcdefgh"


@pytest.mark.parametrize("latency_ns", LATENCIES_NS)
@pytest.mark.parametrize(
    "messages",
    [
        (Message(0x22, b"\x00"), Message(0x22, read=1)),
        (Message(0x22, read=1),),
        (Message(0x22, read=20),),
        (Message(0x22, b""),),
        (Message(0x22, bytes(20)),),
        (Message(0x58, b"\x00\x11"),),
    ],
)
def test_what_is_not_acknowledged_fails_at_once_and_frees_the_bus(
    latency_ns: int, messages: tuple[Message, ...]
) -> None:
    world = I2cWorld(FB)
    driver = StockXiic(world, latency_ns)
    for _ in range(2):
        fresh = [Message(message.address, message.data, message.read) for message in messages]
        with pytest.raises(TransferError, match="EIO"):
            driver.transfer(*fresh)
    read = Message(0x50, read=1)
    driver.transfer(Message(0x50, b"\x43"), read)
    assert read.received == bytes(world.chips[0x50].memory[0x43:0x44])


def test_no_interrupt_storm() -> None:
    world = I2cWorld(FB)
    driver = StockXiic(world, 1_000)
    driver.transfer(Message(0x50, b"\x00"), Message(0x50, read=128))
    assert driver.handled < 20
    world.interrupts = 0
    for _ in range(100):
        due = world.block.next_event_ns(world.now_ns)
        if due is None:
            break
        world.now_ns = due
        world.block.poll(due)
    assert world.interrupts <= 100


def test_a_lost_arbitration_is_an_error_of_the_transfer() -> None:
    world = I2cWorld(FB)
    driver = StockXiic(world, 1_000)
    world.wire.foreign_starts = 1
    with pytest.raises(TransferError, match="EIO"):
        driver.transfer(Message(0x50, b"\x00"), Message(0x50, read=4))
    driver.transfer(Message(0x50, b"\x00"), Message(0x50, read=4))
