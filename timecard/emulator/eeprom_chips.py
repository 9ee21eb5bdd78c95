"""EEPROM chips with page buffer, write cycle, write protection and power cuts, and the bus switch PCA9546A.

Sources: data sheets of AT24C02, AT24C08, AT24MAC402 and PCA9546A. A page is taken into a buffer, wraps
inside the page, and is stored by the stop; during the write cycle of 5 ms the chip does not answer to its
address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

WRITE_CYCLE_NS: Final = 5_000_000
BLOCK: Final = 256


class Eeprom:
    """A chip of one or more blocks of 256 bytes, each behind its own address."""

    def __init__(
        self, addresses: range, contents: bytes, page: int, mirrors: int = 1, read_only: bool = False
    ) -> None:
        """``mirrors``: how often the blocks repeat in the address space, for address pins that it lacks."""
        self.memory = bytearray(contents)
        self.on_stored: Callable[[], None] = lambda: None
        """Called after each page that was stored."""
        self.write_cycle_ns = WRITE_CYCLE_NS
        # --- faults ---
        self.unreadable = False
        """Answers to no address."""
        self.write_protected = False
        self.protect_line: Callable[[], bool] = lambda: False
        """Level of the chip's WP pin."""
        self.cut_after: int | None = None
        """Power goes away after so many more stored bytes; the next is left in between, the chip silent."""
        self.cut_leaves: Callable[[int, int], int] = lambda old, new: 0xFF
        """What becomes of the byte that was being stored."""
        self.first_address = addresses.start
        self._blocks = len(addresses)
        self._answers = range(addresses.start, addresses.start + len(addresses) * mirrors)
        self._page = page
        self._read_only = read_only
        self._at = 0
        self._buffer: dict[int, int] = {}
        self._addressed_to_write = False
        self._has_word_address = False
        self._busy_until_ns = 0
        self._dark = False

    def power_up(self) -> None:
        """The power is back."""
        self._dark = False
        self._busy_until_ns = 0
        self.cut_after = None
        self._buffer.clear()
        self._addressed_to_write = False

    @property
    def dark(self) -> bool:
        """Whether it lost its power."""
        return self._dark

    # --- I2cChip ---

    def select(self, address: int, read: bool, t_ns: int) -> bool:
        """A repeated start throws away what was not stopped."""
        self._buffer.clear()
        self._addressed_to_write = False
        if address not in self._answers or self.unreadable or self._dark or t_ns < self._busy_until_ns:
            return False
        block = (address - self.first_address) % self._blocks
        self._at = block * BLOCK + self._at % BLOCK
        self._addressed_to_write = not read
        self._has_word_address = False
        return True

    def receive(self, byte: int, t_ns: int) -> bool:
        """The word address, then bytes for the page buffer."""
        if not self._has_word_address:
            self._has_word_address = True
            self._at = self._at // BLOCK * BLOCK + byte
            return True
        if self._read_only:
            return False
        self._buffer[self._at] = byte
        self._at = self._at // self._page * self._page + (self._at + 1) % self._page
        return True

    def send(self, t_ns: int) -> int:
        """The byte at the address counter, which runs through the whole chip."""
        byte = self.memory[self._at]
        self._at = (self._at + 1) % len(self.memory)
        return byte

    def stop(self, t_ns: int) -> None:
        """Store the page."""
        buffered, self._buffer = self._buffer, {}
        if not self._addressed_to_write or not buffered or self._dark:
            return
        self._addressed_to_write = False
        if self.write_protected or self.protect_line():
            return
        self._busy_until_ns = t_ns + self.write_cycle_ns
        for at, byte in sorted(buffered.items()):
            if self.cut_after == 0:
                self.memory[at] = self.cut_leaves(self.memory[at], byte) & 0xFF
                self._dark = True
                break
            self.memory[at] = byte
            if self.cut_after is not None:
                self.cut_after -= 1
        self.on_stored()


class BusSwitch:
    """PCA9546A: one register; bit n connects channel n, on which nothing is modelled."""

    def __init__(self, address: int) -> None:
        self.channels = 0
        self._address = address

    def select(self, address: int, read: bool, t_ns: int) -> bool:
        """Its address only."""
        return address == self._address

    def receive(self, byte: int, t_ns: int) -> bool:
        """The channels."""
        self.channels = byte & 0x0F
        return True

    def send(self, t_ns: int) -> int:
        """The channels."""
        return self.channels

    def stop(self, t_ns: int) -> None:
        """Nothing."""

    def power_up(self) -> None:
        """No channel."""
        self.channels = 0


def make_24c02(address: int, contents: bytes) -> Eeprom:
    """256 bytes, pages of 8."""
    return Eeprom(range(address, address + 1), contents, page=8)


def make_24c08(address: int, contents: bytes) -> Eeprom:
    """1024 bytes behind four addresses, pages of 16; the next four addresses lead to the same."""
    return Eeprom(range(address, address + 4), contents, page=16, mirrors=2)


def make_24mac402(address: int, contents: bytes) -> Eeprom:
    """The maker's page of a 24MAC402: number and EUI-48, not to be written."""
    return Eeprom(range(address, address + 1), contents, page=16, read_only=True)
