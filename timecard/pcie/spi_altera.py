"""Intel's (Altera's) SPI core from user space: polled, a byte at a time, aligned 32-bit accesses only.

Registers: Embedded Peripherals IP user guide, SPI core; the kernel's ``spi-altera-core.c``.
"""

from __future__ import annotations

from typing import Final

from timecard.boards.registers import ALL_ONES
from timecard.errors import DeviceLostError, DeviceTimeoutError, ProtocolError
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

BLOCK: Final = "spi_flash"
BYTE_LIMIT_S: Final = 0.1
_POLL_S: Final = 20e-6
_FORCE_SELECT: Final = 0x400
_OVERRUN: Final = 0x008
_TRANSMIT_READY: Final = 0x040
_RECEIVED: Final = 0x080
_STATUS_BITS: Final = 0x3F8


class AlteraSpiMaster:
    """Transfers with the chip on the first select line; nobody else may use the block meanwhile."""

    def __init__(self, bus: RegisterBus, timebase: Timebase) -> None:
        """Quieten the core. Raises ``ProtocolError`` for something that is no such core."""
        self.name = f"{bus.name} Altera SPI"
        self._bus = bus
        self._timebase = timebase
        at = bus.board.at
        self._rxdata, self._txdata = at(BLOCK, "rxdata"), at(BLOCK, "txdata")
        self._status, self._control = at(BLOCK, "status"), at(BLOCK, "control")
        self._slaves = at(BLOCK, "slave_select")
        self._start()

    def transfer(self, out: bytes) -> bytes:
        """Select the chip, send ``out``, return as many bytes that came meanwhile, deselect."""
        bus = self._bus
        bus.write32(self._slaves, 1)
        bus.write32(self._control, _FORCE_SELECT)
        try:
            answer = bytes([self._byte(byte) for byte in out])
        except (ProtocolError, DeviceTimeoutError):
            self._start()
            raise
        bus.write32(self._control, 0)
        return answer

    def _byte(self, byte: int) -> int:
        bus = self._bus
        bus.write32(self._txdata, byte)
        deadline_ns = None
        while True:
            status = bus.read32(self._status)
            if status & ~_STATUS_BITS:
                raise self._gone("status", status)
            if status & _RECEIVED:
                break
            now_ns = self._timebase.mono_ns()
            if deadline_ns is None:
                deadline_ns = now_ns + round(BYTE_LIMIT_S * NS_PER_S)
            elif now_ns > deadline_ns:
                raise DeviceTimeoutError(self.name, "transfer", f"a byte is not through (status {status:#x})")
            self._timebase.sleep_s(_POLL_S)
        if status & _OVERRUN:
            raise ProtocolError(
                self.name, "transfer", f"a byte was lost (status {status:#x}): somebody else uses it"
            )
        received = bus.read32(self._rxdata)
        if received == ALL_ONES:
            raise self._gone("rxdata", received)
        return received & 0xFF

    def _start(self) -> None:
        bus = self._bus
        bus.write32(self._control, 0)
        bus.write32(self._status, 0)
        status = bus.read32(self._status)
        if status & ~_STATUS_BITS:
            raise self._gone("status", status)
        if status & _RECEIVED:
            bus.read32(self._rxdata)
        if not status & _TRANSMIT_READY:
            raise ProtocolError(self.name, "open", f"status reads {status:#x}: no idle Altera SPI core")

    def _gone(self, register: str, value: int) -> DeviceLostError:
        return DeviceLostError(self.name, "transfer", f"{register} reads {value:#x}: the card is gone")
