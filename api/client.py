"""The command line's way to the state: ``api.sock``, and core itself when the API is down."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from pydantic import ValidationError

from api import views
from api.schemas import Problem, StatusView
from appliance.config import Config
from appliance.config_models import SYSTEM_RUNTIME
from appliance.ipc import CoreClient, CoreError, CoreNotReadyError, CoreStaleError
from timecard.timebase import HostTimebase

TIMEOUT_S: Final = 3.0
MAX_BODY_BYTES: Final = 4 << 20
STATUS_URL: Final = "http://time-appliance/api/v1/status"


class UnreachableError(Exception):
    """Neither the API nor core answers; the text says what was tried."""


class DoNotServeError(Exception):
    """Somebody answers, and the answer is that there is no valid report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The state, and how it was got."""

    status: StatusView
    note: str | None
    """What the reader should know about the way."""


class _ApiDownError(Exception):
    """The API gives no usable answer."""


def runtime_directories(config: Config) -> tuple[Path, ...]:
    """Where the sockets may be: as configured, else the user's own place and then the system's."""
    own = config.paths.runtime
    if "runtime" in config.paths.model_fields_set or own == SYSTEM_RUNTIME:
        return (own,)
    return (own, SYSTEM_RUNTIME)


def core_client(config: Config) -> CoreClient:
    """Core in the first folder where it answers, else in the last one."""
    clients = [CoreClient(directory / "core.sock") for directory in runtime_directories(config)]
    for client in clients[:-1]:
        try:
            client.ping()
        except CoreError:
            continue
        return client
    return clients[-1]


def ask_status(directories: Sequence[Path]) -> Answer:
    """The state from the first that answers. Raises ``UnreachableError`` or ``DoNotServeError``."""
    api_reasons: list[str] = []
    for directory in directories:
        try:
            return Answer(status=_ask_api(directory / "api.sock"), note=None)
        except _ApiDownError as error:
            api_reasons.append(str(error))
    core_reasons: list[str] = []
    for directory in directories:
        try:
            status = _ask_core(directory / "core.sock")
        except (CoreStaleError, CoreNotReadyError) as error:
            raise DoNotServeError(str(error)) from error
        except CoreError as error:
            core_reasons.append(str(error))
        else:
            return Answer(status=status, note=f"{api_reasons[0]}; asked core directly")
    raise UnreachableError("; ".join([api_reasons[0], core_reasons[0]]))


def _listens(path: Path) -> bool:
    """Asked by ourselves, because httpcore does not close a UNIX socket that it could not connect."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(TIMEOUT_S)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
    return True


def _ask_core(path: Path) -> StatusView:
    timebase = HostTimebase()
    report = CoreClient(path, TIMEOUT_S, timebase=timebase).report()
    return views.status(report, timebase.mono_ns())


def _ask_api(path: Path) -> StatusView:
    if not _listens(path):
        raise _ApiDownError(f"the API is not running (nobody listens at {path})")
    try:
        with (
            httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=TIMEOUT_S) as client,
            client.stream("GET", STATUS_URL) as response,
        ):
            body = bytearray()
            for part in response.iter_bytes():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise _ApiDownError(f"the API at {path} answers more than {MAX_BODY_BYTES} bytes")
    except httpx.TimeoutException:
        raise _ApiDownError(f"the API at {path} does not answer within {TIMEOUT_S:g} s") from None
    except httpx.HTTPError as error:
        raise _ApiDownError(f"the API at {path} gives no answer ({error})") from error
    try:
        if response.status_code == 200:
            return StatusView.model_validate_json(bytes(body))
        problem = Problem.model_validate_json(bytes(body))
    except ValidationError as error:
        raise _ApiDownError(
            f"the API at {path} answers what this version does not understand; run both from the same version"
        ) from error
    if problem.verdict is not None:
        raise DoNotServeError(problem.detail)
    raise _ApiDownError(f"the API at {path} answers {problem.status}: {problem.detail}")
