"""A register bus over a vfio-user socket: the user-space way to an emulated card. One socket, one card."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Final

from timecard.boards import Board, board_for
from timecard.errors import DeviceAbsentError, DeviceLostError, ProtocolError, RefusedError
from timecard.pcie import vfio_user_wire as wire
from timecard.pcie.vfio_user_link import VfioUserLink

REQUEST_TIMEOUT_S: Final = 3.0
MAX_BURST: Final = 512
"""Requests and replies of a burst have to fit into the socket's buffers."""
_BAR0: Final = int(wire.Region.BAR0)
_WORDS: Final = {1: struct.Struct("<B"), 2: struct.Struct("<H"), 4: struct.Struct("<I")}


class VfioUserBus:
    """BAR0 of a card behind a vfio-user socket; any thread may use it.

    Raises ``DeviceAbsentError`` when nobody listens within ``connect_timeout_s``, ``RefusedError`` when the
    server has another client, ``DeviceLostError`` when it goes away, ``DeviceTimeoutError`` when it does not
    answer. After either of the last two the bus stays unusable; its owner opens a new one.
    """

    writes_are_posted = False
    """A write has reached the card when the call returns."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        connect_timeout_s: float = 1.0,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self.path = os.fspath(path)
        self.name = f"vfio-user:{self.path}"
        self._eventfds: dict[int, int] = {}
        self._link = VfioUserLink(self.path, self.name, connect_timeout_s, request_timeout_s)
        try:
            self.board: Board = self._identify()
        except BaseException:
            self.close()
            raise

    # --- registers ---

    def read32(self, offset: int) -> int:
        """Read a register of BAR0."""
        return self.read(offset, 4)

    def write32(self, offset: int, value: int) -> None:
        """Write a register of BAR0."""
        self.write(offset, 4, value)

    def read(self, offset: int, size: int, region: int = _BAR0) -> int:
        """Read 1, 2 or 4 bytes."""
        word = self._word(offset, size)
        body = wire.ACCESS.pack(offset, region, size)
        reply = self._link.request(wire.Command.REGION_READ, body, wire.ACCESS.size + size)
        value: int = word.unpack_from(reply, wire.ACCESS.size)[0]
        return value

    def write(self, offset: int, size: int, value: int, region: int = _BAR0) -> None:
        """Write 1, 2 or 4 bytes."""
        word = self._word(offset, size)
        body = wire.ACCESS.pack(offset, region, size) + word.pack(value & ((1 << 8 * size) - 1))
        self._link.request(wire.Command.REGION_WRITE, body, wire.ACCESS.size)

    def read32_many(self, offsets: Sequence[int]) -> list[int]:
        """Read registers of BAR0 in order, at the price of about one round trip."""
        size = self.board.bar0_size
        if offsets and not 0 <= min(offsets) <= max(offsets) <= size - 4:
            raise RefusedError(self.name, "burst read", f"an offset is outside of BAR0 ({size:#x} bytes)")
        if len(offsets) <= MAX_BURST:
            return self._link.read32_many(_BAR0, offsets)
        return self.read32_many(offsets[:MAX_BURST]) + self.read32_many(offsets[MAX_BURST:])

    def read_config32(self, offset: int) -> int:
        """Read an aligned word of PCI configuration space."""
        return self.read(offset, 4, wire.Region.CONFIG)

    # --- interrupts ---

    def irq_eventfd(self, vector: int) -> int:
        """An eventfd that counts the interrupts of an MSI-X (else MSI) vector; the bus owns and closes it."""
        known = self._eventfds.get(vector)
        if known is not None:
            return known
        for kind in (wire.Irq.MSIX, wire.Irq.MSI):
            request = wire.IRQ_INFO.pack(wire.IRQ_INFO.size, 0, kind, 0)
            reply = self._link.request(wire.Command.GET_IRQ_INFO, request, wire.IRQ_INFO.size)
            if vector < wire.IRQ_INFO.unpack(reply)[3]:
                break
        else:
            raise RefusedError(self.name, f"interrupt {vector}", "the card has no such vector")
        fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        flags = wire.IrqFlag.DATA_EVENTFD | wire.IrqFlag.TRIGGER
        try:
            request = wire.SET_IRQS.pack(wire.SET_IRQS.size, flags, kind, vector, 1)
            self._link.request(wire.Command.SET_IRQS, request, 0, (fd,))
        except BaseException:
            os.close(fd)
            raise
        self._eventfds[vector] = fd
        return fd

    # --- connection ---

    @property
    def lost(self) -> str | None:
        """Why this bus will never work again; its owner opens a new one. None while it works."""
        return self._link.closed_because

    def close(self) -> None:
        """Close the socket; later calls raise ``DeviceLostError``."""
        self._link.close()
        while self._eventfds:
            os.close(self._eventfds.popitem()[1])

    def _identify(self) -> Board:
        link = self._link
        try:
            reply = link.request(wire.Command.VERSION, wire.VERSION.pack(0, 0) + wire.CAPABILITIES, None)
        except DeviceLostError as error:
            raise RefusedError(
                self.name, "connect", "turned away: the server serves one client at a time, and has one"
            ) from error
        if len(reply) < wire.VERSION.size or wire.VERSION.unpack_from(reply)[0] != 0:
            raise link.broken("version", f"the server speaks another protocol: {reply[:8]!r}")
        ids = self.read_config32(0)
        pci_id = (ids & 0xFFFF, ids >> 16)
        request = wire.REGION_INFO.pack(wire.REGION_INFO.size, 0, _BAR0, 0, 0, 0)
        reply = link.request(wire.Command.GET_REGION_INFO, request, wire.REGION_INFO.size)
        size = wire.REGION_INFO.unpack(reply)[4]
        board = board_for(pci_id, size)
        if board is None:
            raise DeviceAbsentError(
                self.name, "identify", f"PCI id {pci_id[0]:04x}:{pci_id[1]:04x} is not that of a Time Card"
            )
        if size < board.bar0_size:
            raise ProtocolError(
                self.name, "identify", f"BAR0 has {size:#x} bytes, {board.product} has {board.bar0_size:#x}"
            )
        return board

    def _word(self, offset: int, size: int) -> struct.Struct:
        if size not in _WORDS or offset % size:
            raise RefusedError(
                self.name, f"access {offset:#x}", f"{size} bytes there are not an aligned access"
            )
        return _WORDS[size]
