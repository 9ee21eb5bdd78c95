"""A serial line through the kernel's tty: 8N1, raw, and ours alone while it is open."""

from __future__ import annotations

import errno
import os
import select
from pathlib import Path
from typing import Final

import serial

from timecard.errors import (
    CardPermissionError,
    DeviceAbsentError,
    DeviceLostError,
    DeviceTimeoutError,
    RefusedError,
    TimeCardError,
)
from timecard.kernel.holders import holders

WRITE_TIMEOUT_S: Final = 5.0
MAX_READ: Final = 65_536


class TtyStream:
    """``ByteStream`` on a tty."""

    def __init__(self, path: Path, baud: int, name: str, proc: Path = Path("/proc")) -> None:
        """Open it. ``RefusedError`` names the program that has it open: two readers share the bytes."""
        self.name = f"{name} ({path})"
        self.baud = baud
        others = holders(path, proc)
        if others:
            raise RefusedError(
                self.name, "open", f"held by {', '.join(map(str, others))}; stop it, or let it share the data"
            )
        try:
            self._port: serial.Serial | None = serial.Serial(
                str(path), baud, exclusive=True, timeout=0, write_timeout=WRITE_TIMEOUT_S
            )
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise _opening_failed(self.name, error) from error

    def set_baud(self, baud: int) -> None:
        """Change the rate."""
        try:
            self._open_port("set baud").baudrate = baud
        except (OSError, ValueError) as error:
            raise RefusedError(self.name, "set baud", f"{baud}: {error}") from error
        self.baud = baud

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """At least one byte, or nothing within ``timeout_s``; 0 only looks."""
        descriptor = self._open_port("read").fileno()
        try:
            if not select.select([descriptor], [], [], max(0.0, timeout_s))[0]:
                return b""
            data = os.read(descriptor, max(1, min(max_bytes, MAX_READ)))
        except BlockingIOError:
            return b""
        except OSError as error:
            raise DeviceLostError(self.name, "read", error.strerror or str(error)) from error
        if not data:
            raise DeviceLostError(self.name, "read", "end of file: the port has gone")
        return data

    def write(self, data: bytes) -> None:
        """Queue all of ``data``."""
        port = self._open_port("write")
        try:
            port.write(data)
        except serial.SerialTimeoutException as error:
            raise DeviceTimeoutError(
                self.name, "write", f"the line did not take {len(data)} bytes in {WRITE_TIMEOUT_S:g} s"
            ) from error
        except OSError as error:
            raise DeviceLostError(self.name, "write", error.strerror or str(error)) from error

    def close(self) -> None:
        """Give the port back."""
        port, self._port = self._port, None
        if port is not None:
            port.close()

    def _open_port(self, operation: str) -> serial.Serial:
        if self._port is None:
            raise DeviceLostError(self.name, operation, "the port was closed")
        return self._port


def _opening_failed(name: str, error: Exception) -> TimeCardError:
    code = getattr(error, "errno", None)
    if code in (errno.EACCES, errno.EPERM):
        return CardPermissionError(name, "open", "permission denied: be in the group that owns the port")
    if code in (errno.EAGAIN, errno.EBUSY):
        return RefusedError(name, "open", "held by another program, which only root can name")
    if code in (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EIO, errno.ENOTTY):
        return DeviceAbsentError(name, "open", getattr(error, "strerror", None) or str(error))
    return RefusedError(name, "open", str(error))
