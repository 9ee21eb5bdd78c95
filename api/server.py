"""The API process: one application on loopback TCP and on ``api.sock``."""

from __future__ import annotations

import errno
import logging
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import uvicorn

from api.app import create_app
from appliance.config import Config
from appliance.ipc import CoreClient
from appliance.unix_socket import bind_unix, unlink_own

CORE_TIMEOUT_S: Final = 1.0
STOP_S: Final = 1
"""What running requests get after SIGTERM; the supervisor waits little longer."""
MAX_CONCURRENT: Final = 256

log = logging.getLogger(__name__)


class ListenError(Exception):
    """The address cannot be served on; the text says what to do."""


def bind_tcp(host: str, port: int) -> socket.socket:
    """A bound TCP socket. Raises ``ListenError``."""
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # With the protocol spelt out: asyncio switches Nagle's algorithm off only for sockets that name TCP, and
    # a response in two segments would wait 40 ms for the client's acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        # uvicorn listens later; asking now shows a port in use here, with one message.
        listener.listen()
    except OSError as error:
        listener.close()
        hint = {
            errno.EADDRINUSE: "is in use by another program; stop it, or choose another with --api-port",
            errno.EACCES: "needs root or CAP_NET_BIND_SERVICE; choose one above 1023 with --api-port",
            errno.EADDRNOTAVAIL: "cannot be bound: this host has no such address",
        }.get(error.errno or 0, f"cannot be bound: {error.strerror or error}")
        raise ListenError(f"TCP port {port} of {host} {hint}") from error
    return listener


def serve(config: Config) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit status.

    Raises ``ListenError`` or ``SocketError`` when an address cannot be bound. Core need not be running: until
    it is, every answer is "do not serve".
    """
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(
                CoreClient(config.paths.core_socket, CORE_TIMEOUT_S), bound_page=config.paths.bound_page
            ),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONCURRENT,
            timeout_graceful_shutdown=STOP_S,
        )
    )
    path = config.paths.api_socket
    with ExitStack() as stack:
        tcp = stack.enter_context(bind_tcp(config.api.host, config.api.port))
        # uvicorn listens to signals only once its loop runs, and repeats the one that ended it: a stop is
        # quiet before that, too, and no death by signal.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.handle_exit)
        # Readable by everybody, like loopback.
        local = stack.enter_context(bind_unix(path, mode=0o666))
        stack.callback(unlink_own, path, _inode(path))
        log.info("api serves on http://%s:%d and %s", config.api.host, config.api.port, path)
        server.run(sockets=[tcp, local])
    return 0


def _inode(path: Path) -> int:
    return path.stat().st_ino
