"""A register bus over a vfio-user socket: the user-space way to an emulated card.

One socket, one card. A request that is not answered within its deadline leaves the stream out of step, so the
bus is closed then; a closed bus stays closed and says so, and its owner opens a new one.
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
from timecard.pcie.registers import BAR0_SIZE, FB_CARDS

REQUEST_TIMEOUT_S: Final = 1.0
MAX_BURST: Final = 512
_RETRY_S: Final = 0.02
_WORDS: Final = {1: struct.Struct("<B"), 2: struct.Struct("<H"), 4: struct.Struct("<I")}
_READ_REQUEST: Final = struct.Struct("<HHIIIQII")
_READ_SIZE: Final = _READ_REQUEST.size
_READ32_REPLY: Final = struct.Struct("<HHIIIQIII")
_REPLY32_SIZE: Final = _READ32_REPLY.size
_OPERATIONS: Final = {int(command): command.name.lower() for command in wire.Command}
_ANY_SIZE: Final = 256
_CHUNK: Final = 65_536


class VfioUserBus:
    """BAR0 of a card behind a vfio-user socket; any thread may use it.

    Raises ``DeviceAbsentError`` when nobody listens within ``connect_timeout_s``, ``RefusedError`` when the
    server has another client, ``DeviceLostError`` when it goes away, ``DeviceTimeoutError`` when it does not
    answer.
    """

    writes_are_posted = False
    """A write has reached the card when the call returns."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        connect_timeout_s: float = 1.0,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self.path = os.fspath(path)
        self.name = f"vfio-user:{self.path}"
        self._lock = threading.Lock()
        self._ident = 0
        self._timeout_s = request_timeout_s
        self._eventfds: dict[int, int] = {}
        self._closed_because: str | None = None
        self._socket = self._connect(time.monotonic() + connect_timeout_s)
        try:
            self.pci_id = self._identify()
        except BaseException:
            self.close()
            raise

    # --- registers ---

    def read32(self, offset: int) -> int:
        """Read a register of BAR0."""
        return self.read(offset, 4)

    def write32(self, offset: int, value: int) -> None:
        """Write a register of BAR0."""
        self.write(offset, 4, value)

    def read(self, offset: int, size: int, region: int = wire.Region.BAR0) -> int:
        """Read 1, 2 or 4 bytes."""
        word = self._word(offset, size)
        body = wire.ACCESS.pack(offset, region, size)
        reply = self._request(wire.Command.REGION_READ, body, wire.ACCESS.size + size)
        value: int = word.unpack_from(reply, wire.ACCESS.size)[0]
        return value

    def write(self, offset: int, size: int, value: int, region: int = wire.Region.BAR0) -> None:
        """Write 1, 2 or 4 bytes."""
        word = self._word(offset, size)
        body = wire.ACCESS.pack(offset, region, size) + word.pack(value & ((1 << 8 * size) - 1))
        self._request(wire.Command.REGION_WRITE, body, wire.ACCESS.size)

    def read32_many(self, offsets: Sequence[int]) -> list[int]:
        """Read registers of BAR0 in order, all requests under way at once."""
        count = len(offsets)
        if count > MAX_BURST:
            return self.read32_many(offsets[:MAX_BURST]) + self.read32_many(offsets[MAX_BURST:])
        if offsets and not 0 <= min(offsets) <= max(offsets) <= BAR0_SIZE - 4:
            raise RefusedError(
                self.name, "burst read", f"an offset is outside of BAR0 ({BAR0_SIZE:#x} bytes)"
            )
        pack, read, bar0 = _READ_REQUEST.pack, int(wire.Command.REGION_READ), int(wire.Region.BAR0)
        total = count * _REPLY32_SIZE
        with self._lock:
            first = self._ident
            self._ident = (first + count) & 0xFFFF
            requests = [
                pack((first + i) & 0xFFFF, read, _READ_SIZE, 0, 0, offset, bar0, 4)
                for i, offset in enumerate(offsets)
            ]
            self._send(b"".join(requests), "burst read")
            data = self._receive(total, "burst read", lambda data: len(data) == total or _refused(data))
        values = []
        whole = data[: len(data) - len(data) % _REPLY32_SIZE]
        for i, (ident, _, size, flags, _, _, _, _, value) in enumerate(_READ32_REPLY.iter_unpack(whole)):
            if ident != (first + i) & 0xFFFF or size != _REPLY32_SIZE or flags != wire.REPLY:
                raise self._broken("burst read", f"reply {i} has id {ident}, size {size}, flags {flags:#x}")
            values.append(value)
        if len(values) != count:
            raise self._broken("burst read", f"read {len(values)} was refused")
        return values

    def read_config32(self, offset: int) -> int:
        """Read an aligned word of PCI configuration space."""
        return self.read(offset, 4, wire.Region.CONFIG)

    # --- interrupts ---

    def irq_eventfd(self, vector: int) -> int:
        """An eventfd that counts the interrupts of an MSI-X (else MSI) vector; the bus owns and closes it."""
        known = self._eventfds.get(vector)
        if known is not None:
            return known
        for kind in (wire.Irq.MSIX, wire.Irq.MSI):
            reply = self._request(
                wire.Command.GET_IRQ_INFO,
                wire.IRQ_INFO.pack(wire.IRQ_INFO.size, 0, kind, 0),
                wire.IRQ_INFO.size,
            )
            count = wire.IRQ_INFO.unpack(reply)[3]
            if vector < count:
                break
        else:
            raise RefusedError(self.name, f"interrupt {vector}", "the card has no such vector")
        fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        flags = wire.IrqFlag.DATA_EVENTFD | wire.IrqFlag.TRIGGER
        try:
            self._request(
                wire.Command.SET_IRQS,
                wire.SET_IRQS.pack(wire.SET_IRQS.size, flags, kind, vector, 1),
                0,
                (fd,),
            )
        except BaseException:
            os.close(fd)
            raise
        self._eventfds[vector] = fd
        return fd

    # --- connection ---

    def close(self) -> None:
        """Close the socket; later calls raise ``DeviceLostError``."""
        self._closed_because = self._closed_because or "the bus was closed"
        self._socket.close()
        while self._eventfds:
            os.close(self._eventfds.popitem()[1])

    def _connect(self, deadline_s: float) -> socket.socket:
        # The kernel's own limits, rather than Python's, save a poll() per call; they bound connect() as well.
        limit = struct.pack("@ll", int(self._timeout_s), round(self._timeout_s % 1.0 * 1e6))
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            try:
                sock.connect(self.path)
            except OSError as error:
                sock.close()
                if error.errno is None:  # the path does not fit into a socket address
                    raise DeviceAbsentError(self.name, "connect", str(error)) from error
                # ENOENT and ECONNREFUSED pass when a server is just starting.
                if error.errno not in (errno.ENOENT, errno.ECONNREFUSED) or time.monotonic() >= deadline_s:
                    raise from_oserror(self.name, "connect", _timed(error, self._timeout_s)) from error
                time.sleep(_RETRY_S)
            else:
                return sock

    def _identify(self) -> tuple[int, int]:
        try:
            reply = self._request(wire.Command.VERSION, wire.VERSION.pack(0, 0) + wire.CAPABILITIES, None)
        except DeviceLostError as error:
            raise RefusedError(
                self.name, "connect", "turned away: the server serves one client at a time, and has one"
            ) from error
        if len(reply) < wire.VERSION.size or wire.VERSION.unpack_from(reply)[0] != 0:
            raise self._broken("version", f"the server speaks another protocol: {reply[:8]!r}")
        ids = self.read_config32(0)
        pci_id = (ids & 0xFFFF, ids >> 16)
        if pci_id not in FB_CARDS:
            raise DeviceAbsentError(
                self.name,
                "identify",
                f"PCI id {pci_id[0]:04x}:{pci_id[1]:04x} is not a Time Card with the FB register layout",
            )
        reply = self._request(
            wire.Command.GET_REGION_INFO,
            wire.REGION_INFO.pack(wire.REGION_INFO.size, 0, wire.Region.BAR0, 0, 0, 0),
            wire.REGION_INFO.size,
        )
        size = wire.REGION_INFO.unpack(reply)[4]
        if size < BAR0_SIZE:
            raise ProtocolError(
                self.name, "identify", f"BAR0 has {size:#x} bytes, the FB layout needs {BAR0_SIZE:#x}"
            )
        return pci_id

    def _word(self, offset: int, size: int) -> struct.Struct:
        if size not in _WORDS or offset % size:
            raise RefusedError(
                self.name, f"access {offset:#x}", f"{size} bytes there are not an aligned access"
            )
        return _WORDS[size]

    def _request(self, command: int, body: bytes, expected: int | None, fds: Sequence[int] = ()) -> bytes:
        """Send one request and return its reply's body of ``expected`` bytes (None: any)."""
        operation = _OPERATIONS[command]
        with self._lock:
            ident = self._ident
            self._ident = (ident + 1) & 0xFFFF
            self._send(wire.message(ident, command, body), operation, fds)
            size = wire.HEADER.size + (_ANY_SIZE if expected is None else expected)
            data = self._receive(size, operation, _whole_message)
            got_ident, got_command, size, flags, number = wire.HEADER.unpack_from(data)
            if (
                got_ident != ident
                or got_command != command
                or flags & wire.TYPE_MASK != wire.REPLY
                or size != len(data)
            ):
                raise self._broken(operation, f"not the reply to this request: {data[:32].hex()}")
        if flags & wire.ERROR:
            raise RefusedError(self.name, operation, os.strerror(number) if number else "no reason given")
        if expected is not None and size != wire.HEADER.size + expected:
            raise self._broken(operation, f"reply of {size} bytes instead of {wire.HEADER.size + expected}")
        return data[wire.HEADER.size :]

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
        failure = from_oserror(self.name, operation, _timed(error, self._timeout_s))
        self._closed_because = f"the connection failed earlier ({failure.reason})"
        self._socket.close()
        return failure

    def _broken(self, operation: str, reason: str) -> ProtocolError:
        self._closed_because = "the connection broke earlier (protocol error)"
        self._socket.close()
        return ProtocolError(self.name, operation, reason)


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


def _timed(error: OSError, timeout_s: float) -> OSError:
    """SO_RCVTIMEO and SO_SNDTIMEO end a call with EAGAIN."""
    if isinstance(error, BlockingIOError):
        return TimeoutError(errno.ETIMEDOUT, f"no answer within {timeout_s:g} s")
    return error
