"""Request and reply in the line protocol of Microchip's SA5X ("MAC SA5X User's Guide", DS50002938).

``{name#XX,arg,...|CC}`` is answered by ``[#XX=value|CC]`` or ``[#XX!error|CC]`` and CR LF; XX is a sequence
number, CC the XOR of the characters before the bar. Both are always sent, so that a reply is known to
belong to its request and to be whole. What does not fit is noise or a late answer: it is dropped, never
believed.
"""

from __future__ import annotations

import re
from functools import reduce
from operator import xor
from typing import Final

from timecard.errors import DeviceTimeoutError, ProtocolError, RefusedError, UnsupportedError
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

ERRORS: Final = {
    1: "unknown command or bad syntax",
    2: "too few arguments",
    3: "bad checksum",
    100: "unknown parameter",
    101: "argument not acceptable (range or type)",
    102: "parameter is read-only",
    301: "corrupt file contents",
    302: "bad file checksum",
    303: "corrupt file contents",
    304: "incomplete file",
    310: "transfer failed, too many retries",
    311: "transfer failed",
    320: "flash erase failed",
    321: "flash write failed",
}
"""What a refused request means."""
_UNKNOWN: Final = frozenset({1, 100})
_DAMAGED: Final = 3
REPLY_S: Final = 2.0
MAX_LINE_BYTES: Final = 4101 + 8
_MAX_DRAIN_BYTES: Final = 65_536
_MAX_DRAIN_S: Final = 1.5
"""A line that never falls silent is not waited for."""
_FIRST_LOOK_S: Final = 0.012
"""Request and reply take about this long on the line and in the device: looking earlier is in vain."""
_REST_S: Final = 0.003
"""After the first bytes of a reply the rest follows without a pause; 16 characters take 2.8 ms at 57600
baud."""
_LINE: Final = re.compile(
    r"\[(?P<body>(?:#(?P<sequence>[0-9A-Fa-f]{2}))?(?P<kind>[=!])(?P<value>[^\r\n]*?))"
    r"(?:\|(?P<sum>[0-9A-Fa-f]{2}))?\]"
)
_NOTICE: Final = re.compile(r"\[>(?P<text>[^\r\n]*)\]")


def checksum(text: str) -> int:
    """XOR of the characters between the opening bracket and the bar."""
    return reduce(xor, text.encode("latin-1"), 0)


class LineClient:
    """One request at a time, with a deadline."""

    def __init__(self, stream: ByteStream, timebase: Timebase) -> None:
        self.name = stream.name
        self.notices = 0
        """Start-up notices seen: the device was reset."""
        self.dropped = 0
        """Lines that were no answer to the request then pending."""
        self._stream = stream
        self._timebase = timebase
        self._buffer = bytearray()
        self._sequence = 0
        self._over_ns = 0
        """The latest deadline that was passed."""

    def request(self, name: str, *arguments: str, repeatable: bool = True) -> str:
        """Send a command and return its value, without quotes.

        ``repeatable``: the command may be sent again when its answer is lost. Raises ``DeviceTimeoutError``,
        ``RefusedError`` with the meaning of the error code, ``UnsupportedError`` for an unknown command or
        parameter, ``ProtocolError`` when only damaged answers come.
        """
        failure = "no answer"
        for _ in range(2 if repeatable else 1):
            self.drain()
            self._sequence = self._sequence % 0xFF + 1
            text = ",".join([f"{name}#{self._sequence:02X}", *arguments])
            self._stream.write(f"{{{text}|{checksum(text):02X}}}".encode("ascii"))
            deadline_ns = self._timebase.mono_ns() + round(REPLY_S * NS_PER_S)
            self._timebase.sleep_s(_FIRST_LOOK_S)
            while (line := self.read_line(deadline_ns)) is not None:
                reply = _whole_reply(line)
                if reply is None:
                    self.dropped += 1
                    failure = "damaged answer"
                    break
                if int(reply["sequence"], 16) != self._sequence:
                    self.dropped += 1
                    continue  # the late answer of an earlier request
                if reply["kind"] == "=":
                    return _unquoted(reply["value"])
                code = reply["value"]
                if code == str(_DAMAGED):
                    failure = "request damaged on the line"
                    break
                self._refuse(name, arguments, code)
            else:
                failure = "no answer"
        operation = ",".join([name, *arguments])
        if failure == "no answer":
            came = f", only {len(self._buffer)} bytes of one" if self._buffer else ""
            raise DeviceTimeoutError(self.name, operation, f"no answer within {REPLY_S} s{came}")
        raise ProtocolError(self.name, operation, failure)

    def probe(self, command: bytes, timeout_s: float) -> str | None:
        """Send raw bytes and return the first line that comes, or None."""
        self.drain()
        self._stream.write(command)
        return self.read_line(self._timebase.mono_ns() + round(timeout_s * NS_PER_S))

    def drain(self, quiet_s: float = 0.0) -> int:
        """Discard input until nothing comes for ``quiet_s``; returns how many bytes it was."""
        deadline_ns = self._timebase.mono_ns() + round(_MAX_DRAIN_S * NS_PER_S)
        while len(self._buffer) < _MAX_DRAIN_BYTES and (data := self._stream.read(4096, quiet_s)):
            self._buffer += data
            if self._timebase.mono_ns() > deadline_ns:
                break
        discarded = len(self._buffer)
        self.notices += len(_NOTICE.findall(self._buffer.decode("latin-1")))
        self._buffer.clear()
        return discarded

    def read_line(self, deadline_ns: int) -> str | None:
        """The next line without its end, or None at the deadline; notices are counted and skipped."""
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                line = self._buffer[:end].decode("latin-1").strip("\r")
                del self._buffer[: end + 1]
                if _NOTICE.search(line):
                    self.notices += 1
                    continue
                return line
            if len(self._buffer) > MAX_LINE_BYTES:
                self._buffer.clear()
                self.dropped += 1
            left_ns = deadline_ns - self._timebase.mono_ns()
            if left_ns <= 0:
                if self._over_ns == deadline_ns:
                    return None
                self._over_ns = deadline_ns  # one more look: it may have come while we were not running
            data = self._stream.read(4096, max(0, left_ns) / NS_PER_S)
            if data and b"\n" not in data:
                self._timebase.sleep_s(_REST_S)
            self._buffer += data

    def _refuse(self, name: str, arguments: tuple[str, ...], code: str) -> None:
        operation = ",".join([name, *arguments])
        if not code.isdecimal():
            raise ProtocolError(self.name, operation, f"error code {code[:20]!r} is no number")
        reason = f"error {code}: {ERRORS.get(int(code), 'not documented')}"
        if int(code) in _UNKNOWN:
            raise UnsupportedError(self.name, operation, reason)
        raise RefusedError(self.name, operation, reason)


def _whole_reply(line: str) -> re.Match[str] | None:
    """The answer in a line, if it has a sequence number and a right checksum; noise may precede it."""
    found = _LINE.search(line)
    if found is None or found["sequence"] is None or found["sum"] is None:
        return None
    return found if int(found["sum"], 16) == checksum(found["body"]) else None


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value
