"""The SPI block of a board by itself, on a bus in virtual time: what flash drivers are tested against."""

from __future__ import annotations

from timecard.boards import BOARDS
from timecard.boards.board import Board
from timecard.boards.registers import ALL_ONES
from timecard.emulator.spi_blocks import FlashOptions, SpiBlock, make_spi
from timecard.emulator.spi_flash import SpiFlash
from timecard.emulator.spi_flash_images import BootedImage, boot_image
from timecard.emulator.world import VirtualTime
from timecard.pcie.nor_flash import NorFlash, open_flash

START_NS = 1_767_225_637_000_000_000


class SpiBus:
    """A register bus with nothing but the SPI block; anything else is a failing test."""

    name = "emulated SPI"
    writes_are_posted = False

    def __init__(self, board: str | Board = "fb", options: FlashOptions | None = None) -> None:
        self.board = BOARDS[board] if isinstance(board, str) else board
        self.options = options or FlashOptions()
        self.time = VirtualTime(START_NS)
        self.interrupts = 0
        self.accesses = 0
        self.errors = 0
        """Accesses that ended in a bus error."""
        self.block: SpiBlock = make_spi(self.board, self._interrupt, self.options)

    @property
    def chip(self) -> SpiFlash:
        return self.block.flash

    def read32(self, offset: int) -> int:
        self.accesses += 1
        value = self.block.read(self._register(offset), self.now_ns())
        self.errors += value is None
        return ALL_ONES if value is None else value

    def write32(self, offset: int, value: int) -> None:
        self.accesses += 1
        self.errors += not self.block.write(self._register(offset), value, self.now_ns())

    def now_ns(self) -> int:
        return self.time.true_tai_ns()

    def open(self) -> NorFlash:
        return open_flash(self, self.time)

    def booted(self) -> BootedImage | None:
        """What the card starts when it is powered on now."""
        return boot_image(
            self.chip.memory, self.board, fpga=self.options.fpga, production=self.options.production
        )

    def power_cycle(self) -> BootedImage | None:
        """Power off and on; returns what starts."""
        self.block.power_cycle(self.now_ns())
        return self.booted()

    def _register(self, offset: int) -> int:
        block = self.board.blocks["spi_flash"]
        assert offset % 4 == 0, f"access {offset:#x} is not aligned"
        assert block.offset <= offset < block.offset + block.size, (
            f"access {offset:#x} is outside of the block"
        )
        return offset - block.offset

    def _interrupt(self) -> None:
        self.interrupts += 1
