"""What a register word says whatever it belongs to."""

from __future__ import annotations

from typing import Final

from timecard.boards.registers import ALL_ONES
from timecard.errors import DeviceLostError

MAX_CABLE_DELAY_NS: Final = 0xFFFF
"""A register for a cable delay has 16 bits."""


def present(word: int, device: str, operation: str, register: str) -> int:
    """The word; raises ``DeviceLostError`` for all ones, which a bus answers in the place of a card."""
    if word == ALL_ONES:
        raise DeviceLostError(device, operation, f"{register} reads all ones: the card is gone")
    return word


def core_version(word: int) -> tuple[int, int, int]:
    """Major, minor and patch of an FPGA core's version register."""
    return word >> 24, word >> 16 & 0xFF, word & 0xFFFF
