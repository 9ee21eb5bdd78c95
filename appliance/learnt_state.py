"""The state file of a card: what its oscillator has taught, kept over reboots.

One JSON file per card in the state folder, replaced as a whole and on the disk before the old one goes; the
one before is kept beside it. A file that cannot be used is put aside under another name, said in an alarm,
and the one before is tried.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from appliance.timescale.learnt import read_learnt
from timecard.timescale import NS_PER_S
from timecard.values import Alarm

log = logging.getLogger(__name__)

FOLDER: Final = "learnt"
SAVE_EVERY_NS: Final = 600 * NS_PER_S
MAX_BYTES: Final = 1 << 20
CLOSE_S: Final = 2.0
"""So long the end waits for a disk; what was learnt since the last write is worth no more."""
ALARM: Final = "learnt-state"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.:_-]")


class LearntState:
    """The file of one card."""

    def __init__(self, state_directory: Path, card_id: str) -> None:
        self.path = state_directory / FOLDER / f"{_UNSAFE.sub('_', card_id)}.json"
        self.problem: str | None = None
        """What was wrong with the files, if anything, in words for an operator."""
        self._saved_ns: int | None = None
        self._writing: threading.Thread | None = None

    @property
    def before(self) -> Path:
        """The file before the present one."""
        return self.path.with_suffix(".json.bak")

    def load(self) -> dict[str, Any] | None:
        """The newest content that can be used; None when there is none."""
        for path in (self.path, self.before):
            try:
                return _read(path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, ArithmeticError, RecursionError) as error:
                self._put_aside(path, str(error))
        return None

    def note(self, learnt: Callable[[], Mapping[str, Any] | None], mono_ns: int) -> None:
        """Write it, in a thread that waits for the disk, if the last time is long enough ago.

        Called every second: the first time it only begins to count.
        """
        if self._saved_ns is None:
            self._saved_ns = mono_ns
        busy = self._writing is not None and self._writing.is_alive()
        if busy or mono_ns - self._saved_ns < SAVE_EVERY_NS:
            return
        record = learnt()
        if record is None:
            return
        self._saved_ns = mono_ns
        self._writing = threading.Thread(target=self.save, args=(record,), name="learnt-state", daemon=True)
        self._writing.start()

    def close(self, record: Mapping[str, Any] | None) -> None:
        """The last word, when the card is let go. A disk that hangs is given up after ``CLOSE_S``."""
        before = self._writing

        def finish() -> None:
            if before is not None:
                before.join()
            if record is not None:
                self.save(record)

        last = threading.Thread(target=finish, name="learnt-state-last", daemon=True)
        last.start()
        last.join(CLOSE_S)
        if last.is_alive():
            log.error("what was learnt is not on the disk after %g s path=%s", CLOSE_S, self.path)

    def save(self, record: Mapping[str, Any]) -> None:
        """Write the file so that a reader, or a power cut, finds the old or the new one, whole."""
        # One that was given up may still hang in its own file.
        temporary = self.path.with_suffix(f".{os.getpid()}.{threading.get_native_id()}.new")
        try:
            self.path.parent.mkdir(mode=0o755, exist_ok=True)
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(record, file, allow_nan=False)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileNotFoundError):
                self.path.replace(self.before)
            temporary.replace(self.path)
            _sync_folder(self.path.parent)
        except (OSError, ValueError) as error:
            log.error("what was learnt cannot be kept reason=%s", error)
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def alarm(self, mono_ns: int) -> Alarm | None:
        """The problem as an event for the discipline."""
        if self.problem is None:
            return None
        return Alarm(name=ALARM, active=True, unusable=False, evidence=self.problem, read_mono_ns=mono_ns)

    def _put_aside(self, path: Path, reason: str) -> None:
        aside = path.with_suffix(path.suffix + ".corrupt")
        kept = f"kept as {aside.name}"
        try:
            path.replace(aside)
        except OSError as error:
            kept = f"cannot be put aside ({error.strerror})"
        found = f"state file {path} cannot be used ({reason}), {kept}"
        self.problem = found if self.problem is None else f"{self.problem}; {found}"
        log.error("%s", found)


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("it is not a table")
    read_learnt(document)
    return document


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
