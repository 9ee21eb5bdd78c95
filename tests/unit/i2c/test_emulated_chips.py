"""EEPROM chips, what is stored in them from the start and between runs, and the bus of an emulated card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fpga_world import make_world
from tests.unit.i2c.world import I2cWorld
from timecard.boards import ADVA, ART, BOARDS, FB, Board
from timecard.eeprom import decode_record
from timecard.emulator.eeprom_chips import make_24c02, make_24c08
from timecard.emulator.eeprom_factory import factory_contents
from timecard.emulator.i2c_blocks import EepromOptions, make_i2c
from timecard.errors import RefusedError
from timecard.pcie.i2c import open_i2c
from timecard.pcie.memory import chip_at, memory_on

T_NS = 1_800_000_000_000_000_000


def test_a_page_wraps_and_is_stored_by_the_stop() -> None:
    chip = make_24c02(0x50, bytes(256))
    assert chip.select(0x50, False, T_NS)
    for byte in (0x06, *b"abcd"):
        assert chip.receive(byte, T_NS)
    assert bytes(chip.memory) == bytes(256), "nothing is stored before the stop"
    chip.stop(T_NS)
    assert bytes(chip.memory[:8]) == b"cd\0\0\0\0ab"


def test_the_write_cycle_is_silent_for_5_ms() -> None:
    chip = make_24c02(0x50, bytes(256))
    chip.select(0x50, False, T_NS)
    chip.receive(0, T_NS)
    chip.receive(1, T_NS)
    chip.stop(T_NS)
    assert not chip.select(0x50, True, T_NS + 4_999_999)
    assert chip.select(0x50, True, T_NS + 5_000_000)


def test_a_write_without_a_stop_is_lost() -> None:
    chip = make_24c02(0x50, bytes(256))
    chip.select(0x50, False, T_NS)
    chip.receive(0, T_NS)
    chip.receive(0x55, T_NS)
    chip.select(0x50, True, T_NS)
    chip.stop(T_NS)
    assert chip.memory[0] == 0


def test_blocks_of_a_24c08_and_their_mirror() -> None:
    contents = bytes(1024 // 4 * [0] + 1024 // 4 * [1] + 1024 // 4 * [2] + 1024 // 4 * [3])
    chip = make_24c08(0x50, contents)
    for address in range(0x50, 0x58):
        chip.select(address, False, T_NS)
        chip.receive(0x10, T_NS)
        chip.select(address, True, T_NS)
        assert chip.send(T_NS) == address % 4
    assert not chip.select(0x58, True, T_NS)


def test_a_read_runs_on_through_the_chip() -> None:
    world = I2cWorld(ART)
    memory = world.chips[0x50].memory
    assert world.open().transfer(0x50, b"\xfe", 4) == bytes(memory[0xFE:0x102])


def test_power_cut_in_the_middle_of_a_page() -> None:
    chip = make_24c02(0x50, bytes(256))
    chip.cut_after = 2
    chip.select(0x50, False, T_NS)
    for byte in (0, *b"abcdef"):
        chip.receive(byte, T_NS)
    chip.stop(T_NS)
    assert bytes(chip.memory[:6]) == b"ab\xff\0\0\0"
    assert chip.dark
    assert not chip.select(0x50, True, T_NS + 1_000_000_000)
    chip.power_up()
    assert chip.select(0x50, True, T_NS)


# --- contents ---


def test_factory_contents_follow_the_options() -> None:
    fb = factory_contents(FB, "02:aa:bb:cc:dd:ee", "SERIES-1")
    assert fb[0x58][0x9A:0xA0] == bytes.fromhex("02aabbccddee")
    assert fb[0x50][0x43:0x50] == b"SERIES-1".ljust(13, b"\0")
    first, second = (
        decode_record(factory_contents(ART, f"02:00:00:00:00:0{n}")[0x50][0x200:0x2C4])[0] for n in (1, 2)
    )
    assert first["product_serial_number"] != second["product_serial_number"]
    with pytest.raises(ValueError, match="EUI-48"):
        factory_contents(FB, "nonsense")
    with pytest.raises(ValueError, match="board id"):
        factory_contents(FB, None, "x" * 14)


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_contents_are_kept_in_a_file(board: Board, tmp_path: Path) -> None:
    file = tmp_path / "eeprom.json"
    world = I2cWorld(board, EepromOptions(file=file))
    chip = board.i2c.chips[0]
    memory_on(world.open(), chip).write(7, b"kept from run to run")
    again = I2cWorld(board, EepromOptions(file=file, board_id="OTHER"))
    assert memory_on(again.open(), chip).read(7, 20) == b"kept from run to run"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"0x50": "00"}', '{"0x50": 5}', '{"x": ""}', "\xff"])
def test_a_file_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "eeprom.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"eeprom\.json"):
        make_i2c(FB, options=EepromOptions(file=file))


def test_the_file_of_another_board_is_named(tmp_path: Path) -> None:
    file = tmp_path / "eeprom.json"
    file.write_text(json.dumps({"0x50": bytes(1024).hex()}))
    with pytest.raises(ValueError, match="another board"):
        make_i2c(FB, options=EepromOptions(file=file))


def test_blank_and_unreadable_chips() -> None:
    blank = I2cWorld(FB, EepromOptions(blank=True))
    assert bytes(blank.chips[0x50].memory) == b"\xff" * 256
    assert blank.chips[0x58].memory[0x9A] == 0x02
    assert I2cWorld(FB, EepromOptions(unreadable=True)).chips[0x50].unreadable


# --- on a card ---


@pytest.mark.parametrize("board", [ART, ADVA], ids=lambda board: board.name)
def test_byte_accesses_reach_single_registers(board: Board) -> None:
    card = make_world(board=board.name).card
    base, stride = board.blocks["i2c_ctrl"].offset, board.i2c.register_stride
    for index, value in ((2, 0x00), (0, 61), (1, 0), (2, 0x80), (3, 0xA4)):
        card.write(base + index * stride, 1, value)
    assert [card.read(base + index * stride, 1) for index in range(3)] == [61, 0, 0x80]
    card.write(base + 4 * stride, 1, 0x91)
    assert card.read(base + 4 * stride, 1) & 0x42 == 0x42, "the address is under way"
    assert card.unmapped == 0


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_our_masters_make_word_accesses_to_decoded_registers_only(board: Board) -> None:
    world = make_world(board=board.name, strict=True)
    i2c = open_i2c(world.card, world.time)
    for chip in board.i2c.chips:
        memory_on(i2c, chip).read(0, chip.size)
    assert world.card.accesses.narrow == 0
    assert world.card.unmapped == 0


def test_the_boards_own_line_protects_the_eeprom() -> None:
    world = make_world(board="fb")
    memory = memory_on(open_i2c(world.card, world.time), chip_at(FB, 0x50, "x"))
    memory.write(0, b"\x01")
    word = world.read("gpio_ext", "gpio2")
    world.write("gpio_ext", "gpio2", word | 0x10)
    with pytest.raises(RefusedError, match="write-protected"):
        memory.write(0, b"\x02")
    world.write("gpio_ext", "gpio2", word)
    memory.write(0, b"\x02")
    assert memory.read(0, 1) == b"\x02"
