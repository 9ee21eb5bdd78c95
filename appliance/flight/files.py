"""Flight record files: their names, their frames, and what of them is kept.

A file is eight bytes of magic and frames of length (u32), CRC-32 (u32) and payload, little-endian. The first
frame is the header, JSON that can be read with any viewer; the second what the discipline began with, JSON
deflated (RFC 1950). All others are pieces of one deflated stream of items (``appliance.flight.shapes``), each
flushed to a byte boundary, so that every whole frame can be used whatever became of the next one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import stat
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

log = logging.getLogger(__name__)

MAGIC: Final = b"TCFLIGHT"
FORMAT: Final = 1
FRAME: Final = struct.Struct("<II")
MAX_FRAME_BYTES: Final = 16 << 20
_NAME: Final = re.compile(r"(\d{6,})-\d{8}T\d{6}Z\.flight", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a file may grow and how much is kept."""

    file_bytes: int
    file_s: float
    total_bytes: int
    """Of all files together: the oldest ones go."""


class OpenFile:
    """One file being written. Every method raises ``OSError``."""

    def __init__(self, directory: Path, header: Mapping[str, Any], start: bytes) -> None:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        found = numbered(directory)
        number = found[-1][0] + 1 if found else 1
        now = datetime.now(UTC)
        self.path = directory / f"{number:06d}-{now:%Y%m%dT%H%M%SZ}.flight"
        whole = {"format": FORMAT, "previous": found[-1][1].name if found else None, **header}
        # It holds the antenna's position: for the owner and his group, not for everybody.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file: BinaryIO = os.fdopen(os.open(self.path, flags, 0o640), "wb")
        self._deflate = zlib.compressobj()
        try:
            self._file.write(MAGIC)
            self._frame(json.dumps(whole, indent=1).encode())
            self._frame(zlib.compress(start))
            self.sync()
            sync_directory(directory)
        except OSError:
            with contextlib.suppress(OSError):
                self._file.close()
            self.path.unlink(missing_ok=True)
            raise

    def write(self, items: bytes) -> None:
        """A frame with these items, handed to the system at once."""
        self._frame(self._deflate.compress(items) + self._deflate.flush(zlib.Z_SYNC_FLUSH))
        self._file.flush()

    def sync(self) -> None:
        """On the disk itself, not only in the system's memory."""
        self._file.flush()
        os.fdatasync(self._file.fileno())

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._file.tell()

    def close(self) -> None:
        """The end; what was not written by now is lost."""
        self._file.close()

    def _frame(self, payload: bytes) -> None:
        self._file.write(FRAME.pack(len(payload), zlib.crc32(payload)) + payload)


def numbered(directory: Path) -> list[tuple[int, Path]]:
    """Flight records of a directory, oldest first; what is no regular file of such a name does not count."""
    matches = ((_NAME.fullmatch(path.name), path) for path in directory.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match and _size(path) is not None)


def keep_within(directory: Path, total_bytes: int, newest: Path) -> None:
    """Delete the oldest records until the rest takes ``total_bytes`` at most; never the newest.

    What cannot be deleted stays and is logged: the newest one is written all the same.
    """
    try:
        files = [(path, _size(path) or 0) for _, path in numbered(directory) if path != newest]
    except OSError as error:
        log.warning("old flight records cannot be found directory=%s reason=%s", directory, error)
        return
    total = sum(size for _, size in files)
    for path, size in files:
        if total <= total_bytes:
            return
        try:
            path.unlink()
        except OSError as error:
            log.warning("an old flight record cannot be deleted path=%s reason=%s", path, error)
        else:
            total -= size


def _size(path: Path) -> int | None:
    """Of a regular file; None for anything else, a symbolic link included."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def sync_directory(directory: Path) -> None:
    """A new name is on the disk as well."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
