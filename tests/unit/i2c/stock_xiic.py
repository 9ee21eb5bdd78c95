"""The order of register accesses of Linux' i2c-xiic driver (dynamic mode, interrupt-driven), as a player.

It finds out whether the emulated core serves them: events that are cleared after a start was queued, a level
interrupt that comes as edges, reads in pieces of a FIFO.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.unit.i2c.world import I2cWorld

ARB_LOST, TX_ERROR, TX_EMPTY, RX_FULL, BNB, AAS, TX_HALF = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x80
DGIER, ISR, IER, SOFTR, CR, SR = 0x1C, 0x20, 0x28, 0x40, 0x100, 0x104
DTR, DRR, TFO, RFO, RFD = 0x108, 0x10C, 0x114, 0x118, 0x120
TIMEOUT_NS = 1_000_000_000


@dataclass
class Message:
    """One part of a transfer."""

    address: int
    data: bytes = b""
    read: int = 0
    position: int = 0
    received: bytearray = field(default_factory=bytearray)

    @property
    def to_send(self) -> int:
        return len(self.data) - self.position


class TransferError(Exception):
    """EIO or ETIMEDOUT."""


class StockXiic:
    """``latency_ns`` is the price of one access: 1 us on a host, 100 us in a slow guest."""

    def __init__(self, world: I2cWorld, latency_ns: int) -> None:
        self.world = world
        self.latency_ns = latency_ns
        self.handled = 0
        self._messages: list[Message] = []
        self._sending: Message | None = None
        self._reading: Message | None = None
        self._result: str | None = None
        self._setreg(CR, 2)
        assert self._getreg(SR) & 0x80, "would be taken for a big-endian core"
        self._reinit()

    def transfer(self, *messages: Message) -> None:
        self._messages = list(messages)
        self._result = None
        if self._getreg(SR) & 0x04:
            raise TransferError("EBUSY")
        self._reinit()
        self._start()
        deadline = self.world.now_ns + TIMEOUT_NS
        while self._result is None:
            self._wait_for_interrupt(deadline)
            self._process()
        self._sending = self._reading = None
        if self._result != "done":
            raise TransferError(self._result)

    # --- accesses ---

    def _setreg(self, reg: int, value: int) -> None:
        self.world.now_ns += self.latency_ns
        assert self.world.block.write(reg, value, self.world.now_ns)

    def _getreg(self, reg: int) -> int:
        self.world.now_ns += self.latency_ns
        value = self.world.block.read(reg, self.world.now_ns)
        assert value is not None
        return value

    def _clear(self, mask: int) -> None:
        self._setreg(ISR, self._getreg(ISR) & mask)

    def _enable(self, mask: int) -> None:
        self._setreg(IER, self._getreg(IER) | mask)

    def _disable(self, mask: int) -> None:
        self._setreg(IER, self._getreg(IER) & ~mask)

    def _clear_and_enable(self, mask: int) -> None:
        self._clear(mask)
        self._enable(mask)

    # --- driver ---

    def _reinit(self) -> None:
        self._setreg(SOFTR, 0xA)
        self._setreg(RFD, 15)
        self._setreg(CR, 2)
        self._setreg(CR, 1)
        while not self._getreg(SR) & 0x40:
            self._getreg(DRR)
        self._setreg(DGIER, 0x8000_0000)
        self._clear_and_enable(ARB_LOST)

    def _space(self) -> int:
        return 16 - self._getreg(TFO) - 1

    def _start(self) -> None:
        first = True
        space = self._space()
        while space >= 2 and (first or len(self._messages) > 1):
            if not first:
                self._messages.pop(0)
            first = False
            message = self._messages[0]
            self._sending = message
            if message.read:
                self._start_receive(message)
                return
            self._start_send(message)
            if message.to_send:
                break
            space = self._space()
        if len(self._messages) > 1 or (self._sending and self._sending.to_send):
            self._clear_and_enable(TX_HALF)

    def _start_send(self, message: Message) -> None:
        self._clear(TX_ERROR)
        last = len(self._messages) == 1
        self._setreg(DTR, message.address << 1 | 0x100 | (0x200 if last and not message.data else 0))
        self._fill(message)
        self._clear_and_enable(TX_EMPTY | TX_ERROR | BNB)

    def _start_receive(self, message: Message) -> None:
        self._reading = message
        self._disable(TX_HALF | TX_EMPTY)
        self._clear_and_enable(RX_FULL | TX_ERROR)
        self._setreg(RFD, min(message.read, 16) - 1)
        self._setreg(DTR, message.address << 1 | 1 | 0x100)
        self._clear_and_enable(BNB)
        self._setreg(DTR, message.read | (0x200 if len(self._messages) == 1 else 0))
        if len(self._messages) == 1:
            self._clear_and_enable(BNB)

    def _fill(self, message: Message) -> None:
        for _ in range(min(message.to_send, self._space())):
            byte = message.data[message.position]
            message.position += 1
            stop = 0x200 if not message.to_send and len(self._messages) == 1 else 0
            self._setreg(DTR, byte | stop)

    def _wait_for_interrupt(self, deadline: int) -> None:
        world = self.world
        while not world.interrupts:
            due = world.block.next_event_ns(world.now_ns)
            if due is None or due > deadline:
                raise TransferError("ETIMEDOUT")
            world.now_ns = due
            world.block.poll(due)
        world.interrupts = 0

    def _process(self) -> None:
        self.handled += 1
        events = self._getreg(ISR)
        pending = events & self._getreg(IER)
        clear = 0
        sending = self._sending
        if pending & ARB_LOST or (pending & TX_ERROR and not pending & RX_FULL):
            self._reinit()
            self._result = "EIO"
            return
        if pending & RX_FULL:
            clear = RX_FULL
            clear |= self._drain(events)
        elif pending & BNB:
            clear = BNB
            self._disable(BNB)
            complete = len(self._messages) == 1 and not self._reading and sending and not sending.to_send
            self._result = "done" if complete else "EIO"
        elif pending & (TX_EMPTY | TX_HALF):
            clear = pending & (TX_EMPTY | TX_HALF)
            assert sending is not None
            self._fill(sending)
            if not sending.to_send and self._space() >= 2:
                if len(self._messages) > 1:
                    self._messages.pop(0)
                    self._start()
                else:
                    self._disable(TX_HALF)
            elif not sending.to_send and len(self._messages) == 1:
                self._disable(TX_HALF)
        elif pending:
            raise AssertionError(f"unexpected interrupt {pending:#x}")
        self._setreg(ISR, clear)

    def _drain(self, events: int) -> int:
        message = self._reading
        assert message is not None, "unexpected receive interrupt"
        count = min(self._getreg(RFO) + 1, message.read - len(message.received))
        for _ in range(count):
            message.received.append(self._getreg(DRR))
        left = message.read - len(message.received)
        self._setreg(RFD, min(left, 16) - 1 if left else 0xFF)
        if left:
            return 0
        self._reading = None
        if len(self._messages) > 1:
            self._messages.pop(0)
            self._start()
        return events & TX_ERROR
