"""The SPI-NOR flash through the kernel's MTD: ``/dev/mtdN``. Source: ``include/uapi/mtd/mtd-abi.h``."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Final

from timecard.errors import (
    DeviceLostError,
    ProtocolError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
    from_oserror,
)

_INFO: Final = struct.Struct("=B3xIIIII8x")
"""Type, flags, size, erase size, write size, out-of-band size."""
_RANGE: Final = struct.Struct("=II")
_NOR: Final = 3
_WRITABLE: Final = 0x400
MEMGETINFO: Final = 2 << 30 | _INFO.size << 16 | ord("M") << 8 | 1
MEMERASE: Final = 1 << 30 | _RANGE.size << 16 | ord("M") << 8 | 2
MAX_SIZE: Final = 1 << 28
CHUNK: Final = 65_536


class MtdFlash:
    """``FlashDevice`` on an MTD character device."""

    def __init__(self, node: Path) -> None:
        """Open it; raises ``UnsupportedError`` when it is no NOR flash."""
        self.name = str(node)
        try:
            self._fd = os.open(node, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise from_oserror(self.name, "open", error) from error
        try:
            data = bytearray(_INFO.size)
            fcntl.ioctl(self._fd, MEMGETINFO, data)
            kind, flags, self.size, self.erase_size, self._write_size, _ = _INFO.unpack(data)
            if kind != _NOR or not 0 < self.size <= MAX_SIZE or not 0 < self.erase_size <= self.size:
                raise UnsupportedError(
                    self.name,
                    "open",
                    f"no NOR flash (type {kind}, {self.size} bytes, erase {self.erase_size})",
                )
            self.writable = bool(flags & _WRITABLE)
        except OSError as error:
            self.close()
            raise from_oserror(self.name, "open", error) from error
        except TimeCardError:
            self.close()
            raise

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes."""
        operation = f"read {offset:#x}"
        self._check(operation, offset, size)
        data = b""
        try:
            while len(data) < size:
                part = os.pread(self._fd, min(CHUNK, size - len(data)), offset + len(data))
                if not part:
                    raise ProtocolError(self.name, operation, f"ends after {len(data)} of {size} bytes")
                data += part
        except OSError as error:
            raise self._failed(operation, error) from error
        return data

    def erase(self, offset: int) -> None:
        """Erase the block at ``offset``; the kernel returns when it is done."""
        operation = f"erase {offset:#x}"
        self._check(operation, offset, self.erase_size)
        if offset % self.erase_size:
            raise RefusedError(self.name, operation, f"not a multiple of {self.erase_size:#x}")
        try:
            fcntl.ioctl(self._fd, MEMERASE, _RANGE.pack(offset, self.erase_size))
        except OSError as error:
            raise self._failed(operation, error) from error

    def program(self, offset: int, data: bytes) -> None:
        """Programme bytes that were erased."""
        operation = f"program {offset:#x}"
        self._check(operation, offset, len(data))
        try:
            written = os.pwrite(self._fd, data, offset)
        except OSError as error:
            raise self._failed(operation, error) from error
        if written != len(data):
            raise ProtocolError(self.name, operation, f"{written} of {len(data)} bytes were taken")

    def close(self) -> None:
        """Close the device."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _check(self, operation: str, offset: int, size: int) -> None:
        if self._fd < 0:
            raise DeviceLostError(self.name, operation, "the flash was closed")
        if size < 0 or not 0 <= offset <= offset + size <= self.size:
            raise RefusedError(self.name, operation, f"{size} bytes are beyond the end, {self.size:#x}")

    def _failed(self, operation: str, error: OSError) -> TimeCardError:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return RefusedError(
                self.name, operation, f"{error.strerror}: the flash or this range of it is write-protected"
            )
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return RefusedError(self.name, operation, error.strerror or "invalid argument")
        return from_oserror(self.name, operation, error)
