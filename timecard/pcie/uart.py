"""A serial line through the card's 16550 UART, without a kernel driver: polled, or woken by its interrupt.

The FIFO's trigger level makes polling cheap: "at least 14 bytes there" is one read of IIR, and the 14 bytes
follow in one burst. What is left at the end of a message is reported after four character times of silence.
With interrupts the level is lower, so that there is time to come before the FIFO is full.
Register semantics: National Semiconductor PC16550D data sheet; AMD/Xilinx PG143 for the AXI core.
"""

from __future__ import annotations

from typing import Final

from timecard.errors import DeviceLostError, DeviceTimeoutError, ProtocolError, RefusedError
from timecard.pcie.bus import burst_reader
from timecard.pcie.interrupts import Interrupts, VectorWait, vector_wait
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

CLOCK_HZ: Final = 50_000_000
MAX_BAUD_ERROR: Final = 0.02
"""Beyond this a frame of ten bits drifts too far against a partner that is off as well."""
FIFO: Final = 16
TRIGGER: Final = 14
IRQ_TRIGGER: Final = 8
IRQ_LIMIT_S: Final = 0.1
"""An interrupt that got lost, as when the card was reset behind our back, costs no more than this."""
BITS_PER_BYTE: Final = 10
_SPARE_LOOKS: Final = 8

_DATA, _IER, _IIR, _LCR, _MCR, _LSR = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14
_LCR_8N1: Final = 0x03
_LCR_DIVISOR: Final = 0x80
_FCR_INIT: Final = {TRIGGER: 0xC7, IRQ_TRIGGER: 0x87}
"""FIFO on and emptied, and its trigger level."""
_IER_RECEIVE: Final = 0x05
"""Received data and line errors show in IIR; no interrupt leaves a card whose vectors are not set up."""
_IIR_MASK: Final = 0x0F
_IIR_FIFO: Final = 0xC0
_IIR_LINE_ERROR: Final = 0x06
_IIR_DATA: Final = 0x04
_IIR_TIMEOUT: Final = 0x0C
_LSR_READY: Final = 0x01
_LSR_THR_EMPTY: Final = 0x20
_LSR_IMPOSSIBLE: Final = 0xFF
_LSR_ERRORS: Final = {0x02: "overrun", 0x04: "parity", 0x08: "framing", 0x10: "break"}
_LSR_ANY_ERROR: Final = 0x1E


class UartStream:
    """``ByteStream`` on a 16550 at ``base_offset`` of BAR0.

    ``poll_s`` is the pause between looks while ``read`` waits; by default the time in which 12 bytes arrive,
    so that a 16-byte FIFO does not overflow. With a ``vector``, and a bus that has interrupts, it waits for
    that instead. Whoever calls ``read`` with a timeout of 0 has to come back in time by himself
    (``PumpedUart`` does); only an emulated UART, whose FIFO is deeper, forgives.
    """

    def __init__(
        self,
        bus: RegisterBus,
        timebase: Timebase,
        base_offset: int,
        baud: int,
        name: str,
        poll_s: float | None = None,
        vector: int | None = None,
    ) -> None:
        self.name = name
        self.baud = baud
        self.errors = dict.fromkeys(_LSR_ERRORS.values(), 0)
        """Line errors seen so far, by kind."""
        self._bus = bus
        self._timebase = timebase
        self._read_many = burst_reader(bus)
        self._base = base_offset
        self._iir = base_offset + _IIR
        self._vector = vector if isinstance(bus, Interrupts) else None
        self._trigger = TRIGGER if self._vector is None else IRQ_TRIGGER
        self._wake: VectorWait | None = None
        self._burst = (base_offset + _DATA,) * self._trigger
        self._pair = (base_offset + _DATA, base_offset + _LSR)
        self._divisor = _divisor(name, baud)
        self._byte_s = BITS_PER_BYTE / baud
        self._poll_s = poll_s or 12 * self._byte_s
        self._start()

    def _start(self) -> None:
        write32 = self._bus.write32
        write32(self._base + _LCR, _LCR_8N1 | _LCR_DIVISOR)
        write32(self._base + _DATA, self._divisor & 0xFF)
        write32(self._base + _IER, self._divisor >> 8)
        seen = self._bus.read32(self._base + _DATA) & 0xFF | (self._bus.read32(self._base + _IER) & 0xFF) << 8
        write32(self._base + _LCR, _LCR_8N1)
        if seen != self._divisor:
            raise ProtocolError(
                self.name,
                "open",
                f"divisor {self._divisor} reads back as {seen}: no 16550 at {self._base:#x}",
            )
        write32(self._base + _IIR, _FCR_INIT[self._trigger])
        write32(self._base + _MCR, 0)
        write32(self._base + _IER, _IER_RECEIVE)
        status = self._bus.read32(self._base + _LSR)  # errors of the time before are nobody's
        if status >= _LSR_IMPOSSIBLE:
            raise self._gone("open", "LSR", status)

    def set_baud(self, baud: int) -> None:
        """Change the rate; both FIFOs are emptied."""
        self._divisor = _divisor(self.name, baud)
        self.baud = baud
        self._byte_s = BITS_PER_BYTE / baud
        self._start()

    # --- ByteStream ---

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """At least one byte, or nothing within ``timeout_s``; 0 only looks."""
        data = self._look(max_bytes)
        if data or timeout_s <= 0:
            return data
        timebase = self._timebase
        deadline_ns = timebase.mono_ns() + round(timeout_s * NS_PER_S)
        while not data:
            left_s = (deadline_ns - timebase.mono_ns()) / NS_PER_S
            if left_s <= 0:
                return b""
            self.wait(left_s)
            data = self._look(max_bytes)
        return data

    def wait(self, timeout_s: float) -> None:
        """Return when it may be worth to look again, at latest after ``timeout_s``."""
        if self._vector is not None:  # the first time: who never waits needs no interrupt
            self._wake, self._vector = vector_wait(self._bus, self._vector), None
        if self._wake is not None:
            self._wake.wait(min(timeout_s, IRQ_LIMIT_S))
        else:
            self._timebase.sleep_s(min(self._poll_s, timeout_s))

    def write(self, data: bytes) -> None:
        """Send all of ``data``; returns when its last bytes are in the FIFO."""
        base = self._base
        write32 = self._bus.write32
        for start in range(0, len(data), FIFO):
            self._wait_for_space()
            for byte in data[start : start + FIFO]:
                write32(base + _DATA, byte)

    # --- internals ---

    def _look(self, max_bytes: int) -> bytes:
        """What the receiver has now, as far as its FIFO tells."""
        out = bytearray()
        # Each round takes bytes or clears a cause; hardware that does neither must not hold us for ever.
        for _ in range(max_bytes // self._trigger + _SPARE_LOOKS):
            if len(out) >= max_bytes:
                break
            cause = self._bus.read32(self._iir)
            if cause & _IIR_FIFO != _IIR_FIFO or cause > 0xFF:
                raise self._gone("read", "IIR", cause)
            cause &= _IIR_MASK
            if cause == _IIR_DATA:
                wanted = max_bytes - len(out)
                words = self._read_many(self._burst if wanted >= self._trigger else self._burst[:wanted])
                out += bytes([word & 0xFF for word in words])
            elif cause == _IIR_TIMEOUT:
                self._drain(out, max_bytes)
            elif cause == _IIR_LINE_ERROR:
                self._line_status()
            else:
                # Behind a burst there may be a rest, too little for the trigger and too new to time out.
                if out:
                    self._drain(out, max_bytes)
                break
        return bytes(out)

    def _drain(self, out: bytearray, max_bytes: int) -> None:
        """Fewer bytes than the trigger level: each is read only after a status that says that it is there.

        The next status travels with a byte, never ahead of it: a byte that came between two reads of a longer
        train would be taken from the FIFO and not believed.
        """
        status = self._line_status()
        while status & _LSR_READY and len(out) < max_bytes:
            word, status = self._read_many(self._pair)
            out.append(word & 0xFF)
            self._count_errors(status)

    def _wait_for_space(self) -> None:
        # Four FIFO times is twice what an undisturbed line can need; the constant is for a busy host.
        deadline_ns = self._timebase.mono_ns() + round((4 * FIFO * self._byte_s + 0.1) * NS_PER_S)
        while not self._line_status() & _LSR_THR_EMPTY:
            if self._timebase.mono_ns() > deadline_ns:
                raise DeviceTimeoutError(self.name, "write", "the transmitter does not empty its FIFO")
            self._timebase.sleep_s(FIFO * self._byte_s / 2)

    def _line_status(self) -> int:
        status = self._bus.read32(self._base + _LSR)
        self._count_errors(status)
        return status

    def _count_errors(self, status: int) -> None:
        if status >= _LSR_IMPOSSIBLE:
            raise self._gone("read", "LSR", status)
        if status & _LSR_ANY_ERROR:
            for bit, kind in _LSR_ERRORS.items():
                if status & bit:
                    self.errors[kind] += 1

    def _gone(self, operation: str, register: str, value: int) -> DeviceLostError:
        return DeviceLostError(
            self.name, operation, f"{register} reads {value:#x}: the UART was reset or the card is gone"
        )


def _divisor(name: str, baud: int) -> int:
    divisor = round(CLOCK_HZ / (16 * baud)) if baud > 0 else 0
    if not 1 <= divisor <= 0xFFFF or abs(CLOCK_HZ / (16 * divisor * baud) - 1) > MAX_BAUD_ERROR:
        raise RefusedError(name, "set baud rate", f"{baud} baud cannot be made from {CLOCK_HZ} Hz")
    return divisor
