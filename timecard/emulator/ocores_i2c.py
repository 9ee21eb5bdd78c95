"""OpenCores I2C master with byte registers, 1 or 4 bytes apart, and the time that a byte takes.

Source: the core's specification (R. Herveille, rev. 0.9). The block is addressed by bytes; ``ByteLanes``
splits words into them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from timecard.emulator.fpga_block import LevelLine
from timecard.emulator.i2c_wire import CLOCKS_PER_BYTE, I2cWire, OnWire, Reply

NS_PER_S: Final = 1_000_000_000
_PRE_LOW, _PRE_HIGH, _CTR, _DATA, _COMMAND = range(5)
_REGISTERS: Final = 5
_ENABLE: Final = 0x80
_INTERRUPTS: Final = 0x40
_STA, _STO, _RD, _WR, _NACK, _IACK = 0x80, 0x40, 0x20, 0x10, 0x08, 0x01
_IF, _TIP, _AL, _BUSY, _REFUSED = 0x01, 0x02, 0x20, 0x40, 0x80


class OcoresI2c(OnWire):
    """The core. ``interrupt`` is called when its vector has to be sent."""

    byte_registers = True

    def __init__(
        self, wire: I2cWire, clock_hz: int, stride: int, interrupt: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(wire)
        self._clock_hz = clock_hz
        self._stride = stride
        self._line = LevelLine(interrupt)
        self._restart()

    # --- Block ---

    def read(self, reg: int, t_ns: int) -> int | None:
        """The byte at ``reg``."""
        self._catch_up(t_ns)
        index, rest = divmod(reg, self._stride)
        if rest or index >= _REGISTERS:
            return None
        if index == _DATA:
            return self._received
        return self._status if index == _COMMAND else self._registers[index]

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """The byte at ``reg``."""
        self._catch_up(t_ns)
        index, rest = divmod(reg, self._stride)
        if rest or index >= _REGISTERS:
            return False
        self._set(index, value & 0xFF, t_ns)
        self._signal(t_ns)
        return True

    # --- time ---

    def poll(self, t_ns: int) -> None:
        """Finish what is due, and send the vector again if its cause lasts."""
        self._catch_up(t_ns)
        self._line.poll(t_ns)

    def next_event_ns(self, t_ns: int) -> int | None:
        """When ``poll`` should be called next; None when nothing happens without the host."""
        if not self._registers[_CTR] & _INTERRUPTS or self.wire.scl_held:
            return None
        due = [at for at in (self._due_ns, self._line.next_event_ns(t_ns)) if at is not None]
        return max(t_ns + 1, min(due)) if due else None

    # --- internals ---

    def _restart(self) -> None:
        self._registers = [0xFF, 0xFF, 0, 0, 0]
        self._received = 0
        self._status = 0
        self._command = 0
        """What is being carried out."""
        self._due_ns: int | None = None

    def _set(self, index: int, value: int, t_ns: int) -> None:
        if index == _COMMAND:
            self._begin(value, t_ns)
            return
        self._registers[index] = value
        if index == _CTR and not value & _ENABLE:
            # The core lets go of both lines wherever it is.
            self._due_ns = None
            self._status = 0

    def _begin(self, command: int, t_ns: int) -> None:
        if command & _IACK:
            self._status &= ~_IF
            self._line.set(False, t_ns)
        if not self._registers[_CTR] & _ENABLE or not command & (_STA | _STO | _RD | _WR):
            return
        bits = CLOCKS_PER_BYTE * bool(command & (_RD | _WR)) + bool(command & _STA) + bool(command & _STO)
        prescaler = self._registers[_PRE_HIGH] << 8 | self._registers[_PRE_LOW]
        self._command = command
        self._due_ns = t_ns + bits * 5 * (prescaler + 1) * NS_PER_S // self._clock_hz
        self._status &= ~_AL
        if command & _STA:
            self._status |= _BUSY
        if command & (_RD | _WR):
            self._status |= _TIP

    def _catch_up(self, t_ns: int) -> None:
        if self._due_ns is None or t_ns < self._due_ns or self.wire.scl_held:
            return
        at_ns, self._due_ns = self._due_ns, None
        self._status = self._status & ~_TIP | _IF
        self._carry_out(self._command, at_ns)
        self._signal(t_ns)

    def _carry_out(self, command: int, at_ns: int) -> None:
        if command & _WR:
            byte = self._registers[_DATA]
            reply = self.wire.start(byte, at_ns) if command & _STA else self.wire.write(byte, at_ns)
            if reply is Reply.LOST:
                self._status = self._status & ~_BUSY | _AL
                return
            self._status = self._status & ~_REFUSED | (_REFUSED if reply is Reply.NACK else 0)
        elif command & _RD:
            if self._status & _BUSY:
                self._received = self.wire.read(at_ns)
            else:
                self.wire.clock(CLOCKS_PER_BYTE)
            self._status = self._status & ~_REFUSED | (_REFUSED if command & _NACK else 0)
        if command & _STO:
            if self.wire.sda_held_clocks:
                self._status |= _AL
                return
            self.wire.stop(at_ns)
            self._status &= ~_BUSY

    def _signal(self, t_ns: int) -> None:
        enabled = bool(self._registers[_CTR] & _INTERRUPTS)
        self._line.set(enabled and bool(self._status & _IF), t_ns)
