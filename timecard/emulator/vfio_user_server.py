"""Serves an emulated card on a vfio-user socket: to our own bus, or to QEMU's ``vfio-user-pci``.

One thread, one client at a time. A client may come and go, be killed, or send nonsense: the card goes on, and
the next one is accepted. Descriptors that come with a message belong to the last message that begins in the
bytes they came with, as every message is sent by one call.
"""

from __future__ import annotations

import array
import contextlib
import logging
import os
import selectors
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from timecard.emulator.vfio_user_device import CommandError, VfioUserDevice
from timecard.errors import RefusedError, TimeCardError, from_oserror
from timecard.pcie import vfio_user_wire as wire

log = logging.getLogger(__name__)

CHUNK: Final = 1 << 16
MAX_WAITING_FDS: Final = 64
_LAST_WORDS: Final = 4
"""Reads from the present client before it is taken to be alive and the next one is turned away."""
MAX_UNSENT: Final = 4 << 20
"""A client that asks for more without reading its replies is not served any further."""
MAX_WAIT_S: Final = 1.0


class Clock(Protocol):
    """True TAI."""

    def true_tai_ns(self) -> int:
        """Now."""
        ...


class _Client:
    """One connection: bytes and descriptors received, bytes not yet sent."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.received = bytearray()
        self.fds: list[tuple[int, list[int]]] = []
        """Position in the stream before which the owning message begins, and the descriptors."""
        self.unsent = bytearray()
        self.blocked = False
        """The client does not read its replies at present; nothing more is read from it."""
        self.position = 0
        """Of the first byte of ``received`` in the stream."""

    def close_fds(self) -> None:
        for _, fds in self.fds:
            _close_all(fds)
        self.fds.clear()


class VfioUserServer:
    """Listens on ``path``. ``run`` serves until ``stop`` is called, from any thread or a signal handler."""

    def __init__(self, path: str | os.PathLike[str], device: VfioUserDevice, clock: Clock) -> None:
        """Raises ``RefusedError`` when the path is taken, another ``TimeCardError`` when it is unusable."""
        self.path = Path(path)
        self.device = device
        self._clock = clock
        self._client: _Client | None = None
        self._stopping = False
        self._listener = _listen(self.path)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake, selectors.EVENT_READ, lambda: os.eventfd_read(self._wake))

    def add_reader(self, source: int | socket.socket, ready: Callable[[], object]) -> None:
        """Call ``ready`` in the loop whenever ``source`` is readable; it must not block."""
        self._selector.register(source, selectors.EVENT_READ, ready)

    def remove_reader(self, source: int | socket.socket) -> None:
        """The reverse; also before ``source`` is closed."""
        self._selector.unregister(source)

    @property
    def connected(self) -> bool:
        """Whether a client is attached."""
        return self._client is not None

    def run(self) -> None:
        """Serve; the card's events run on time in between."""
        while not self._stopping:
            self.step(MAX_WAIT_S)

    def step(self, wait_s: float) -> None:
        """One round of the loop; waits at most ``wait_s`` and not beyond the card's next event."""
        now_ns = self._clock.true_tai_ns()
        card = self.device.card
        card.advance(now_ns)
        until_event_s = (card.next_event_ns() - now_ns) / 1e9
        for key, _ in self._selector.select(max(0.0, min(wait_s, until_event_s))):
            key.data()

    def stop(self) -> None:
        """End ``run``."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Close everything and remove the socket."""
        self._drop("the server ends")
        self._selector.close()
        self._listener.close()
        os.close(self._wake)
        with contextlib.suppress(OSError):
            self.path.unlink()

    # --- connection ---

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            log.warning("accept failed: %s", error)
            return
        for _ in range(_LAST_WORDS):
            if self._client is not None:  # it may have gone just now
                self._ready()
        if self._client is not None:
            log.warning("a second client was turned away: one at a time")
            sock.close()
            return
        sock.setblocking(False)
        self._client = _Client(sock)
        self._selector.register(sock, selectors.EVENT_READ, self._ready)
        log.info("client attached path=%s", self.path)

    def _drop(self, reason: str) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        self._selector.unregister(client.socket)
        client.socket.close()
        client.close_fds()
        self.device.forget_client()
        log.info("client detached reason=%r", reason)

    def _ready(self) -> None:
        client = self._client
        if client is None:
            return
        try:
            if client.unsent:
                self._flush(client)
            if not client.unsent:
                self._receive(client)
        except OSError as error:
            self._drop(str(error))
        except _MalformedError as error:
            self._drop(f"malformed message: {error}")

    def _receive(self, client: _Client) -> None:
        try:
            data, rights, flags, _ = client.socket.recvmsg(CHUNK, socket.CMSG_SPACE(wire.MAX_FDS * 4))
        except BlockingIOError:
            return
        client.received += data
        fds = _descriptors(rights)
        if fds:
            client.fds.append((client.position + len(client.received), fds))
        if not data:
            self._drop("closed by the client")
        elif flags & socket.MSG_CTRUNC or sum(len(waiting) for _, waiting in client.fds) > MAX_WAITING_FDS:
            raise _MalformedError("more descriptors than were agreed")
        else:
            self._answer(client)

    def _answer(self, client: _Client) -> None:
        received = client.received
        replies = []
        start = 0
        while len(received) - start >= wire.HEADER.size:
            ident, command, size, flags, _ = wire.HEADER.unpack_from(received, start)
            if not wire.HEADER.size <= size <= wire.MAX_MESSAGE or flags & wire.TYPE_MASK:
                raise _MalformedError(f"size {size}, flags {flags:#x}")
            if len(received) - start < size:
                break
            body = bytes(received[start + wire.HEADER.size : start + size])
            start += size
            fds = self._fds_of(client, start)
            try:
                reply = self.device.handle(command, body, fds)
            except CommandError as refused:
                answer = wire.error_reply(ident, command, refused.number)
                log.info("refused command=%d reason=%s", command, refused)
            else:
                answer = wire.message(ident, command, reply, wire.REPLY)
            finally:
                _close_all(fds)
            if not flags & wire.NO_REPLY:
                replies.append(answer)
        del received[:start]
        client.position += start
        if replies:
            client.unsent += b"".join(replies)
            self._flush(client)

    def _fds_of(self, client: _Client, end: int) -> list[int]:
        """The descriptors of the message that ends at ``end`` of what was received.

        They came with bytes that end at their position; the last message to begin there is theirs: the first
        that does not end before it.
        """
        owned: list[int] = []
        while client.fds and client.fds[0][0] <= client.position + end:
            owned += client.fds.pop(0)[1]
        return owned

    def _flush(self, client: _Client) -> None:
        try:
            sent = client.socket.send(client.unsent)
        except BlockingIOError:
            sent = 0
        del client.unsent[:sent]
        if len(client.unsent) > MAX_UNSENT:
            raise _MalformedError(f"{len(client.unsent)} bytes of replies were not read")
        if client.blocked != bool(client.unsent):
            client.blocked = not client.blocked
            wanted = selectors.EVENT_WRITE if client.blocked else selectors.EVENT_READ
            self._selector.modify(client.socket, wanted, self._ready)


class _MalformedError(Exception):
    """The stream makes no sense any more."""


def _descriptors(rights: list[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, data in rights:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return list(fds)


def _close_all(fds: list[int]) -> None:
    while fds:
        with contextlib.suppress(OSError):
            os.close(fds.pop())


def _listen(path: Path) -> socket.socket:
    """A listening socket; one that a dead process left behind is removed first."""
    name = str(path)
    try:
        if path.exists():
            if not stat.S_ISSOCK(path.stat().st_mode):
                raise RefusedError(name, "listen", "there is a file that is no socket; choose another path")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(1.0)
                try:
                    probe.connect(name)
                except ConnectionRefusedError:
                    path.unlink()
                else:
                    raise RefusedError(
                        name, "listen", "another process serves this socket; choose another path"
                    )
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.bind(name)
            listener.listen(4)
        except OSError:
            listener.close()
            raise
    except TimeCardError:
        raise
    except OSError as error:
        raise from_oserror(name, "listen", error) from error
    return listener
