"""Where programs of this toolkit keep what they must remember: journals, undo files, write counters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

SYSTEM_STATE: Final = Path("/var/lib/time-appliance")


def state_directory(environ: Mapping[str, str], effective_uid: int) -> Path:
    """The service's state folder (``STATE_DIRECTORY`` of systemd), the system's for root, else the user's."""
    unit = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if unit:
        return Path(unit)
    if effective_uid == 0:
        return SYSTEM_STATE
    home = Path(environ.get("HOME") or "/")
    return Path(environ.get("XDG_STATE_HOME") or home / ".local" / "state") / SYSTEM_STATE.name
