"""Xilinx' AXI Quad SPI as master of one flash chip, as the kernel's ``spi-xilinx`` and PG153 describe it.

A transfer takes no time: what waits in the transmit FIFO goes out as soon as nothing inhibits it. Interrupt
status toggles on write. Not modelled: slave mode, dual and quad lines, XIP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from timecard.emulator.spi_flash import SpiFlash

FIFO_DEPTH: Final = 256
"""What the Time Card's FPGA is built with; the core also exists with 16."""
_DGIER, _ISR, _IER, _SRR = 0x1C, 0x20, 0x28, 0x40
_CR, _SR, _DTR, _DRR, _SSR, _TX_OCY, _RX_OCY = 0x60, 0x64, 0x68, 0x6C, 0x70, 0x74, 0x78
_RESET_WORD: Final = 0xA
_CR_RESET: Final = 0x180
_LOOP, _ENABLE, _MASTER = 0x001, 0x002, 0x004
_TX_FIFO_RESET, _RX_FIFO_RESET, _INHIBIT = 0x020, 0x040, 0x100
_CR_STORED: Final = 0x39F
_TX_EMPTY_EVENT: Final = 0x04
_RX_FULL_EVENT: Final = 0x10
_OVERRUN_EVENT: Final = 0x20
_HALF_EVENT: Final = 0x40
_EVENTS: Final = 0x1FFF
_GLOBAL: Final = 0x8000_0000


class AxiSpi:
    """The core and the chip on its first select line. ``interrupt`` is called whenever its line rises."""

    def __init__(
        self, flash: SpiFlash, interrupt: Callable[[], None] | None = None, fifo_depth: int = FIFO_DEPTH
    ) -> None:
        self.flash = flash
        self.interrupt = interrupt
        self.fifo_depth = fifo_depth
        self._dgier = self._isr = self._ier = 0
        self._line = False
        self._tx = bytearray()
        self._rx = bytearray()
        self._ssr = 0xFFFF_FFFF
        self._cr = _CR_RESET

    def read(self, reg: int, t_ns: int) -> int | None:
        """A register; None (a bus error) for an empty receive FIFO and where nothing is decoded."""
        if reg == _SR:
            return self._status()
        if reg == _DRR:
            return self._rx.pop(0) if self._rx else None
        return {
            _DGIER: self._dgier,
            _ISR: self._isr,
            _IER: self._ier,
            _CR: self._cr,
            _SSR: self._ssr,
            _TX_OCY: max(0, len(self._tx) - 1),
            _RX_OCY: max(0, len(self._rx) - 1),
        }.get(reg)

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register; False (a bus error) for a full transmit FIFO and where nothing can be written."""
        if reg == _DTR:
            if len(self._tx) >= self.fifo_depth:
                return False
            self._tx.append(value & 0xFF)
            self._shift(t_ns)
        elif reg == _CR:
            if value & _TX_FIFO_RESET:
                self._tx.clear()
            if value & _RX_FIFO_RESET:
                self._rx.clear()
            self._cr = value & _CR_STORED
            self._shift(t_ns)
        elif reg == _SSR:
            self._select(value, t_ns)
        elif reg == _ISR:
            self._isr ^= value & _EVENTS
        elif reg == _IER:
            self._ier = value & _EVENTS
        elif reg == _DGIER:
            self._dgier = value & _GLOBAL
        elif reg == _SRR:
            if value == _RESET_WORD:
                self._reset(t_ns)
        else:
            return False
        self._signal()
        return True

    def power_cycle(self, t_ns: int) -> None:
        """Power goes away, also amid an operation of the chip, and comes back."""
        self.flash.cut_power(t_ns)
        self.flash.power_on()
        self._reset(t_ns)
        self._line = False

    def _status(self) -> int:
        rx, tx, depth = len(self._rx), len(self._tx), self.fifo_depth
        # Bit 5 says that the core is not selected as a slave.
        return (not rx) | (rx == depth) << 1 | (not tx) << 2 | (tx == depth) << 3 | 0x20

    def _select(self, value: int, t_ns: int) -> None:
        before, self._ssr = self._ssr, value
        if (before ^ value) & 1:
            if value & 1:
                self.flash.deselect(t_ns)
            else:
                self.flash.select(t_ns)

    def _shift(self, t_ns: int) -> None:
        cr = self._cr
        if not self._tx or cr & (_ENABLE | _MASTER | _INHIBIT) != _ENABLE | _MASTER:
            return
        out = bytes(self._tx)
        self._tx.clear()
        if cr & _LOOP:
            answer = out
        elif self._ssr & 1:
            answer = b"\xff" * len(out)
        else:
            answer = self.flash.exchange(out, t_ns)
        room = self.fifo_depth - len(self._rx)
        self._rx += answer[:room]
        self._isr |= _TX_EMPTY_EVENT
        if len(out) >= self.fifo_depth // 2:
            self._isr |= _HALF_EVENT
        if len(self._rx) == self.fifo_depth:
            self._isr |= _RX_FULL_EVENT
        if len(answer) > room:
            self._isr |= _OVERRUN_EVENT

    def _reset(self, t_ns: int) -> None:
        self._dgier = self._isr = self._ier = 0
        self._tx.clear()
        self._rx.clear()
        self._select(0xFFFF_FFFF, t_ns)
        self._cr = _CR_RESET

    def _signal(self) -> None:
        high = bool(self._dgier and self._isr & self._ier)
        if high and not self._line and self.interrupt is not None:
            self.interrupt()
        self._line = high
