"""Two wires with chips on them, as an I2C master sees them, and what can go wrong there.

Time does not pass here: the master says when a byte has gone over the bus. Source: NXP UM10204 (I2C-bus
specification).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

CLOCKS_PER_BYTE: Final = 9


class Reply(Enum):
    """What became of an address or a byte."""

    ACK = 0
    NACK = 1
    LOST = 2
    """SDA was low although the master let it go."""


class I2cChip(Protocol):
    """A part on the bus. ``t_ns`` is true TAI."""

    def select(self, address: int, read: bool, t_ns: int) -> bool:
        """An address after a start; whether this part acknowledges it."""
        ...

    def receive(self, byte: int, t_ns: int) -> bool:
        """A byte from the master; whether it is acknowledged."""
        ...

    def send(self, t_ns: int) -> int:
        """The next byte to the master."""
        ...

    def stop(self, t_ns: int) -> None:
        """The transfer has ended."""
        ...

    def power_up(self) -> None:
        """The power is back."""
        ...


class I2cWire:
    """The bus. The attributes are faults that a test or a scenario sets."""

    def __init__(self, chips: tuple[I2cChip, ...]) -> None:
        self.chips = chips
        self.silent = False
        """No part answers to its address."""
        self.connected: Callable[[], bool] = lambda: True
        """Whether the pins lead to the parts now."""
        self.scl_held = False
        """A part holds the clock: nothing moves."""
        self.sda_held_clocks = 0
        """A part holds SDA for so many more clocks: no start is possible."""
        self.foreign_starts = 0
        """So many starts are lost to another master."""
        self._selected: I2cChip | None = None

    def start(self, address_byte: int, t_ns: int) -> Reply:
        """A start, or a repeated one, and the address with its direction bit."""
        if self.sda_held_clocks > 0:
            self.clock(CLOCKS_PER_BYTE)
            return Reply.LOST
        if self.foreign_starts > 0:
            self.foreign_starts -= 1
            return Reply.LOST
        self._selected = None
        if self.silent or not self.connected():
            return Reply.NACK
        for chip in self.chips:
            if chip.select(address_byte >> 1, bool(address_byte & 1), t_ns):
                self._selected = chip
        return Reply.NACK if self._selected is None else Reply.ACK

    def write(self, byte: int, t_ns: int) -> Reply:
        """A byte to the selected part."""
        taken = self._selected is not None and self._selected.receive(byte, t_ns)
        return Reply.ACK if taken else Reply.NACK

    def read(self, t_ns: int) -> int:
        """A byte from the selected part; all ones when nobody drives the bus."""
        return 0xFF if self._selected is None else self._selected.send(t_ns)

    def stop(self, t_ns: int) -> None:
        """A stop; every part takes notice."""
        self._selected = None
        for chip in self.chips:
            chip.stop(t_ns)

    def power_up(self) -> None:
        """The power was away: every part begins anew, no line is held."""
        self.scl_held = False
        self.sda_held_clocks = 0
        self._selected = None
        for chip in self.chips:
            chip.power_up()

    def clock(self, clocks: int) -> None:
        """Clocks that move no byte; a part in the middle of one finishes it."""
        self.sda_held_clocks = max(0, self.sda_held_clocks - clocks)


class OnWire(ABC):
    """What a master has because of the wire at it: the fault of silent parts, and its power."""

    def __init__(self, wire: I2cWire) -> None:
        self.wire = wire

    @property
    def unreadable(self) -> bool:
        """No chip answers."""
        return self.wire.silent

    @unreadable.setter
    def unreadable(self, unreadable: bool) -> None:
        self.wire.silent = unreadable

    def power_cycle(self, t_ns: int) -> None:
        """Off and on again."""
        self.wire.power_up()
        self._restart()

    @abstractmethod
    def _restart(self) -> None: ...
