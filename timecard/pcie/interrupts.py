"""Waiting for a vector of the card, where the bus has interrupts; every driver also works without."""

from __future__ import annotations

import contextlib
import os
import select
from typing import Protocol, runtime_checkable

from timecard.errors import DeviceLostError, RefusedError, UnsupportedError
from timecard.protocols import RegisterBus


@runtime_checkable
class Interrupts(Protocol):
    """A bus that turns the card's interrupts into eventfds (``eventfd(2)``)."""

    def irq_eventfd(self, vector: int) -> int:
        """An eventfd that counts the interrupts of a vector; the bus owns and closes it.

        Raises ``RefusedError`` where the card or the host has no such vector.
        """
        ...


class VectorWait:
    """Waits for one vector."""

    def __init__(self, bus: RegisterBus, fd: int) -> None:
        self._name = bus.name
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def forget(self) -> None:
        """What fired until now does not count."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)

    def wait(self, timeout_s: float) -> bool:
        """True when the vector fired since the last call, False after ``timeout_s``."""
        events = self._poll.poll(max(0.0, timeout_s) * 1000)
        if not events:
            return False
        if not events[0][1] & select.POLLIN:
            raise DeviceLostError(self._name, "wait for an interrupt", "the bus was closed")
        self.forget()
        return True


def vector_wait(bus: RegisterBus, vector: int | None) -> VectorWait | None:
    """A waiter for ``vector``; None where it has to be polled instead."""
    if vector is None or not isinstance(bus, Interrupts):
        return None
    try:
        wait = VectorWait(bus, bus.irq_eventfd(vector))
        _let_through(bus)
        return wait
    except (RefusedError, UnsupportedError):  # fewer vectors were granted than the card has
        return None


def _let_through(bus: RegisterBus) -> None:
    """LitePCIe has a gate of its own: open it for every vector of the board, whoever may come next."""
    if not bus.board.has("msi"):
        return
    vectors = {block.vector for block in bus.board.blocks.values() if block.vector is not None}
    for register, first in (("msi_enable_high", 32), ("msi_enable_low", 0)):
        mask = sum(1 << vector - first for vector in vectors if first <= vector < first + 32)
        bus.write32(bus.board.at("msi", register), mask)
