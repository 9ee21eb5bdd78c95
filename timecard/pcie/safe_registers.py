"""Which registers may be looked at or written by hand, and what that sets off. Tables and questions only.

Sources: the register rows of ``boards.registers``; errata list of the Time Card project (an unmapped address
of an open image hangs the host: issue 95).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from timecard.boards.board import Board
from timecard.boards.registers import Register
from timecard.errors import RefusedError
from timecard.pcie.bus import has_ptm
from timecard.pcie.clock import FRACTION_SINCE
from timecard.pcie.status import GNSS_STATUS_SINCE, read_image_version
from timecard.protocols import RegisterBus

UNCERTAIN: Final = frozenset({"gpio_rgb", "sma_status", "idboard", "osc", "board_config", "i2c_osc"})
"""Blocks that not every image of the board has: nobody answers for them, so nobody asks them."""
CONTROLLERS: Final = ("spi_flash", "i2c_ctrl", "i2c_osc", "msi")
"""Prefixes of blocks behind which something can be destroyed."""
_TOD_RECEIVER: Final = frozenset({"gnss_status", "num_sat"})
_EFFECTS: Final = {
    (
        "reg",
        "ctrl",
    ): "its command bits act at once: 1 loads a time, 2 an offset, 3 a drift, 30 takes a snapshot",
    ("reg", "select"): "the clock follows another source from now on",
    ("pps_select", "gpio2"): "the clock's servo or its 10 MHz change to another input at once",
    ("gpio_ext", "gpio2"): "lines of the board: resets, write protection of the EEPROM, the oscillator's bus",
    ("gpio_gnss_mac", "gpio2"): "a 1 holds the receiver in reset",
    ("sma_map1", "gpio1"): "connectors are routed anew; two at a time share this word",
    ("sma_map1", "gpio2"): "connectors are routed anew; two at a time share this word",
    ("sma_map2", "gpio1"): "connectors are routed anew; two at a time share this word",
    ("sma_map2", "gpio2"): "connectors are routed anew; two at a time share this word",
    ("tod", "ctrl"): "protocol and filters may only change while bit 0 is 0",
    ("tod", "correction"): "seconds added to what was parsed; may only change while bit 0 of tod.ctrl is 0",
}
_ACCESS_EFFECTS: Final = {
    "W1C": "each 1 clears a bit",
    "WC": "any value clears it",
    "TOW": "each 1 toggles a bit",
}


@dataclass(frozen=True, slots=True)
class NamedRegister:
    """A register, by the name ``block.register``."""

    block: str
    register: Register
    offset: int
    """From the start of BAR0."""

    @property
    def name(self) -> str:
        """``reg.ctrl``, ``signal_out[0].enable``."""
        return f"{self.block}.{self.register.name}"


def registers(board: Board) -> Iterator[NamedRegister]:
    """Every documented register of a board, in order of offset."""
    for block in sorted(board.blocks.values(), key=lambda block: block.offset):
        for row in block.registers:
            yield NamedRegister(block.name, row, block.offset + row.offset)


def find_register(board: Board, name: str) -> NamedRegister:
    """The register of that name; raises ``RefusedError`` that names the nearest."""
    for row in registers(board):
        if row.name == name:
            return row
    block = name.partition(".")[0]
    there = [row.register.name for row in registers(board) if row.block == block]
    hint = (
        f"block {block} has {', '.join(there)}"
        if there
        else f"blocks are {', '.join(board.blocks)}; only documented registers are touched"
    )
    raise RefusedError(board.product, f"find register {name[:60]!r}", f"no such register: {hint}")


def why_not_read(bus: RegisterBus, row: NamedRegister) -> str | None:
    """Why a register is not read; None when reading is harmless."""
    if row.register.access in ("WO", "none"):
        return "it cannot be read" if row.register.access == "WO" else "not implemented on this board"
    if row.register.read_has_side_effects:
        return "reading it changes something (a FIFO, a flag)"
    return _why_not_touch(bus, row)


def why_not_write(bus: RegisterBus, row: NamedRegister) -> str | None:
    """Why a register is not written by hand; None when it may be."""
    if row.register.access in ("RO", "none"):
        return "it is read-only" if row.register.access == "RO" else "not implemented on this board"
    if row.block.startswith(CONTROLLERS):
        return "flash and memories are written by `timecard flash` and `timecard eeprom` only"
    if row.block.startswith("port["):
        return "serial ports belong to the drivers of receiver and oscillator"
    return _why_not_touch(bus, row)


def write_effect(row: NamedRegister) -> str | None:
    """What a write sets off besides storing the value."""
    return _EFFECTS.get((row.block, row.register.name)) or _ACCESS_EFFECTS.get(row.register.access)


def _why_not_touch(bus: RegisterBus, row: NamedRegister) -> str | None:
    if row.offset % 4:
        return "a byte register inside another word"
    if row.block in UNCERTAIN:
        return "not every image has this block, and an address that nobody answers may hang the host"
    if row.block == "ptm" and not has_ptm(bus):
        return "this image announces no PTM"
    if row.block == "reg" and row.register.name.endswith("_fraction"):
        major = bus.read32(bus.board.at("reg", "version")) >> 24
        if not FRACTION_SINCE <= major < 0xFF:
            return f"clock cores have it from {FRACTION_SINCE}.0 on, this one is {major}"
    if row.block == "tod" and row.register.name in _TOD_RECEIVER:
        image = read_image_version(bus)
        if image.number < GNSS_STATUS_SINCE.get(image.tag, 0x8000):
            return f"image {image} does not have it"
    return None
