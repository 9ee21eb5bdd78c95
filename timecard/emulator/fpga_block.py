"""What the emulated FPGA's blocks are made of: register words with the table's access rules, and plain RAM.

``t_ns`` is true TAI. A register that is not decoded is reported (None, False) and becomes a bus error, which
the host sees as all ones. The cores ignore byte strobes: a narrow write is a whole word with zeros around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from timecard.boards.registers import Register


class Block(Protocol):
    """One page of the address space."""

    def read(self, reg: int, t_ns: int) -> int | None:
        """The word at ``reg``, or None where nothing is decoded."""
        ...

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """Write a word; False where nothing is decoded."""
        ...


class RegisterBlock:
    """Words of a register table. Subclasses compute the live ones and act on writes."""

    def __init__(self, rows: tuple[Register, ...], resets: Mapping[str, int] | None = None) -> None:
        """``resets`` gives, by name, what the table leaves to the image or the board."""
        self.offset_of = {row.name: row.offset for row in rows}
        self.words = {row.offset: row.reset or 0 for row in rows}
        self._access = {row.offset: row.access for row in rows}
        for name, value in (resets or {}).items():
            self.words[self.offset_of[name]] = value

    def read(self, reg: int, t_ns: int) -> int | None:
        """The stored word."""
        return self.words.get(reg)

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """Store, clear bits, or ignore a write to a read-only word."""
        access = self._access.get(reg)
        if access == "RW":
            self.words[reg] = value
        elif access == "W1C":
            self.words[reg] &= ~value
        return access is not None


class Ram:
    """1 KiB that repeats through its window: what open images have in place of IRIG, DCF and NMEA."""

    def __init__(self) -> None:
        self._words: dict[int, int] = {}

    def read(self, reg: int, t_ns: int) -> int | None:
        """The word, None when not aligned."""
        return None if reg & 3 else self._words.get(reg & 0x3FC, 0)

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """Store the word."""
        self._words[reg & 0x3FC] = value
        return not reg & 3
