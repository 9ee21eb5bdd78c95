"""A "newc" cpio archive in memory: the kernel's initial file system (kernel, ``buffer-format.rst``)."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_ALIGN: Final = 4
_TRAILER: Final = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    """A file with its type and permissions; a link's data is its target, a folder has none."""

    mode: int
    data: bytes = b""

    @staticmethod
    def file(data: bytes, *, executable: bool = False) -> Entry:
        return Entry(stat.S_IFREG | (0o755 if executable else 0o644), data)

    @staticmethod
    def link(target: str) -> Entry:
        return Entry(stat.S_IFLNK | 0o777, target.encode())

    @staticmethod
    def folder() -> Entry:
        return Entry(stat.S_IFDIR | 0o755)


def write_cpio(entries: Mapping[str, Entry]) -> bytes:
    """The archive of these paths (no leading slash), in their order; folders come before what is in them."""
    archive = bytearray()
    for number, (name, entry) in enumerate([*entries.items(), (_TRAILER, Entry(0))], 1):
        raw = name.encode() + b"\0"
        #         inode   mode        uid gid links mtime size            device rdevice  name
        fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, 0, 0, len(raw), 0)
        archive += b"070701" + b"".join(b"%08x" % field for field in fields) + raw
        _pad(archive)
        archive += entry.data
        _pad(archive)
    return bytes(archive)


def _pad(archive: bytearray) -> None:
    archive += bytes(-len(archive) % _ALIGN)
