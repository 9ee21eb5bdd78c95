"""Writing beside timekeeping: a thread with a bounded queue, so that no disk ever holds the discipline up.

A disk that fails or fills ends the file, not the appliance: what was still to come is dropped, and the
recorder asks for a new file later. ``threaded=False`` does the same in place, for virtual time.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from appliance.flight.files import Limits, OpenFile, keep_within

log = logging.getLogger(__name__)

QUEUE_SIZE: Final = 120
"""Batches, one a second: a disk may stall for two minutes."""
SYNC_EVERY_S: Final = 10.0
"""A power cut costs no more than this."""
END_S: Final = 5.0


class FlightWriter:
    """Files in a directory. Called by one thread; the work is done on another."""

    def __init__(self, directory: Path, limits: Limits, *, threaded: bool = True) -> None:
        self.directory = directory
        self.limits = limits
        self.dropped = 0
        """Records that were taken and could not be written."""
        self._begun = 0
        self._broken: tuple[int, str] = (0, "")
        self._file: OpenFile | None = None
        self._number = self._size = 0
        self._synced_s = 0.0
        self._jobs: queue.Queue[Callable[[], None] | None] | None = None
        if threaded:
            self._jobs = queue.Queue(QUEUE_SIZE)
            self._thread = threading.Thread(target=self._work, name="flight-writer", daemon=True)
            self._thread.start()

    # ------------------------------------------------------------------ asked for by the recorder

    def begin(self, header: Mapping[str, Any], start: bytes) -> bool:
        """Close the file and open the next one; False when the disk does not keep up.

        ``header`` must be JSON-able, ``start`` is JSON.
        """
        number = self._begun = self._begun + 1
        return self._do(lambda: self._open(number, header, start))

    def put(self, items: bytes, records: int) -> bool:
        """Append what holds so many records; False when the disk does not keep up."""
        return self._do(lambda: self._write(items, records))

    @property
    def problem(self) -> str | None:
        """Why the present file cannot be written any more."""
        number, reason = self._broken
        return reason if number == self._begun else None

    @property
    def size(self) -> int | None:
        """Bytes of the file that was begun last; None while it is not open (yet)."""
        return self._size if self._file is not None and self._number == self._begun else None

    def close(self) -> None:
        """Write what waits, within some seconds, and close the file."""
        if self._jobs is None:
            self._end()
            return
        with contextlib.suppress(queue.Full):
            self._jobs.put(None, timeout=END_S)
            self._thread.join(END_S)

    # ------------------------------------------------------------------ done beside

    def _do(self, job: Callable[[], None]) -> bool:
        if self._jobs is None:
            job()
            return True
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    def _work(self) -> None:
        jobs = self._jobs
        while jobs is not None and (job := jobs.get()) is not None:
            job()
            if self._file is not None and time.monotonic() - self._synced_s >= SYNC_EVERY_S:
                self._guarded(self._file.sync)
                self._synced_s = time.monotonic()
        self._end()

    def _open(self, number: int, header: Mapping[str, Any], start: bytes) -> None:
        self._end()
        self._number, self._size = number, 0

        def open_next() -> None:
            self._file = OpenFile(self.directory, header, start)
            # The new one will grow, at most a second's records beyond its own limit.
            room = self.limits.total_bytes - 2 * self.limits.file_bytes
            keep_within(self.directory, room, self._file.path)

        self._guarded(open_next)

    def _write(self, items: bytes, records: int) -> None:
        file = self._file
        if file is not None:
            self._guarded(lambda: file.write(items))
        if self._file is None:
            self.dropped += records
        else:
            self._size = self._file.size

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            self._guarded(file.sync)
            with contextlib.suppress(OSError):
                file.close()

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except OSError as error:
            self._broken = (self._number, f"cannot write to {self.directory} ({error.strerror or error})")
            file, self._file = self._file, None
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
