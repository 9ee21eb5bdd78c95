"""Requests and replies on a vfio-user socket, with a deadline for each.

A request that is not answered in time leaves the stream out of step, so the link is closed then; it stays
closed and says so, and its owner makes a new one.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from timecard.errors import DeviceAbsentError, DeviceLostError, ProtocolError, RefusedError, from_oserror
from timecard.pcie import vfio_user_wire as wire

_RETRY_S: Final = 0.02
_ANY_SIZE: Final = 256
_CHUNK: Final = 65_536
_OPERATIONS: Final = {int(command): command.name.lower() for command in wire.Command}
_READ_REQUEST: Final = struct.Struct("<HHIIIQII")
_READ32_REPLY: Final = struct.Struct("<HHIIIQIII")
_REPLY32_SIZE: Final = _READ32_REPLY.size


class VfioUserLink:
    """A connection; any thread may use it."""

    def __init__(self, path: str, name: str, connect_timeout_s: float, request_timeout_s: float) -> None:
        """Connect; tries again until ``connect_timeout_s`` while nobody listens."""
        self.name = name
        self._timeout_s = request_timeout_s
        self._lock = threading.Lock()
        self._ident = 0
        self._closed_because: str | None = None
        self._socket = self._connect(path, time.monotonic() + connect_timeout_s)

    def request(self, command: int, body: bytes, expected: int | None, fds: Sequence[int] = ()) -> bytes:
        """Send one request and return its reply's body of ``expected`` bytes (None: any)."""
        operation = _OPERATIONS[command]
        with self._lock:
            ident = self._ident
            self._ident = (ident + 1) & 0xFFFF
            self._send(wire.message(ident, command, body), operation, fds)
            size = wire.HEADER.size + (_ANY_SIZE if expected is None else expected)
            data = self._receive(size, operation, _whole_message)
            got_ident, got_command, size, flags, number = wire.HEADER.unpack_from(data)
            is_reply = flags & wire.TYPE_MASK == wire.REPLY and size == len(data)
            if got_ident != ident or got_command != command or not is_reply:
                raise self.broken(operation, f"not the reply to this request: {data[:32].hex()}")
        if flags & wire.ERROR:
            raise RefusedError(self.name, operation, os.strerror(number) if number else "no reason given")
        if expected is not None and size != wire.HEADER.size + expected:
            raise self.broken(operation, f"reply of {size} bytes instead of {wire.HEADER.size + expected}")
        return data[wire.HEADER.size :]

    def read32_many(self, region: int, offsets: Sequence[int]) -> list[int]:
        """Read words in order, all requests under way at once."""
        count = len(offsets)
        total = count * _REPLY32_SIZE
        pack, read, size = _READ_REQUEST.pack, int(wire.Command.REGION_READ), _READ_REQUEST.size
        with self._lock:
            first = self._ident
            self._ident = (first + count) & 0xFFFF
            requests = [
                pack((first + i) & 0xFFFF, read, size, 0, 0, offset, region, 4)
                for i, offset in enumerate(offsets)
            ]
            self._send(b"".join(requests), "burst read")
            data = self._receive(total, "burst read", lambda data: len(data) == total or _refused(data))
        values = []
        whole = data[: len(data) - len(data) % _REPLY32_SIZE]
        for i, (ident, _, size, flags, _, _, _, _, value) in enumerate(_READ32_REPLY.iter_unpack(whole)):
            if ident != (first + i) & 0xFFFF or size != _REPLY32_SIZE or flags != wire.REPLY:
                raise self.broken("burst read", f"reply {i} has id {ident}, size {size}, flags {flags:#x}")
            values.append(value)
        if len(values) != count:
            raise self.broken("burst read", f"read {len(values)} was refused")
        return values

    @property
    def closed_because(self) -> str | None:
        """Why the link is closed, for good; None while it is open."""
        return self._closed_because

    def close(self) -> None:
        """Close the socket; later requests raise ``DeviceLostError``."""
        self._closed_because = self._closed_because or "the bus was closed"
        self._socket.close()

    def broken(self, operation: str, reason: str) -> ProtocolError:
        """Close, as the server does not speak the protocol; returns the error to raise."""
        self._closed_because = "the connection broke earlier (protocol error)"
        self._socket.close()
        return ProtocolError(self.name, operation, reason)

    def _connect(self, path: str, deadline_s: float) -> socket.socket:
        # The kernel's own limits, rather than Python's, save a poll() per call; they bound connect() as well.
        limit = struct.pack("@ll", int(self._timeout_s), round(self._timeout_s % 1.0 * 1e6))
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            try:
                sock.connect(path)
            except OSError as error:
                sock.close()
                if error.errno is None:  # the path does not fit into a socket address
                    raise DeviceAbsentError(self.name, "connect", str(error)) from error
                # ENOENT and ECONNREFUSED pass when a server is just starting.
                if error.errno not in (errno.ENOENT, errno.ECONNREFUSED) or time.monotonic() >= deadline_s:
                    raise from_oserror(self.name, "connect", self._timed(error)) from error
                time.sleep(_RETRY_S)
            else:
                return sock

    def _send(self, data: bytes, operation: str, fds: Sequence[int] = ()) -> None:
        if self._closed_because is not None:
            raise DeviceLostError(self.name, operation, self._closed_because)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            sent = self._socket.sendmsg([data], rights) if rights else self._socket.send(data)
            while sent < len(data):
                sent += self._socket.send(data[sent:])
        except OSError as error:
            raise self._lost(operation, error) from error

    def _receive(self, size: int, operation: str, complete: Callable[[bytes], bool]) -> bytes:
        """What comes until it is ``complete``, most often ``size`` bytes at once; all within the deadline."""
        try:
            data = self._socket.recv(size) if size else b""
            if len(data) == size:
                return data
            deadline_s = time.monotonic() + self._timeout_s
            more = data
            while more and not complete(data):
                if time.monotonic() > deadline_s:
                    raise TimeoutError(errno.ETIMEDOUT, "the reply did not arrive in time")
                more = self._socket.recv(_CHUNK)
                data += more
        except OSError as error:
            raise self._lost(operation, error) from error
        if not more:
            self._closed_because = "the server closed the connection"
            self._socket.close()
            raise DeviceLostError(self.name, operation, self._closed_because)
        return data

    def _lost(self, operation: str, error: OSError) -> Exception:
        failure = from_oserror(self.name, operation, self._timed(error))
        self._closed_because = f"the connection failed earlier ({failure.reason})"
        self._socket.close()
        return failure

    def _timed(self, error: OSError) -> OSError:
        """SO_RCVTIMEO and SO_SNDTIMEO end a call with EAGAIN."""
        if isinstance(error, BlockingIOError):
            return TimeoutError(errno.ETIMEDOUT, f"no answer within {self._timeout_s:g} s")
        return error


def _whole_message(data: bytes) -> bool:
    """Whether the message is complete, or its size is none to wait for."""
    if len(data) < wire.HEADER.size:
        return False
    size: int = wire.HEADER.unpack_from(data)[2]
    return len(data) >= size or size > wire.MAX_MESSAGE


def _refused(data: bytes) -> bool:
    """Whether a reply of the burst is an error, which is shorter than the others and shifts what follows."""
    headers = range(0, len(data) - wire.HEADER.size + 1, _REPLY32_SIZE)
    return any(wire.HEADER.unpack_from(data, start)[3] != wire.REPLY for start in headers)
