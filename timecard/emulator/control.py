"""The control socket of a running emulator: one JSON object a line in, one a line out.

    {"do": "inject", "fault": "jam", "seconds": 30, "drop_db": 25}      {"do": "clear", "fault": "jam"}
    {"do": "set-world", "offset_ns": 1500000, "rate_ppb": 20}           {"do": "truth"}    {"do": "status"}
    {"do": "latches", "since": 0}                                       {"do": "power-cycle"}

Answers are ``{"ok": true, ...}`` or ``{"ok": false, "error": "..."}``. Times are integers of nanoseconds.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from timecard.emulator.faults import FaultError

MAX_LINE_BYTES: Final = 4096
MAX_CLIENTS: Final = 8
CLIENT_TIMEOUT_S: Final = 5.0
_BACKLOG: Final = 8

Handler = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes a request's object and returns what the answer adds; raises ``ValueError`` with one line."""


def control_path(card_path: Path) -> Path:
    """Where the emulator at ``card_path`` listens for control requests."""
    return card_path.with_name(card_path.name + ".ctl")


class Loop(Protocol):
    """The emulator's one event loop."""

    def add_reader(self, source: socket.socket, ready: Callable[[], object]) -> None:
        """Call ``ready`` whenever ``source`` is readable."""
        ...

    def remove_reader(self, source: socket.socket) -> None:
        """The reverse."""
        ...


class ControlServer:
    """Answers control requests inside the emulator's loop; never blocks it."""

    def __init__(self, path: Path, handler: Handler, loop: Loop) -> None:
        """Bind the socket, readable by its owner only. Raises ``OSError``."""
        self.path = path
        self._handler = handler
        self._loop = loop
        self._listener = listen_on(path)
        self._pending: dict[socket.socket, bytearray] = {}
        loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Stop, and remove the socket's file."""
        for client in list(self._pending):
            self._drop(client)
        self._loop.remove_reader(self._listener)
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        if len(self._pending) >= MAX_CLIENTS:
            client.close()
            return
        client.setblocking(False)
        self._pending[client] = bytearray()
        self._loop.add_reader(client, partial(self._receive, client))

    def _receive(self, client: socket.socket) -> None:
        buffer = self._pending[client]
        try:
            data = client.recv(MAX_LINE_BYTES)
            buffer += data
            while (end := buffer.find(b"\n")) >= 0:
                line = bytes(buffer[:end])
                del buffer[: end + 1]
                _send(client, answer(line, self._handler))
            if len(buffer) > MAX_LINE_BYTES:
                _send(client, _encode({"ok": False, "error": f"longer than {MAX_LINE_BYTES} bytes"}))
                data = b""
        except OSError:
            data = b""
        if not data:
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        self._loop.remove_reader(client)
        del self._pending[client]
        client.close()


def _send(client: socket.socket, reply: bytes) -> None:
    """An answer fits into a socket's buffer; a client that has let it fill up is not served any further."""
    if client.send(reply) < len(reply):
        raise BlockingIOError


def answer(line: bytes, handler: Handler) -> bytes:
    """The answer to one request line; never raises for what the line contains."""
    if len(line) > MAX_LINE_BYTES:
        return _encode({"ok": False, "error": f"longer than {MAX_LINE_BYTES} bytes"})
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return _encode({"ok": False, "error": "not a line of JSON"})
    if not isinstance(request, dict):
        return _encode({"ok": False, "error": 'a request is an object such as {"do": "status"}'})
    try:
        return _encode({"ok": True, **handler(request)})
    except ValueError as error:
        return _encode({"ok": False, "error": " ".join(str(error).split())})


def request(card_path: Path, message: dict[str, Any], timeout_s: float = CLIENT_TIMEOUT_S) -> dict[str, Any]:
    """Ask the emulator at ``card_path``; returns its answer. Raises ``FaultError`` with one line."""
    path = control_path(card_path)
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
            sock.settimeout(timeout_s)
            sock.connect(str(path))
            sock.sendall(_encode(message))
            received = bytearray()
            while not received.endswith(b"\n"):
                piece = sock.recv(65536)
                if not piece or len(received) > 1_000_000:
                    raise FaultError(f"{path}: the emulator closed the connection without an answer")
                received += piece
    except OSError as error:
        reason = error.strerror or str(error)
        raise FaultError(f"{path}: no emulator answers there: {reason}") from None
    try:
        reply = json.loads(received)
    except ValueError:
        raise FaultError(f"{path}: answers something that is no JSON; not an emulator's socket?") from None
    if not isinstance(reply, dict) or not isinstance(reply.get("ok"), bool):
        raise FaultError(f"{path}: unexpected answer; not an emulator's socket?")
    if not reply.pop("ok"):
        raise FaultError(str(reply.get("error", "refused without a reason")))
    return reply


def listen_on(path: Path) -> socket.socket:
    """A listening UNIX socket for its owner only, in place of one that nobody answers; raises ``OSError``."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        free_path(path)
        sock.bind(str(path))
        path.chmod(0o600)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def free_path(path: Path) -> None:
    """Remove the socket of a process that ended; ``FileExistsError`` for anything else there."""
    if not path.is_socket():
        if path.exists():
            raise FileExistsError(f"{path} exists and is no socket")
        return
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise FileExistsError(f"{path} is in use by a running process")


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
