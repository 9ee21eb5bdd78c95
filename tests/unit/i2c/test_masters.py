"""Our polled I2C masters against emulated chips that answer, refuse, hold a line or win the bus."""

from __future__ import annotations

import pytest

from tests.unit.i2c.world import I2cWorld
from timecard.boards import ADVA, ADVA_X1, ART, BOARDS, FB, Board
from timecard.emulator.i2c_blocks import EepromOptions
from timecard.errors import (
    DeviceAbsentError,
    DeviceLostError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
)
from timecard.pcie.memory import chip_at, memory_on, read_identity

KINDS = pytest.mark.parametrize("board", [FB, ART, ADVA], ids=lambda board: board.name)


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_every_chip_reads_as_it_is(board: Board) -> None:
    world = I2cWorld(board)
    i2c = world.open()
    for chip in board.i2c.chips:
        memory = memory_on(i2c, chip)
        assert memory.read(0, chip.size) == bytes(world.chips[chip.address].memory)
        assert memory.read(chip.size - 3, 3) == bytes(world.chips[chip.address].memory[-3:])


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_identity_of_every_board(board: Board) -> None:
    identity = read_identity(I2cWorld(board).open(), board)
    assert identity.problems == ()
    assert identity.serial == ("F00000001" if board is ART else "02:ac:cd:00:00:01")
    assert identity.board_id is not None
    assert identity.board_id.startswith("R4006") == (board.name == "celestica")


@pytest.mark.parametrize("board", [FB, ADVA_X1, ART, ADVA], ids=lambda board: board.name)
def test_a_write_across_pages_and_blocks(board: Board) -> None:
    world = I2cWorld(board)
    chip = board.i2c.chips[0]
    memory = memory_on(world.open(), chip)
    start = 250 if chip.size > 256 else 3
    data = bytes(range(41))
    memory.write(start, data)
    stored = world.chips[chip.address].memory
    assert bytes(stored[start : start + 41]) == data
    before = len(world.accesses)
    memory.write(start, data)
    writes = [access for access in world.accesses[before:] if access[0] == "w"]
    assert memory.read(start, 41) == data
    assert len(writes) < 400, "what is there already is not written again"


@pytest.mark.parametrize("board", [FB, ADVA], ids=lambda board: board.name)
def test_the_word_at_0_is_not_the_serial(board: Board) -> None:
    memory = memory_on(I2cWorld(board).open(), chip_at(board, 0x58, "x"))
    assert memory.read(0, 6) != memory.read(0x9A, 6)


@KINDS
def test_nobody_at_the_address(board: Board) -> None:
    i2c = I2cWorld(board).open()
    for write, read in ((b"", 0), (b"\x00", 0), (b"\x00", 4), (b"", 4)):
        with pytest.raises(DeviceAbsentError, match="nobody answers at 0x22"):
            i2c.transfer(0x22, write, read)
    assert len(i2c.transfer(0x50, b"\x00", 4)) == 4, "the bus is free again"


@KINDS
def test_a_refused_byte(board: Board) -> None:
    world = I2cWorld(board)
    chip = world.chips[board.i2c.chips[-1].address]
    chip.receive = lambda byte, t_ns: False  # type: ignore[method-assign]  # this chip alone refuses
    with pytest.raises(RefusedError, match="refused"):
        world.open().transfer(chip.first_address, b"\x00\x01", 0)


@KINDS
def test_a_held_clock_times_out_and_is_over_when_it_is(board: Board) -> None:
    world = I2cWorld(board)
    i2c = world.open()
    world.wire.scl_held = True
    began_ns = world.now_ns
    with pytest.raises(DeviceTimeoutError):
        i2c.transfer(0x50, b"\x00", 4)
    assert world.now_ns - began_ns < 200_000_000
    world.wire.scl_held = False
    assert len(i2c.transfer(0x50, b"\x00", 4)) == 4


@KINDS
def test_the_clock_is_held_in_the_middle_of_a_read(board: Board) -> None:
    world = I2cWorld(board)
    i2c = world.open()
    chip = world.chips[0x50]
    original = chip.send

    def hold(t_ns: int) -> int:
        world.wire.scl_held = True
        return original(t_ns)

    chip.send = hold  # type: ignore[method-assign]  # this chip alone holds the line
    with pytest.raises(DeviceTimeoutError):
        i2c.transfer(0x50, b"\x00", 8)
    del chip.send
    world.wire.scl_held = False
    assert i2c.transfer(0x50, b"\x00", 2) == bytes(chip.memory[:2])


@KINDS
def test_a_part_left_in_the_middle_of_a_byte_lets_go(board: Board) -> None:
    world = I2cWorld(board)
    i2c = world.open()
    world.wire.sda_held_clocks = 5
    assert i2c.transfer(0x50, b"\x00", 2) == bytes(world.chips[0x50].memory[:2])
    world.wire.foreign_starts = 1
    assert i2c.transfer(0x50, b"\x00", 2) == bytes(world.chips[0x50].memory[:2])


@KINDS
def test_a_bus_lost_again_and_again(board: Board) -> None:
    world = I2cWorld(board)
    i2c = world.open()
    world.wire.sda_held_clocks = 1000
    with pytest.raises(ProtocolError, match="lost the bus twice"):
        i2c.transfer(0x50, b"\x00", 2)
    world.wire.sda_held_clocks = 0
    assert len(i2c.transfer(0x50, b"\x00", 2)) == 2


@KINDS
def test_a_program_that_ended_in_the_middle_of_a_transfer(board: Board) -> None:
    world = I2cWorld(board)
    first = world.open()

    class KilledError(Exception):
        pass

    for accesses in range(5, 60, 3):
        left = accesses

        def count() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError

        world.before_access = count
        with pytest.raises(KilledError):
            first.transfer(0x50, b"\x00", 12)
        world.before_access = lambda: None
        assert world.open().transfer(0x50, b"\x00", 12) == bytes(world.chips[0x50].memory[:12])


@KINDS
def test_a_card_that_is_gone(board: Board) -> None:
    world = I2cWorld(board)
    i2c = world.open()
    world.dead = True
    with pytest.raises(DeviceLostError, match="all ones"):
        i2c.transfer(0x50, b"\x00", 2)
    with pytest.raises(DeviceLostError):
        world.open()


@KINDS
def test_another_block_in_its_place(board: Board) -> None:
    world = I2cWorld(board)

    class Zeros:
        def read(self, reg: int, t_ns: int) -> int:
            return 0

        def write(self, reg: int, value: int, t_ns: int) -> bool:
            return True

    world.words = Zeros()
    with pytest.raises(TimeCardError):
        world.open()


@KINDS
def test_requests_that_no_bus_can_do(board: Board) -> None:
    i2c = I2cWorld(board).open()
    for address, write, read in ((0x80, b"", 1), (0x03, b"", 1), (0x50, bytes(256), 0), (0x50, b"", 256)):
        with pytest.raises(RefusedError):
            i2c.transfer(address, write, read)


@KINDS
def test_write_protection_is_found_out(board: Board) -> None:
    world = I2cWorld(board, EepromOptions(write_protected=True))
    chip = board.i2c.chips[0]
    before = bytes(world.chips[chip.address].memory)
    with pytest.raises(RefusedError, match="write-protected"):
        memory_on(world.open(), chip).write(0, b"\x00\x11\x22")
    assert bytes(world.chips[chip.address].memory) == before


def test_a_locked_chip_and_places_outside() -> None:
    world = I2cWorld(FB)
    locked = memory_on(world.open(), chip_at(FB, 0x58, "x"))
    with pytest.raises(RefusedError, match="only be read"):
        locked.write(0x9A, b"\x00")
    for offset, size in ((-1, 1), (250, 7), (0, -1)):
        with pytest.raises(RefusedError):
            locked.read(offset, size)
    with pytest.raises(UnsupportedError, match="no EEPROM at 0x51"):
        chip_at(FB, 0x51, "x")


@KINDS
def test_chips_that_cannot_be_read_are_problems_of_the_identity(board: Board) -> None:
    world = I2cWorld(board)
    world.block.unreadable = True
    identity = read_identity(world.open(), board)
    assert identity.serial is None
    assert identity.board_id is None
    assert any("nobody answers" in problem for problem in identity.problems)


def test_each_word_written_on_art_leaves_prescaler_and_control_as_they_are() -> None:
    world = I2cWorld(ART)
    i2c = world.open()
    i2c.transfer(0x50, b"\x00", 4)
    begin = len(world.accesses)
    i2c.transfer(0x52, b"\x43", 13)
    words = {value & 0xFF_FFFF for kind, reg, value in world.accesses[begin:] if (kind, reg) == ("w", 0)}
    assert words == {0x80 << 16 | 61}


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_a_byte_takes_its_time_on_the_bus(board: Board) -> None:
    world = I2cWorld(board)
    i2c = world.open()
    began_ns = world.now_ns
    i2c.transfer(0x50, b"\x00", 100)
    byte_ns = 9 * 1_000_000_000 // board.i2c.bus_hz
    assert 103 * byte_ns < world.now_ns - began_ns < 120 * byte_ns + 2_000_000


@KINDS
def test_a_bus_that_is_held_from_the_start_is_a_problem_of_the_identity(board: Board) -> None:
    world = I2cWorld(board)
    world.wire.scl_held = True
    identity = read_identity(world.open(), board)
    assert identity.serial is None
    assert identity.problems
