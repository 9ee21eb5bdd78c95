"""Who has a device node open, found in ``/proc``. What belongs to others is only visible to root."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_PROCESSES: Final = 100_000
MAX_FILES: Final = 4_096
"""Of one process; a device is opened early in a program's life."""
_MAX_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has the node open."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name})"


def holders(node: Path, proc: Path = Path("/proc")) -> tuple[Holder, ...]:
    """Processes other than this one that have the character device open; empty when nobody is seen."""
    try:
        status = node.stat()
    except OSError:
        return ()
    if not stat.S_ISCHR(status.st_mode):
        return ()
    return tuple(
        Holder(process, _name(proc / str(process)))
        for process in _numbered(proc, MAX_PROCESSES)
        if process != os.getpid() and _has_open(proc / str(process) / "fd", status.st_rdev)
    )


def _has_open(folder: Path, rdev: int) -> bool:
    for number in _numbered(folder, MAX_FILES):
        with contextlib.suppress(OSError):
            status = (folder / str(number)).stat()
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == rdev:
                return True
    return False


def _numbered(folder: Path, limit: int) -> list[int]:
    """Entries that are numbers; processes come and go meanwhile, and most are not ours to look into."""
    try:
        with os.scandir(folder) as entries:
            return [int(e.name) for e, _ in zip(entries, range(limit), strict=False) if e.name.isdecimal()]
    except OSError:
        return []


def _name(process: Path) -> str:
    try:
        with (process / "comm").open("rb") as file:
            text = file.read(_MAX_NAME).decode("utf-8", "replace").strip()
    except OSError:
        return "?"
    return "".join(c if c.isprintable() else "?" for c in text) or "?"
