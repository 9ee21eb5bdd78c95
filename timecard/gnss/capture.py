"""Recording a receiver's line, and playing any recording through the decoders.

The format is JSON lines, so that a text editor, ``jq`` and a damaged disk can all cope with it. The first
line says what the rest is::

    {"format": "timecard-gnss", "version": 1, "device": "/dev/ttyS4", "baud": 115200,
     "mono_ns": 5000000000, "unix_ns": 1796000000000000000}

``mono_ns`` and ``unix_ns`` are the host's CLOCK_MONOTONIC_RAW and its real-time clock at one instant. Each
further line is a piece of the line as it was read, with the time at which it was, or, with ``tx``, what was
sent to the receiver::

    {"mono_ns": 5000123456, "rx": "b5620121..."}

Other recordings are read too: raw bytes as from the wire, with or without a header of text lines that begin
with ``#`` or ``{``, and the text exports of u-center, a message a line in hexadecimal without the frame.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from timecard.errors import ProtocolError, from_oserror
from timecard.gnss.foreign import protocol_name
from timecard.gnss.framing import header_end
from timecard.gnss.pacing import EpochPacer
from timecard.gnss.stream_decoder import FrameCounts, StreamDecoder
from timecard.gnss.ubx import encode
from timecard.values import GnssEvent

FORMAT: Final = "timecard-gnss"
VERSION: Final = 1
REPLAY_EARLIEST_TAI_S: Final = 1_262_304_034
"""2010-01-01: a recording may be old. Its 1024 weeks end in 2029."""
MAX_PIECE_BYTES: Final = 65_536
"""One read of a serial line is a few kB."""
_MAX_LINE_BYTES: Final = 2 * MAX_PIECE_BYTES + 256
_SAMPLE_BYTES: Final = 8_192
_HEADER_BYTES: Final = 65_536
_UCENTER_LINE: Final = re.compile(rb"[A-Z0-9]+(?:-[A-Z0-9]+)+ - ((?:[0-9A-Fa-f]{2} )+[0-9A-Fa-f]{2})\s*")
_READ_CAPTURE: Final = "read GNSS recording"


class CaptureWriter:
    """Writes a recording to a binary file that is open; the caller flushes and closes it."""

    def __init__(
        self, file: BinaryIO, name: str, *, device: str, baud: int | None, mono_ns: int, unix_ns: int
    ) -> None:
        """``name``: of the file, for errors. Raises ``TimeCardError`` when it cannot be written."""
        self._file = file
        self._name = name
        self.bytes_received = 0
        self._write(
            {
                "format": FORMAT,
                "version": VERSION,
                "device": device,
                "baud": baud,
                "mono_ns": mono_ns,
                "unix_ns": unix_ns,
            }
        )

    def received(self, data: bytes, mono_ns: int) -> None:
        """Bytes that were read at ``mono_ns``."""
        for at in range(0, len(data), MAX_PIECE_BYTES):
            self._write({"mono_ns": mono_ns, "rx": data[at : at + MAX_PIECE_BYTES].hex()})
        self.bytes_received += len(data)

    def sent(self, data: bytes, mono_ns: int) -> None:
        """Bytes that were sent to the receiver; a replay leaves them out."""
        for at in range(0, len(data), MAX_PIECE_BYTES):
            self._write({"mono_ns": mono_ns, "tx": data[at : at + MAX_PIECE_BYTES].hex()})

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n")
        except OSError as exc:
            raise from_oserror(self._name, "write GNSS recording", exc) from exc


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a recording that were read at once."""

    data: bytes
    mono_ns: int | None
    """None: the recording does not tell."""


class CaptureReader:
    """The pieces of a recording, in order. Counts are final when the iteration has ended."""

    def __init__(self, path: Path) -> None:
        """Raises ``TimeCardError`` when the file cannot be read, or is of a later version."""
        self.path = path
        self.header_lines = 0
        """Lines of text before the first byte of the stream."""
        self.damaged_lines = 0
        """Lines of a recording that are none of its format."""
        self.sent_pieces = 0
        self.sample = b""
        """The stream's first bytes."""
        try:
            with path.open("rb") as file:
                self._begin = file.read(_HEADER_BYTES)
        except OSError as exc:
            raise from_oserror(str(path), _READ_CAPTURE, exc) from exc
        self.kind = self._kind()
        """``timecard``, ``u-center`` or ``raw``."""

    @property
    def has_times(self) -> bool:
        """Whether the recording tells when its pieces were read."""
        return self.kind == "timecard"

    def __iter__(self) -> Iterator[Piece]:
        """From the start. Raises ``TimeCardError`` when the file cannot be read on."""
        readers = {"timecard": self._timecard, "u-center": self._ucenter, "raw": self._raw}
        self.header_lines = self.damaged_lines = self.sent_pieces = 0
        self.sample = b""
        try:
            with self.path.open("rb") as file:
                for piece in readers[self.kind](file):
                    if len(self.sample) < _SAMPLE_BYTES:
                        self.sample += piece.data[:_SAMPLE_BYTES]
                    yield piece
        except OSError as exc:
            raise from_oserror(str(self.path), _READ_CAPTURE, exc) from exc

    def _kind(self) -> str:
        first = self._begin.split(b"\n", 1)[0]
        header = _json(first) if first.startswith(b"{") else None
        if header is not None and header.get("format") == FORMAT:
            if header.get("version") != VERSION:
                raise ProtocolError(
                    str(self.path),
                    _READ_CAPTURE,
                    f"version {header.get('version')!r} of the format; this program knows version {VERSION}",
                )
            return "timecard"
        return "u-center" if _UCENTER_LINE.fullmatch(first) else "raw"

    def _timecard(self, file: BinaryIO) -> Iterator[Piece]:
        file.readline(_MAX_LINE_BYTES)
        self.header_lines = 1
        last_ns = None
        while line := file.readline(_MAX_LINE_BYTES):
            entry = _json(line)
            sent = entry is not None and "tx" in entry
            data, mono_ns = _piece(entry, "tx" if sent else "rx")
            if data is None or mono_ns is None or (last_ns is not None and mono_ns < last_ns):
                self.damaged_lines += 1
                continue
            last_ns = mono_ns
            if sent:
                self.sent_pieces += 1
            else:
                yield Piece(data, mono_ns)

    def _ucenter(self, file: BinaryIO) -> Iterator[Piece]:
        while line := file.readline(_MAX_LINE_BYTES):
            found = _UCENTER_LINE.fullmatch(line)
            body = bytes.fromhex(found.group(1).decode("ascii")) if found else b""
            if len(body) < 4 or len(body) != 4 + int.from_bytes(body[2:4], "little"):
                self.damaged_lines += 1
                continue
            yield Piece(encode(int.from_bytes(body[:2], "big"), body[4:]), None)

    def _raw(self, file: BinaryIO) -> Iterator[Piece]:
        end, self.header_lines = header_end(self._begin)
        file.seek(end)
        while data := file.read(MAX_PIECE_BYTES):
            yield Piece(data, None)


class Replay:
    """Iterate for the events of a recording, through the code that decodes a live line.

    A recording with host times gives what the live line gave; one without has times from ``EpochPacer``.
    """

    def __init__(self, path: Path, earliest_tai_s: int = REPLAY_EARLIEST_TAI_S) -> None:
        """Raises ``TimeCardError`` when the file cannot be read."""
        self.capture = CaptureReader(path)
        self._earliest_tai_s = earliest_tai_s
        self._decoder: StreamDecoder | None = None

    @property
    def counts(self) -> FrameCounts:
        """Of the frames so far."""
        return self._decoder.counts if self._decoder else FrameCounts()

    @property
    def problem(self) -> str | None:
        """Why the latest times were refused, in plain words."""
        return self._decoder.problem if self._decoder else None

    @property
    def foreign_protocol(self) -> str | None:
        """What the recording looks like, where no frame of a supported protocol was in it."""
        counts = self.counts
        return None if counts.good or counts.unknown else protocol_name(self.capture.sample)

    def __iter__(self) -> Iterator[GnssEvent]:
        """From the start, with new decoders."""
        pacer = None if self.capture.has_times else EpochPacer()
        decoder = self._decoder = StreamDecoder(self._earliest_tai_s, pacer)
        mono_ns = 0
        for piece in self.capture:
            mono_ns = mono_ns if piece.mono_ns is None else piece.mono_ns
            yield from decoder.feed(piece.data, mono_ns)
        yield from decoder.finish(mono_ns)


def replay(path: Path, earliest_tai_s: int = REPLAY_EARLIEST_TAI_S) -> Replay:
    """The events of a recording, and afterwards its counts."""
    return Replay(path, earliest_tai_s)


def _json(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _piece(entry: dict[str, Any] | None, key: str) -> tuple[bytes | None, int | None]:
    if entry is None:
        return None, None
    mono_ns, text = entry.get("mono_ns"), entry.get(key)
    if type(mono_ns) is not int or not 0 <= mono_ns < 1 << 63 or not isinstance(text, str):
        return None, None
    try:
        return bytes.fromhex(text), mono_ns
    except ValueError:
        return None, None
