"""OpenCores I2C master, polled. Its registers are bytes, 1 apart on ART and 4 apart on ADVA cards.

We reach it by words only. With a stride of 1 the word at 0 is prescaler, control and data at once, so each
write of a byte to send writes the other three again, with the values that they have. Source: the core's
specification (R. Herveille, rev. 0.9); order of accesses as in the kernel's
``drivers/i2c/busses/i2c-ocores.c``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from timecard.boards.registers import ALL_ONES
from timecard.errors import DeviceAbsentError, DeviceTimeoutError, ProtocolError, RefusedError
from timecard.pcie.i2c_bus import (
    STRETCH_LIMIT_S,
    ArbitrationLostError,
    check_request,
    gone,
    lost_twice,
    wait_until,
)
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase

CTR_ENABLE: Final = 0x80
CMD_START: Final = 0x91
CMD_WRITE: Final = 0x11
CMD_READ: Final = 0x21
CMD_READ_NACK: Final = 0x29
CMD_STOP: Final = 0x41
CMD_ACKNOWLEDGE: Final = 0x01
SR_UNDER_WAY: Final = 0x02
SR_LOST: Final = 0x20
SR_BUSY: Final = 0x40
SR_REFUSED: Final = 0x80


class OcoresI2c:
    """``I2cMaster`` on the OpenCores core of ART and ADVA cards."""

    def __init__(self, bus: RegisterBus, timebase: Timebase) -> None:
        i2c = bus.board.i2c
        self.name = f"{bus.name} i2c"
        self.timebase = timebase
        self._bus = bus
        self._stride = i2c.register_stride
        self._base = bus.board.at("i2c_ctrl", "PRElo")
        self._command_at = self._base + 4 * self._stride
        self._prescaler = i2c.clock_hz // (5 * i2c.bus_hz) - 1
        self._control = 0
        self._byte_s = 9 / i2c.bus_hz
        self._reset()

    def transfer(self, address: int, write: bytes, read: int) -> bytes:
        """See ``I2cMaster``."""
        check_request(self.name, address, write, read)
        for _ in range(2):
            try:
                return self._attempt(address, write, read)
            except ArbitrationLostError:
                self._free_bus()
            except DeviceTimeoutError:
                self._reset()
                raise
        raise lost_twice(self.name, address)

    # --- internals ---

    def _attempt(self, address: int, write: bytes, read: int) -> bytes:
        if self._status() & SR_BUSY:
            # Left so by a program that ended in the middle of a transfer.
            self._free_bus()
        if self._status() & SR_BUSY:
            raise DeviceTimeoutError(
                self.name, "transfer", "the bus stays busy: a part holds a line; power-cycle the card"
            )
        if write or not read:
            self._address(address << 1, address)
            for number, byte in enumerate(write):
                if self._send(byte, CMD_WRITE):
                    self._stop()
                    raise RefusedError(
                        self.name,
                        "transfer",
                        f"the part at {address:#04x} refused byte {number} of {len(write)}",
                    )
        received = bytearray()
        if read:
            self._address(address << 1 | 1, address)
            for left in range(read, 0, -1):
                self._command(CMD_READ if left > 1 else CMD_READ_NACK)
                received.append(self._received())
        self._stop()
        return bytes(received)

    def _address(self, byte: int, address: int) -> None:
        if self._send(byte, CMD_START):
            self._stop()
            raise DeviceAbsentError(self.name, "transfer", f"nobody answers at {address:#04x}")

    def _stop(self) -> None:
        self._command(CMD_STOP)
        self._wait(lambda: not self._status() & SR_BUSY, "no stop was possible")

    def _send(self, byte: int, command: int) -> bool:
        """Send a byte; True when it was not acknowledged."""
        self._set_bytes(byte)
        return bool(self._command(command) & SR_REFUSED)

    def _command(self, command: int) -> int:
        """Carry out a command; the status after it."""
        self._bus.write32(self._command_at, command)
        self._wait(lambda: not self._status() & SR_UNDER_WAY, "a part holds the clock")
        status = self._status()
        if status & SR_LOST:
            raise ArbitrationLostError
        return status

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        wait_until(self.timebase, done, STRETCH_LIMIT_S + 2 * self._byte_s, self._byte_s, self.name, what)

    def _status(self) -> int:
        value = self._bus.read32(self._command_at)
        if value == ALL_ONES:
            raise gone(self.name, "SR")
        return value & 0xFF

    def _received(self) -> int:
        if self._stride == 1:
            return self._bus.read32(self._base) >> 24 & 0xFF
        return self._bus.read32(self._base + 3 * self._stride) & 0xFF

    def _set_bytes(self, data: int) -> None:
        """Prescaler, control and the byte to send."""
        if self._stride == 1:
            self._bus.write32(self._base, data << 24 | self._control << 16 | self._prescaler)
        else:
            self._bus.write32(self._base + 3 * self._stride, data)

    def _reset(self) -> None:
        """Off, prescaler, on: the prescaler may change only while the core is off."""
        for control in (0, CTR_ENABLE):
            self._control = control
            if self._stride != 1:
                write32, base, stride = self._bus.write32, self._base, self._stride
                write32(base + 2 * stride, control)
                write32(base, self._prescaler & 0xFF)
                write32(base + stride, self._prescaler >> 8)
            else:
                self._set_bytes(0)
        self._bus.write32(self._command_at, CMD_ACKNOWLEDGE)
        seen = self._bus.read32(self._base)
        if seen == ALL_ONES:
            raise gone(self.name, "prescaler")
        if seen & 0xFF != self._prescaler & 0xFF:
            raise ProtocolError(
                self.name,
                "reset",
                f"prescaler {self._prescaler} reads back as {seen:#x}: no OpenCores I2C there",
            )

    def _free_bus(self) -> None:
        """Nine clocks with SDA let go, and a stop: a part in the middle of a byte finishes it and lets go."""
        self._reset()
        for command in (CMD_READ_NACK, CMD_STOP):
            try:
                self._command(command)
            except ArbitrationLostError:
                continue
