"""Xilinx' AXI Quad SPI from user space: polled, one chip select, aligned 32-bit accesses only.

The transmitter stays inhibited while its FIFO is filled: some hosts pause between two writes, and a transfer
that runs dry in the middle is what the vendor's patch of ``spi-xilinx`` guards against. Registers: AMD/Xilinx
PG153.
"""

from __future__ import annotations

from typing import Final

from timecard.boards.registers import ALL_ONES
from timecard.errors import DeviceLostError, DeviceTimeoutError, ProtocolError
from timecard.pcie.bus import burst_reader
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

MAX_FIFO: Final = 256
BLOCK: Final = "spi_flash"
BYTE_S: Final = 20e-6
"""Far more than a byte takes at any clock that the core can have."""
_POLL_S: Final = 20e-6
_RESET: Final = 0xA
_CR_IDLE: Final = 0x186
"""Master, enabled, select by hand, transmitter inhibited; SPI mode 0."""
_CR_CLEAR: Final = 0x1E6
"""The same, and both FIFOs emptied."""
_CR_RUN: Final = 0x086
_CR_SEEN: Final = 0x39F
_NOT_SELECTED: Final = 0xFFFF_FFFF
_SELECTED: Final = 0xFFFF_FFFE
_RX_EMPTY: Final = 0x01
_TX_EMPTY: Final = 0x04
_TX_FULL: Final = 0x08


class AxiSpiMaster:
    """Transfers with the chip on the first select line; nobody else may use the block meanwhile."""

    def __init__(self, bus: RegisterBus, timebase: Timebase) -> None:
        """Reset the core and measure its FIFO. Raises ``ProtocolError`` for something else."""
        self.name = f"{bus.name} AXI SPI"
        self._bus = bus
        self._timebase = timebase
        self._read_many = burst_reader(bus)
        at = bus.board.at
        self._cr, self._sr, self._srr = at(BLOCK, "CR"), at(BLOCK, "SR"), at(BLOCK, "SRR")
        self._dtr, self._drr, self._ssr = at(BLOCK, "DTR"), at(BLOCK, "DRR"), at(BLOCK, "SSR")
        self._dgier, self._rx_ocy = at(BLOCK, "DGIER"), at(BLOCK, "RX_OCY")
        self.fifo_depth = self._measure()
        self._start()

    def transfer(self, out: bytes) -> bytes:
        """Select the chip, send ``out``, return as many bytes that came meanwhile, deselect."""
        bus = self._bus
        bus.write32(self._ssr, _SELECTED)
        try:
            answer = bytearray()
            for start in range(0, len(out), self.fifo_depth):
                answer += self._burst(out[start : start + self.fifo_depth])
        except (ProtocolError, DeviceTimeoutError):
            self._start()
            raise
        bus.write32(self._ssr, _NOT_SELECTED)
        return bytes(answer)

    def _burst(self, out: bytes) -> bytes:
        bus = self._bus
        for byte in out:
            bus.write32(self._dtr, byte)
        bus.write32(self._cr, _CR_RUN)
        self._wait(len(out))
        bus.write32(self._cr, _CR_IDLE)
        words = self._read_many((self._drr,) * len(out))
        if max(words) > 0xFF:
            raise self._gone("DRR", max(words))
        return bytes(words)

    def _wait(self, count: int) -> None:
        """Until all has been sent and received; an empty transmit FIFO still has a byte on the line."""
        timebase = self._timebase
        deadline_ns = timebase.mono_ns() + round((0.1 + count * BYTE_S) * NS_PER_S)
        while True:
            status, waiting = self._read_many((self._sr, self._rx_ocy))
            if status == ALL_ONES:
                raise self._gone("SR", status)
            if status & (_TX_EMPTY | _RX_EMPTY) == _TX_EMPTY and waiting == count - 1:
                return
            if timebase.mono_ns() > deadline_ns:
                came = f"SR {status:#x}, RX_OCY {waiting:#x}"
                raise DeviceTimeoutError(self.name, "transfer", f"{count} bytes are not through ({came})")
            timebase.sleep_s(_POLL_S)

    def _measure(self) -> int:
        """Depth of the FIFO: fill it while nothing may leave it."""
        bus = self._bus
        bus.write32(self._srr, _RESET)
        control = bus.read32(self._cr)
        if control == ALL_ONES:
            raise self._gone("CR", control)
        for depth in range(1, MAX_FIFO + 1):
            bus.write32(self._dtr, 0)
            if bus.read32(self._sr) & _TX_FULL:
                return depth
        status = bus.read32(self._sr)
        raise ProtocolError(
            self.name, "open", f"the transmit FIFO is not full after {MAX_FIFO} bytes (SR {status:#x})"
        )

    def _start(self) -> None:
        bus = self._bus
        bus.write32(self._srr, _RESET)
        bus.write32(self._dgier, 0)
        bus.write32(self._ssr, _NOT_SELECTED)
        bus.write32(self._cr, _CR_CLEAR)
        control = bus.read32(self._cr)
        if control == ALL_ONES:
            raise self._gone("CR", control)
        # The core may show the FIFO resets for an instant.
        if control & _CR_SEEN & ~0x60 != _CR_IDLE:
            found = f"CR reads {control:#x} after {_CR_CLEAR:#x}"
            raise ProtocolError(self.name, "open", f"{found}: no AXI Quad SPI")

    def _gone(self, register: str, value: int) -> DeviceLostError:
        return DeviceLostError(self.name, "transfer", f"{register} reads {value:#x}: the card is gone")
