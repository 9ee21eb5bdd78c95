"""Where the virtual machine's parts are kept: ``$TIMECARD_VM_CACHE`` or ``~/.cache/timecard-vm``.

A part is a folder whose name holds the versions of what is in it. It appears complete, by a rename, or not
at all; a part that is there is used as it is and nobody asks the network about it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

IN_USE_S: Final = 3600.0
"""No guest lives that long."""


class VmUnavailableError(Exception):
    """The virtual machine cannot be had here; the text says what is missing and what to do."""


def cache_dir() -> Path:
    """The cache's folder; made when it is not there."""
    named = os.environ.get("TIMECARD_VM_CACHE")
    path = Path(named) if named else Path.home() / ".cache" / "timecard-vm"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VmUnavailableError(
            f"{path}: {error.strerror}; TIMECARD_VM_CACHE names another place"
        ) from error
    return path


@contextlib.contextmanager
def locked(cache: Path) -> Iterator[None]:
    """One process at a time fills the cache."""
    with (cache / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def part(cache: Path, name: str, build: Callable[[Path], None]) -> Path:
    """The part of this name, built into a fresh folder if it is not there yet. Call it under ``locked``."""
    final = cache / name
    if final.is_dir():
        final.touch()
        return final
    with tempfile.TemporaryDirectory(prefix="building-", dir=cache) as scratch:
        fresh = Path(scratch) / name
        fresh.mkdir()
        build(fresh)
        fresh.rename(final)
    return final


def prune(cache: Path, prefix: str, keep: int) -> None:
    """Remove all but the ``keep`` most recently used parts of a kind; none that a guest may be using."""
    parts = sorted(cache.glob(f"{prefix}*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in parts[keep:]:
        if time.time() - old.stat().st_mtime > IN_USE_S:
            shutil.rmtree(old, ignore_errors=True)
