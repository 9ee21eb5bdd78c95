"""What survives a power cut on the host's side: snapshot, image and a journal, on disk before each step.

One folder per card. ``journal`` is a file of JSON lines: a ``begin`` with everything needed to go on,
``erase`` before and ``done`` after each sector, an ``end``. A sector without its ``done`` is written again
whatever it reads: cells whose erasing was cut may read right today and wrong tomorrow.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from timecard.errors import DeviceAbsentError, RefusedError, TimeCardError, from_oserror
from timecard.firmware.pins import SHA256, make_pin

JOURNAL: Final = "journal"
LOCK: Final = "lock"
MAX_JOURNAL: Final = 8 << 20
MAX_BLOB: Final = 64 << 20
APPLY: Final = "apply"
ROLLBACK: Final = "rollback"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is being written: the journal's first line."""

    action: str
    """``apply`` or ``rollback``."""
    card: str
    board: str
    flash_size: int
    start: int
    """Where in the flash."""
    size: int
    """Whole sectors."""
    image: str
    """SHA-256 of the file that is, or was, applied; it lies beside the journal."""
    snapshot: str
    """SHA-256 of what the flash held before it."""
    image_name: str
    version: str
    """That the card reports when the image runs: ``tag.number``."""
    pinned_boards: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the journal says."""

    job: Job
    open: bool
    """Begun and not ended: a cut."""
    unfinished: frozenset[int]
    """Sectors whose writing began and did not end."""


def state_folder(root: Path, card_id: str) -> Path:
    """Where the state of a card is kept."""
    return root / "flash" / _UNSAFE.sub("_", card_id)[:100]


class StateFolder:
    """The folder of one card; used under ``locked``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Alone in the folder. Raises ``RefusedError`` when another update of this card is under way."""
        with self._errors("lock"):
            self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            fd = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RefusedError(
                    self.name, "lock", "another flash command for this card is running"
                ) from error
            yield
        finally:
            os.close(fd)

    # --- journal ---

    def record(self) -> Record | None:
        """What the journal says; None without one. Raises ``RefusedError`` for a damaged one."""
        data = self._read(JOURNAL, MAX_JOURNAL)
        if data is None:
            return None
        # The line that was being written when the power went has no end.
        lines = data.split(b"\n")[:-1]
        if not lines:
            return None
        job: Job | None = None
        unfinished: set[int] = set()
        is_open = True
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                if number == 1 or "begin" in row:
                    job, is_open = _job(row["begin"]), True
                elif "erase" in row:
                    unfinished.add(_offset(row["erase"]))
                elif "done" in row:
                    unfinished.discard(_offset(row["done"]))
                elif row == {"end": True}:
                    is_open = False
                else:
                    raise ValueError("unknown line")
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise RefusedError(
                    f"{self.folder / JOURNAL}",
                    "read",
                    f"line {number} is damaged; move the file away and apply the image again, whole",
                ) from error
        assert job is not None
        return Record(job=job, open=is_open, unfinished=frozenset(unfinished))

    def begin(self, job: Job, *, unfinished: frozenset[int] = frozenset()) -> None:
        """Start a journal, in place of the one before; sectors that were cut before stay suspicious."""
        rows: list[dict[str, Any]] = [
            {"begin": asdict(job)},
            *({"erase": offset} for offset in sorted(unfinished)),
        ]
        self._replace(JOURNAL, b"".join(_line(row) for row in rows))

    def note(self, row: dict[str, Any]) -> None:
        """Append a line; it is on disk when this returns."""
        with self._errors("write journal"):
            fd = os.open(self.folder / JOURNAL, os.O_RDWR | os.O_CLOEXEC)
            try:
                size = os.fstat(fd).st_size
                if size and os.pread(fd, 1, size - 1) != b"\n":
                    # A torn line of before the cut: nothing may be glued to it.
                    tail = os.pread(fd, min(size, 1 << 16), max(0, size - (1 << 16)))
                    size -= len(tail) - tail.rfind(b"\n") - 1
                    os.ftruncate(fd, size)
                os.pwrite(fd, _line(row), size)
                os.fsync(fd)
            finally:
                os.close(fd)

    # --- blobs ---

    def store(self, kind: str, data: bytes) -> str:
        """Keep bytes; returns their SHA-256, which is also part of the file's name."""
        digest = hashlib.sha256(data).hexdigest()
        self._replace(f"{kind}-{digest}", data)
        return digest

    def keep(self, name: str, data: bytes) -> None:
        """Keep bytes for a person to look at."""
        self._replace(name, data)

    def load(self, kind: str, digest: str) -> bytes:
        """Bytes stored before; raises ``DeviceAbsentError`` without, ``RefusedError`` for damaged ones."""
        name = f"{kind}-{digest}"
        data = self._read(name, MAX_BLOB)
        if data is None:
            raise DeviceAbsentError(str(self.folder / name), "read", f"the {kind} is missing")
        if hashlib.sha256(data).hexdigest() != digest:
            raise RefusedError(
                str(self.folder / name), "read", f"the {kind} is damaged: its SHA-256 is another one"
            )
        return data

    def forget_others(self, job: Job) -> None:
        """Remove snapshots and images of earlier updates."""
        kept = {f"image-{job.image}", f"snapshot-{job.snapshot}"}
        with self._errors("clean"):
            for path in self.folder.iterdir():
                if path.name.startswith(("image-", "snapshot-")) and path.name not in kept:
                    path.unlink()

    # --- internals ---

    def _read(self, name: str, limit: int) -> bytes | None:
        try:
            with (self.folder / name).open("rb") as source:
                data = source.read(limit + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_oserror(str(self.folder / name), "read", error) from error
        if len(data) > limit:
            raise RefusedError(
                str(self.folder / name), "read", f"longer than {limit} bytes: not written by this"
            )
        return data

    def _replace(self, name: str, data: bytes) -> None:
        """Write a file so that after a power cut either the old or the new one is there, whole."""
        with self._errors(f"write {name}"):
            fresh = self.folder / f"{name}.new"
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            fresh.rename(self.folder / name)
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    @contextlib.contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        try:
            yield
        except TimeCardError:
            raise
        except OSError as error:
            raise from_oserror(self.name, operation, error) from error


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _offset(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 32:
        raise ValueError("no offset")
    return value


def _job(row: dict[str, Any]) -> Job:
    if set(row) != {field.name for field in fields(Job)}:
        raise ValueError("other fields")
    job = Job(**{**row, "pinned_boards": tuple(row["pinned_boards"])})
    numbers = (job.flash_size, job.start, job.size)
    texts = (job.action, job.card, job.board, job.image, job.snapshot, job.image_name, job.version)
    if not all(isinstance(text, str) for text in (*texts, *job.pinned_boards)):
        raise ValueError("not text")
    if not all(SHA256.fullmatch(digest) for digest in (job.image, job.snapshot)):
        raise ValueError("no SHA-256")
    make_pin(job.image, job.version, boards=job.pinned_boards)
    if job.action not in (APPLY, ROLLBACK) or [_offset(number) for number in numbers].count(0):
        raise ValueError("impossible")
    return job
