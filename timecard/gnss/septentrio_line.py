"""The command line of a Septentrio receiver, on the same port as its data.

mosaic reference guides, "Command Line Interface": a command ends with CR. The reply repeats it after
``$R:`` (done), ``$R;`` (a listing follows in blocks) or is ``$R?`` with an error; it ends with the port's
prompt, such as ``COM1>``, which also says which port this is. A part of a listing ends with ``---->``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from timecard.errors import DeviceTimeoutError, ProtocolError
from timecard.gnss.stream_receiver import READ_BYTES
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S

REPLY_S: Final = 2.0
TRIES: Final = 2
MAX_REPLY: Final = 32_768
_START: Final = re.compile(rb"\$R([:;?!]) ?([^\r\n]{0,2000})\r?\n")
_END: Final = re.compile(rb"(?:\A|\n)((?:COM|USB|IP|IPS|IPR|NTR|BT|WEB)\d{0,2}|STOP)>")
_PROMPT: Final = re.compile(rb"(?:\r\n)?(?:COM|USB|IP|IPS|IPR|NTR|BT|WEB)\d{1,2}>(?:\r\n)?(?=\$|\Z)")
_PROMPT_BEGUN: Final = re.compile(rb"(?:COM|USB|IP|IPS|IPR|NTR|BT|WEB)(?:\d{1,2}>?)?\$?\Z")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command was answered."""

    error: str | None
    """The receiver's own words; None when it was done."""
    lines: tuple[str, ...]
    """The state that is in force now, one item each; of a listing, its text."""
    port: str
    """``COM1``: where we are connected."""


class SeptentrioLine:
    """Commands and replies; everything else that arrives goes to ``keep``."""

    def __init__(self, stream: ByteStream, timebase: Timebase, keep: Callable[[bytes], None]) -> None:
        self.name = stream.name
        self._stream = stream
        self._timebase = timebase
        self._give = keep

    def ask(self, command: str, timeout_s: float = REPLY_S, tries: int = TRIES) -> Reply:
        """Send a command and wait for its reply.

        Raises ``DeviceTimeoutError`` after silence, ``ProtocolError`` for a reply without end, and for
        settings to be put back that were read wrong.
        """
        if not (command.isascii() and command.isprintable()):
            raise ProtocolError(self.name, repr(command[:60]), "no command has such characters")
        for _ in range(tries):
            self._stream.write(b"\r" + command.encode("ascii") + b"\r")
            reply = self._wait(command, timeout_s)
            if reply is not None:
                return reply
        raise DeviceTimeoutError(self.name, command[:60], f"no reply in {timeout_s:g} s")

    def _wait(self, command: str, timeout_s: float) -> Reply | None:
        buffer = bytearray()
        deadline_ns = self._timebase.mono_ns() + round(timeout_s * NS_PER_S)
        while (left_ns := deadline_ns - self._timebase.mono_ns()) > 0:
            data = self._stream.read(READ_BYTES, left_ns / NS_PER_S)
            if not data:
                break
            buffer += data
            while (found := self._take(buffer)) is not None:
                kind, text, body, port = found
                # An earlier try may be answered late; an error does not repeat the command.
                name = command.partition(",")[0]
                if kind == "?" and text.partition(":")[0].lower().endswith(name[3:].lower()):
                    self._keep(bytes(buffer))
                    return Reply(text, (), port)
                if kind != "?" and text == command:
                    self._keep(bytes(buffer))
                    lines = tuple(line.strip() for line in body.splitlines() if line.strip())
                    return Reply(None, lines, port)
            if len(buffer) > MAX_REPLY:
                raise ProtocolError(self.name, command[:60], f"a reply of more than {MAX_REPLY} bytes")
        self._keep(bytes(buffer))
        return None

    def _keep(self, data: bytes) -> None:
        """Everything but the prompts that the CR before a command is answered by."""
        self._give(_PROMPT.sub(b"", data))

    def _take(self, buffer: bytearray) -> tuple[str, str, str, str] | None:
        """A whole reply out of ``buffer``; what cannot be part of one is given away."""
        start = _START.search(buffer)
        if start is None:
            at = buffer.rfind(b"$R")
            free = at if at >= 0 and len(buffer) - at < READ_BYTES else len(buffer) - 1
            if (prompt := _PROMPT_BEGUN.search(buffer)) is not None:
                free = min(free, prompt.start())
            self._keep(bytes(buffer[: max(0, free)]))
            del buffer[: max(0, free)]
            return None
        end = _END.search(buffer, start.end() - 1)
        if end is None:
            return None
        body = bytes(buffer[start.end() : max(start.end(), end.start())]).decode("latin-1")
        # A match looks its groups up in the buffer as it is then: take them before anything is deleted.
        kind, text, port = start.group(1).decode(), start.group(2).decode("latin-1"), end.group(1).decode()
        self._keep(bytes(buffer[: start.start()]))
        del buffer[: end.end()]
        return kind, text.strip(), body, port
