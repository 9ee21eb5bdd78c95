"""Every error leaves as application/problem+json (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.schemas import Problem
from appliance.ipc import (
    CoreDeniedError,
    CoreError,
    CoreNotReadyError,
    CoreProtocolError,
    CoreStaleError,
    CoreUnreachableError,
)

KINDS: Final[dict[type[CoreError], str]] = {
    CoreUnreachableError: "core-unreachable",
    CoreDeniedError: "core-denied",
    CoreNotReadyError: "core-not-ready",
    CoreStaleError: "core-stale",
    CoreProtocolError: "core-protocol",
}

NO_REPORT: Final[dict[int | str, dict[str, Any]]] = {
    503: {
        "description": "Core is down, stalled or not ready: do not serve",
        "model": Problem,
    }
}
"""For the ``responses`` of every resource that comes from core."""


class ProblemResponse(JSONResponse):
    """A problem document."""

    media_type = "application/problem+json"

    def __init__(self, problem: Problem, headers: dict[str, str] | None = None) -> None:
        super().__init__(problem.document(), status_code=problem.status, headers=headers)


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(CoreError, _no_report)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _bug)


def _no_report(_request: Request, error: Exception) -> ProblemResponse:
    kind = KINDS.get(type(error), "core-unreachable") if isinstance(error, CoreError) else "core-unreachable"
    return ProblemResponse(Problem.no_report(str(error), kind), headers={"Retry-After": "1"})


def _http(request: Request, error: Exception) -> ProblemResponse:
    if not isinstance(error, HTTPException):
        return _bug(request, error)
    title = HTTPStatus(error.status_code).phrase
    asked = f"{request.method} {request.url.path}"
    detail = f"{asked}: {str(error.detail)[:200]}; /api/openapi.json tells what there is"
    headers = dict(error.headers) if error.headers else None
    return ProblemResponse(Problem(title=title, status=error.status_code, detail=detail), headers)


def _invalid(_request: Request, error: Exception) -> ProblemResponse:
    details = []
    if isinstance(error, RequestValidationError):
        details = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:10]]
    return ProblemResponse(
        Problem(title="Invalid request", status=422, detail="; ".join(details) or "the request is not valid")
    )


def _bug(_request: Request, _error: Exception) -> ProblemResponse:
    """The traceback goes to the log, never to a client."""
    return ProblemResponse(
        Problem(
            title="Internal error",
            status=500,
            detail="a fault of the API, not of the clock; its log has the details",
        )
    )
