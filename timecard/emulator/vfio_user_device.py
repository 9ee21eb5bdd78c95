"""The card as a vfio-user device: commands in, replies out, interrupts as eventfds. No socket here.

What QEMU asks for and in which shape: regions 0 (BAR0), 2 (MSI-X table, kept by QEMU, where the board's BAR0
has none) and 7 (configuration space); interrupts MSI, MSI-X and the error interrupt, which is accepted and
never sent. A reply is never larger than its request, where the protocol gives the request's size as the
client's buffer.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Final

from timecard.emulator.fpga import FpgaCard
from timecard.emulator.fpga_config import MSIX_BAR_SIZE, SIZE
from timecard.pcie import vfio_user_wire as wire

_DEVICE_FLAGS: Final = 0x3
"""Can be reset; is a PCI device."""
_REGION_FLAGS: Final = 0x3
_ACCESS_SIZES: Final = (1, 2, 4, 8)


class CommandError(Exception):
    """The command is answered with this errno."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


class VfioUserDevice:
    """One card for one client at a time."""

    def __init__(self, card: FpgaCard) -> None:
        self.card = card
        card.on_interrupt = self._interrupt
        self._msix_table = bytearray(MSIX_BAR_SIZE)
        self._regions: dict[int, int] = {wire.Region.BAR0: card.board.bar0_size, wire.Region.CONFIG: SIZE}
        if card.msix and not card.board.msix:
            self._regions[wire.Region.BAR2] = MSIX_BAR_SIZE
        self._vectors = wire.Irq.MSIX if card.msix else wire.Irq.MSI
        self._irq_counts: dict[int, int] = {self._vectors: card.board.message_vectors, wire.Irq.ERROR: 1}
        self._eventfds: dict[int, int] = {}
        self._handlers: dict[int, Callable[[bytes, list[int]], bytes]] = {
            wire.Command.VERSION: self._version,
            wire.Command.DMA_MAP: self._dma_map,
            wire.Command.DMA_UNMAP: self._dma_unmap,
            wire.Command.GET_INFO: self._get_info,
            wire.Command.GET_REGION_INFO: self._get_region_info,
            wire.Command.GET_IRQ_INFO: self._get_irq_info,
            wire.Command.SET_IRQS: self._set_irqs,
            wire.Command.REGION_READ: self._region_read,
            wire.Command.REGION_WRITE: self._region_write,
            wire.Command.RESET: self._reset,
        }

    def handle(self, command: int, body: bytes, fds: list[int]) -> bytes:
        """Carry out a command and return the reply's body, or raise ``CommandError``.

        ``fds`` came with it; those that are kept are taken out of the list, the caller closes the others.
        """
        handler = self._handlers.get(command)
        if handler is None:
            raise CommandError(errno.ENOTSUP, "no such command")
        return handler(body, fds)

    def forget_client(self) -> None:
        """The client is gone: nobody listens to interrupts any more. Registers and clock stay as they are."""
        while self._eventfds:
            os.close(self._eventfds.popitem()[1])
        self.card.listen(set())

    # --- commands ---

    def _version(self, body: bytes, fds: list[int]) -> bytes:
        if len(body) < wire.VERSION.size or wire.VERSION.unpack_from(body)[0] != 0:
            raise CommandError(errno.EINVAL, "only version 0 of the protocol is spoken")
        # QEMU takes no reply longer than its own message.
        capabilities = wire.CAPABILITIES if len(body) >= wire.VERSION.size + len(wire.CAPABILITIES) else b""
        return wire.VERSION.pack(0, 0) + capabilities

    def _dma_map(self, body: bytes, fds: list[int]) -> bytes:
        _exactly(body, wire.DMA_MAP.size)
        return b""  # the card masters no bus; the client's memory is of no use to it

    def _dma_unmap(self, body: bytes, fds: list[int]) -> bytes:
        _exactly(body, wire.DMA_UNMAP.size)
        return body

    def _get_info(self, body: bytes, fds: list[int]) -> bytes:
        _exactly(body, wire.DEVICE_INFO.size)
        return wire.DEVICE_INFO.pack(wire.DEVICE_INFO.size, _DEVICE_FLAGS, wire.REGION_COUNT, wire.IRQ_KINDS)

    def _get_region_info(self, body: bytes, fds: list[int]) -> bytes:
        _exactly(body, wire.REGION_INFO.size)
        index = wire.REGION_INFO.unpack(body)[2]
        if index >= wire.REGION_COUNT:
            raise CommandError(errno.EINVAL, f"region {index}")
        size = self._regions.get(index, 0)
        flags = _REGION_FLAGS if size else 0
        return wire.REGION_INFO.pack(wire.REGION_INFO.size, flags, index, 0, size, 0)

    def _get_irq_info(self, body: bytes, fds: list[int]) -> bytes:
        _exactly(body, wire.IRQ_INFO.size)
        index = wire.IRQ_INFO.unpack(body)[2]
        if index >= wire.IRQ_KINDS:
            raise CommandError(errno.EINVAL, f"interrupt kind {index}")
        count = self._irq_counts.get(index, 0)
        return wire.IRQ_INFO.pack(wire.IRQ_INFO.size, wire.IRQ_EVENTFD if count else 0, index, count)

    def _set_irqs(self, body: bytes, fds: list[int]) -> bytes:
        if len(body) < wire.SET_IRQS.size:
            raise CommandError(errno.EINVAL, f"{len(body)} bytes")
        _, flags, index, start, count = wire.SET_IRQS.unpack_from(body)
        available = self._irq_counts.get(index, 0)
        if index >= wire.IRQ_KINDS or start + count > available:
            raise CommandError(errno.EINVAL, f"interrupts {start} to {start + count} of kind {index}")
        if not flags & wire.IrqFlag.TRIGGER:
            raise CommandError(errno.ENOTSUP, "vectors cannot be masked")
        if index != self._vectors:
            return b""
        if flags & wire.IrqFlag.DATA_EVENTFD:
            if len(fds) not in (0, count):
                raise CommandError(errno.EINVAL, f"{len(fds)} descriptors for {count} vectors")
            # Without descriptors the vectors are enabled, or let go, but not yet connected.
            for vector in range(start, start + count):
                self._connect(vector, fds.pop(0) if fds else None)
        elif flags & wire.IrqFlag.DATA_NONE:
            if count == 0:
                self.forget_client()
            for vector in range(start, start + count):
                self._interrupt(vector)
        else:
            wanted = body[wire.SET_IRQS.size :]
            for vector, byte in zip(range(start, start + count), wanted, strict=False):
                if byte:
                    self._interrupt(vector)
        self.card.listen(set(self._eventfds))
        return b""

    def _region_read(self, body: bytes, fds: list[int]) -> bytes:
        _exactly(body, wire.ACCESS.size)
        offset, region, count = wire.ACCESS.unpack(body)
        self._check_access(offset, region, count)
        if region == wire.Region.BAR0:
            return body + self._read_bar(offset, count)
        if region == wire.Region.CONFIG:
            return body + self.card.config.read(offset, count)
        return body + self._msix_table[offset : offset + count]

    def _region_write(self, body: bytes, fds: list[int]) -> bytes:
        if len(body) < wire.ACCESS.size:
            raise CommandError(errno.EINVAL, f"{len(body)} bytes")
        offset, region, count = wire.ACCESS.unpack_from(body)
        data = body[wire.ACCESS.size :]
        self._check_access(offset, region, count)
        if len(data) != count:
            raise CommandError(errno.EINVAL, f"{len(data)} bytes of data for a count of {count}")
        if region == wire.Region.BAR0:
            self._write_bar(offset, data)
        elif region == wire.Region.CONFIG:
            self.card.config.write(offset, data)
        else:
            self._msix_table[offset : offset + count] = data
        return body[: wire.ACCESS.size]

    def _reset(self, body: bytes, fds: list[int]) -> bytes:
        # The clock of a real card goes on through a reset of its PCI function.
        self.card.config.reset()
        self._msix_table[:] = bytes(MSIX_BAR_SIZE)
        self.forget_client()
        return b""

    # --- internals ---

    def _check_access(self, offset: int, region: int, count: int) -> None:
        size = self._regions.get(region, 0)
        if not 0 < count <= wire.MAX_TRANSFER or offset + count > size:
            raise CommandError(errno.EINVAL, f"{count} bytes at {offset:#x} of region {region}")

    def _read_bar(self, offset: int, count: int) -> bytes:
        if count not in _ACCESS_SIZES:
            raise CommandError(errno.EINVAL, f"an access of {count} bytes to registers")
        return self.card.read(offset, count).to_bytes(count, "little")

    def _write_bar(self, offset: int, data: bytes) -> None:
        if len(data) not in _ACCESS_SIZES:
            raise CommandError(errno.EINVAL, f"an access of {len(data)} bytes to registers")
        self.card.write(offset, len(data), int.from_bytes(data, "little"))

    def _connect(self, vector: int, fd: int | None) -> None:
        old = self._eventfds.pop(vector, None)
        if old is not None:
            os.close(old)
        if fd is not None:
            # Whatever the client sent instead of an eventfd must not hold us.
            os.set_blocking(fd, False)
            self._eventfds[vector] = fd

    def _interrupt(self, vector: int) -> None:
        fd = self._eventfds.get(vector)
        if fd is not None:
            with contextlib.suppress(OSError):
                os.eventfd_write(fd, 1)


def _exactly(body: bytes, size: int) -> None:
    if len(body) != size:
        raise CommandError(errno.EINVAL, f"{len(body)} bytes instead of {size}")
