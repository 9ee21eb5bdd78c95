"""The device side of the SA5X's line protocol (Microchip "MAC SA5X User's Guide", DS50002938).

Bytes outside braces are ignored; the closing brace ends a command; sequence number and checksum are answered
only where the command carried them.
"""

from __future__ import annotations

import re
from functools import reduce
from operator import xor
from typing import Final, NamedTuple

MAX_COMMAND_BYTES: Final = 4096
BAD_SYNTAX, TOO_FEW, BAD_CHECKSUM = 1, 2, 3
UNKNOWN_NAME, NOT_ACCEPTABLE, READ_ONLY = 100, 101, 102
_HEAD: Final = re.compile(r"(?P<name>[A-Za-z0-9]+\??)(?:#(?P<sequence>[0-9A-Fa-f]{2}))?")
_ESCAPES: Final = {"r": "\r", "n": "\n", "t": "\t"}


class Command(NamedTuple):
    """One command; ``error`` is 0 or why it cannot be executed."""

    name: str
    arguments: tuple[str, ...]
    sequence: str
    has_checksum: bool
    error: int

    def reply(self, value: str) -> bytes:
        """An answer with a value."""
        return self._framed(f"={value}")

    def refuse(self, code: int) -> bytes:
        """An answer with an error."""
        return self._framed(f"!{code}")

    def _framed(self, text: str) -> bytes:
        body = (f"#{self.sequence}" if self.sequence else "") + text
        tail = f"|{checksum(body):02X}" if self.has_checksum else ""
        return f"[{body}{tail}]\r\n".encode("latin-1")


def notice(text: str) -> bytes:
    """What the device says unasked."""
    return f"[>{text}]\r\n".encode("ascii")


def checksum(text: str) -> int:
    """XOR of the characters between bracket and bar."""
    return reduce(xor, text.encode("latin-1"), 0)


class CommandReader:
    """Bytes in, commands out."""

    def __init__(self) -> None:
        self._open = False
        self._text = bytearray()

    def clear(self) -> None:
        """Forget a command that has begun."""
        self._open = False
        self._text.clear()

    def feed(self, data: bytes) -> list[Command]:
        """Commands completed by ``data``."""
        commands = []
        for byte in data:
            if byte == 0x7B:  # also inside a command: its closing brace was lost on the line
                self._open = True
                self._text.clear()
            elif not self._open:
                continue
            elif byte == 0x7D:
                self._open = False
                commands.append(parse(self._text.decode("latin-1")))
            elif len(self._text) < MAX_COMMAND_BYTES:
                self._text.append(byte)
            else:
                self.clear()
        return commands


def parse(text: str) -> Command:
    """A command between its braces."""
    body, bar, given = text.rpartition("|")
    if not bar:
        body = text
    head, *arguments = _split(body)
    found = _HEAD.fullmatch(head)
    name, sequence = (found["name"], found["sequence"] or "") if found else ("", "")
    error = 0 if found and sequence != "00" else BAD_SYNTAX
    if bar and given != f"{checksum(body):02X}":
        error = BAD_CHECKSUM
    return Command(name, tuple(arguments), sequence, bool(bar), error)


def _split(body: str) -> list[str]:
    """Arguments at commas; quotes keep commas, and a backslash in them escapes."""
    parts = [""]
    quoted = escaped = False
    for char in body:
        if escaped:
            parts[-1] += _ESCAPES.get(char, char)
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += char
    return parts
