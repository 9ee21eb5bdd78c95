"""The server side of ``core.sock``: one small thread that no client holds up and that never raises into core.

Every socket is non-blocking, every wait has a deadline, every buffer a limit. One pass of the loop serves a
ready client at most once. A budget of requests per second bounds the time taken from the discipline, whatever
clients do; packets are answered by native threads and do not notice.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from appliance.ipc_messages import MAX_REQUEST_BYTES, REQUEST, ErrorReply
from appliance.ipc_replies import CoreHandler, Replies, reply_line
from appliance.unix_socket import bind_unix, peer_is_permitted, unlink_own
from timecard.timebase import HostTimebase, Timebase
from timecard.timescale import NS_PER_S

MAX_CONNECTIONS: Final = 32
IDLE_NS: Final = 30 * NS_PER_S
"""A client may keep its connection this long between requests."""
TRANSFER_NS: Final = 2 * NS_PER_S
"""A request must arrive, and a reply be taken, within this time of its first byte."""
REQUESTS_PER_S: Final = 1000
BURST: Final = 100
STOP_S: Final = 2.0
FAILURE_PAUSE_S: Final = 0.1
COMPLAIN_EVERY_NS: Final = 10 * NS_PER_S

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Turn:
    """Something that waits to be served: the listener, or a client."""

    step: Callable[[], None]
    used_ns: int


@dataclass(slots=True, eq=False)
class _Connection(_Turn):
    """One client: a request being collected, or a reply being sent."""

    sock: socket.socket
    deadline_ns: int
    request: bytearray = field(default_factory=bytearray)
    reply: memoryview | None = None
    close_after: bool = False


class CoreServer:
    """Serves ``handler`` at ``path``.

    The owner, root, and members of ``group`` are answered; everybody else is told that he is not. ``start``
    raises ``SocketError`` when the socket cannot be bound.
    """

    def __init__(
        self,
        path: Path,
        handler: CoreHandler,
        *,
        group: str | None = None,
        timebase: Timebase | None = None,
    ) -> None:
        self.path = path
        self.counters = {
            "requests": 0,
            "malformed": 0,
            "denied": 0,
            "evicted": 0,
            "timed_out": 0,
            "failed": 0,
        }
        self._replies = Replies(handler)
        self._group = group
        self._gid: int | None = None
        self._timebase = timebase or HostTimebase()
        self._connections: set[_Connection] = set()
        self._listener: socket.socket | None = None
        self._inode = 0
        self._thread = threading.Thread(target=self._run, name="core-ipc", daemon=True)
        self._stopping = False
        self._tokens = float(BURST)
        self._refilled_ns = 0
        self._complained_ns = -COMPLAIN_EVERY_NS

    def start(self) -> None:
        """Bind and begin to answer."""
        listener = bind_unix(self.path, mode=0o600 if self._group is None else 0o660, group=self._group)
        listener.setblocking(False)
        status = self.path.stat()
        self._inode = status.st_ino
        self._gid = None if self._group is None else status.st_gid
        self._listener = listener
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, _Turn(self._accept, 0))
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._refilled_ns = self._timebase.mono_ns()
        self._thread.start()

    def close(self) -> None:
        """Stop answering and remove the socket; a second call does nothing."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._stopping = True
        self._wake.send(b"x")
        self._thread.join(timeout=STOP_S)
        for connection in list(self._connections):
            self._drop(connection)
        for opened in (listener, self._selector, self._wake, self._woken):
            opened.close()
        unlink_own(self.path, self._inode)

    def __enter__(self) -> CoreServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stopping:
            if not self._guarded(self._pass):
                self._timebase.sleep_s(FAILURE_PAUSE_S)

    def _pass(self) -> None:
        self._refill()
        if self._tokens < 1:
            # Over budget: let the clients wait in their sockets, not core in its interpreter.
            self._timebase.sleep_s((1 - self._tokens) / REQUESTS_PER_S)
            return
        # Longest unserved first: with the budget spent, the order of the kernel's list would starve its tail.
        ready = [
            key.data for key, _ in self._selector.select(self._next_deadline_s()) if key.data is not None
        ]
        for turn in sorted(ready, key=lambda turn: turn.used_ns):
            if self._tokens >= 1:
                self._tokens -= 1
                turn.used_ns = self._timebase.mono_ns()
                self._guarded(turn.step)
        self._expire()

    def _guarded(self, step: Callable[[], None]) -> bool:
        """A bug met while serving a client is logged; it must not end the server, let alone core."""
        try:
            step()
        except Exception:
            self.counters["failed"] += 1
            now_ns = self._timebase.mono_ns()
            if now_ns - self._complained_ns >= COMPLAIN_EVERY_NS:
                self._complained_ns = now_ns
                log.exception("core.sock: request failed failures=%d", self.counters["failed"])
            return False
        return True

    def _refill(self) -> None:
        now_ns = self._timebase.mono_ns()
        elapsed_s = (now_ns - self._refilled_ns) / NS_PER_S
        self._refilled_ns = now_ns
        self._tokens = min(float(BURST), self._tokens + elapsed_s * REQUESTS_PER_S)

    def _next_deadline_s(self) -> float | None:
        if not self._connections:
            return None
        nearest_ns = min(connection.deadline_ns for connection in self._connections)
        return max(0.0, (nearest_ns - self._timebase.mono_ns()) / NS_PER_S)

    def _expire(self) -> None:
        now_ns = self._timebase.mono_ns()
        for connection in [c for c in self._connections if now_ns >= c.deadline_ns]:
            if connection.request or connection.reply is not None:
                self.counters["timed_out"] += 1
            self._drop(connection)

    def _accept(self) -> None:
        if self._listener is None:
            return  # closing
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # the client has already gone, or there is no descriptor left: the next pass tries again
        try:
            sock.setblocking(False)
            permitted = peer_is_permitted(sock, self._gid)
        except OSError:
            sock.close()
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            # The longest unused one makes room, so that idle or stuck clients never lock out an honest one.
            self.counters["evicted"] += 1
            self._drop(min(self._connections, key=lambda c: c.used_ns))
        now_ns = self._timebase.mono_ns()
        connection = _Connection(
            step=lambda: self._serve(connection), used_ns=now_ns, sock=sock, deadline_ns=now_ns + IDLE_NS
        )
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)
        if not permitted:
            self.counters["denied"] += 1
            group = f" or to group {self._group}" if self._group else ""
            self._answer(
                connection,
                reply_line(ErrorReply(code="denied", reason=f"only core's own user, root{group} may ask")),
                close_after=True,
            )

    def _serve(self, connection: _Connection) -> None:
        try:
            if connection.reply is not None:
                self._send(connection)
            else:
                self._receive(connection)
        except OSError:
            self._drop(connection)  # the client went away: its business
        except Exception:
            self._drop(connection)
            raise

    def _receive(self, connection: _Connection) -> None:
        data = connection.sock.recv(MAX_REQUEST_BYTES + 1 - len(connection.request))
        if not data:
            self._drop(connection)
            return
        if not connection.request:
            connection.deadline_ns = connection.used_ns + TRANSFER_NS
        connection.request += data
        line, newline, rest = connection.request.partition(b"\n")
        if not newline and len(connection.request) <= MAX_REQUEST_BYTES:
            return
        connection.request.clear()
        if not newline or rest:
            reason = "more after the request than a newline" if newline else f"over {MAX_REQUEST_BYTES} bytes"
            self._malformed(connection, reason)
            return
        try:
            request = REQUEST.validate_json(bytes(line))
        except ValidationError:
            self._malformed(connection, "not a request; known kinds: report, command, rehearse, ping")
            return
        self.counters["requests"] += 1
        self._answer(connection, self._replies.to(request), close_after=False)

    def _malformed(self, connection: _Connection, reason: str) -> None:
        self.counters["malformed"] += 1
        self._answer(connection, reply_line(ErrorReply(code="malformed", reason=reason)), close_after=True)

    def _answer(self, connection: _Connection, line: bytes, *, close_after: bool) -> None:
        connection.reply = memoryview(line)
        connection.close_after = close_after
        connection.deadline_ns = self._timebase.mono_ns() + TRANSFER_NS
        try:
            self._send(connection)
        except OSError:
            self._drop(connection)

    def _send(self, connection: _Connection) -> None:
        if connection.reply is None:
            return
        try:
            sent = connection.sock.send(connection.reply)
        except BlockingIOError:
            sent = 0
        connection.reply = connection.reply[sent:]
        if connection.reply:
            self._selector.modify(connection.sock, selectors.EVENT_WRITE, connection)
            return
        connection.reply = None
        if connection.close_after:
            self._drop(connection)
            return
        connection.deadline_ns = self._timebase.mono_ns() + IDLE_NS
        self._selector.modify(connection.sock, selectors.EVENT_READ, connection)

    def _drop(self, connection: _Connection) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            self._selector.unregister(connection.sock)
            connection.sock.close()
