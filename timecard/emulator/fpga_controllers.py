"""The I2C and SPI masters of a board with what hangs on them, as a card's options describe it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from timecard.boards.board import Board
from timecard.emulator.axi_iic import AxiIic
from timecard.emulator.fpga_block import Block
from timecard.emulator.fpga_profile import Image, golden_image
from timecard.emulator.i2c_blocks import EepromOptions, I2cBlock, make_i2c
from timecard.emulator.i2c_wire import I2cChip, I2cWire
from timecard.emulator.options import CardOptions
from timecard.emulator.spi_blocks import FlashOptions, SpiBlock, boot_image, make_spi


@dataclass(frozen=True, slots=True)
class Controllers:
    """The masters; they outlive a power cycle with their memories."""

    board: Board
    i2c: I2cBlock
    spi: SpiBlock
    mac_i2c: AxiIic | None = None
    """On the pins of the MAC port, where the image has it."""

    @property
    def blocks(self) -> dict[str, Block]:
        """By block name."""
        found: dict[str, Block] = {"i2c_ctrl": self.i2c, "spi_flash": self.spi}
        return found if self.mac_i2c is None else {**found, "i2c_osc": self.mac_i2c}

    def boot(self) -> Image | None:
        """The image that the FPGA starts from the flash; None: none that lets the card appear on the bus."""
        booted = boot_image(self.spi.flash.memory, self.board)
        if booted is None or not booted.on_bus:
            return None
        return Image(
            booted.word(self.board) >> 16 if booted.golden else booted.word(self.board), booted.golden
        )

    def power_cycle(self, t_ns: int) -> None:
        """Power goes away, also amid an operation, and comes back."""
        self.spi.power_cycle(t_ns)
        self.i2c.power_cycle(t_ns)
        if self.mac_i2c is not None:
            self.mac_i2c.power_cycle(t_ns)

    def set_flash_dead(self, dead: bool) -> None:
        """The flash answers nothing but ones."""
        if dead:
            self.spi.flash.powered = False
        else:
            self.spi.flash.power_on()


def make_controllers(
    board: Board,
    interrupter: Callable[[int | None], Callable[[], None]],
    options: CardOptions,
    mac_chips: tuple[I2cChip, ...] = (),
) -> Controllers:
    """The masters of a board; ``mac_chips`` are on an oscillator card with I2C.

    Raises ``ValueError`` or ``OSError`` for a file that cannot be used.
    """
    eeprom = EepromOptions(file=options.eeprom_file, eui48=options.eui48.hex(":"), board_id=options.board_id)
    flash = FlashOptions(file=options.flash_file)
    return Controllers(
        board,
        make_i2c(board, interrupter(board.blocks["i2c_ctrl"].vector), eeprom),
        make_spi(board, interrupter(board.blocks["spi_flash"].vector), flash),
        AxiIic(I2cWire(mac_chips), board.i2c.bus_hz) if board.has("i2c_osc") else None,
    )


def first_image(controllers: Controllers, options: CardOptions) -> Image | None:
    """What runs at the start: what the options say, else what the flash boots."""
    if options.image_version is not None:
        return Image(options.image_version, options.loader)
    return golden_image(controllers.board) if options.loader else controllers.boot()
