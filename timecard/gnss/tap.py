"""A read-only tap on a receiver's line: other programs watch the bytes while one program holds the port.

A tap listens on a UNIX socket or on a TCP port of the loopback interface. Whoever connects gets the bytes
that are read from then on. What a reader sends is thrown away. The kernel's send buffer is all that there is
between us and a reader: one that does not keep up is dropped, so nobody can make the program wait or grow.
There is no thread: ``publish``, called by whoever reads the line, does everything.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from timecard.errors import RefusedError, from_oserror
from timecard.protocols import ByteStream, RateStream

MAX_READERS: Final = 16
SEND_BUFFER_BYTES: Final = 131_072
"""About 10 s of a line at 115200 baud; the kernel doubles it for its own book-keeping (socket(7))."""
UNIX_MODE: Final = 0o666
"""As with the TCP port, everybody on this host may watch."""
_MAX_PATH_BYTES: Final = 107
_BACKLOG: Final = 16
_DISCARD_BYTES: Final = 4096
_DISCARDS: Final = 4
_OPEN: Final = "open tap"
_ADDRESS_HELP: Final = (
    "expected the path of a UNIX socket (/run/gnss.sock), or a loopback address and port (127.0.0.1:2950)"
)


@dataclass(frozen=True, slots=True)
class TapAddress:
    """Where a tap listens: ``path``, or ``host`` and ``port``."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path)
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_tap_address(text: str) -> TapAddress:
    """``/path``, ``unix:/path``, ``127.0.0.1:2950``, ``[::1]:2950`` or ``localhost:2950``; port 0 is any.

    Raises ``ValueError`` for anything else, and for an address that other hosts could reach.
    """
    name = text.removeprefix("unix:")
    if name.startswith("/"):
        # The socket is bound under a temporary name first, which is a little longer.
        if "\0" in name or len(os.fsencode(name)) > _MAX_PATH_BYTES - 12:
            raise ValueError(f"{text!r}: too long for a UNIX socket, or not a path")
        return TapAddress(path=Path(name))
    host, colon, digits = text.removeprefix("tcp:").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not digits.isascii() or not digits.isdigit() or len(digits) > 5 or int(digits) > 65_535:
        raise ValueError(f"{text!r}: {_ADDRESS_HELP}")
    host = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ValueError(f"{text!r}: {_ADDRESS_HELP}") from None
    if not loopback:
        raise ValueError(f"{text!r}: other hosts could reach that; use 127.0.0.1 or ::1")
    return TapAddress(host=host, port=int(digits))


class Tap:
    """The socket and its readers. ``publish`` and ``close`` are called by one thread at a time."""

    def __init__(self, address: TapAddress) -> None:
        """Listen. Raises ``RefusedError`` when the address is taken, else as ``from_oserror``."""
        self.dropped = 0
        """Readers that did not keep up."""
        self.turned_away = 0
        """Connections beyond ``MAX_READERS``."""
        self.sent_bytes = 0
        self._readers: list[_Reader] = []
        self._path = address.path
        self._inode: int | None = None
        try:
            self._listener = _bound(address)
            if address.path is not None:
                self._inode = address.path.lstat().st_ino
        except OSError as error:
            raise from_oserror(f"tap {address}", _OPEN, error) from error
        self._listener.setblocking(False)
        self.address = address
        """Where it listens, with the port that was given for port 0."""
        if address.path is None:
            self.address = TapAddress(host=address.host, port=self._listener.getsockname()[1])

    @property
    def readers(self) -> int:
        """Programs connected, as of the last ``publish``."""
        return len(self._readers)

    def publish(self, data: bytes) -> None:
        """Hand out what was read from the line. Never waits, never raises for what readers do."""
        self._accept()
        gone = [reader for reader in self._readers if not self._serve(reader, data)]
        for reader in gone:
            reader.sock.close()
        if gone:
            self._readers = [reader for reader in self._readers if reader not in gone]

    def close(self) -> None:
        """Send everybody away."""
        for reader in self._readers:
            reader.sock.close()
        self._readers.clear()
        self._listener.close()
        if self._path is not None and self._inode is not None:
            with contextlib.suppress(OSError):  # gone, or a successor's
                if self._path.lstat().st_ino == self._inode:
                    self._path.unlink()

    def _accept(self) -> None:
        for _ in range(_BACKLOG):
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # nobody waits; or it gave up, or we have too many files open: later
            if len(self._readers) >= MAX_READERS:
                self.turned_away += 1
                sock.close()
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            self._readers.append(_Reader(sock))

    def _serve(self, reader: _Reader, data: bytes) -> bool:
        if not reader.discard():
            return False
        try:
            sent = reader.sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            return False
        self.sent_bytes += sent
        if sent < len(data):
            self.dropped += 1
            return False
        return True


class _Reader:
    """One program that watches."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._talks = True

    def discard(self) -> bool:
        """Throw away what it sent; false when it is gone.

        The end of what it sends is not the end of it: ``socat -u`` closes that direction at once.
        """
        for _ in range(_DISCARDS if self._talks else 0):
            try:
                if not self.sock.recv(_DISCARD_BYTES, socket.MSG_DONTWAIT):
                    self._talks = False
                    break
            except BlockingIOError:
                break
            except OSError:
                return False
        return True


class TappedStream:
    """A ``ByteStream`` whose bytes go to a tap as well; ``tapped`` makes it."""

    def __init__(self, stream: ByteStream, tap: Tap) -> None:
        self.name = stream.name
        self._stream = stream
        self._tap = tap

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """As the stream's own."""
        data = self._stream.read(max_bytes, timeout_s)
        self._tap.publish(data)
        return data

    def write(self, data: bytes) -> None:
        """As the stream's own; readers of the tap do not see it."""
        self._stream.write(data)


class TappedRateStream(TappedStream):
    """A ``RateStream`` whose bytes go to a tap as well."""

    def __init__(self, stream: RateStream, tap: Tap) -> None:
        super().__init__(stream, tap)
        self._rated = stream

    @property
    def baud(self) -> int:
        """As the stream's own."""
        return self._rated.baud

    def set_baud(self, baud: int) -> None:
        """As the stream's own."""
        self._rated.set_baud(baud)


def tapped(stream: ByteStream, tap: Tap) -> TappedStream:
    """The stream with its bytes going to ``tap`` too; the rate can be changed if the stream's can."""
    return TappedRateStream(stream, tap) if isinstance(stream, RateStream) else TappedStream(stream, tap)


def _bound(address: TapAddress) -> socket.socket:
    if address.path is not None:
        return _bound_unix(address.path)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise RefusedError(f"tap {address}", _OPEN, error.strerror or str(error)) from error
    return listener


def _bound_unix(path: Path) -> socket.socket:
    """A socket that a dead program left is replaced; a living one, and any other file, is not."""
    _refuse_occupied(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        temporary.unlink(missing_ok=True)
        listener.bind(os.fspath(temporary))
        temporary.chmod(UNIX_MODE)
        listener.listen(_BACKLOG)
        temporary.rename(path)
    except OSError:
        listener.close()
        temporary.unlink(missing_ok=True)
        raise
    return listener


def _refuse_occupied(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise RefusedError(f"tap {path}", _OPEN, "something else than a socket is there; choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError as error:
            raise RefusedError(f"tap {path}", _OPEN, error.strerror or str(error)) from error
    raise RefusedError(f"tap {path}", _OPEN, "another program serves this socket; choose another path")
