"""Messages of level-sensitive sources: sent when the line rises, and again while it is high."""

from __future__ import annotations

import pytest

from tests.fpga_world import make_world
from timecard.boards import BOARDS
from timecard.emulator.fpga_block import REPEAT_NS, ByteLanes, LevelLine, Shifted


def test_a_high_line_is_sent_again_every_millisecond() -> None:
    sent: list[int] = []
    line = LevelLine(lambda: sent.append(1))
    assert line.next_event_ns(0) is None
    line.set(True, 100)
    line.set(True, 200)
    assert len(sent) == 1, "only its rise counts"
    assert line.next_event_ns(200) == 100 + REPEAT_NS
    line.poll(REPEAT_NS)
    assert len(sent) == 1
    line.poll(100 + REPEAT_NS)
    assert len(sent) == 2
    line.set(False, 100 + REPEAT_NS + 5)
    assert line.next_event_ns(0) is None
    line.poll(10 * REPEAT_NS)
    assert len(sent) == 2
    line.set(True, 11 * REPEAT_NS)
    assert len(sent) == 3


@pytest.mark.parametrize("board", list(BOARDS))
def test_a_uart_with_bytes_waiting_sends_its_vector_until_they_are_read(board: str) -> None:
    world = make_world(board=board)
    row = BOARDS[board].blocks["port[GNSS]"]
    port = row.offset
    raised: list[int] = []
    world.card.on_interrupt = raised.append
    if BOARDS[board].msix:
        world.write("msi", "msi_enable_high", 0xFFFF_FFFF)
    assert row.vector is not None
    world.card.listen({row.vector})
    for register, byte in ((0x0C, 0x83), (0x00, 27), (0x04, 0), (0x0C, 3), (0x04, 1)):
        world.card.write32(port + register, byte)
    world.device.to_say = [(world.now_ns + 1_000_000, b"a")]
    for _ in range(10):
        world.sleep_s(0.002)
    assert len(raised) >= 3
    assert set(raised) == {row.vector}
    assert world.card.read32(port) == ord("a")
    raised.clear()
    for _ in range(10):
        world.sleep_s(0.002)
    assert raised == []


class Bytes:
    """Four byte registers."""

    byte_registers = True

    def __init__(self) -> None:
        self.data = bytearray(4)
        self.reads: list[int] = []

    def read(self, reg: int, t_ns: int) -> int | None:
        self.reads.append(reg)
        return self.data[reg] if reg < 4 else None

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        if reg >= 4:
            return False
        self.data[reg] = value
        return True


def test_byte_registers_are_lanes_of_a_word() -> None:
    block = Bytes()
    lanes = ByteLanes(block)
    assert lanes.write(0, 0x4433_2211, 0)
    assert block.data == b"\x11\x22\x33\x44"
    assert lanes.read(0, 0) == 0x4433_2211
    assert lanes.read_byte(2, 0) == 0x33
    assert block.reads == [0, 1, 2, 3, 2], "a narrow read touches one register"
    assert lanes.write_byte(1, 0x1AA, 0)
    assert block.data[1] == 0xAA
    assert lanes.read(4, 0) is None
    assert not lanes.write(4, 0, 0)
    assert lanes.read(1, 0) is None


def test_a_block_that_begins_amid_a_page() -> None:
    shifted = Shifted(ByteLanes(Bytes()), 0x400)
    assert shifted.write(0x400, 7, 0)
    assert shifted.read(0x400, 0) == 7
    assert shifted.read(0x3FC, 0) is None
    assert not shifted.write(0, 7, 0)


def test_bytes_of_the_art_cards_i2c_master_are_reached_one_by_one() -> None:
    world = make_world(board="art")
    base = BOARDS["art"].blocks["i2c_ctrl"].offset
    world.card.write(base, 1, 61)
    world.card.write(base + 1, 1, 0)
    assert world.card.read(base, 1) == 61
    assert world.card.read32(base) & 0xFFFF == 61
    assert world.card.accesses.narrow == 3
    assert world.card.unmapped == 0
