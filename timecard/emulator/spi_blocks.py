"""The SPI block of an emulated card: the board's controller, its flash chip, and what is stored in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from timecard.boards.board import Board, SpiKind
from timecard.emulator.altera_spi import AlteraSpi
from timecard.emulator.axi_spi import FIFO_DEPTH, AxiSpi
from timecard.emulator.spi_flash import SpiFlash
from timecard.emulator.spi_flash_images import boot_image, factory_content
from timecard.emulator.spi_flash_memory import FlashMemory
from timecard.emulator.spi_flash_parts import PARTS
from timecard.firmware.bitstream import IDCODES

SpiBlock = AxiSpi | AlteraSpi
FIFO_DEPTHS: Final = (16, FIFO_DEPTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashOptions:
    """How the flash of an emulated card is made; raises ``ValueError`` that names the option."""

    file: Path | None = None
    """Where the contents are kept from run to run; None: only in memory."""
    part: str | None = None
    """JEDEC id in hex; None: what the board usually carries."""
    blank: bool = False
    """Nothing stored instead of golden and update image; a file's contents win over either."""
    fpga: str = "xc7a100t"
    production: bool | None = None
    """The card is a Production card; None: if it is Celestica's."""
    fifo_depth: int = FIFO_DEPTH
    """Of the Xilinx controller."""
    speed: float = 1.0
    """Divides the times of program and erase operations."""

    def __post_init__(self) -> None:
        if self.fpga not in IDCODES:
            raise ValueError(f"fpga={self.fpga[:40]!r}: must be one of {', '.join(IDCODES)}")
        if self.fifo_depth not in FIFO_DEPTHS:
            raise ValueError(f"fifo_depth={self.fifo_depth}: must be one of {FIFO_DEPTHS}")
        if not 0.01 <= self.speed <= 1e6:
            raise ValueError(f"speed={self.speed}: must be between 0.01 and 1e6")
        known = [jedec_id.hex() for jedec_id in PARTS]
        if self.part is not None and self.part not in known:
            raise ValueError(f"part={self.part[:40]!r}: must be one of {', '.join(known)}")


def make_flash(board: Board, options: FlashOptions) -> SpiFlash:
    """A chip with its contents. Raises ``ValueError`` or ``OSError`` for a file that cannot be used."""
    jedec_id = bytes.fromhex(options.part) if options.part else board.flash.jedec_ids[0]
    if options.part is None and options.fpga == "xc7a200t":
        # Two images of a 200T do not fit into 16 MiB.
        jedec_id = max(board.flash.jedec_ids, key=lambda known: PARTS[known].size)
    part = PARTS[jedec_id]
    memory = FlashMemory(part.size, options.file)
    if not memory.loaded and not options.blank:
        content = factory_content(board, fpga=options.fpga, production=options.production)
        for offset, data in content.items():
            memory.store(offset, data)
    return SpiFlash(part, memory, speed=options.speed)


def make_spi(
    board: Board,
    interrupt: Callable[[], None] | None = None,
    options: FlashOptions = FlashOptions(),
) -> SpiBlock:
    """The block ``spi_flash`` of ``board``; registers count from its start; its ``flash`` is the chip.

    ``interrupt`` sends the block's vector. Which image the card starts at power-on:
    ``spi_flash_images.boot_image(block.flash.memory, board, fpga=..., production=...)``.
    """
    flash = make_flash(board, options)
    if board.flash.kind is SpiKind.AXI_QUAD_SPI:
        return AxiSpi(flash, interrupt, options.fifo_depth)
    return AlteraSpi(flash, interrupt)


__all__ = ["FlashOptions", "SpiBlock", "boot_image", "make_flash", "make_spi"]
