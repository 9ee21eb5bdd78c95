"""The recorder: a discipline that writes down what it is given and what it decides.

It never fails: whatever happens to the disk, the discipline goes on, what is not written is counted, and an
alarm says so. After a gap, and when a file has grown enough, the next file begins with the whole state of the
discipline, so that each file can be replayed alone.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from appliance.config_models import FlightConfig
from appliance.events import Action, Event
from appliance.flight.checkpoint import capture
from appliance.flight.decision import VOCABULARY, Announcement, Decision, End
from appliance.flight.files import Limits
from appliance.flight.shapes import Packer
from appliance.flight.writer import FlightWriter
from appliance.snapshot import ClockSnapshot
from appliance.timescale.discipline import Discipline
from appliance.timescale.discipline_config import DisciplineConfig
from appliance.version import installed_version
from timecard.timescale import NS_PER_S

log = logging.getLogger(__name__)

RETRY_NS: Final = 60 * NS_PER_S
MAX_BUFFER_BYTES: Final = 256 << 10
NOT_STATE: Final = ("_flight", "_handlers", "_on_accept")
"""Of a discipline: what is not state but wiring."""


class FlightRecorder:
    """What the discipline tells it goes to the writer once a second."""

    def __init__(self, writer: FlightWriter, facts: Mapping[str, Any]) -> None:
        """``facts`` go into every header: card, boot."""
        self._writer = writer
        self._facts = {"product": installed_version(), **facts, "machine": machine()}
        self._discipline: RecordedDiscipline | None = None
        self._packer: Packer | None = None
        """None: nothing is being written."""
        self._buffer = bytearray()
        self._waiting = 0
        """Records in the buffer."""
        self._unwritten = 0
        self._begun_ns = self._retry_ns = 0
        self._announced: Announcement | None = None
        """As the present file says it."""
        self.problem: str | None = None

    @property
    def lost(self) -> int:
        """Events, actions and decisions that were not written."""
        return self._unwritten + self._writer.dropped

    @property
    def alarms(self) -> tuple[str, ...]:
        """What an operator should see."""
        return () if self.problem is None else (f"flight recorder: {self.problem}; {self.lost} records lost",)

    # ------------------------------------------------------------------ told by the discipline

    def begin(self, discipline: RecordedDiscipline, mono_ns: int, start: Mapping[str, Any]) -> None:
        """A new discipline, with what it began with."""
        self._finish("another discipline begins")
        self._discipline = discipline
        self._next_file(mono_ns, "start", start)

    def announce(self, said: Announcement) -> None:
        """What clients are told now; written when it is news, and once in each file."""
        if said != self._announced:
            self._announced = said
            self.note(said)

    def note(self, value: Event | Action | Decision | Announcement | End) -> None:
        """Something happened or was decided."""
        if self._packer is None:
            self._unwritten += 1
            return
        self._waiting += not isinstance(value, End)
        try:
            self._buffer += self._packer.pack(value)
        except (TypeError, ValueError, struct.error) as error:
            self._stop(f"a record cannot be written ({error})")

    def second(self, mono_ns: int) -> None:
        """A decision was taken: write, and see to the files."""
        limits, writer = self._writer.limits, self._writer
        if self._packer is None:
            if mono_ns >= self._retry_ns:
                self._next_file(mono_ns, "after a gap")
            return
        self._flush()
        size, packer = writer.size, self._packer
        if writer.problem is not None:
            self._stop(writer.problem)
        elif size is None or packer is None:
            return
        elif self.problem is not None:
            log.warning("flight recorder writes again lost=%d", self.lost)
            self.problem = None
        elif mono_ns - self._begun_ns >= limits.file_s * NS_PER_S or size >= limits.file_bytes or packer.full:
            self._finish("continued in the next file")
            self._next_file(mono_ns, "continued")

    def flush_when_large(self) -> None:
        """Between two seconds: events must not pile up."""
        if len(self._buffer) > MAX_BUFFER_BYTES:
            self._flush()

    def close(self, reason: str = "stopped") -> None:
        """No more comes."""
        self._finish(reason)
        self._writer.close()

    # ------------------------------------------------------------------ inside

    def _next_file(self, mono_ns: int, reason: str, start: Mapping[str, Any] | None = None) -> None:
        discipline = self._discipline
        if discipline is None:
            return
        self._begun_ns, self._retry_ns = mono_ns, mono_ns + RETRY_NS
        self._announced = None
        try:
            begin = json.dumps(start or {"checkpoint": capture(discipline, NOT_STATE)}).encode()
        except (TypeError, ValueError, RecursionError) as error:
            self._stop(f"the discipline's state cannot be written ({error})")
            return
        header = {
            **self._facts,
            "written_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "begins": reason,
            "start_mono_ns": mono_ns,
            "config": asdict(discipline.config),
        }
        if not self._writer.begin(header, begin):
            self._stop("the disk does not keep up")
            return
        self._packer = Packer(VOCABULARY)

    def _flush(self) -> None:
        if self._buffer and not self._writer.put(bytes(self._buffer), self._waiting):
            self._stop("the disk does not keep up")
        self._buffer.clear()
        self._waiting = 0

    def _finish(self, reason: str) -> None:
        if self._packer is not None:
            self.note(End(reason=reason))
            self._flush()
        self._packer = None

    def _stop(self, problem: str) -> None:
        self._packer = None
        self._buffer.clear()
        self._unwritten += self._waiting
        self._waiting = 0
        if problem != self.problem:
            log.error("flight recorder stopped reason=%s", problem)
        self.problem = problem


class RecordedDiscipline(Discipline):
    """A discipline whose inputs and decisions are recorded. It decides exactly as without."""

    def __init__(
        self,
        flight: FlightRecorder,
        config: DisciplineConfig,
        mono_ns: int,
        on_accept: Callable[[], None] = lambda: None,
        **begin: Any,
    ) -> None:
        """``begin``: what else the discipline begins with (``resume``, ...); JSON-able."""
        super().__init__(config, mono_ns, on_accept=on_accept, **begin)
        self._flight = flight
        flight.begin(self, mono_ns, {"begin": begin})

    def handle(self, event: Event) -> list[Action]:
        """As ``Discipline.handle``. The event is written down first: one that ends the process is there."""
        self._flight.note(event)
        try:
            actions = super().handle(event)
        except BaseException:
            self._flight.close("an event could not be handled")
            raise
        for action in actions:
            self._flight.note(action)
        self._flight.flush_when_large()
        return actions

    def snapshot(self, mono_ns: int) -> ClockSnapshot:
        """As ``Discipline.snapshot``."""
        snapshot = super().snapshot(mono_ns)
        self._flight.note(Decision.of(snapshot))
        self._flight.second(mono_ns)
        return snapshot


def open_flight(
    config: FlightConfig, directory: Path, *, threaded: bool = True, **facts: str
) -> FlightRecorder | None:
    """The recorder as configured; None when it is switched off."""
    if not config.enable:
        return None
    total_bytes = config.total_mib << 20
    limits = Limits(file_bytes=total_bytes // 8, file_s=config.file_hours * 3600.0, total_bytes=total_bytes)
    return FlightRecorder(FlightWriter(directory, limits, threaded=threaded), facts)


def machine() -> dict[str, str]:
    """What the last bits of a double may depend on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "architecture": platform.machine(),
        "processor": f"{names[0] if names else 'unknown'}, {os.cpu_count()} cores",
    }
