"""Registers of the emulated AXI IIC that our master does not use: standard mode, reset values, events."""

from __future__ import annotations

import pytest

from tests.unit.i2c.world import I2cWorld
from timecard.boards import FB
from timecard.emulator.axi_iic import AxiIic

DGIER, ISR, IER, SOFTR, CR, SR = 0x1C, 0x20, 0x28, 0x40, 0x100, 0x104
TX, RX, TX_OCY, RX_OCY, PIRQ = 0x108, 0x10C, 0x114, 0x118, 0x120
ARB_LOST, TX_ERROR, TX_EMPTY, RX_FULL, BNB = 0x01, 0x02, 0x04, 0x08, 0x10
EN, MSMS, SEND, TXAK, RSTA = 0x01, 0x04, 0x08, 0x10, 0x20


class Core:
    """The core, one access per microsecond."""

    def __init__(self) -> None:
        self.world = I2cWorld(FB)
        assert isinstance(self.world.block, AxiIic)
        self.block = self.world.block

    def read(self, reg: int) -> int:
        self.world.now_ns += 1_000
        value = self.block.read(reg, self.world.now_ns)
        assert value is not None
        return value

    def write(self, reg: int, value: int) -> None:
        self.world.now_ns += 1_000
        assert self.block.write(reg, value, self.world.now_ns)

    def clear(self, events: int) -> None:
        self.write(ISR, self.read(ISR) & events)

    def wait(self, reg: int, mask: int, level: int | None = None) -> None:
        wanted = mask if level is None else level
        for _ in range(10_000):
            if self.read(reg) & mask == wanted:
                return
        raise AssertionError(f"{reg:#x} does not become {wanted:#x}: {self.read(reg):#x}")


def test_reset_values_and_what_is_decoded() -> None:
    core = Core()
    core.write(SOFTR, 0xA)
    assert core.read(ISR) == 0xD0
    assert core.read(SR) == 0xC0
    assert core.read(CR) == core.read(IER) == core.read(DGIER) == 0
    assert core.block.read(0x24, core.world.now_ns) is None
    assert not core.block.write(0x200, 0, core.world.now_ns)


def test_events_toggle() -> None:
    core = Core()
    core.write(SOFTR, 0xA)
    core.write(ISR, 0x40)
    assert core.read(ISR) == 0x90
    core.write(ISR, 0x42)
    assert core.read(ISR) == 0xD2


@pytest.mark.parametrize("size", [1, 2, 17, 256])
def test_a_read_in_standard_mode(size: int) -> None:
    core = Core()
    core.write(SOFTR, 0xA)
    core.write(PIRQ, 0)
    core.write(CR, EN)
    core.clear(0xFF)
    core.write(TX, 0x50 << 1)
    core.write(TX, 0x00)
    core.write(CR, EN | MSMS | SEND)
    core.wait(ISR, TX_EMPTY)
    core.wait(SR, 0x04)
    core.write(CR, EN | MSMS | RSTA | (TXAK if size == 1 else 0))
    core.write(TX, 0x50 << 1 | 1)
    received = bytearray()
    while len(received) < size:
        core.wait(SR, 0x40, 0)
        left = size - len(received)
        if left == 2:
            core.write(CR, EN | MSMS | TXAK)
        elif left == 1:
            core.write(CR, EN | TXAK)
        received.append(core.read(RX))
    core.wait(ISR, BNB)
    assert bytes(received) == bytes(core.world.chips[0x50].memory[:size])
    assert core.read(ISR) & TX_ERROR, "the master's own refusal of the last byte"
    assert core.read(SR) == 0xC0


def test_a_write_in_standard_mode() -> None:
    core = Core()
    core.write(SOFTR, 0xA)
    core.write(CR, EN)
    core.clear(0xFF)
    for byte in (0x50 << 1, 0x08, *b"abc"):
        core.write(TX, byte)
    assert core.read(TX_OCY) == 4
    core.write(CR, EN | MSMS | SEND)
    core.wait(ISR, TX_EMPTY)
    core.write(CR, EN | SEND)  # the stop follows what is queued from now on
    core.write(TX, ord("d"))
    core.wait(ISR, BNB)
    assert bytes(core.world.chips[0x50].memory[8:12]) == b"abcd"


def test_nobody_there_in_standard_mode() -> None:
    core = Core()
    core.write(SOFTR, 0xA)
    core.write(CR, EN)
    core.clear(0xFF)
    core.write(TX, 0x22 << 1)
    core.write(TX, 0x00)
    core.write(CR, EN | MSMS | SEND)
    core.wait(ISR, TX_ERROR | BNB)
    assert core.read(SR) == 0xC0
    assert not core.read(CR) & MSMS


def test_a_full_fifo_holds_the_bus() -> None:
    core = Core()
    core.write(SOFTR, 0xA)
    core.write(PIRQ, 15)
    core.write(CR, EN)
    core.write(TX, 0x50 << 1 | 1 | 0x100)
    core.write(TX, 40 | 0x200)
    core.world.now_ns += 100_000_000
    assert core.read(SR) & 0x24 == 0x24
    assert core.read(RX_OCY) == 15
    core.read(RX)
    core.world.now_ns += 100_000_000
    assert core.read(RX_OCY) == 15


def test_a_lost_arbitration_frees_the_fifo() -> None:
    core = Core()
    core.write(SOFTR, 0xA)
    core.write(CR, EN)
    core.clear(0xFF)
    core.world.wire.foreign_starts = 1
    core.write(TX, 0x50 << 1 | 0x100)
    core.write(TX, 0x00 | 0x200)
    core.wait(ISR, ARB_LOST)
    assert core.read(SR) == 0xC0
