"""Intel's (Altera's) SPI core as master of one flash chip, 8 bits a word, as ``spi-altera`` uses it.

Source: Embedded Peripherals IP user guide, SPI core. A word takes no time: it is received as soon as it is
written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from timecard.emulator.spi_flash import SpiFlash

_RXDATA, _TXDATA, _STATUS, _CONTROL, _SELECT = 0x00, 0x04, 0x08, 0x0C, 0x14
_ROE, _TMT, _TRDY, _RRDY, _ERROR = 0x008, 0x020, 0x040, 0x080, 0x100
_FORCE_SELECT: Final = 0x400
_CONTROL_STORED: Final = 0x5F8
_SOURCES: Final = 0x1F8


class AlteraSpi:
    """The core and the chip on its first select line. ``interrupt`` is called whenever its line rises."""

    def __init__(self, flash: SpiFlash, interrupt: Callable[[], None] | None = None) -> None:
        self.flash = flash
        self.interrupt = interrupt
        self._reset()

    def read(self, reg: int, t_ns: int) -> int | None:
        """A register; None where nothing is decoded."""
        if reg == _RXDATA:
            self._status &= ~_RRDY
            self._signal()
            return self._rxdata
        if reg == _STATUS:
            return self._state()
        return {_CONTROL: self._control, _SELECT: self._slaves, _TXDATA: 0}.get(reg)

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register; False where nothing is decoded."""
        if reg == _TXDATA:
            self._exchange(value & 0xFF, t_ns)
        elif reg == _STATUS:
            self._status &= _RRDY
        elif reg == _CONTROL:
            self._control = value & _CONTROL_STORED
            self._follow(t_ns)
        elif reg == _SELECT:
            self._slaves = value & 0xFFFF
            self._follow(t_ns)
        elif reg != _RXDATA:
            return False
        self._signal()
        return True

    def power_cycle(self, t_ns: int) -> None:
        """Power goes away, also amid an operation of the chip, and comes back."""
        self.flash.cut_power(t_ns)
        self.flash.power_on()
        self._reset()

    def _reset(self) -> None:
        self._rxdata = 0
        self._status = 0
        self._control = 0
        self._slaves = 1
        self._selected = False
        self._line = False

    def _exchange(self, byte: int, t_ns: int) -> None:
        # Without the force bit the select line is active for one word only.
        alone = not self._selected and bool(self._slaves & 1)
        if alone:
            self.flash.select(t_ns)
        answer = self.flash.exchange(bytes((byte,)), t_ns) if alone or self._selected else b"\xff"
        if alone:
            self.flash.deselect(t_ns)
        if self._status & _RRDY:
            self._status |= _ROE
        self._rxdata = answer[0]
        self._status |= _RRDY

    def _follow(self, t_ns: int) -> None:
        wanted = bool(self._control & _FORCE_SELECT and self._slaves & 1)
        if wanted and not self._selected:
            self.flash.select(t_ns)
        elif self._selected and not wanted:
            self.flash.deselect(t_ns)
        self._selected = wanted

    def _state(self) -> int:
        return self._status | _TMT | _TRDY | (_ERROR if self._status & _ROE else 0)

    def _signal(self) -> None:
        high = bool(self._state() & self._control & _SOURCES)
        if high and not self._line and self.interrupt is not None:
            self.interrupt()
        self._line = high
