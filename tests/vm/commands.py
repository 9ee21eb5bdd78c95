"""Command lines in a guest, many in one run of Python."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.firmware.firmware_world import pin_for
from tests.vm.guest import Guest

SCRIPT = Path(__file__).resolve().parent / "guest_scripts/commands.py"


@dataclass(frozen=True)
class Said:
    """What one command came to."""

    line: str
    status: int
    out: str
    errors: str

    def json(self) -> Any:
        """What a command that succeeded printed with ``--json``."""
        assert self.status == 0, self
        return json.loads(self.out)

    def json_lines(self) -> list[dict[str, Any]]:
        """One object a line."""
        assert self.status == 0, self
        return [json.loads(line) for line in self.out.splitlines()]


def approved(image: bytes, board: str) -> str:
    """The options of ``timecard flash`` that approve an image."""
    return f"--sha256 {hashlib.sha256(image).hexdigest()} --image-version {pin_for(image, board).version}"


def run_commands(guest: Guest, lines: Sequence[str], *, limit_s: float) -> list[Said]:
    """Run them in the guest; a ``timecard`` that fails is no error here."""
    guest.write("/tmp/commands.py", SCRIPT.read_bytes())
    done = guest.run("python3 /tmp/commands.py", limit_s=limit_s, data="\n".join(lines).encode())
    return [Said(**json.loads(line)) for line in done.stdout.splitlines()]
