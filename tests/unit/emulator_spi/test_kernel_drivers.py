"""The emulated SPI blocks under the accesses of the stock kernel drivers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel_spi import SpiXilinx, devlink_flash, kernel_flash
from tests.spi_world import SpiBus
from tests.unit.firmware.firmware_world import firmware, pin_for, updater
from timecard.boards import BOARDS
from timecard.emulator.spi_blocks import FlashOptions

FAST = FlashOptions(speed=1000.0)


@pytest.mark.parametrize("board", BOARDS)
def test_the_kernel_finds_the_part_and_writes_it(board: str) -> None:
    bus = SpiBus(board, FAST)
    nor = kernel_flash(bus)
    assert nor.id[:3] == BOARDS[board].flash.jedec_ids[0]
    assert nor.size == bus.chip.part.size
    assert nor.page == 256
    start = nor.size - 0x2000
    nor.erase(start)
    nor.write(start, bytes(range(256)) * 16)
    assert nor.read(start, 4096) == bytes(range(256)) * 16
    assert bus.errors == 0


@pytest.mark.parametrize(("depth", "burst"), [(16, 15), (256, 255)])
def test_the_driver_measures_the_fifo(depth: int, burst: int) -> None:
    bus = SpiBus("fb", FlashOptions(fifo_depth=depth))
    spi = SpiXilinx(bus)
    assert spi.buffer_size == burst
    assert spi.message(b"\x9f", 3) == bytes.fromhex("20ba18")
    assert len(spi.message(b"\x03\x00\x00\x00", 700)) == 700
    assert bus.errors == 0


@pytest.mark.parametrize("board", BOARDS)
def test_devlink_flash_and_our_own_way_leave_the_same_contents(board: str, tmp_path: Path) -> None:
    data = firmware(board, size=25_000)
    kernel, own = SpiBus(board, FAST), SpiBus(board, FAST)
    devlink_flash(kernel, data)
    assert kernel.chip.operations == 7 + 98, "sectors and pages"
    updater(own, tmp_path).apply(data, "new.bin", pin_for(data, board))
    assert own.chip.memory.dump() == kernel.chip.memory.dump()
    assert own.booted() == kernel.booted()
    booted = own.booted()
    assert booted is not None
    assert booted.number == 33


def test_our_driver_works_on_what_the_kernel_left_and_the_other_way_round(tmp_path: Path) -> None:
    bus = SpiBus("fb", FAST)
    data = firmware()
    devlink_flash(bus, data)
    outcome = updater(bus, tmp_path).apply(data, "new.bin", pin_for(data))
    assert outcome.sectors_written == 0
    assert kernel_flash(bus).read(0x40_0000, len(data) - 16) == data[16:]
