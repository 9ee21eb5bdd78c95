"""What core answers to each request; no sockets here."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol, assert_never

from appliance.core_report import CoreReport
from appliance.events import CommandKind
from appliance.ipc_messages import (
    CommandRequest,
    DoneReply,
    ErrorReply,
    PingRequest,
    PongReply,
    RehearseRequest,
    ReportRequest,
    Request,
)
from appliance.version import installed_version


class CommandRefusedError(Exception):
    """Core does not do what was asked; the text says why."""


class CoreHandler(Protocol):
    """Core as the server sees it. All methods are called on the server's thread and must not block."""

    def report(self) -> CoreReport | None:
        """The newest report; None before the first one."""
        ...

    def command(self, kind: CommandKind) -> str:
        """Take a command; returns what will happen. Raises ``CommandRefusedError``."""
        ...

    def rehearse(self, limit_ns: float, duration_s: float) -> str:
        """Begin a rehearsal of holdover; as ``command``."""
        ...


class Replies:
    """From requests to lines."""

    def __init__(self, handler: CoreHandler) -> None:
        self._handler = handler
        self._version = installed_version()
        self._cached: tuple[CoreReport, bytes] | None = None

    def to(self, request: Request) -> bytes:
        """The reply, as a line. Raises whatever a bug in the handler raises."""
        match request:
            case ReportRequest():
                return self._report()
            case CommandRequest(command=command):
                return _done(lambda: self._handler.command(command))
            case RehearseRequest(limit_ns=limit_ns, duration_s=duration_s):
                return _done(lambda: self._handler.rehearse(limit_ns, duration_s))
            case PingRequest():
                return reply_line(PongReply(pid=os.getpid(), version=self._version))
            case _ as never:
                assert_never(never)

    def _report(self) -> bytes:
        report = self._handler.report()
        if report is None:
            reason = "core has started but has nothing to report yet"
            return reply_line(ErrorReply(code="not-ready", reason=reason))
        if self._cached is None or self._cached[0] is not report:
            # Once per report, not once per request: the only work of some size on the server's thread.
            line = b'{"kind":"report","report":' + report.model_dump_json().encode() + b"}\n"
            self._cached = (report, line)
        return self._cached[1]


def _done(do: Callable[[], str]) -> bytes:
    try:
        return reply_line(DoneReply(said=do()))
    except CommandRefusedError as error:
        return reply_line(ErrorReply(code="refused", reason=str(error)))


def reply_line(message: DoneReply | ErrorReply | PongReply) -> bytes:
    """A message as it goes over the socket."""
    return message.model_dump_json().encode() + b"\n"
