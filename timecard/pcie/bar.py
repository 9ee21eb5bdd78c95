"""A register bus on ``resource0`` of a PCI device: a card that no kernel driver holds.

Needs root, memory decoding switched on, and no lockdown. A card that ``ptp_ocp`` holds is refused: the driver
guards its read-modify-write sequences with a lock that user space cannot take. There are no interrupts.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Final

from timecard.boards import Board
from timecard.errors import DeviceAbsentError, RefusedError, from_oserror
from timecard.pcie.mapped_bar import MappedBar

_SYSFS: Final = Path("/sys")
_WORD: Final = struct.Struct("<I")


class BarBus(MappedBar):
    """BAR0 by mmap, configuration space by the file ``config``."""

    writes_are_posted = True
    fifo_overflows = True

    def __init__(self, address: str, board: Board, sysfs: Path = _SYSFS) -> None:
        """``address`` as ``0000:3b:00.0``. Raises a ``TimeCardError`` that says what to do."""
        name = f"pci:{address}"
        device = sysfs / "bus/pci/devices" / address
        if not device.is_dir():
            raise DeviceAbsentError(name, "open", "there is no such PCI device (lspci -D lists them)")
        if (device / "driver").exists():
            driver = (device / "driver").resolve().name
            raise RefusedError(
                name,
                "open",
                f"the kernel driver {driver} holds the card; "
                f"unbind it first: echo {address} > {device / 'driver/unbind'}",
            )
        try:
            if (device / "enable").read_text(encoding="ascii").strip() == "0":
                raise RefusedError(
                    name, "open", f"memory decoding is off; switch it on: echo 1 > {device / 'enable'}"
                )
            with (device / "resource0").open("r+b", buffering=0) as resource:
                mapping = mmap.mmap(resource.fileno(), board.bar0_size)
        except OSError as error:
            raise from_oserror(name, "map BAR0", error) from error
        except ValueError as error:
            raise DeviceAbsentError(
                name,
                "map BAR0",
                f"the BAR is smaller than the {board.bar0_size:#x} bytes of {board.product}",
            ) from error
        super().__init__(name, board, mapping)
        self._device = device
        self._config = device / "config"
        self._inode = self._identity()

    @property
    def lost(self) -> str | None:
        """Why this bus will never work again; None while it works.

        The mapping outlives the device: it may even lead to the next card in this slot, and does not notice
        a driver that takes the card.
        """
        if self._lost is None:
            if self._identity() != self._inode:
                self.set_lost("the card was removed")
            elif (self._device / "driver").exists():
                self.set_lost(f"the kernel driver {(self._device / 'driver').resolve().name} took the card")
        return self._lost

    def _identity(self) -> int | None:
        """Of the device's folder: another one when the device has been away."""
        try:
            return self._device.stat().st_ino
        except OSError:
            return None

    def read_config32(self, offset: int) -> int:
        """A word of configuration space; 0, as if nothing were there, where root alone may look."""
        try:
            fd = os.open(self._config, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(fd, _WORD.size, offset)
            finally:
                os.close(fd)
        except OSError as error:
            raise from_oserror(self.name, f"read config {offset:#x}", error) from error
        return int(_WORD.unpack(data)[0]) if len(data) == _WORD.size else 0
