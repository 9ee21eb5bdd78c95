"""Request and reply with parts that answer a line of text: one request at a time, with a deadline."""

from __future__ import annotations

from typing import Final

from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

MAX_DRAIN_BYTES: Final = 65_536
MAX_DRAIN_S: Final = 1.5
"""A line that never falls silent is not waited for."""


class TextLine:
    """A byte stream on which every answer ends alike."""

    def __init__(self, stream: ByteStream, timebase: Timebase, *, end: bytes, max_bytes: int) -> None:
        self.name = stream.name
        self.timebase = timebase
        self.dropped = 0
        """Answers that were none, or damaged."""
        self.drained = b""
        """The end of what the latest ``drain`` threw away."""
        self._stream = stream
        self._end = end
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def drain(self, quiet_s: float = 0.0) -> int:
        """Throw input away until nothing comes for ``quiet_s``; returns how many bytes it was."""
        deadline_ns = self.timebase.mono_ns() + round(MAX_DRAIN_S * NS_PER_S)
        thrown = len(self._buffer)
        tail = bytes(self._buffer[-64:])
        self._buffer.clear()
        while thrown < MAX_DRAIN_BYTES and self.timebase.mono_ns() < deadline_ns:
            data = self._stream.read(4096, quiet_s)
            if not data:
                break
            thrown += len(data)
            tail = (tail + data)[-64:]
        self.drained = tail
        return thrown

    def send(self, data: bytes) -> None:
        """Send bytes that have no answer."""
        self._stream.write(data)

    def ask(self, request: bytes, timeout_s: float, *, may_be_empty: bool = False) -> str | None:
        """Send a request and return its answer without the end of line; None when it does not come whole.

        ``may_be_empty``: an end of line alone is an answer, otherwise it is skipped.
        """
        self.drain()
        self._stream.write(request)
        deadline_ns = self.timebase.mono_ns() + round(timeout_s * NS_PER_S)
        over = False
        while True:
            at = self._buffer.find(self._end)
            if at >= 0:
                text = bytes(self._buffer[:at])
                del self._buffer[: at + len(self._end)]
                if may_be_empty or text.strip():
                    return text.decode("latin-1")
                continue
            if over or len(self._buffer) > self._max_bytes:
                return None
            left_ns = deadline_ns - self.timebase.mono_ns()
            over = left_ns <= 0  # one more look: it may have come while this program was not running
            self._buffer += self._stream.read(4096, max(0, left_ns) / NS_PER_S)

    @property
    def unfinished(self) -> bytes:
        """What came without an end, at most 64 bytes of it."""
        return bytes(self._buffer[:64])
