"""A 16550 UART with a device at the other end of the line, bytes paced at the line's rate.

Registers 4 bytes apart, as AMD/Xilinx's AXI core has them behind the kernel's register shift of 2; behaviour:
National Semiconductor PC16550D data sheet. The receive queue holds 64 KiB instead of 16 bytes, so that a host
that polls an emulated card over a socket loses nothing; beyond, the overrun flag rises. Not modelled: parity
and word length, modem lines, loop-back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from timecard.emulator.fpga_block import REPEAT_NS

CLOCK_HZ: Final = 50_000_000
QUEUE: Final = 65_536
TX_FIFO: Final = 16
TRIGGERS: Final = (1, 4, 8, 14)
MAX_RATE_MISMATCH: Final = 0.04
"""A receiver samples the middle of the tenth bit: half a bit off is 5 %, less what edges cost."""
TIMEOUT_CHARACTERS: Final = 4
POLL_NS: Final = 2_000_000
"""How often a device with something to say is noticed while the receive interrupt is in use."""
_NS_PER_DIVISOR: Final = 10 * 16 * 1_000_000_000 // CLOCK_HZ
"""Ten bits of 16 clocks."""

_RBR, _IER, _IIR, _LCR, _MCR, _LSR, _MSR, _SCR = range(0x00, 0x20, 4)
_OVERRUN: Final = 0x02
_FRAMING: Final = 0x08
_NOTHING: Final = 0x01


class SerialDevice(Protocol):
    """The other end of the line."""

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host."""
        ...

    def transmit(self, t_ns: int) -> bytes:
        """What the device has sent up to ``t_ns`` since the last call."""
        ...


class SilentDevice:
    """Nothing is connected."""

    def receive(self, data: bytes, t_ns: int) -> None:
        """Lost."""

    def transmit(self, t_ns: int) -> bytes:
        """Nothing."""
        return b""


class _Line:
    """Bytes under way, one after the other."""

    def __init__(self) -> None:
        self.pending = bytearray()
        self.since_ns = 0
        """When the first pending byte began."""

    def put(self, data: bytes, t_ns: int) -> None:
        if not self.pending:
            self.since_ns = max(self.since_ns, t_ns)
        self.pending += data

    def take(self, t_ns: int, byte_ns: int) -> bytes:
        """The bytes that are complete at ``t_ns``."""
        count = min(len(self.pending), (t_ns - self.since_ns) // byte_ns)
        if count <= 0:
            return b""
        arrived = bytes(self.pending[:count])
        del self.pending[:count]
        self.since_ns += count * byte_ns
        return arrived


class Uart16550:
    """One UART. ``raise_interrupt`` is called when its vector has to be sent; None: nobody listens to it.

    A device may have an attribute ``baud``; when the divisor makes a rate that is too far from it, both sides
    see garbage and the host a framing error.
    """

    def __init__(self, device: SerialDevice, t_ns: int) -> None:
        self.device = device
        self.raise_interrupt: Callable[[], None] | None = None
        self.muted = False
        """By a fault: nothing comes in."""
        self.connected: Callable[[], bool] = lambda: True
        """Whether its pins lead to the device now."""
        self._receiving = _Line()
        self._sending = _Line()
        self._queue = bytearray()
        self._t_ns = t_ns
        self._touched_ns = t_ns
        """Last arrival or read: what the character timeout counts from."""
        self._divisor = 0
        self._byte_ns = _NS_PER_DIVISOR
        self._ier = self._lcr = self._mcr = self._scr = 0
        self._fifo_on = False
        self._trigger = 1
        self._errors = 0
        self._thr_interrupt = False
        self._line_high = False

    # --- registers ---

    def read(self, reg: int, t_ns: int) -> int | None:
        """A register; the upper three bytes are 0."""
        if t_ns != self._t_ns:
            self._catch_up(t_ns)
        if reg == _IIR:
            cause = self._cause()
            if cause == 0x02:
                self._thr_interrupt = False
            self._signal()
            return cause | (0xC0 if self._fifo_on else 0)
        if reg == _RBR:
            if self._lcr & 0x80:
                return self._divisor & 0xFF
            return self._take_byte()
        if reg == _LSR:
            status = self._errors | (1 if self._queue else 0) | self._transmitter()
            self._errors = 0
            return status
        if reg == _IER:
            return self._divisor >> 8 if self._lcr & 0x80 else self._ier
        return {_LCR: self._lcr, _MCR: self._mcr, _MSR: 0xB0, _SCR: self._scr}.get(reg)

    def read_queue(self, count: int, t_ns: int) -> list[int]:
        """``count`` reads of the receive buffer at one instant."""
        if t_ns != self._t_ns:
            self._catch_up(t_ns)
        if self._lcr & 0x80 or count > len(self._queue):
            return [self.read(_RBR, t_ns) or 0 for _ in range(count)]
        taken = list(self._queue[:count])
        del self._queue[:count]
        self._touched_ns = t_ns
        self._signal()
        return taken

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register; only the low byte counts."""
        if t_ns != self._t_ns:
            self._catch_up(t_ns)
        value &= 0xFF
        divisor_access = self._lcr & 0x80
        if reg == _RBR:
            if divisor_access:
                self._set_divisor(self._divisor & 0xFF00 | value)
            else:
                self._send(value, t_ns)
        elif reg == _IER:
            if divisor_access:
                self._set_divisor(value << 8 | self._divisor & 0xFF)
            else:
                # Enabling the transmit interrupt while the FIFO is empty raises it.
                self._thr_interrupt = bool(value & 2) and bool(self._transmitter() & 0x20)
                self._ier = value & 0x0F
        elif reg == _IIR:
            self._fifo_control(value)
        elif reg == _LCR:
            self._lcr = value
        elif reg == _MCR:
            self._mcr = value & 0x1F
        elif reg == _SCR:
            self._scr = value
        elif reg not in (_LSR, _MSR):
            return False
        self._signal()
        return True

    # --- time ---

    def poll(self, t_ns: int) -> None:
        """Move bytes up to ``t_ns`` and send the vector if its cause lasts."""
        self._line_high = False
        self._catch_up(t_ns)
        self._signal()

    def next_event_ns(self, t_ns: int) -> int | None:
        """When ``poll`` should be called next; None when nothing can happen without the host."""
        due = []
        if self._sending.pending:
            due.append(self._sending.since_ns + len(self._sending.pending) * self._byte_ns)
        if self.raise_interrupt is not None and self._ier:
            due.append(t_ns + (REPEAT_NS if self._line_high else POLL_NS))
        return max(t_ns + 1, min(due)) if due else None

    # --- internals ---

    def _catch_up(self, t_ns: int) -> None:
        spoken = self.device.transmit(t_ns)
        if spoken and not self.muted and self.connected():
            # The device may have begun right after it was last asked; the line is not faster than its rate.
            self._receiving.put(spoken, self._t_ns)
        if self._receiving.pending:
            arrived = self._receiving.take(t_ns, self._byte_ns)
            if arrived:
                self._arrive(arrived)
        if self._sending.pending:
            sent = self._sending.take(t_ns, self._byte_ns)
            if sent and self.connected():
                self.device.receive(sent if self._rates_agree() else _garbled(sent), t_ns)
            if sent:
                self._thr_interrupt = self._thr_interrupt or bool(self._transmitter() & 0x20)
        self._t_ns = t_ns

    def _arrive(self, data: bytes) -> None:
        if not self._rates_agree():
            data = _garbled(data)
            self._errors |= _FRAMING
        room = QUEUE - len(self._queue)
        if len(data) > room:
            self._errors |= _OVERRUN
            data = data[:room]
        self._queue += data
        self._touched_ns = self._receiving.since_ns

    def _rates_agree(self) -> bool:
        baud = getattr(self.device, "baud", None)
        if baud is None:
            return True
        return self._divisor > 0 and abs(CLOCK_HZ / (16 * self._divisor * baud) - 1) <= MAX_RATE_MISMATCH

    def _take_byte(self) -> int:
        self._touched_ns = self._t_ns
        value = self._queue.pop(0) if self._queue else 0
        self._signal()
        return value

    def _send(self, value: int, t_ns: int) -> None:
        # One byte is in the shift register, the others in the FIFO; a byte too many is lost, as in hardware.
        if len(self._sending.pending) <= TX_FIFO:
            self._sending.put(bytes((value,)), t_ns)
        self._thr_interrupt = False

    def _transmitter(self) -> int:
        """THRE and TEMT of the line status."""
        waiting = len(self._sending.pending)
        return 0x60 if not waiting else 0x20 if waiting == 1 else 0x00

    def _fifo_control(self, value: int) -> None:
        self._fifo_on = bool(value & 1)
        self._trigger = TRIGGERS[value >> 6] if self._fifo_on else 1
        if value & 2 or not self._fifo_on:
            self._queue.clear()
        if value & 4:
            del self._sending.pending[1:]

    def _set_divisor(self, divisor: int) -> None:
        self._divisor = divisor
        self._byte_ns = max(1, divisor) * _NS_PER_DIVISOR

    def _cause(self) -> int:
        """The most urgent interrupt, as IIR tells it."""
        ier = self._ier
        if self._errors and ier & 4:
            return 0x06
        if self._queue and ier & 1:
            if len(self._queue) >= self._trigger:
                return 0x04
            if self._t_ns - self._touched_ns >= TIMEOUT_CHARACTERS * self._byte_ns:
                return 0x0C
        if self._thr_interrupt and ier & 2:
            return 0x02
        return _NOTHING

    def _signal(self) -> None:
        if self.raise_interrupt is None:
            return
        high = self._cause() != _NOTHING
        if high and not self._line_high:
            self.raise_interrupt()
        self._line_high = high


def _garbled(data: bytes) -> bytes:
    """What the wrong rate makes of bytes."""
    return bytes(byte ^ 0xFF for byte in data)
