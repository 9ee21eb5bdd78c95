"""Request and reply with a CSAC, with and without its checksum mode ("SA.45s CSAC User Guide", 990-00123)."""

from __future__ import annotations

import re
from functools import reduce
from operator import xor
from typing import Final

from timecard.errors import DeviceTimeoutError, ProtocolError, RefusedError
from timecard.mac.text_line import TextLine
from timecard.protocols import ByteStream
from timecard.timebase import Timebase

ESCAPE: Final = b"\x1b"
"""Ends a command that had begun."""
QUIET_S: Final = 0.05
MAX_LINE: Final = 512
_REPLY_S: Final = 1.0
_UNKNOWN: Final = "?"
_BAD_SUM: Final = "*"


class CsacLine:
    """One command at a time, with a deadline; finds out by itself whether the checksum mode is on."""

    def __init__(self, stream: ByteStream, timebase: Timebase) -> None:
        self.name = stream.name
        self.dropped = 0
        """Damaged answers so far."""
        self._text = TextLine(stream, timebase, end=b"\r\n", max_bytes=MAX_LINE)
        self._checks = False
        """The part's checksum mode is on."""

    def drain(self, quiet_s: float) -> int:
        """Throw input away until nothing comes for ``quiet_s``."""
        return self._text.drain(quiet_s)

    def exchange(
        self,
        command: str,
        pattern: re.Pattern[str],
        *,
        shortcut: bytes | None = None,
        timeout_s: float = _REPLY_S,
        repeatable: bool = True,
    ) -> str:
        """The first group of ``pattern`` in the answer.

        What the part did not understand, or refused to check, was not done, and is asked again in the other
        checksum mode. Raises ``RefusedError`` for a command that it does not take.
        """
        failure: Exception = DeviceTimeoutError(self.name, command, f"no answer within {timeout_s} s")
        tries = 3
        while tries:
            tries -= 1
            checks = self._checks
            text = self._text.ask(self._request(command, shortcut), timeout_s)
            if text is None:
                self.dropped += bool(self._text.unfinished)
                if shortcut is not None:  # checksum mode takes no shortcuts, and says nothing
                    self._checks = not checks
                if not repeatable:
                    break
                tries = min(tries, 1)
                continue
            if text == _BAD_SUM:
                self._checks = True
                failure = ProtocolError(self.name, command, "damaged on the line (checksum)")
                continue
            body, star, given = text.rpartition("*")
            if checks and not (star and given == f"{checksum(body):02X}"):
                self._checks = checks and text != _UNKNOWN
                failure = self._damaged(command, text)
                if not repeatable and text != _UNKNOWN:
                    break
                continue
            body = body if checks else text
            if body == _UNKNOWN:
                failure = RefusedError(self.name, command, "not understood, or out of range")
                tries = min(tries, 1)
                continue
            found = pattern.fullmatch(body)
            if found is not None:
                return found[1]
            failure = self._damaged(command, body)
            if not repeatable:
                break
        raise failure

    def _request(self, command: str, shortcut: bytes | None) -> bytes:
        if self._checks:
            return b"%s!%s*%02X\r\n" % (ESCAPE, command.encode("ascii"), checksum(command))
        return shortcut if shortcut is not None else b"%s!%s\r\n" % (ESCAPE, command.encode("ascii"))

    def _damaged(self, command: str, text: str) -> ProtocolError:
        self.dropped += 1
        self._text.drain(QUIET_S)
        return ProtocolError(self.name, command, f"answers {text[:40]!r}")


def checksum(text: str) -> int:
    """XOR of the characters between ``!`` and ``*``."""
    return reduce(xor, text.encode("latin-1"), 0)
