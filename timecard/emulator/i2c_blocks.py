"""The I2C block of an emulated card: the board's master, its EEPROM chips, and what is stored in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from timecard.boards.board import Board, I2cKind
from timecard.emulator.axi_iic import AxiIic
from timecard.emulator.eeprom_chips import BusSwitch, Eeprom, make_24c02, make_24c08, make_24mac402
from timecard.emulator.eeprom_factory import factory_contents
from timecard.emulator.i2c_wire import I2cChip, I2cWire
from timecard.emulator.ocores_i2c import OcoresI2c
from timecard.emulator.options import CardOptions

I2cBlock = AxiIic | OcoresI2c
SWITCH_ADDRESS: Final = 0x70
EEPROM_WP_BIT: Final = 4
"""Of the outputs of the board's GPIO block: high forbids writing."""
MAX_FILE: Final = 1 << 16
_MAKERS: Final = {"24c02": make_24c02, "24c08": make_24c08, "24mac402": make_24mac402}


@dataclass(frozen=True, slots=True, kw_only=True)
class EepromOptions:
    """How the EEPROMs of an emulated card are made."""

    file: Path | None = None
    """Where the contents are kept from run to run; its contents win over the options below."""
    eui48: str | None = None
    """``xx:xx:xx:xx:xx:xx``."""
    board_id: str | None = None
    product_serial: str | None = None
    """ART: what the manufacturing record says."""
    unreadable: bool = False
    """No chip answers."""
    blank: bool = False
    """As the chips come from their maker; a 24mac402 has its number all the same."""
    write_protected: bool = False


def make_i2c(
    board: Board,
    interrupt: Callable[[], None] = lambda: None,
    options: EepromOptions | CardOptions = EepromOptions(),
) -> I2cBlock:
    """The block ``i2c_ctrl`` of a board; its wire with the chips is the attribute ``wire``.

    Raises ``ValueError`` for options or a file that cannot be used, ``OSError`` for a file that cannot be
    read.
    """
    if isinstance(options, CardOptions):
        options = EepromOptions(
            file=options.eeprom_file, eui48=options.eeprom_serial, board_id=options.board_id
        )
    contents = factory_contents(board, options.eui48, options.board_id, options.product_serial)
    if options.blank:
        contents = {
            chip.address: contents[chip.address] if chip.part == "24mac402" else b"\xff" * chip.size
            for chip in board.i2c.chips
        }
    if options.file is not None and options.file.exists():
        contents = _load(options.file, board)
    chips: dict[int, Eeprom] = {}
    for described in board.i2c.chips:
        chip = _MAKERS[described.part](described.address, contents[described.address])
        chip.unreadable = options.unreadable
        chip.write_protected = options.write_protected
        chips[described.address] = chip
    file = options.file
    if file is not None:
        for chip in chips.values():
            chip.on_stored = lambda: _save(file, chips)
    parts: tuple[I2cChip, ...] = tuple(chips.values())
    if board.i2c.kind is I2cKind.AXI_IIC:
        wire = I2cWire((*parts, BusSwitch(SWITCH_ADDRESS)))
        return AxiIic(wire, board.i2c.bus_hz, interrupt)
    return OcoresI2c(I2cWire(parts), board.i2c.clock_hz, board.i2c.register_stride, interrupt)


def eeproms(block: I2cBlock) -> dict[int, Eeprom]:
    """The chips of a block by their first address, to set faults or look into them."""
    return {chip.first_address: chip for chip in block.wire.chips if isinstance(chip, Eeprom)}


def connect_write_protection(block: I2cBlock, line: Callable[[], bool]) -> None:
    """Let a line of the board decide whether the chips can be written."""
    for chip in eeproms(block).values():
        chip.protect_line = line


def _load(file: Path, board: Board) -> dict[int, bytes]:
    if file.stat().st_size > MAX_FILE:
        raise ValueError(f"{file}: larger than {MAX_FILE} bytes: not EEPROM contents")
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        contents = {int(address, 16): bytes.fromhex(text) for address, text in stored.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{file}: not EEPROM contents ({error}); remove it to start anew") from error
    wanted = {chip.address: chip.size for chip in board.i2c.chips}
    if {address: len(image) for address, image in contents.items()} != wanted:
        raise ValueError(f"{file}: holds the chips of another board than {board.name}; name another file")
    return contents


def _save(file: Path, chips: dict[int, Eeprom]) -> None:
    text = json.dumps({f"{address:#x}": chip.memory.hex() for address, chip in chips.items()}, indent=1)
    temporary = file.with_name(f"{file.name}.new")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(file)
