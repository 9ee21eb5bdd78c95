"""A power cycle: what begins anew, what stays, and which image runs afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fpga_world import World, make_world
from timecard.boards import BOARDS
from timecard.emulator.options import CardOptions
from timecard.emulator.spi_flash_images import make_image
from timecard.emulator.virtual_card import build_in_process
from timecard.timescale import NS_PER_S


def put_update(world: World, number: int, *, tag: int | None = None, damage: bool = False) -> None:
    """An update image in the flash, as a finished (or a broken) update leaves it."""
    board = world.card.board
    own = board.image_tag if board.image_tag is not None else int(board.name == "celestica")
    image = bytearray(make_image(board, own if tag is None else tag, number))
    if damage:
        image[len(image) // 2] ^= 0xFF
    world.card.controllers.spi.flash.memory.store(board.flash.update_start, bytes(image))


def running(world: World) -> tuple[bool, int]:
    image = world.card.image
    assert image is not None
    return image.golden, image.number


def test_registers_and_clock_begin_anew() -> None:
    world = make_world()
    world.write("sma_map1", "gpio1", 0)
    world.write("reg", "select", 254)
    world.write("ts0", "enable", 1)
    world.card.config.write(4, b"\x06")
    world.card.power_cycle()
    assert world.read("sma_map1", "gpio1") == 0x8001_8000
    assert world.read("reg", "select") == 0x0003_0003
    assert world.read("ts0", "enable") == 0
    assert world.card.config.read(4, 1) == b"\0"
    world.sleep_s(2)
    assert world.card.card_tai_ns(world.now_ns) == pytest.approx(2 * NS_PER_S, abs=1000)


def test_pulses_and_interrupts_work_afterwards() -> None:
    world = make_world()
    raised: list[int] = []
    world.card.on_interrupt = raised.append
    world.card.power_cycle()
    world.write("ts0", "enable", 1)
    world.write("ts0", "intr_mask", 1)
    world.sleep_s(2)
    assert raised == [1]


@pytest.mark.parametrize("board", list(BOARDS))
def test_a_whole_update_runs_after_it_and_not_before(board: str) -> None:
    world = make_world(board=board)
    before = running(world)
    put_update(world, 9)
    world.sleep_s(1)
    assert running(world) == before
    world.card.power_cycle()
    golden, number = running(world)
    assert (golden, number & 0x7FFF) == (False, 9)
    shown = world.read("image", "version") if BOARDS[board].has("image") else world.read("reg", "version")
    assert shown & 0x7FFF == 9


@pytest.mark.parametrize("board", ["fb", "litepcie", "celestica", "adva", "adva-x1"])
def test_a_broken_update_leaves_the_golden_image(board: str) -> None:
    world = make_world(board=board)
    put_update(world, 9, damage=True)
    world.card.power_cycle()
    assert running(world)[0]
    word = world.read("image", "version")
    assert word & 0xFFFF == 0
    assert word >> 16


def test_an_image_of_another_card_takes_it_off_the_bus_until_the_flash_is_mended() -> None:
    world = make_world(board="fb")
    put_update(world, 9, tag=1)
    world.card.power_cycle()
    assert world.card.image is None
    assert world.card.dead
    assert world.read("reg", "version") == 0xFFFF_FFFF
    put_update(world, 9)
    world.card.power_cycle()
    assert not world.card.dead
    assert running(world) == (False, 9)


def test_the_image_can_be_chosen() -> None:
    assert make_world(options=CardOptions(loader=True)).read("image", "version") & 0xFFFF == 0
    assert make_world(options=CardOptions(image_version=20)).read("image", "version") == 20
    assert make_world(image_version=0x0005_0000).read("image", "version") == 0x0005_0000


def test_an_old_image_has_no_words_about_the_receiver() -> None:
    old = make_world(options=CardOptions(image_version=20))
    assert old.read("tod", "gnss_status") == 0xFFFF_FFFF
    assert old.card.unmapped == 1
    new = make_world(options=CardOptions(image_version=26))
    assert new.read("tod", "gnss_status") == 0
    assert new.card.unmapped == 0


def test_flash_and_eeprom_are_kept_in_files(tmp_path: Path) -> None:
    options = CardOptions(flash_file=tmp_path / "flash.bin", eeprom_file=tmp_path / "eeprom.json")
    first = make_world(options=options)
    put_update(first, 9)
    again = make_world(options=options)
    assert running(again) == (False, 9)


def test_a_card_in_process_can_be_cycled() -> None:
    card = build_in_process(board="art")
    card.timebase.sleep_s(5)
    card.power_cycle()
    card.timebase.sleep_s(5)
    assert card.truth().card_tai_ns == pytest.approx(5 * NS_PER_S, abs=1000)
    assert card.latches() == []
