"""The mRO-50's words by ioctl on ``/dev/mro50.N``, which the vendor's ``ptp_ocp`` makes for an ART card.

Request codes: ``mRO50_ioctl.h`` of that driver. The size in most of them is that of a pointer, as the header
declares them, but 32 bits are moved. The mainline driver has no such device.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final

from timecard.errors import CardPermissionError, DeviceAbsentError, ProtocolError, from_oserror
from timecard.mac.mro50_serial import MAX_COARSE, MAX_FINE

_POINTER: Final = struct.calcsize("P")
_READ, _WRITE = 2, 1
_WORD: Final = 4
_LOCK: Final = 1 << 1
_BUFFER: Final = 16
"""More than any of these requests moves: the kernel writes into it."""


def _code(direction: int, number: int, size: int) -> int:
    """``_IOC`` of the kernel with type ``M``."""
    return direction << 30 | size << 16 | ord("M") << 8 | number


READ_FINE: Final = _code(_READ, 1, _POINTER)
READ_COARSE: Final = _code(_READ, 2, _POINTER)
SET_FINE: Final = _code(_WRITE, 3, _WORD)
SET_COARSE: Final = _code(_WRITE, 4, _WORD)
READ_TEMPERATURE: Final = _code(_READ, 5, _POINTER)
READ_CONTROL: Final = _code(_READ, 6, _POINTER)
SAVE_COARSE: Final = _code(0, 7, 0)
SET_BOARD_CONFIG: Final = _code(_WRITE, 10, _POINTER)
_ENOTTY_TEXT: Final = "it is no mRO-50 device of the vendor's driver"

Ioctl = Callable[[int, int, bytearray], int]


class DeviceWords:
    """``Mro50Words`` by ioctl."""

    can_save = True

    def __init__(self, path: Path, ioctl: Ioctl = fcntl.ioctl) -> None:
        """Open it and connect the part to the driver's registers, not to its serial port."""
        self.name = f"mRO-50 ({path})"
        self._ioctl = ioctl
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            # Whoever holds it has no other word for letting go than to forget it.
            self._release = weakref.finalize(self, os.close, self._descriptor)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                raise CardPermissionError(
                    self.name, "open", "permission denied: be in the group that owns it"
                ) from error
            raise from_oserror(self.name, "open", error) from error
        try:
            self._move("connect the part to the bridge", SET_BOARD_CONFIG, 0)
        except BaseException:
            self.close()
            raise

    def fine(self) -> int:
        """The fine word."""
        return self._checked("read fine", READ_FINE, MAX_FINE)

    def coarse(self) -> int:
        """The coarse word."""
        return self._checked("read coarse", READ_COARSE, MAX_COARSE)

    def set_fine(self, value: int) -> None:
        """Set the fine word."""
        self._move(f"set fine {value}", SET_FINE, value)

    def set_coarse(self, value: int) -> None:
        """Set the coarse word."""
        self._move(f"set coarse {value}", SET_COARSE, value)

    def save_coarse(self) -> None:
        """Store the coarse word in the part."""
        self._move("save coarse", SAVE_COARSE, 0)

    def temperature_raw(self) -> int:
        """The thermometer's 12-bit word."""
        return self._move("read temperature", READ_TEMPERATURE, 0) & 0xFFF

    def locked(self) -> bool:
        """The lock bit of the control register."""
        return bool(self._move("read control", READ_CONTROL, 0) & _LOCK)

    def close(self) -> None:
        """Give the device back."""
        self._descriptor = -1
        self._release()

    def _checked(self, operation: str, code: int, maximum: int) -> int:
        value = self._move(operation, code, 0)
        if value > maximum:
            raise ProtocolError(self.name, operation, f"{value} is outside 0 to {maximum}")
        return value

    def _move(self, operation: str, code: int, value: int) -> int:
        data = bytearray(_BUFFER)
        data[:_WORD] = value.to_bytes(_WORD, sys.byteorder)
        try:
            self._ioctl(self._descriptor, code, data)
        except OSError as error:
            if error.errno == errno.ENOTTY:
                raise DeviceAbsentError(self.name, operation, _ENOTTY_TEXT) from error
            raise from_oserror(self.name, operation, error) from error
        return int.from_bytes(data[:_WORD], sys.byteorder)
