"""What the emulator needs to know of a board beyond its ``Board``; own figures where none is published.

A board without a row gets the defaults, so that a new board works here as soon as its file exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from timecard.boards.board import Board, ImageWord

XILINX_SUBSYSTEM: Final = (0x10EE, 0x0007)
"""What the AXI PCIe core has unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Choices for one board."""

    golden: int = 2
    """Number of the golden image, where none is read from the flash."""
    subsystem: tuple[int, int] = XILINX_SUBSYSTEM
    lanes: int = 1
    tod_baud_code: int = 7
    """Rate at which the time-of-day slave listens, as its register codes it."""


_DEFAULT: Final = Profile()
PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "celestica": Profile(golden=0x8001),
        "art": Profile(subsystem=(0x1AD7, 0xA000), lanes=4),
        "adva": Profile(subsystem=(0xAD5A, 0x0400), tod_baud_code=3),
        "adva-x1": Profile(subsystem=(0xAD5A, 0x0410), tod_baud_code=3),
    }
)


def profile_of(board: Board) -> Profile:
    """The row of a board."""
    return PROFILES.get(board.name, _DEFAULT)


@dataclass(frozen=True, slots=True)
class Image:
    """Which FPGA image runs."""

    number: int
    golden: bool = False

    def word(self, board: Board) -> int:
        """The image word, or the clock core's version where that tells the image."""
        shifted = self.golden and board.image_word is not ImageWord.CLOCK_VERSION
        return self.number << 16 if shifted else self.number


def golden_image(board: Board) -> Image:
    """The golden image that a board usually has."""
    return Image(profile_of(board).golden, golden=True)


def has_receiver_words(board: Board, image: Image) -> bool:
    """Whether the time-of-day slave of an image shows antenna, jamming, fix and satellites."""
    if board.image_word is not ImageWord.BIT15_TAG:
        return True
    return (image.number & 0x7FFF) >= (10 if image.number & 0x8000 else 26)
