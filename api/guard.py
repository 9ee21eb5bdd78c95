"""What every response and every request over TCP has to keep to, whatever the route."""

from __future__ import annotations

import ipaddress
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ProblemResponse
from api.schemas import Problem

HEADERS: Final = {
    # A status is true for seconds: no browser or proxy may show an old one.
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses requests for foreign host names and forbids caching.

    Reading on loopback needs no token, so the browser of a user of this host must not become a way in: a page
    of somebody else's that has its own name resolve to 127.0.0.1 still sends that name in ``Host``. Requests
    over the UNIX socket have no address and no browser behind them; they pass.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then hand on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope.get("client") is not None and not _local_host(scope):
            problem = Problem(
                title="Misdirected request",
                status=421,
                detail="this API answers on loopback under the names localhost, 127.0.0.1 and ::1 only",
            )
            await ProblemResponse(problem)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


def _local_host(scope: Scope) -> bool:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1:
        return False
    text = hosts[0].decode("latin-1").lower()
    name = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
