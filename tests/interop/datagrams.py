"""Raw datagrams from a client's event and general port, and whatever comes back to either."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from appliance.ptp.primitives import ZERO
from appliance.ptp.wire import Message, decode
from tests.netns import Pair

PORTS = (319, 320)


@dataclass(frozen=True)
class Answer:
    """A datagram that came back, and to which of our ports."""

    port: int
    data: bytes

    @property
    def message(self) -> Message:
        """Decoded."""
        return decode(self.data)


class Peer:
    """A host that sends what it is told."""

    def __init__(self, server: str, sockets: dict[int, socket.socket]) -> None:
        self._server = server
        self._sockets = sockets

    def send(self, data: bytes, port: int) -> None:
        """From our ``port`` to the server's port of the same number."""
        self._sockets[port].sendto(data, (self._server, port))

    def collect(self, at_most_s: float, count: int = 1 << 30) -> list[Answer]:
        """What arrives within ``at_most_s``; returns early with ``count`` answers."""
        answers: list[Answer] = []
        deadline = time.monotonic() + at_most_s
        while len(answers) < count and (left_s := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select(list(self._sockets.values()), [], [], left_s)
            answers += [Answer(opened.getsockname()[1], opened.recv(2048)) for opened in ready]
        return answers

    def ask(self, data: bytes, port: int, at_most_s: float, count: int = 1 << 30) -> list[Answer]:
        """Send and collect."""
        self.send(data, port)
        return self.collect(at_most_s, count)


@contextlib.contextmanager
def peer(pair: Pair, family: str) -> Iterator[Peer]:
    """A peer on the client's host, bound to both PTP ports."""
    kind = socket.AF_INET6 if family == "ipv6" else socket.AF_INET
    with contextlib.ExitStack() as stack:
        with pair.client.entered():
            sockets = {port: stack.enter_context(socket.socket(kind, socket.SOCK_DGRAM)) for port in PORTS}
            for port, opened in sockets.items():
                opened.bind((getattr(pair.client, family), port))
        yield Peer(getattr(pair.server, family), sockets)


def without_times(message: Message) -> Message:
    """The same message with its body's timestamp set to zero."""
    if hasattr(message, "origin"):
        return replace(message, origin=ZERO)  # type: ignore[call-arg]  # every class that is asked has it
    if hasattr(message, "timestamp"):
        return replace(message, timestamp=ZERO)  # type: ignore[call-arg]  # as above
    return message
