"""AMD/Xilinx AXI IIC, polled, in its dynamic mode: start and stop travel with the bytes through the FIFO.

Source: AMD/Xilinx PG090; order of accesses as in the kernel's ``drivers/i2c/busses/i2c-xiic.c``.
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

FIFO: Final = 16
ARB_LOST: Final = 0x01
TX_ERROR: Final = 0x02
BUS_NOT_BUSY: Final = 0x10
CR_ENABLE: Final = 0x01
CR_TX_RESET: Final = 0x02
SR_BUSY: Final = 0x04
SR_TX_FULL: Final = 0x10
SR_RX_EMPTY: Final = 0x40
SR_TX_EMPTY: Final = 0x80
DYN_START: Final = 0x100
DYN_STOP: Final = 0x200
SOFT_RESET: Final = 0xA


class AxiI2c:
    """``I2cMaster`` on the AXI core of FB, Celestica and ADVA x1 cards."""

    def __init__(self, bus: RegisterBus, timebase: Timebase, block: str = "i2c_ctrl") -> None:
        self.name = f"{bus.name} {block}"
        self.timebase = timebase
        self._bus = bus
        at = bus.board.at
        self._cr, self._sr = at(block, "CR"), at(block, "SR")
        self._tx, self._rx = at(block, "TX_FIFO"), at(block, "RX_FIFO")
        self._isr, self._ier = at(block, "ISR"), at(block, "IER")
        self._dgier, self._reset_key = at(block, "DGIER"), at(block, "SOFTR")
        self._pirq = at(block, "RX_PIRQ")
        self._byte_s = 9 / bus.board.i2c.bus_hz
        self._reset()

    def transfer(self, address: int, write: bytes, read: int) -> bytes:
        """See ``I2cMaster``."""
        check_request(self.name, address, write, read)
        try:
            return self._attempt(address, write, read)
        except ArbitrationLostError:
            pass
        # A part that was left in the middle of a byte lets go of SDA with the clocks of the lost address.
        self.timebase.sleep_s(2 * self._byte_s)
        try:
            return self._attempt(address, write, read)
        except ArbitrationLostError:
            self._reset()
            raise lost_twice(self.name, address) from None

    # --- internals ---

    def _attempt(self, address: int, write: bytes, read: int) -> bytes:
        self._begin()
        try:
            received = self._exchange(address, write, read)
        except DeviceTimeoutError:
            self._reset()
            raise
        if received is not None:
            return received
        # The core does not tell which byte was refused: ask for the address alone.
        self._begin()
        answers = (write or read) and self._exchange(address, b"", 0) is not None
        self._reset()
        if answers:
            raise RefusedError(self.name, "transfer", f"the part at {address:#04x} refused a byte")
        raise DeviceAbsentError(self.name, "transfer", f"nobody answers at {address:#04x}")

    def _reset(self) -> None:
        """A fresh core that lets go of both lines."""
        write32 = self._bus.write32
        write32(self._reset_key, SOFT_RESET)
        write32(self._pirq, FIFO - 1)
        write32(self._cr, CR_TX_RESET)
        write32(self._cr, CR_ENABLE)
        for _ in range(FIFO + 1):
            if self._status() & SR_RX_EMPTY:
                break
            self._bus.read32(self._rx)
        write32(self._dgier, 0)
        write32(self._ier, 0)
        if not self._status() & SR_TX_EMPTY:
            raise ProtocolError(
                self.name, "reset", "the transmit FIFO is not empty after a reset: no AXI IIC there"
            )

    def _begin(self) -> None:
        """A fresh core, the bus free, no event pending."""
        self._reset()
        wait_until(
            self.timebase,
            lambda: not self._status() & SR_BUSY,
            STRETCH_LIMIT_S,
            self._byte_s,
            self.name,
            "the bus stays busy: a part or another master holds a line; power-cycle the card",
        )
        # A bit toggles where 1 is written: this clears what is set, the idle bus among it.
        self._bus.write32(self._isr, self._events())

    def _exchange(self, address: int, write: bytes, read: int) -> bytes | None:
        """The bytes, or None when something was not acknowledged."""
        words = []
        if write or not read:
            words = [address << 1 | DYN_START, *write]
        if read:
            words += [address << 1 | 1 | DYN_START, read]
        words[-1] |= DYN_STOP
        received = bytearray()
        for word in words:
            if not self._push(word):
                return None
        while len(received) < read:
            if not self._pull(received):
                return None
        self._wait_for_stop(read)
        # The last byte of a read is never acknowledged, by the master itself.
        return None if not read and self._events() & TX_ERROR else bytes(received)

    def _push(self, word: int) -> bool:
        if self._status() & SR_TX_FULL:
            self._wait(lambda: bool(self._failed() or not self._status() & SR_TX_FULL), "takes no byte")
        if self._failed():
            return False
        self._bus.write32(self._tx, word)
        return True

    def _pull(self, received: bytearray) -> bool:
        """Take what is there, at least one byte; False when there will be none."""
        self._wait(lambda: bool(not self._status() & SR_RX_EMPTY or self._failed()), "sends no byte")
        # Looked at again: with the last byte both became true.
        if self._status() & SR_RX_EMPTY:
            return False
        received.append(self._bus.read32(self._rx) & 0xFF)
        return True

    def _wait_for_stop(self, read: int) -> None:
        def stopped() -> bool:
            events = self._events()
            return bool(events & BUS_NOT_BUSY or (self._failed() and not read))

        self._wait(stopped, "holds the clock: no stop was possible")

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        limit_s = STRETCH_LIMIT_S + (FIFO + 4) * self._byte_s
        wait_until(self.timebase, done, limit_s, self._byte_s, self.name, f"the part {what}")

    def _failed(self) -> int:
        """Whether a byte was not acknowledged."""
        events = self._events()
        if events & ARB_LOST:
            raise ArbitrationLostError
        return events & TX_ERROR

    def _events(self) -> int:
        value = self._bus.read32(self._isr)
        if value == ALL_ONES:
            raise gone(self.name, "ISR")
        return value

    def _status(self) -> int:
        value = self._bus.read32(self._sr)
        if value == ALL_ONES:
            raise gone(self.name, "SR")
        return value
