"""The flash from user space, on the emulated SPI blocks of every board."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.spi_world import SpiBus
from timecard.boards import BOARDS
from timecard.emulator.spi_blocks import FlashOptions
from timecard.emulator.world import VirtualTime
from timecard.errors import (
    DeviceAbsentError,
    DeviceLostError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
)
from timecard.pcie.nor_flash import NorFlash, open_flash
from timecard.pcie.nor_flash_parts import read_sfdp
from timecard.pcie.spi_axi import AxiSpiMaster

EVERY_BOARD = pytest.mark.parametrize("board", BOARDS)


@EVERY_BOARD
def test_it_reads_erases_and_programmes(board: str) -> None:
    bus = SpiBus(board)
    flash = bus.open()
    assert flash.jedec_id == bus.board.flash.jedec_ids[0]
    assert flash.size == bus.board.flash.default_size
    noise = random.Random(board).randbytes(5000)
    for start in (bus.board.flash.update_start + 0x10_0000, flash.size - 8192):
        flash.program(start + 100, noise)
        assert flash.read(start + 100, 5000) == noise
        flash.erase(start)
        assert flash.read(start, 8192) == b"\xff" * 4096 + noise[3996:] + b"\xff" * (8192 - 5100)
    assert bus.errors == 0


@EVERY_BOARD
def test_it_waits_for_the_chip(board: str) -> None:
    bus = SpiBus(board)
    flash = bus.open()
    started_ns = bus.now_ns()
    flash.erase(0x80_0000)
    erased_ns = bus.now_ns()
    part = bus.chip.part
    assert part.erase_4k_ns <= erased_ns - started_ns <= part.erase_4k_ns + 5_000_000
    flash.program(0x80_0000, bytes(512))
    assert 2 * part.program_ns <= bus.now_ns() - erased_ns <= 2 * part.program_ns + 1_000_000


def test_parts_that_were_fitted_later_work_too() -> None:
    bus = SpiBus("celestica", FlashOptions(part="c22019"))
    flash = bus.open()
    assert (flash.part, flash.size) == ("mx25l25645g", 32 << 20)
    flash.erase(0x40_0000)
    flash.program(0x40_0000, b"abc")
    assert flash.read(0x40_0000, 4) == b"abc\xff"


@pytest.mark.parametrize("depth", [16, 256])
def test_the_fifo_is_measured(depth: int) -> None:
    bus = SpiBus("fb", FlashOptions(fifo_depth=depth))
    assert AxiSpiMaster(bus, bus.time).fifo_depth == depth
    assert bus.open().read(0x40_0000, 1000) == bus.chip.memory.read(0x40_0000, 1000)
    assert bus.errors == 0


def test_blank_pages_are_not_programmed() -> None:
    bus = SpiBus()
    bus.open().program(0x90_0000, b"\xff" * 1024 + b"x")
    assert bus.chip.operations == 1


def test_an_unknown_part_is_refused_with_its_id() -> None:
    bus = SpiBus("art", FlashOptions(part="c22019"))
    with pytest.raises(UnsupportedError, match=r"c22019.*20bb19"):
        bus.open()


def test_a_missing_chip_is_said_to_be_missing() -> None:
    for board in ("fb", "art"):
        bus = SpiBus(board)
        bus.chip.powered = False
        with pytest.raises((DeviceAbsentError, DeviceLostError), match="no chip answers"):
            bus.open()


@pytest.mark.parametrize("board", ["fb", "adva"])
@pytest.mark.parametrize("bottom", [False, True])
def test_a_protected_area_is_said_to_be_protected(board: str, bottom: bool) -> None:
    bus = SpiBus(board)
    flash = bus.open()
    bus.chip.status = 0x24 if bottom else 0x04
    inside, outside = (0, 0x80_0000) if bottom else (flash.size - 4096, 0x80_0000)
    flash.erase(outside)
    for change in (partial(flash.erase, inside), partial(flash.program, inside, b"\x00")):
        with pytest.raises(RefusedError, match="protected"):
            change()
    flash.program(outside, b"\x00")
    assert bus.chip.status & 0x3C, "the protection was left alone"


def test_protection_of_a_part_without_flags_is_noticed() -> None:
    bus = SpiBus("celestica", FlashOptions(part="c22019"))
    flash = bus.open()
    bus.chip.status = 0x04
    for change in (partial(flash.erase, flash.size - 4096), partial(flash.program, flash.size - 1, b"x")):
        with pytest.raises(RefusedError, match="protected"):
            change()
    flash.erase(0x40_0000)
    assert bus.chip.operations == 1


def test_a_chip_that_stays_busy_times_out() -> None:
    bus = SpiBus("fb", FlashOptions(speed=0.01))
    flash = bus.open()
    with pytest.raises(DeviceTimeoutError, match="busy for more than 3 s"):
        flash.erase(0x80_0000)


def test_a_cut_in_the_middle_is_a_lost_device() -> None:
    for board in ("fb", "art"):
        bus = SpiBus(board)
        flash = bus.open()
        bus.chip.powered = False
        for use in (partial(flash.erase, 0x80_0000), partial(flash.program, 0x80_0000, b"\x00")):
            with pytest.raises(DeviceLostError):
                use()


def test_nothing_outside_of_the_chip_is_touched() -> None:
    bus = SpiBus()
    flash = bus.open()
    uses: tuple[Callable[[], object], ...] = (
        partial(flash.read, flash.size - 1, 2),
        partial(flash.read, -1, 1),
        partial(flash.erase, flash.size),
        partial(flash.erase, 100),
        partial(flash.program, flash.size - 1, b"ab"),
    )
    for use in uses:
        with pytest.raises(RefusedError):
            use()
    assert bus.chip.operations == 0


class BrokenBus(SpiBus):
    """Some registers read what a broken or missing card makes of them."""

    def __init__(self, board: str, words: Any) -> None:
        super().__init__(board, FlashOptions(speed=1e6))
        self.words = words

    def read32(self, offset: int) -> int:
        value = super().read32(offset)
        word = self.words()
        return value if word is None else int(word)


def test_all_ones_are_a_lost_card() -> None:
    for board in BOARDS:
        with pytest.raises(DeviceLostError, match="gone"):
            open_flash(BrokenBus(board, lambda: 0xFFFF_FFFF), VirtualTime(0))


def test_all_zeros_are_no_spi_core() -> None:
    for board in BOARDS:
        with pytest.raises(ProtocolError):
            open_flash(BrokenBus(board, lambda: 0), VirtualTime(0))


WORDS = st.sampled_from([None, None, None, None, 0, 1, 0x25, 0x80, 0xFF, 0x186, 0x60, 0xE0, 0xFFFF_FFFF])


@settings(max_examples=150, deadline=None)
@given(board=st.sampled_from(["fb", "art"]), words=st.lists(WORDS, max_size=60), skip=st.integers(0, 900))
def test_fuzzed_registers_give_typed_errors_only(board: str, words: list[int | None], skip: int) -> None:
    stream = iter([None] * skip + words)
    bus = BrokenBus(board, lambda: next(stream, None))
    try:
        flash = open_flash(bus, bus.time)
        flash.erase(0x120_0000 % flash.size)
        flash.program(0x120_0000 % flash.size, b"abc")
        flash.read(0x40_0000, 64)
    except TimeCardError:
        pass
    assert bus.chip.memory.read(0, 0x1000) == SpiBus(board).chip.memory.read(0, 0x1000)


class TableMaster:
    """A chip that has nothing but an id and an SFDP table."""

    name = "table"

    def __init__(self, jedec_id: bytes, table: bytes) -> None:
        self.jedec_id = jedec_id
        self.table = table

    def transfer(self, out: bytes) -> bytes:
        body = {
            0x05: b"\x00" * len(out),
            0x9F: b"\xff" + self.jedec_id.ljust(len(out), b"\xff"),
            0x5A: b"\xff" * 5 + self.table[int.from_bytes(out[1:4], "big") :].ljust(len(out), b"\xff"),
        }.get(out[0], b"")
        return body.ljust(len(out), b"\xff")[: len(out)]


def table_of(jedec_id: str) -> bytes:
    from timecard.emulator.spi_flash_parts import PARTS, sfdp

    return sfdp(PARTS[bytes.fromhex(jedec_id)])


def opened(table: bytes, jedec_id: str = "20ba19") -> NorFlash:
    known = bytes.fromhex(jedec_id)
    return NorFlash(TableMaster(known, table), VirtualTime(0), (known,))


def test_a_chip_without_table_is_taken_by_its_id() -> None:
    assert opened(b"").size == 32 << 20
    assert opened(b"", "20ba18").size == 16 << 20


def test_a_table_that_contradicts_the_id_is_refused() -> None:
    with pytest.raises(ProtocolError, match="its SFDP table says 16777216"):
        opened(table_of("20ba18"))


@settings(max_examples=200, deadline=None)
@given(table=st.binary(max_size=256), keep=st.integers(0, 256))
def test_any_table_is_read_or_refused(table: bytes, keep: int) -> None:
    good = table_of("20ba19")
    mixed = good[:keep] + table[keep:]

    def read(offset: int, size: int) -> bytes:
        return mixed[offset : offset + size].ljust(size, b"\xff")

    try:
        geometry = read_sfdp(read)
    except ValueError:
        return
    if geometry is not None:
        assert geometry.size & (geometry.size - 1) == 0
        assert 0 <= geometry.erase_opcode <= 0xFF
