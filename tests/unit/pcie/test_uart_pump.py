"""The thread behind a UART with a small FIFO: bytes in order, errors to whoever reads, a clean end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from timecard.boards import FB
from timecard.errors import DeviceLostError
from timecard.pcie import uart_pump
from timecard.pcie.uart import IRQ_TRIGGER, UartStream
from timecard.pcie.uart_pump import PumpedUart
from timecard.timebase import HostTimebase

BASE = FB.blocks["port[GNSS]"].offset
DATA, IER, IIR, LCR, LSR = (BASE + 4 * n for n in (0, 1, 2, 3, 5))


class Uart:
    """A bus that is nothing but a 16550 with a real FIFO: 16 bytes, then an overrun."""

    name = "uart"
    board = FB

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.fifo = bytearray()
        self.sent = bytearray()
        self.overruns = 0
        self.waits = 0
        self.divisor, self.lcr, self.trigger = 0, 0, 14
        self.gone = False
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def irq_eventfd(self, vector: int) -> int:
        assert vector == FB.blocks["port[GNSS]"].vector
        self.waits += 1
        return self._event

    def arrive(self, data: bytes) -> None:
        with self.lock:
            for byte in data:
                if len(self.fifo) < 16:
                    self.fifo.append(byte)
                else:
                    self.overruns += 1
        os.eventfd_write(self._event, 1)

    def read32(self, offset: int) -> int:
        if self.gone:
            return 0xFFFF_FFFF
        with self.lock:
            if self.lcr & 0x80 and offset in (DATA, IER):
                return self.divisor >> (8 if offset == IER else 0) & 0xFF
            if offset == DATA:
                return self.fifo.pop(0) if self.fifo else 0
            if offset == IIR:
                cause = 0x04 if len(self.fifo) >= self.trigger else 0x0C if self.fifo else 0x01
                return 0xC0 | cause
            if offset == LSR:
                return 0x60 | bool(self.fifo)
        return 0

    def write32(self, offset: int, value: int) -> None:
        with self.lock:
            if self.lcr & 0x80 and offset in (DATA, IER):
                shift = 8 if offset == IER else 0
                self.divisor = self.divisor & ~(0xFF << shift) | value << shift
            elif offset == LCR:
                self.lcr = value
            elif offset == IIR:
                self.trigger = {0xC7: 14, 0x87: IRQ_TRIGGER}[value]
                self.fifo.clear()
            elif offset == DATA:
                self.sent.append(value)


@pytest.fixture
def uart() -> Uart:
    return Uart()


@pytest.fixture
def pump(uart: Uart) -> Iterator[PumpedUart]:
    vector = FB.blocks["port[GNSS]"].vector
    pumped = PumpedUart(UartStream(uart, HostTimebase(), BASE, 115_200, "GNSS UART", vector=vector))
    yield pumped
    pumped.close()


def test_bytes_come_in_order_though_nobody_reads_in_time(uart: Uart, pump: PumpedUart) -> None:
    sent = bytes(n % 251 for n in range(3_000))
    for start in range(0, len(sent), 12):
        uart.arrive(sent[start : start + 12])
        while uart.fifo:
            time.sleep(0.0002)
    got = b""
    while len(got) < len(sent):
        more = pump.read(700, 2.0)
        assert more
        got += more
    assert got == sent
    assert uart.overruns == 0
    assert uart.waits == 1, "it waits for the interrupt"


def test_reading_waits_for_bytes_and_gives_up(uart: Uart, pump: PumpedUart) -> None:
    assert pump.read(10, 0) == b""
    threading.Timer(0.05, uart.arrive, (b"late",)).start()
    assert pump.read(10, 5.0) == b"late"
    assert pump.read(10, 0.01) == b""


def test_an_error_is_told_once_a_look_until_it_works_again(
    uart: Uart, pump: PumpedUart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uart_pump, "RETRY_S", 0.01)
    uart.gone = True
    with pytest.raises(DeviceLostError):
        pump.read(10, 5.0)
    uart.gone = False
    deadline = time.monotonic() + 5
    heard = b""
    while not heard and time.monotonic() < deadline:
        uart.arrive(b"x")
        try:
            heard = pump.read(10, 0.1)
        except DeviceLostError:
            continue
    assert heard.startswith(b"x")


def test_writing_and_the_rate_go_through(uart: Uart, pump: PumpedUart) -> None:
    pump.write(b"command")
    assert bytes(uart.sent) == b"command"
    pump.set_baud(57_600)
    assert (pump.baud, uart.divisor) == (57_600, 54)
    uart.arrive(b"after")
    assert pump.read(10, 5.0) == b"after"


def test_what_nobody_fetches_is_dropped_from_the_front(
    uart: Uart, pump: PumpedUart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uart_pump, "BUFFER", 20)
    for n in range(5):
        uart.arrive(bytes([n]) * 10)
        deadline = time.monotonic() + 5
        while uart.fifo and time.monotonic() < deadline:
            time.sleep(0.001)
    deadline = time.monotonic() + 5
    while pump.dropped < 30 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert pump.dropped == 30
    assert pump.read(100, 1.0) == bytes([3]) * 10 + bytes([4]) * 10


def test_closing_ends_the_thread(uart: Uart, pump: PumpedUart) -> None:
    pump.close()
    assert not [t for t in threading.enumerate() if t.name == "uart-GNSS UART"]
