"""A register bus by the kernel's ``vfio-pci``: registers, configuration space and interrupts.

Needs no privilege but access to the device file of the card's IOMMU group. Taking a card over and giving it
back resets it where the kernel knows how, and the clock's time with it: the kernel does so for every user.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from timecard.boards import Board
from timecard.boards.registers import ALL_ONES
from timecard.errors import DeviceLostError, ProtocolError, RefusedError, from_oserror
from timecard.pcie import vfio_user_wire as wire
from timecard.pcie.mapped_bar import GONE, MappedBar
from timecard.pcie.vfio_kernel import REGION_MMAP, HostKernel, Kernel, VfioDevice

_COMMAND: Final = 0x04
_MEMORY_AND_MASTER: Final = 0x6
"""Interrupts are memory writes of the card: it has to be a bus master to send them."""
_WORD: Final = struct.Struct("<I")
_HALF: Final = struct.Struct("<H")
_NEWS: Final = {
    wire.Irq.ERROR: "the PCI link reported an error that cannot be recovered from",
    wire.Irq.REQUEST: "the kernel asks to let go of the card: it is being removed",
}


class VfioBus:
    """BAR0 through VFIO; any thread may use it."""

    writes_are_posted = True
    fifo_overflows = True

    def __init__(
        self,
        address: str,
        board: Board,
        sysfs: Path = Path("/sys"),
        dev: Path = Path("/dev"),
        kernel: Kernel | None = None,
    ) -> None:
        """``address`` as ``0000:3b:00.0``. Raises a ``TimeCardError`` that says what to do."""
        self.name = f"vfio:{address}"
        self.board = board
        self._lost: str | None = None
        self._eventfds: dict[tuple[int, int], int] = {}
        self._device = VfioDevice(address, self.name, sysfs, dev, kernel or HostKernel())
        self._bar: MappedBar | None = None
        self.noiommu = self._device.noiommu
        """The host protects itself from this card no more than from any other: VFIO calls that unsafe."""
        try:
            flags, size, self._offset = self._device.region(wire.Region.BAR0)
            if size < board.bar0_size:
                raise ProtocolError(
                    self.name, "open", f"BAR0 has {size:#x} bytes, {board.product} has {board.bar0_size:#x}"
                )
            self._witness = self._offset + board.at("reg", "version")
            self._config = self._device.region(wire.Region.CONFIG)[2]
            self._become_master()
            if flags & REGION_MMAP:
                self._bar = self._map(board.bar0_size)
            for kind in _NEWS:
                if self._device.vectors(kind):
                    self._eventfd(kind, 0)
        except BaseException:
            self.close()
            raise

    # --- registers ---

    def read32(self, offset: int) -> int:
        """Read a register; raises ``DeviceLostError`` when the card is gone."""
        if self._bar is not None:
            return self._bar.read32(offset)
        self._check(offset)
        value = self._pread(self._offset + offset, f"read {offset:#x}")
        if value == ALL_ONES and self._pread(self._witness, f"read {offset:#x}") == ALL_ONES:
            self._lost = GONE
            raise DeviceLostError(self.name, f"read {offset:#x}", GONE)
        return value

    def write32(self, offset: int, value: int) -> None:
        """Write a register; the write may still be under way when this returns."""
        if self._bar is not None:
            self._bar.write32(offset, value)
            return
        self._check(offset)
        self._pwrite(self._offset + offset, _WORD.pack(value & 0xFFFF_FFFF), f"write {offset:#x}")

    def read32_many(self, offsets: Sequence[int]) -> list[int]:
        """Read registers in order."""
        if self._bar is not None:
            return self._bar.read32_many(offsets)
        return [self.read32(offset) for offset in offsets]

    def read_config32(self, offset: int) -> int:
        """A word of configuration space."""
        return self._pread(self._config + offset, f"read config {offset:#x}")

    # --- interrupts ---

    def irq_eventfd(self, vector: int) -> int:
        """An eventfd that counts the interrupts of an MSI-X (else MSI) vector; the bus owns and closes it."""
        for kind in (wire.Irq.MSIX, wire.Irq.MSI):
            if vector < self._device.vectors(kind):
                return self._eventfd(kind, vector)
        raise RefusedError(self.name, f"interrupt {vector}", "the card has no such vector")

    def _eventfd(self, kind: wire.Irq, vector: int) -> int:
        known = self._eventfds.get((kind, vector))
        if known is not None:
            return known
        fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._device.signal(kind, vector, fd)
        except BaseException:
            os.close(fd)
            raise
        self._eventfds[kind, vector] = fd
        return fd

    # --- connection ---

    @property
    def lost(self) -> str | None:
        """Why this bus will never work again; its owner closes it, for which the kernel may be waiting."""
        for kind, reason in _NEWS.items():
            fd = self._eventfds.get((kind, 0))
            if self._lost is None and fd is not None:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(fd)
                    self._set_lost(reason)
        return self._lost or (self._bar.lost if self._bar is not None else None)

    def close(self) -> None:
        """Give the card back; later calls raise ``DeviceLostError``."""
        self._lost = self._lost or "the bus was closed"
        if self._bar is not None:
            self._bar.close()
        self._device.close()
        while self._eventfds:
            os.close(self._eventfds.popitem()[1])

    # --- internals ---

    def _set_lost(self, reason: str) -> None:
        self._lost = reason
        if self._bar is not None:
            self._bar.set_lost(reason)

    def _become_master(self) -> None:
        at = self._config + _COMMAND
        command = self._pread(at, "read config 0x4") & 0xFFFF
        if command & _MEMORY_AND_MASTER != _MEMORY_AND_MASTER:
            self._pwrite(at, _HALF.pack(command | _MEMORY_AND_MASTER), "write config 0x4")

    def _map(self, size: int) -> MappedBar:
        try:
            mapping = mmap.mmap(self._device.fd, size, offset=self._offset)
        except (OSError, ValueError) as error:
            failure = error if isinstance(error, OSError) else OSError(0, str(error))
            raise from_oserror(self.name, "map BAR0", failure) from error
        return MappedBar(self.name, self.board, mapping)

    def _check(self, offset: int) -> None:
        if offset & 3 or not 0 <= offset < self.board.bar0_size:
            raise RefusedError(self.name, f"access {offset:#x}", "not an aligned word of BAR0")

    def _pread(self, at: int, operation: str) -> int:
        """Four aligned bytes, which the kernel reads at once."""
        if self._lost is not None:
            raise DeviceLostError(self.name, operation, self._lost)
        try:
            data = os.pread(self._device.fd, _WORD.size, at)
        except OSError as error:
            raise from_oserror(self.name, operation, error) from error
        if len(data) != _WORD.size:
            raise DeviceLostError(self.name, operation, f"{len(data)} bytes instead of {_WORD.size}")
        return int(_WORD.unpack(data)[0])

    def _pwrite(self, at: int, data: bytes, operation: str) -> None:
        if self._lost is not None:
            raise DeviceLostError(self.name, operation, self._lost)
        try:
            os.pwrite(self._device.fd, data, at)
        except OSError as error:
            raise from_oserror(self.name, operation, error) from error
