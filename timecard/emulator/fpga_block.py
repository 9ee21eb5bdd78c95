"""What the emulated FPGA's blocks are made of: words with the table's access rules, RAM, interrupt inputs.

``t_ns`` is true TAI. A register that is not decoded is reported (None, False) and becomes a bus error, which
the host sees as all ones. The cores ignore byte strobes: a narrow write is a whole word with zeros around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol, runtime_checkable

from timecard.boards.registers import Register

REPEAT_NS: Final = 1_000_000
"""A level-sensitive vector is sent again this long after, while its cause lasts."""


class Block(Protocol):
    """One page of the address space."""

    def read(self, reg: int, t_ns: int) -> int | None:
        """The word at ``reg``, or None where nothing is decoded."""
        ...

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """Write a word; False where nothing is decoded."""
        ...


@runtime_checkable
class ActiveBlock(Protocol):
    """A block in which something happens without an access: a transfer ends, an interrupt is due again."""

    def next_event_ns(self, t_ns: int) -> int | None:
        """When ``poll`` should be called next; None when nothing can happen without the host."""
        ...

    def poll(self, t_ns: int) -> None:
        """Let happen what is due at ``t_ns``."""
        ...


class LevelLine:
    """A level-sensitive input of the interrupt front end: sent when it rises, and again while it is high."""

    def __init__(self, send: Callable[[], None]) -> None:
        self._send = send
        self._due_ns: int | None = None

    def set(self, high: bool, t_ns: int) -> None:
        """The level from now on."""
        if not high:
            self._due_ns = None
        elif self._due_ns is None:
            self._due_ns = t_ns + REPEAT_NS
            self._send()

    def next_event_ns(self, t_ns: int) -> int | None:
        """When the message is due again."""
        return self._due_ns

    def poll(self, t_ns: int) -> None:
        """Send it again if it is due."""
        if self._due_ns is not None and t_ns >= self._due_ns:
            self._due_ns = t_ns + REPEAT_NS
            self._send()


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
        elif access == "WC":
            self.words[reg] = 0
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


class Shifted:
    """A block that does not begin with its page."""

    def __init__(self, block: Block, into_page: int) -> None:
        self._block = block
        self._into_page = into_page

    def read(self, reg: int, t_ns: int) -> int | None:
        """A register of the block, None before its beginning."""
        return None if reg < self._into_page else self._block.read(reg - self._into_page, t_ns)

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register of the block."""
        return reg >= self._into_page and self._block.write(reg - self._into_page, value, t_ns)


class ByteLanes:
    """A block of byte registers, four to a word: what the bus does with its byte enables.

    The block has the attribute ``byte_registers``; it is addressed by bytes.
    """

    def __init__(self, block: Block) -> None:
        self._block = block

    def read(self, reg: int, t_ns: int) -> int | None:
        """Four registers; lanes that nothing decodes are 0, unless that is all of them."""
        lanes = [self._block.read(reg + lane, t_ns) for lane in range(4)] if not reg & 3 else [None]
        if all(lane is None for lane in lanes):
            return None
        return sum((byte or 0) << 8 * lane for lane, byte in enumerate(lanes))

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """Four registers, the lowest first."""
        if reg & 3:
            return False
        return any([self._block.write(reg + lane, value >> 8 * lane & 0xFF, t_ns) for lane in range(4)])

    def read_byte(self, reg: int, t_ns: int) -> int | None:
        """One register."""
        return self._block.read(reg, t_ns)

    def write_byte(self, reg: int, value: int, t_ns: int) -> bool:
        """One register."""
        return self._block.write(reg, value & 0xFF, t_ns)
