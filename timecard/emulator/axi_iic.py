"""AMD/Xilinx AXI IIC: FIFOs of 16, dynamic and standard mode, events that toggle, the time that a byte takes.

Source: AMD/Xilinx PG090, and what the kernel's ``drivers/i2c/busses/i2c-xiic.c`` relies on. That driver
queues a start first and clears old events afterwards; a guest of an emulated machine may be so slow at that
that the events of the new transfer are cleared as well. So with interrupts in use a start waits until the
host has written nothing for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

from timecard.boards.registers import AXI_IIC
from timecard.emulator.fpga_block import LevelLine
from timecard.emulator.i2c_wire import CLOCKS_PER_BYTE, I2cWire, OnWire, Reply

NS_PER_S: Final = 1_000_000_000
FIFO: Final = 16
QUIET_NS: Final = 5_000_000
ISR_AFTER_RESET: Final = 0xD0
_AT: Final = {row.name: row.offset for row in AXI_IIC}
_TIMING: Final = range(0x128, 0x148, 4)
"""Set-up and hold times, which the stock driver sets where it knows the clock; kept, without effect."""

ARB_LOST, TX_ERROR, TX_EMPTY, RX_FULL, BUS_NOT_BUSY, TX_HALF = 0x01, 0x02, 0x04, 0x08, 0x10, 0x80
EN, TX_RESET, MSMS, TX, TXAK, RSTA = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
DYN_START, DYN_STOP = 0x100, 0x200
_GLOBAL_ENABLE: Final = 0x8000_0000
_SOFT_RESET: Final = 0xA


class _Step(Enum):
    """What goes over the bus; the value is its clocks, those of a read with a minus."""

    START = CLOCKS_PER_BYTE + 1
    WRITE = CLOCKS_PER_BYTE
    READ = -CLOCKS_PER_BYTE
    STOP = 1


class AxiIic(OnWire):
    """The core. ``interrupt`` is called when its vector has to be sent."""

    def __init__(self, wire: I2cWire, bus_hz: int, interrupt: Callable[[], None] = lambda: None) -> None:
        super().__init__(wire)
        self._bit_ns = NS_PER_S // bus_hz
        self._line = LevelLine(interrupt)
        self._plain: dict[int, int] = {}
        self._touched_ns = 0
        self._restart()

    # --- Block ---

    def read(self, reg: int, t_ns: int) -> int | None:
        """A word."""
        self._catch_up(t_ns)
        if reg == _AT["ISR"]:
            return self._isr
        if reg == _AT["SR"]:
            return self._status()
        if reg == _AT["RX_FIFO"]:
            byte = self._rx.popleft() if self._rx else 0
            self._go_on(t_ns)
            return byte
        if reg == _AT["TX_OCY"]:
            return max(0, len(self._tx) - 1)
        if reg == _AT["RX_OCY"]:
            return max(0, len(self._rx) - 1)
        if reg in (_AT["SOFTR"], _AT["TX_FIFO"]):
            return 0
        return self._plain.get(reg)

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A word."""
        self._catch_up(t_ns)
        self._touched_ns = t_ns
        if reg == _AT["SOFTR"]:
            if value == _SOFT_RESET:
                self._restart()
        elif reg == _AT["ISR"]:
            self._isr ^= value & 0xFF
            self._line.set(False, t_ns)
        elif reg == _AT["TX_FIFO"]:
            if len(self._tx) < FIFO:
                self._tx.append(value & 0x3FF)
        elif reg == _AT["CR"]:
            self._control(value & 0x7F)
        elif reg in (_AT["SR"], _AT["RX_FIFO"], _AT["TX_OCY"], _AT["RX_OCY"]):
            pass
        elif reg in self._plain:
            self._plain[reg] = value & 0x0F if reg == _AT["RX_PIRQ"] else value
        else:
            return False
        self._go_on(t_ns)
        self._signal(t_ns)
        return True

    # --- time ---

    def poll(self, t_ns: int) -> None:
        """Move bytes up to ``t_ns``, and send the vector again if its cause lasts."""
        self._catch_up(t_ns)
        self._line.poll(t_ns)

    def next_event_ns(self, t_ns: int) -> int | None:
        """When ``poll`` should be called next; None when nothing happens without the host."""
        if not self._interrupts_on:
            return None
        due = []
        if self._step is not None:
            due.append(self._due_ns)
        elif self._next_step() is _Step.START:
            due.append(self._touched_ns + QUIET_NS)
        repeat_ns = self._line.next_event_ns(t_ns)
        if repeat_ns is not None:
            due.append(repeat_ns)
        if self.wire.scl_held or not due:
            return None
        return max(t_ns + 1, min(due))

    # --- registers ---

    def _restart(self) -> None:
        self._plain = {
            row.offset: row.reset or 0 for row in AXI_IIC if row.access == "RW" and row.name != "RX_FIFO"
        }
        self._plain.update(dict.fromkeys(_TIMING, 0))
        self._isr = ISR_AFTER_RESET
        self._tx: deque[int] = deque()
        self._rx: deque[int] = deque()
        self._step: _Step | None = None
        self._due_ns = 0
        self._word = 0
        self._leave()

    def _leave(self) -> None:
        """Not master any more."""
        self._master = False
        self._dynamic = False
        self._reading = False
        self._to_read: int | None = None
        """Bytes that a dynamic read still has to fetch; None: the count has not come yet."""
        self._stop_follows = False

    def _control(self, value: int) -> None:
        self._plain[_AT["CR"]] = value & ~TX_RESET
        if value & TX_RESET:
            self._tx.clear()
        if not value & EN:
            self._step = None
            self._leave()

    @property
    def _cr(self) -> int:
        return self._plain[_AT["CR"]]

    @property
    def _pirq(self) -> int:
        return self._plain[_AT["RX_PIRQ"]]

    @property
    def _interrupts_on(self) -> bool:
        return bool(self._plain[_AT["DGIER"]] & _GLOBAL_ENABLE)

    def _status(self) -> int:
        busy = self._master or self._step is not None
        return (
            0x04 * busy
            | 0x08 * self._reading
            | 0x10 * (len(self._tx) == FIFO)
            | 0x20 * (len(self._rx) == FIFO)
            | 0x40 * (not self._rx)
            | 0x80 * (not self._tx)
        )

    def _signal(self, t_ns: int) -> None:
        # These two are levels: an acknowledgement does not help while the FIFO is as it is.
        if len(self._rx) > self._pirq:
            self._isr |= RX_FULL
        if len(self._tx) <= FIFO // 2:
            self._isr |= TX_HALF
        pending = bool(self._isr & self._plain[_AT["IER"]])
        self._line.set(self._interrupts_on and pending, t_ns)

    # --- bus ---

    def _catch_up(self, t_ns: int) -> None:
        self._go_on(t_ns)
        while self._step is not None and self._due_ns <= t_ns and not self.wire.scl_held:
            at_ns, step, self._step = self._due_ns, self._step, None
            self._finish(step, at_ns)
            self._go_on(at_ns)
        self._signal(t_ns)

    def _go_on(self, t_ns: int) -> None:
        """Begin what comes next at ``t_ns``, if the host has said what."""
        if self._step is not None or self.wire.scl_held:
            return
        step = self._next_step()
        if step is None:
            return
        if step is _Step.START and self._interrupts_on:
            if t_ns < self._touched_ns + QUIET_NS:
                return
            t_ns = self._touched_ns + QUIET_NS
        self._step = step
        self._due_ns = t_ns + abs(step.value) * self._bit_ns
        if step in (_Step.START, _Step.WRITE):
            self._word = self._tx.popleft()
            if not self._tx:
                self._isr |= TX_EMPTY

    def _next_step(self) -> _Step | None:
        if not self._cr & EN:
            return None
        if self._master and self._stop_follows:
            return _Step.STOP
        if self._tx and self._tx[0] & DYN_START:
            # A dynamic read in progress ends first.
            return None if self._master and self._to_read else _Step.START
        if not self._master:
            return _Step.START if self._cr & MSMS and self._tx else None
        if self._dynamic:
            return self._next_dynamic()
        if self._cr & RSTA and self._tx:
            return _Step.START
        if self._reading:
            if not self._cr & MSMS:
                return _Step.STOP
            return None if len(self._rx) > self._pirq else _Step.READ
        if self._tx:
            return _Step.WRITE
        return None if self._cr & MSMS else _Step.STOP

    def _next_dynamic(self) -> _Step | None:
        if not self._reading:
            return _Step.WRITE if self._tx else None
        if self._to_read is None:
            if not self._tx:
                return None
            word = self._tx.popleft()
            if not self._tx:
                self._isr |= TX_EMPTY
            self._to_read = word & 0xFF
            self._word = word
        if self._to_read and len(self._rx) < FIFO:
            return _Step.READ
        return None

    def _finish(self, step: _Step, at_ns: int) -> None:
        if step is _Step.START:
            self._finish_start(at_ns)
        elif step is _Step.WRITE:
            refused = self.wire.write(self._word & 0xFF, at_ns) is Reply.NACK
            if refused:
                self._refused()
            elif self._word & DYN_STOP:
                self._stop_follows = True
        elif step is _Step.READ:
            self._rx.append(self.wire.read(at_ns))
            last = bool(self._cr & TXAK)
            if self._to_read is not None:
                self._to_read -= 1
                last = self._to_read == 0
                self._stop_follows = last and bool(self._word & DYN_STOP)
            if last:
                # The core tells its own refusal of the last byte like one by the part.
                self._isr |= TX_ERROR
        else:
            self.wire.stop(at_ns)
            self._leave()
            self._plain[_AT["CR"]] &= ~MSMS
            self._isr |= BUS_NOT_BUSY

    def _finish_start(self, at_ns: int) -> None:
        self._leave()
        self._plain[_AT["CR"]] &= ~RSTA
        self._dynamic = bool(self._word & DYN_START)
        reply = self.wire.start(self._word & 0xFF, at_ns)
        if reply is Reply.LOST:
            self._isr |= ARB_LOST | BUS_NOT_BUSY
            self._tx.clear()
            self._plain[_AT["CR"]] &= ~MSMS
            return
        self._master = True
        self._reading = bool(self._word & 1)
        if reply is Reply.NACK:
            self._refused()
        elif self._word & DYN_STOP:
            self._stop_follows = True

    def _refused(self) -> None:
        """The part did not acknowledge: what is queued for it goes, and the bus is freed."""
        self._isr |= TX_ERROR
        self._tx.clear()
        self._stop_follows = True
