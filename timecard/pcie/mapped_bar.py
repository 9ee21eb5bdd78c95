"""BAR0 as mapped memory: what ``resource0`` and VFIO have in common.

Width of accesses: CPython reads an item of a memoryview of format ``I`` by one 32-bit load and writes it by
one 32-bit store (``unpack_single`` and ``pack_single`` of Objects/memoryobject.c copy an ``unsigned int``,
which compilers for x86-64 and AArch64 turn into one move). ``ctypes.c_uint32`` would not do: its setter reads
the word before it writes it, and a register may act on being read.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Final

from timecard.boards import Board
from timecard.boards.registers import ALL_ONES
from timecard.errors import DeviceLostError, RefusedError

GONE: Final = "every register reads all ones: the card was removed, or its link is down"


class MappedBar:
    """The registers. Each access is one 32-bit load or store, so threads need no lock."""

    def __init__(self, name: str, board: Board, mapping: mmap.mmap) -> None:
        """Takes the mapping over."""
        self.name = name
        self.board = board
        self._map = mapping
        self._words = memoryview(mapping).cast("I")
        self._size = min(len(mapping), board.bar0_size)
        self._witness = board.at("reg", "version") >> 2
        self._lost: str | None = None

    @property
    def lost(self) -> str | None:
        """Why this mapping will never work again; None while it works."""
        return self._lost

    def read32(self, offset: int) -> int:
        """Read a register; raises ``DeviceLostError`` when the card is gone."""
        value = self._words[self._index(offset)]
        if value == ALL_ONES:
            self._check_alive(offset)
        return value

    def write32(self, offset: int, value: int) -> None:
        """Write a register; the write may still be under way when this returns."""
        self._words[self._index(offset)] = value & 0xFFFF_FFFF

    def read32_many(self, offsets: Sequence[int]) -> list[int]:
        """Read registers in order."""
        words = self._words
        values = [words[self._index(offset)] for offset in offsets]
        if ALL_ONES in values:
            self._check_alive(offsets[values.index(ALL_ONES)])
        return values

    def set_lost(self, reason: str) -> None:
        """Refuse every access from now on."""
        self._lost = self._lost or reason

    def close(self) -> None:
        """Unmap; later calls raise ``DeviceLostError``."""
        self.set_lost("the bus was closed")
        self._words.release()
        self._map.close()

    def _index(self, offset: int) -> int:
        if self._lost is not None:
            raise DeviceLostError(self.name, f"access {offset:#x}", self._lost)
        if offset & 3 or not 0 <= offset < self._size:
            raise RefusedError(self.name, f"access {offset:#x}", "not an aligned word of BAR0")
        return offset >> 2

    def _check_alive(self, offset: int) -> None:
        """All ones may be a register's value, but never that of the clock core's version."""
        if self._words[self._witness] == ALL_ONES:
            self.set_lost(GONE)
            raise DeviceLostError(self.name, f"read {offset:#x}", GONE)
