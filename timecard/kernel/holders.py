"""Who has a device open or mapped, found in ``/proc``. What belongs to others is only visible to root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_PROCESSES: Final = 100_000
MAX_FILES: Final = 4_096
"""Of one process; a device is opened early in a program's life."""
MAX_MAPS_BYTES: Final = 1 << 20
_MAX_COMMAND_BYTES: Final = 4_096
_MAX_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has something open."""

    pid: int
    program: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.program})"


def holders(node: Path, proc: Path = Path("/proc")) -> tuple[Holder, ...]:
    """Processes other than this one that have the character device open, by whatever name."""
    rdev = _device(node)
    if rdev is None:
        return ()
    return tuple(
        _holder(process) for process in _processes(proc) if rdev in map(_device, _numbered(process / "fd"))
    )


def find_holders(
    proc: Path, paths: Iterable[str], mapped: str | None = None
) -> Mapping[str, tuple[Holder, ...]]:
    """Processes other than this one by what they hold.

    That is one of ``paths``, which they have open, or ``mapped``, the end of the path of a mapped file.
    """
    wanted = set(paths)
    found: dict[str, list[Holder]] = {}
    for process in _processes(proc):
        held = wanted.intersection(map(_target, _numbered(process / "fd"))) if wanted else set()
        if mapped is not None and f"{mapped}\n".encode() in _start(process / "maps", MAX_MAPS_BYTES):
            held.add(mapped)
        for path in held:
            found.setdefault(path, []).append(_holder(process))
    return {path: tuple(each) for path, each in found.items()}


def _processes(proc: Path) -> Iterator[Path]:
    return (process for process in _numbered(proc, MAX_PROCESSES) if process.name != str(os.getpid()))


def _numbered(folder: Path, limit: int = MAX_FILES) -> list[Path]:
    """Entries that are numbers; processes come and go meanwhile, and most are not ours to look into."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(limit), strict=False)]
    except OSError:
        return []
    return [folder / name for name in names if name.isascii() and name.isdecimal()]


def _device(path: Path) -> int | None:
    """Number of the character device; None for anything else."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_rdev if stat.S_ISCHR(status.st_mode) else None


def _target(link: Path) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115 - the text of the link is what counts
    except OSError:
        return ""


def _holder(process: Path) -> Holder:
    """With the program's name; of an interpreted one, that of its script or module."""
    name = _start(process / "comm", _MAX_NAME).decode("utf-8", "replace").strip()
    if name.startswith("python"):
        words = _start(process / "cmdline", _MAX_COMMAND_BYTES).decode("utf-8", "replace").split("\0")
        for word in words[1:]:
            if word == "-c":
                break
            if word and not word.startswith("-"):
                name = word.rsplit("/", 1)[-1][:_MAX_NAME]
                break
    program = "".join(c if c.isprintable() else "?" for c in name)
    return Holder(int(process.name), program or "unknown")


def _start(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""
