"""The link between an appliance and a virtual card, which can be cut while the card runs on."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path

_CHUNK = 1 << 16
_MAX_FDS = 16


class Link:
    """A socket at ``path`` behind which ``card`` answers; file descriptors are handed on."""

    def __init__(self, path: Path, card: Path) -> None:
        self.path = path
        self._card = card
        self._listener: socket.socket | None = None
        self._ends: list[socket.socket] = []

    def plug(self) -> None:
        """Take connections from now on."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def pull(self) -> None:
        """End every connection and take no more."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self.path.unlink()
            ends, self._ends = [listener, *self._ends], []
            for each in ends:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                host, _ = listener.accept()
                card = socket.socket(socket.AF_UNIX)
                card.connect(str(self._card))
                self._ends += [host, card]
                for pair in ((host, card), (card, host)):
                    threading.Thread(target=_carry, args=pair, daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    """Until either side ends; then both do."""
    with contextlib.suppress(OSError):
        while True:
            data, fds, _, _ = socket.recv_fds(source, _CHUNK, _MAX_FDS)
            if not data:
                break
            sent = socket.send_fds(target, [data], fds)
            target.sendall(data[sent:])
            for fd in fds:
                os.close(fd)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
