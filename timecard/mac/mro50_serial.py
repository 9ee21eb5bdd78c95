"""The serial line of an mRO-50: 9600 baud, hexadecimal words, every answer ends with two line feeds.

Commands as oscillatord (``src/oscillators/mRo50_oscillator.c``) uses them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from timecard.errors import DeviceTimeoutError, ProtocolError, RefusedError, UnsupportedError
from timecard.mac.text_line import TextLine
from timecard.protocols import ByteStream
from timecard.timebase import Timebase

MAX_FINE: Final = 4_800
MAX_COARSE: Final = 4_194_303
HEX: Final = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{1,8})")
_REPLY_S: Final = 0.5
_QUIET_S: Final = 0.06
_STATUS_LENGTH: Final = 60
_TEMPERATURE_AT: Final = 52
_LOCK_AT: Final = 56
_LOCKED: Final = 4
_FINE: Final = "MON_tpcb PIL_cfield C"
_Value = TypeVar("_Value")


class SerialWords:
    """``Mro50Words`` over 9600 baud, 8N1: hexadecimal, every answer ends with two line feeds.

    The card must have connected the port to the part first (ART: board configuration word 1).
    """

    can_save = False

    def __init__(self, stream: ByteStream, timebase: Timebase) -> None:
        self.name = stream.name
        self._line = TextLine(stream, timebase, end=b"\n\n", max_bytes=256)
        self._status: str | None = None

    @property
    def dropped(self) -> int:
        """Damaged answers so far."""
        return self._line.dropped

    def fine(self) -> int:
        """The fine word."""
        return self._number(_FINE, MAX_FINE)

    def coarse(self) -> int:
        """The coarse word."""
        return self._number("FD", MAX_COARSE)

    def set_fine(self, value: int) -> None:
        """Set the fine word; the part says nothing but that it heard."""
        self._command(f"{_FINE} {value:04X}")

    def set_coarse(self, value: int) -> None:
        """Set the coarse word."""
        self._command(f"FD {value:08X}")

    def save_coarse(self) -> None:
        """Not known how."""
        raise UnsupportedError(
            self.name, "store the coarse word", "no serial command for it is published; use the card's bridge"
        )

    def locked(self) -> bool:
        """Reads the status line, which the next ``temperature_raw`` uses too."""
        self._status = self._monitor()
        return bool(ord(self._status[_LOCK_AT]) & _LOCKED)

    def temperature_raw(self) -> int:
        """The thermometer's 12-bit word."""
        text, self._status = self._status or self._monitor(), None
        return int(text[_TEMPERATURE_AT:_LOCK_AT], 16) & 0xFFF

    # --- internals ---

    def _monitor(self) -> str:
        def whole(text: str) -> str | None:
            # Noise that came first only moves the line's beginning.
            line = text[-_STATUS_LENGTH:]
            digits = HEX.fullmatch(line[_TEMPERATURE_AT:_LOCK_AT])
            return line if len(line) == _STATUS_LENGTH and line.isascii() and digits else None

        return self._ask("MONITOR1", whole)

    def _number(self, command: str, maximum: int) -> int:
        def number(text: str) -> int | None:
            found = HEX.fullmatch(text.strip())
            value = int(found[1], 16) if found else -1
            return value if 0 <= value <= maximum else None

        return self._ask(command, number)

    def _command(self, command: str) -> None:
        """A write; its answer is the two line feeds alone."""
        for _ in range(2):
            text = self._line.ask(command.encode("ascii") + b"\r", _REPLY_S, may_be_empty=True)
            if text is None:
                continue
            if not text.strip():
                return
            if "?" in text:
                raise RefusedError(self.name, command, "the part refuses: out of range?")
            self._damaged()
        raise DeviceTimeoutError(self.name, command, f"not confirmed within {_REPLY_S} s")

    def _ask(self, command: str, decode: Callable[[str], _Value | None]) -> _Value:
        text: str | None = None
        for _ in range(2):
            text = self._line.ask(command.encode("ascii") + b"\r", _REPLY_S)
            if text is None:
                self._resynchronise()
                continue
            if text.lstrip().startswith("?"):
                raise RefusedError(self.name, command, "the part does not know this command")
            value = decode(text)
            if value is not None:
                return value
            self._damaged()
        if text is None:
            raise DeviceTimeoutError(self.name, command, f"no answer within {_REPLY_S} s")
        raise ProtocolError(self.name, command, f"answers {text[:40]!r}")

    def _damaged(self) -> None:
        self._line.dropped += 1
        self._resynchronise()

    def _resynchronise(self) -> None:
        self._line.send(b"\r\n")
        self._line.drain(_QUIET_S)
