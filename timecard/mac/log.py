"""A capture pack for a repair request: what an oscillator module said, byte by byte, and what it means.

A pack is a zip file of

* ``raw.log``, one line for each write and read: unix time in ns, ``TX``, ``RX`` or ``MARK``, the text in
  quotes and the bytes in hexadecimal, as Meta's ``sa53`` tool writes them;
* ``telemetry.csv``, one row for each round, the columns by the part's own names and units;
* ``pack.json``: who the part is, what was running, what went wrong meanwhile.

Nothing of the host goes in but the versions of this program, Python and the kernel: no host name, no address,
no user. Unix time in the raw log tells the maker when it was.
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Protocol

from timecard.errors import DeviceLostError, TimeCardError, from_oserror
from timecard.protocols import ByteStream, RateStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import OscillatorIdentity, OscillatorStatus, Reading

MAX_RAW_BYTES: Final = 64 << 20
MAX_FAILURES: Final = 5
"""Rounds in a row without an answer that end a capture."""
FORMAT: Final = "timecard mac log 1"
RAW, TELEMETRY, PACK = "raw.log", "telemetry.csv", "pack.json"
_COLUMNS: Final = (
    "unix_ns",
    "locked",
    "lock_progress_percent",
    "frequency_ppb",
    "phase_ns",
    "pps_detected",
    "temperature_mdegc",
    "disciplining",
    "resets",
    "dropped",
    "alarms",
    "alarm_names",
)


class Part(Protocol):
    """What a pack is made of."""

    def identify(self) -> OscillatorIdentity:
        """Who is there."""
        ...

    def status(self, full: bool = False) -> OscillatorStatus:
        """One round of telemetry."""
        ...


class RecordingStream:
    """A ``ByteStream`` that writes down what goes through it; ``recorded`` makes it."""

    def __init__(self, stream: ByteStream, now_unix_ns: Callable[[], int] = time.time_ns) -> None:
        self.name = stream.name
        self.dropped = 0
        """Entries that did not fit any more."""
        self._stream = stream
        self._now_unix_ns = now_unix_ns
        self._lines: list[str] = []
        self._bytes = 0

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """As of the stream itself."""
        data = self._stream.read(max_bytes, timeout_s)
        if data:
            self._note("RX", data)
        return data

    def write(self, data: bytes) -> None:
        """As of the stream itself."""
        self._note("TX", data)
        self._stream.write(data)

    def mark(self, text: str) -> None:
        """A remark between the bytes."""
        self._note("MARK", text.encode("ascii", "replace"))

    def text(self) -> str:
        """Everything noted so far."""
        return "".join(self._lines)

    def _note(self, kind: str, data: bytes) -> None:
        line = f"{self._now_unix_ns()} {kind} {_quoted(data)} {data.hex()}\n"
        if self._bytes + len(line) > MAX_RAW_BYTES:
            self.dropped += 1
            return
        self._bytes += len(line)
        self._lines.append(line)


class RecordingRateStream(RecordingStream):
    """A ``RateStream`` that writes down what goes through it."""

    def __init__(self, stream: RateStream, now_unix_ns: Callable[[], int] = time.time_ns) -> None:
        super().__init__(stream, now_unix_ns)
        self._rated = stream

    @property
    def baud(self) -> int:
        """As of the stream itself."""
        return self._rated.baud

    def set_baud(self, baud: int) -> None:
        """As of the stream itself."""
        self._rated.set_baud(baud)
        self.mark(f"{baud} baud")


def recorded(stream: ByteStream, now_unix_ns: Callable[[], int] = time.time_ns) -> RecordingStream:
    """The stream, written down; its rate can be changed if the stream's can."""
    if isinstance(stream, RateStream):
        return RecordingRateStream(stream, now_unix_ns)
    return RecordingStream(stream, now_unix_ns)


def readings_of(part: object) -> tuple[Reading, ...]:
    """What a driver reads beyond its status when it is asked for everything; raises as its ``status``."""
    readings: tuple[Reading, ...] = getattr(part, "readings", tuple)()
    return readings


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What was heard of a part."""

    identity: OscillatorIdentity | None
    rounds: tuple[tuple[int, OscillatorStatus], ...]
    """Unix ns and telemetry."""
    failures: tuple[tuple[int, str], ...]
    """Unix ns and what went wrong."""

    @classmethod
    def failed(cls, reason: str, now_unix_ns: Callable[[], int] = time.time_ns) -> Capture:
        """Of a part that did not say who it is."""
        return cls(identity=None, rounds=(), failures=((now_unix_ns(), reason),))


def capture(
    part: Part,
    stream: RecordingStream,
    timebase: Timebase,
    *,
    seconds: float,
    interval_s: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
    now_unix_ns: Callable[[], int] = time.time_ns,
) -> Capture:
    """Ask who is there, then for everything it measures, once in ``interval_s`` until ``seconds`` are over.

    A part that takes longer for a round than ``interval_s`` gives fewer rounds. A round that fails is noted;
    ``MAX_FAILURES`` in a row end the capture. Never raises a hardware error but ``DeviceLostError`` of the
    very first exchange: what was heard of an ill part is the point.
    """
    rounds: list[tuple[int, OscillatorStatus]] = []
    failures: list[tuple[int, str]] = []
    identity: OscillatorIdentity | None = None
    stream.mark("identify")
    try:
        identity = part.identify()
    except DeviceLostError:
        raise
    except TimeCardError as error:
        failures.append((now_unix_ns(), str(error)))
    total = max(1, round(seconds / interval_s))
    start_ns, in_a_row = timebase.mono_ns(), 0
    for number in range(total):
        wait_ns = start_ns + round(number * interval_s * NS_PER_S) - timebase.mono_ns()
        if wait_ns > 0:
            timebase.sleep_s(wait_ns / NS_PER_S)
        if number and timebase.mono_ns() - start_ns >= seconds * NS_PER_S:
            break
        stream.mark(f"round {number + 1} of {total}")
        try:
            rounds.append((now_unix_ns(), part.status(full=True)))
            at_ns, status = rounds[-1]  # kept even when the rest of the round fails
            rounds[-1] = (at_ns, replace(status, readings=(*status.readings, *readings_of(part))))
            in_a_row = 0
        except TimeCardError as error:
            failures.append((now_unix_ns(), str(error)))
            stream.mark(str(error))
            in_a_row += 1
            if in_a_row >= MAX_FAILURES or isinstance(error, DeviceLostError):
                break
        if progress is not None:
            progress(number + 1, total)
    return Capture(identity=identity, rounds=tuple(rounds), failures=tuple(failures))


def write_pack(path: Path, stream: RecordingStream, heard: Capture, remark: str = "") -> None:
    """Write the pack, whole or not at all.

    Raises ``CardPermissionError`` and others of ``errors`` when it cannot.
    """
    facts = {
        "format": FORMAT,
        "remark": remark,
        "part": None if heard.identity is None else asdict(heard.identity),
        "rounds": len(heard.rounds),
        "failures": [{"unix_ns": str(at_ns), "error": text} for at_ns, text in heard.failures],
        "raw_entries_dropped": stream.dropped,
        "versions": _versions(),
    }
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        try:
            with fresh.open("wb") as file:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as pack:
                    pack.writestr(PACK, json.dumps(facts, indent=2) + "\n")
                    pack.writestr(RAW, stream.text())
                    pack.writestr(TELEMETRY, telemetry_csv(heard))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise from_oserror(str(path), "write the capture pack", error) from error


def telemetry_csv(heard: Capture) -> str:
    """All rounds as a table; an empty field is a value that the part did not give in that round."""
    units = {reading.name: reading.unit for _, status in heard.rounds for reading in status.readings}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    own = [f"{name} [{unit}]" if unit else name for name, unit in units.items()]
    writer.writerow([*_COLUMNS, *own])
    for at_ns, status in heard.rounds:
        values = {reading.name: reading.value for reading in status.readings}
        fields = [
            at_ns,
            *(getattr(status, column) for column in _COLUMNS[1:-1]),
            "; ".join(status.alarm_names),
        ]
        writer.writerow([_cell(value) for value in (*fields, *(values.get(name) for name in units))])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return "" if value is None else value


def _quoted(data: bytes) -> str:
    """Printable characters as they are, others escaped."""
    escapes = {0x22: '\\"', 0x5C: "\\\\", 0x0D: "\\r", 0x0A: "\\n", 0x09: "\\t"}
    text = (escapes.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}") for byte in data)
    return f'"{"".join(text)}"'


def _versions() -> dict[str, str]:
    try:
        ours = version("timecard-toolkit")
    except PackageNotFoundError:
        ours = "not installed"
    return {"timecard-toolkit": ours, "python": platform.python_version(), "kernel": platform.release()}
