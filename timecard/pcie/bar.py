"""A register bus on ``resource0`` of a PCI device: a card that no kernel driver holds.

Needs root, memory decoding switched on, and no lockdown. A card that ``ptp_ocp`` holds is refused: the driver
guards its read-modify-write sequences with a lock that user space cannot take.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

from timecard.boards import Board
from timecard.errors import DeviceAbsentError, DeviceLostError, RefusedError, from_oserror

_SYSFS: Final = Path("/sys")


class BarBus:
    """BAR0 by mmap. Each access is one 32-bit load or store, so threads need no lock."""

    writes_are_posted = True

    def __init__(self, address: str, board: Board, sysfs: Path = _SYSFS) -> None:
        """``address`` as ``0000:3b:00.0``. Raises a ``TimeCardError`` that says what to do."""
        self.name = f"pci:{address}"
        self.board = board
        device = sysfs / "bus/pci/devices" / address
        if not device.is_dir():
            raise DeviceAbsentError(self.name, "open", "there is no such PCI device (lspci -D lists them)")
        if (device / "driver").exists():
            driver = (device / "driver").resolve().name
            raise RefusedError(
                self.name,
                "open",
                f"the kernel driver {driver} holds the card; "
                f"unbind it first: echo {address} > {device / 'driver/unbind'}",
            )
        try:
            if (device / "enable").read_text(encoding="ascii").strip() == "0":
                raise RefusedError(
                    self.name, "open", f"memory decoding is off; switch it on: echo 1 > {device / 'enable'}"
                )
            with (device / "resource0").open("r+b", buffering=0) as resource:
                self._map = mmap.mmap(resource.fileno(), board.bar0_size)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError):
                raise from_oserror(self.name, "map BAR0", error) from error
            raise DeviceAbsentError(
                self.name,
                "map BAR0",
                f"the BAR is smaller than the {board.bar0_size:#x} bytes of {board.product}",
            ) from error
        self._words = memoryview(self._map).cast("I")
        self._closed = False

    def read32(self, offset: int) -> int:
        """Read a register."""
        return self._words[self._index(offset)]

    def write32(self, offset: int, value: int) -> None:
        """Write a register; the write may still be under way when this returns."""
        self._words[self._index(offset)] = value & 0xFFFF_FFFF

    def close(self) -> None:
        """Unmap; later calls raise ``DeviceLostError``."""
        if not self._closed:
            self._closed = True
            self._words.release()
            self._map.close()

    def _index(self, offset: int) -> int:
        if self._closed:
            raise DeviceLostError(self.name, f"access {offset:#x}", "the bus was closed")
        if offset & 3 or not 0 <= offset < self.board.bar0_size:
            raise RefusedError(self.name, f"access {offset:#x}", "not an aligned word of BAR0")
        return offset >> 2
