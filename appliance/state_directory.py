"""The folders that the appliance keeps its sockets and state in."""

from __future__ import annotations

from pathlib import Path


def prepare(directory: Path) -> None:
    """Make the folder; raises ``OSError`` whose text says what to do."""
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        probe = directory / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot write to the folder {directory} ({error.strerror}): choose another one with "
            "[paths] runtime/state or --runtime-dir/--state-dir, or make it writable",
        ) from error
