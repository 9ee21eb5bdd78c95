"""What is where in a card's flash, and what its golden image says about the card.

Below the update image lies the golden image, from which the card starts when the update image is damaged.
Nothing here writes there, and a card without one is not updated: a power cut would leave it dead. Figures:
the kernel's ``ptp_ocp.c`` (``flash_start``) and the flash maps of the published FPGA projects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from timecard.boards.board import Board, SpiKind
from timecard.card_protocols import FlashDevice
from timecard.errors import RefusedError
from timecard.firmware.bitstream import HEAD, Bitstream, read_bitstream

STARTS: Final[Mapping[tuple[str, str], int]] = MappingProxyType(
    {("fb", "xc7a200t"): 0x0080_0000, ("litepcie", "xc7a200t"): 0x0080_0000}
)
"""Where the update image begins when the FPGA makes it differ from the board's usual place.

The kernel driver does not know these: its devlink flash would write such an image into the golden one.
"""
MAX_ERASE: Final = 0x1_0000


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the update image goes."""

    update_start: int
    end: int
    """End of the chip."""
    erase_size: int
    config_page: int | None
    fpga: str | None
    """The FPGA that the golden image is for; None on boards with Intel's."""
    golden: Bitstream | None

    def padded(self, payload: bytes) -> bytes:
        """``payload`` filled up to whole sectors by what erased cells read."""
        return payload + b"\xff" * (-len(payload) % self.erase_size)


def is_xilinx(board: Board) -> bool:
    """Whether the board's FPGA takes Xilinx bitstreams."""
    return board.flash.kind is SpiKind.AXI_QUAD_SPI


def examine(flash: FlashDevice, board: Board) -> Layout:
    """Read the golden image's head. Raises ``RefusedError`` for a flash that must not be written."""
    head = flash.read(0, HEAD)
    golden, fpga = None, None
    if is_xilinx(board):
        golden = read_bitstream(head)
        if golden is None:
            raise RefusedError(
                flash.name,
                "examine",
                "no golden image at 0: after a power cut the card could not start; use JTAG",
            )
        fpga = golden.fpga
        if fpga is None:
            told = "no FPGA" if golden.idcode is None else f"FPGA {golden.idcode:#010x}"
            raise RefusedError(
                flash.name, "examine", f"the golden image names {told}, which no Time Card has"
            )
    elif not head.strip(b"\xff") or not head.strip(b"\x00"):
        raise RefusedError(
            flash.name,
            "examine",
            "the golden image at 0 is blank: after a power cut the card could not start",
        )
    start = STARTS.get((board.name, fpga or ""), board.flash.update_start)
    if golden is not None and golden.jumps_to(start) is False:
        raise RefusedError(
            flash.name,
            "examine",
            f"the golden image starts another place (register {golden.warm_boot:#x}) than {start:#x}, "
            f"where {board.product} keeps its update image",
        )
    erase = flash.erase_size
    if not 0 < erase <= MAX_ERASE or erase & (erase - 1) or start % erase:
        raise RefusedError(
            flash.name, "examine", f"erases {erase} bytes at once, which does not fit {start:#x}"
        )
    if start >= flash.size:
        raise RefusedError(
            flash.name, "examine", f"has {flash.size:#x} bytes; update images begin at {start:#x}"
        )
    return Layout(
        update_start=start,
        end=flash.size,
        erase_size=erase,
        config_page=board.flash.config_page,
        fpga=fpga,
        golden=golden,
    )


class GuardedFlash:
    """A flash of which only ``[start, end)`` can be changed; the rest of it, the golden image, never."""

    def __init__(self, flash: FlashDevice, start: int, end: int) -> None:
        self.name = flash.name
        self.size = flash.size
        self.erase_size = flash.erase_size
        self._flash = flash
        if not 0 < start < end <= flash.size or start % flash.erase_size or end % flash.erase_size:
            raise ValueError(f"{start:#x} to {end:#x} is no range of sectors of {flash.name}")
        self._start = start
        self._end = end

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes; everywhere."""
        return self._flash.read(offset, size)

    def erase(self, offset: int) -> None:
        """Erase a sector; raises ``RefusedError`` outside of the range."""
        self._check("erase", offset, self.erase_size)
        if offset % self.erase_size:
            raise RefusedError(self.name, f"erase {offset:#x}", "not the beginning of a sector")
        self._flash.erase(offset)

    def program(self, offset: int, data: bytes) -> None:
        """Programme bytes; raises ``RefusedError`` outside of the range."""
        self._check("program", offset, len(data))
        self._flash.program(offset, data)

    def _check(self, operation: str, offset: int, size: int) -> None:
        if offset < self._start or offset + size > self._end:
            raise RefusedError(
                self.name,
                f"{operation} {offset:#x}",
                f"only {self._start:#x} to {self._end:#x} may be changed: the golden image stays as it is",
            )
