"""What a bring-up was doing: kept in a file so that a run which is cut off can be continued and explained.

The journal is no memory of the card's state: that is always read from the card. It says which step an earlier
run was in, and what each changed setting had been before the first change. Written to a new file and renamed,
so that a power cut leaves the old text or the new one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final, Protocol

VERSION: Final = 1
_MAX_BYTES: Final = 1 << 20


class Journal(Protocol):
    """Where a run notes what it does."""

    def begin(self) -> str | None:
        """A run begins; the step in which an earlier one with the same intent was cut off, if one was."""
        ...

    def enter(self, step: str) -> None:
        """A step begins."""
        ...

    def changing(self, what: str, before: str) -> None:
        """A setting is about to be changed."""
        ...

    def leave(self, step: str, *, failed: bool) -> None:
        """A step has ended."""
        ...

    def finish(self) -> None:
        """The run has come to its end."""
        ...


class NoJournal:
    """Keeps nothing."""

    def begin(self) -> str | None:
        """Nothing is known."""
        return None

    def enter(self, step: str) -> None:
        """Nothing."""

    def changing(self, what: str, before: str) -> None:
        """Nothing."""

    def leave(self, step: str, *, failed: bool) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


class JournalError(Exception):
    """The journal cannot be written: file and what to do."""


class FileJournal:
    """A journal per card in ``directory``. Raises ``JournalError``."""

    def __init__(self, directory: Path, card_id: str, digest: str) -> None:
        safe = "".join(c if c.isalnum() or c in "-._" else "-" for c in card_id)[:80]
        self.path = directory / f"bringup-{safe}.json"
        self._digest = digest
        self._record: dict[str, Any] = {}

    def begin(self) -> str | None:
        """Read what is there; a damaged or foreign journal counts as none."""
        earlier = self.read()
        same = earlier.get("intent") == self._digest and not earlier.get("finished", True)
        before = earlier.get("before") if same else None
        self._record = {
            "version": VERSION,
            "intent": self._digest,
            "finished": False,
            "step": None,
            "done": [],
            "failed": [],
            "before": before if isinstance(before, dict) else {},
        }
        self._write()
        step = earlier.get("step") if same else None
        return step if isinstance(step, str) else None

    def read(self) -> dict[str, Any]:
        """The journal as it stands in the file; empty when there is none that can be read."""
        try:
            with self.path.open("rb") as stream:
                record = json.loads(stream.read(_MAX_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return record if isinstance(record, dict) and record.get("version") == VERSION else {}

    def enter(self, step: str) -> None:
        """Note the step."""
        self._record["step"] = step
        self._write()

    def changing(self, what: str, before: str) -> None:
        """Note what was there before the first change; a continued run does not overwrite it."""
        self._record["before"].setdefault(what, before)
        self._write()

    def leave(self, step: str, *, failed: bool) -> None:
        """Note the end of a step."""
        self._record["failed" if failed else "done"].append(step)
        self._write()

    def finish(self) -> None:
        """Note the end."""
        self._record |= {"finished": True, "step": None}
        self._write()

    def _write(self) -> None:
        fresh = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with fresh.open("w", encoding="utf-8") as stream:
                json.dump(self._record, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self.path)
        except OSError as error:
            raise JournalError(
                f"{self.path}: the journal cannot be written ({error.strerror or error}); choose another "
                "folder with --state-dir, or make it writable"
            ) from error
