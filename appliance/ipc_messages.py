"""What is said over ``core.sock``: one JSON object per line, one request, one reply.

The request is small and typed; whatever is not one of these is refused and the connection closed.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from appliance.core_report import CoreReport
from appliance.events import CommandKind

MAX_REQUEST_BYTES: Final = 1024
MAX_REPLY_BYTES: Final = 1 << 20


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReportRequest(_Message):
    """Ask for the newest report."""

    kind: Literal["report"] = "report"


class CommandRequest(_Message):
    """Ask for something to be done."""

    kind: Literal["command"] = "command"
    command: CommandKind


class RehearseRequest(_Message):
    """Ask for a rehearsal of holdover."""

    kind: Literal["rehearse"] = "rehearse"
    limit_ns: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
    """End it when the clock is further off than this."""
    duration_s: Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)]


class PingRequest(_Message):
    """Ask who is there."""

    kind: Literal["ping"] = "ping"


class ReportReply(_Message):
    """The newest report."""

    kind: Literal["report"] = "report"
    report: CoreReport


class DoneReply(_Message):
    """The command was taken."""

    kind: Literal["done"] = "done"
    said: str


class PongReply(_Message):
    """Who is there."""

    kind: Literal["pong"] = "pong"
    pid: int
    version: str


class ErrorReply(_Message):
    """Why there is no other reply."""

    kind: Literal["error"] = "error"
    code: Literal["malformed", "denied", "not-ready", "refused", "internal"]
    reason: str


Request = ReportRequest | CommandRequest | RehearseRequest | PingRequest
Reply = ReportReply | DoneReply | PongReply | ErrorReply

REQUEST: Final[TypeAdapter[Request]] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
REPLY: Final[TypeAdapter[Reply]] = TypeAdapter(Annotated[Reply, Field(discriminator="kind")])
