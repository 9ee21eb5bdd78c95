"""The I2C block of a board as a bus of its own in virtual time, as the emulated card has it."""

from __future__ import annotations

from collections.abc import Callable

from timecard.boards import Board
from timecard.boards.registers import ALL_ONES
from timecard.emulator.fpga_block import Block, ByteLanes
from timecard.emulator.i2c_blocks import EepromOptions, I2cBlock, eeproms, make_i2c
from timecard.emulator.ocores_i2c import OcoresI2c
from timecard.pcie.i2c import I2cMaster, open_i2c

ACCESS_NS = 1_000
START_NS = 1_800_000_000_000_000_000


class I2cWorld:
    """A ``RegisterBus`` and a ``Timebase``; every access takes 1 us."""

    writes_are_posted = False

    def __init__(self, board: Board, options: EepromOptions | None = None) -> None:
        self.name = f"emulated {board.name}"
        self.board = board
        self.now_ns = START_NS
        self.interrupts = 0
        self.dead = False
        self.block: I2cBlock = make_i2c(board, self._interrupt, options or EepromOptions())
        self.words: Block = ByteLanes(self.block) if isinstance(self.block, OcoresI2c) else self.block
        self.chips = eeproms(self.block)
        self.wire = self.block.wire
        self.accesses: list[tuple[str, int, int]] = []
        self._base = board.blocks["i2c_ctrl"].offset
        self.before_access: Callable[[], None] = lambda: None

    def _interrupt(self) -> None:
        self.interrupts += 1

    def open(self) -> I2cMaster:
        return open_i2c(self, self)

    # --- RegisterBus ---

    def read32(self, offset: int) -> int:
        assert offset % 4 == 0
        self.before_access()
        self.now_ns += ACCESS_NS
        if self.dead:
            return ALL_ONES
        value = self.words.read(offset - self._base, self.now_ns)
        assert value is not None, f"nothing decodes {offset - self._base:#x}"
        self.accesses.append(("r", offset - self._base, value))
        return value

    def write32(self, offset: int, value: int) -> None:
        assert offset % 4 == 0
        self.before_access()
        self.now_ns += ACCESS_NS
        if self.dead:
            return
        self.accesses.append(("w", offset - self._base, value))
        assert self.words.write(offset - self._base, value, self.now_ns), f"{offset - self._base:#x}"

    # --- Timebase ---

    def mono_ns(self) -> int:
        return self.now_ns

    def sleep_s(self, seconds: float) -> None:
        self.now_ns += max(0, round(seconds * 1e9))
