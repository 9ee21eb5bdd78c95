"""The control socket of a running emulator: one JSON object a line in, one a line out.

    {"do": "inject", "fault": "jam", "seconds": 30, "drop_db": 25}      {"do": "clear", "fault": "jam"}
    {"do": "set-world", "offset_ns": 1500000, "rate_ppb": 20}           {"do": "truth"}    {"do": "status"}

Answers are ``{"ok": true, ...}`` or ``{"ok": false, "error": "..."}``. Times are integers of nanoseconds.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

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


class ControlServer:
    """Answers control requests in a thread of its own; ``handler`` does its own locking."""

    def __init__(self, path: Path, handler: Handler) -> None:
        """Bind the socket, readable by its owner only. Raises ``OSError``."""
        self.path = path
        self._handler = handler
        self._listener = listen_on(path)
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._pending: dict[socket.socket, bytearray] = {}
        self._thread = threading.Thread(target=self._run, name="emulator-control", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and remove the socket's file."""
        self._wake_write.send(b"x")
        if self._thread.is_alive():
            self._thread.join(timeout=CLIENT_TIMEOUT_S)
        self._selector.close()
        for sock in (*self._pending, self._listener, self._wake_read, self._wake_write):
            sock.close()
        self.path.unlink(missing_ok=True)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake_read:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._receive(key.fileobj)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        if len(self._pending) >= MAX_CLIENTS:
            client.close()
            return
        # An answer is smaller than a socket's buffer: only a client that never reads makes a send wait.
        client.settimeout(CLIENT_TIMEOUT_S)
        self._pending[client] = bytearray()
        self._selector.register(client, selectors.EVENT_READ)

    def _receive(self, client: socket.socket) -> None:
        buffer = self._pending[client]
        try:
            data = client.recv(MAX_LINE_BYTES)
            buffer += data
            while (end := buffer.find(b"\n")) >= 0:
                line = bytes(buffer[:end])
                del buffer[: end + 1]
                client.sendall(answer(line, self._handler))
            if len(buffer) > MAX_LINE_BYTES:
                client.sendall(_encode({"ok": False, "error": f"longer than {MAX_LINE_BYTES} bytes"}))
                data = b""
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(client)
            del self._pending[client]
            client.close()


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
