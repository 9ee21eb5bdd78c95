"""Core as other processes see it: ``CoreClient``, its errors, and the ``CoreServer`` it talks to.

Each call is a connection of its own, so a client object may be used from several threads. A report that has
expired is an error and never a value.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from appliance.core_report import CoreReport
from appliance.events import CommandKind
from appliance.ipc_messages import (
    MAX_REPLY_BYTES,
    REPLY,
    CommandRequest,
    DoneReply,
    ErrorReply,
    PingRequest,
    PongReply,
    RehearseRequest,
    Reply,
    ReportReply,
    ReportRequest,
    Request,
)
from appliance.ipc_replies import CommandRefusedError, CoreHandler
from appliance.ipc_server import CoreServer
from appliance.unix_socket import SocketError
from timecard.timebase import HostTimebase, Timebase
from timecard.timescale import NS_PER_S

__all__ = [
    "CommandRefusedError",
    "CoreClient",
    "CoreDeniedError",
    "CoreError",
    "CoreHandler",
    "CoreNotReadyError",
    "CoreProtocolError",
    "CoreServer",
    "CoreStaleError",
    "CoreUnreachableError",
    "SocketError",
]

RETRY_S: Final = 0.01


class CoreError(Exception):
    """Core gave no usable answer; the text says why and what to do."""


class CoreUnreachableError(CoreError):
    """Nobody answers at the socket, or not in time."""


class CoreDeniedError(CoreError):
    """We may not ask."""


class CoreNotReadyError(CoreError):
    """Core runs but has published nothing yet."""


class CoreStaleError(CoreError):
    """Core answers with a report that has expired: its loop has stalled."""


class CoreProtocolError(CoreError):
    """Core answers something else than this version expects."""


class CoreClient:
    """Asks core; every method raises a ``CoreError`` instead of returning anything doubtful."""

    def __init__(self, path: Path, timeout_s: float = 1.0, *, timebase: Timebase | None = None) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._timebase = timebase or HostTimebase()

    def report(self) -> CoreReport:
        """The newest report, still valid now."""
        reply = self._exchange(ReportRequest())
        if not isinstance(reply, ReportReply):
            raise self._unexpected(reply)
        now_ns = self._timebase.mono_ns()
        if reply.report.expired(now_ns):
            late_s = (now_ns - reply.report.valid_until_mono_ns) / NS_PER_S
            raise CoreStaleError(
                f"core's report expired {late_s:.1f} s ago: core (pid {reply.report.process.pid}) has "
                "stalled; restart it"
            )
        return reply.report

    def command(self, kind: CommandKind) -> str:
        """Ask for ``kind``; returns what will happen. Raises ``CommandRefusedError`` when core says no."""
        return self._done(CommandRequest(command=kind))

    def rehearse(self, limit_ns: float, duration_s: float) -> str:
        """Ask for a rehearsal of holdover; as ``command``. ``ValueError`` for what can be no rehearsal."""
        return self._done(RehearseRequest(limit_ns=limit_ns, duration_s=duration_s))

    def ping(self) -> PongReply:
        """Who answers."""
        reply = self._exchange(PingRequest())
        if not isinstance(reply, PongReply):
            raise self._unexpected(reply)
        return reply

    def _done(self, request: Request) -> str:
        reply = self._exchange(request)
        if not isinstance(reply, DoneReply):
            raise self._unexpected(reply)
        return reply.said

    def _exchange(self, request: Request) -> Reply:
        deadline_ns = self._timebase.mono_ns() + round(self._timeout_s * NS_PER_S)
        line = request.model_dump_json().encode() + b"\n"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            try:
                self._connect(sock, deadline_ns)
                raw = self._ask(sock, line, deadline_ns)
            except TimeoutError:
                raise CoreUnreachableError(
                    f"core does not answer at {self.path} within {self._timeout_s:g} s"
                ) from None
            except OSError as error:
                raise self._unreachable(error) from error
        try:
            reply = REPLY.validate_json(raw)
        except ValidationError as error:
            raise CoreProtocolError(
                f"core at {self.path} answers what this version does not understand "
                f"({error.errors(include_url=False)[0]['msg']}); run both from the same version"
            ) from error
        if isinstance(reply, ErrorReply):
            raise self._error(reply)
        return reply

    def _remaining_s(self, deadline_ns: int) -> float:
        left_s = (deadline_ns - self._timebase.mono_ns()) / NS_PER_S
        if left_s <= 0:
            raise TimeoutError
        return left_s

    def _connect(self, sock: socket.socket, deadline_ns: int) -> None:
        while True:
            sock.settimeout(self._remaining_s(deadline_ns))
            try:
                sock.connect(os.fspath(self.path))
            except BlockingIOError:
                # A UNIX socket with a timeout does not wait for room in the backlog (connect(2), EAGAIN).
                self._timebase.sleep_s(RETRY_S)
            else:
                return

    def _ask(self, sock: socket.socket, line: bytes, deadline_ns: int) -> bytes:
        try:
            sock.settimeout(self._remaining_s(deadline_ns))
            sock.sendall(line)
        except BrokenPipeError:
            pass  # refused before it was asked: the reason is waiting to be read
        raw = bytearray()
        while not raw.endswith(b"\n"):
            if len(raw) > MAX_REPLY_BYTES:
                raise CoreProtocolError(f"core at {self.path} answers more than {MAX_REPLY_BYTES} bytes")
            sock.settimeout(self._remaining_s(deadline_ns))
            data = sock.recv(1 << 16)
            if not data:
                raise ConnectionResetError("the connection was closed without an answer")
            raw += data
        return bytes(raw)

    def _unreachable(self, error: OSError) -> CoreError:
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return CoreUnreachableError(
                f"core is not running (nobody listens at {self.path}); start it with `time-appliance run`, "
                "or start the service that runs `time-appliance core`"
            )
        if isinstance(error, PermissionError):
            return CoreDeniedError(
                f"no permission to ask core at {self.path}; run as root, as core's user, or join its group"
            )
        return CoreUnreachableError(f"core at {self.path}: {error.strerror or error}")

    def _error(self, reply: ErrorReply) -> CoreError | CommandRefusedError:
        match reply.code:
            case "refused":
                return CommandRefusedError(reply.reason)
            case "denied":
                return CoreDeniedError(f"core at {self.path}: {reply.reason}")
            case "not-ready":
                return CoreNotReadyError(reply.reason)
            case "internal":
                return CoreUnreachableError(f"core at {self.path}: {reply.reason}")
            case "malformed":
                return CoreProtocolError(f"core at {self.path} does not understand us: {reply.reason}")

    def _unexpected(self, reply: Reply) -> CoreError:
        return CoreProtocolError(
            f"core at {self.path} answers with a {reply.kind!r}, which was not asked for"
        )
