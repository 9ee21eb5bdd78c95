"""A UDP socket whose packets carry kernel software timestamps (Linux, Documentation/networking/timestamping).

Stamps are CLOCK_REALTIME in nanoseconds: receive stamps are taken before the socket, transmit stamps in the
driver. A transmit stamp comes back through the socket's error queue with the number of the packet, and may
never come; nothing here waits for one.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from dataclasses import dataclass
from typing import Final

from timecard.timescale import NS_PER_S

SO_TIMESTAMPING_NEW: Final = 65
TX_SOFTWARE: Final = 1 << 1
RX_SOFTWARE: Final = 1 << 3
REPORT_SOFTWARE: Final = 1 << 4
OPT_ID: Final = 1 << 7
OPT_TSONLY: Final = 1 << 11
_FLAGS: Final = TX_SOFTWARE | RX_SOFTWARE | REPORT_SOFTWARE | OPT_ID | OPT_TSONLY

IP_RECVERR: Final = 11
IPV6_RECVERR: Final = 25
_RECVERR: Final = {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}
_ORIGIN_ICMP: Final = (2, 3)
_ORIGIN_TIMESTAMPING: Final = 4

# struct scm_timestamping64: three pairs of seconds and nanoseconds; the first is the software stamp
_STAMPS: Final = struct.Struct("=6q")
# struct sock_extended_err: errno, origin, type, code, pad, info, data
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")

ARMING_S: Final = 0.05
MAX_DATAGRAM: Final = 2048
CONTROL_BYTES: Final = 256
"""A smaller buffer cuts the packet's number off."""
_PENDING_ERRORS: Final = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN}
"""What an ICMP message leaves on the socket for the next call."""


@dataclass(frozen=True, slots=True)
class Received:
    """One datagram and when the kernel saw it; no stamp when the kernel took none."""

    data: bytes
    address: str
    port: int
    realtime_ns: int | None


class StampedSocket:
    """A bound UDP socket. One thread uses it."""

    def __init__(self, family: socket.AddressFamily, address: str, port: int) -> None:
        """Bind; ``OSError`` when the port is taken or not allowed."""
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self._socket.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
            else:
                self._socket.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING_NEW, _FLAGS)
            self._socket.bind((address, port))
        except OSError:
            self._socket.close()
            raise
        self._sent = 0
        self._stamps: dict[int, int] = {}
        self.icmp_errors: dict[str, int] = {}
        """Errors that routers or hosts reported, by name, with their count."""

    def __enter__(self) -> StampedSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """For ``poll``: readable for datagrams, in error for transmit stamps."""
        return self._socket.fileno()

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self._socket.getsockname()[1])

    def send(self, data: bytes, address: str, port: int) -> int:
        """Send and return the packet's number for ``transmit_ns``; ``OSError`` when it cannot be sent."""
        self._stamps.clear()
        try:
            try:
                self._socket.sendto(data, (address, port))
            except OSError as exc:
                # An ICMP message about an earlier packet is reported by the next call, whatever that is.
                if exc.errno not in _PENDING_ERRORS:
                    raise
                self.drain()
                self._renumber()
                self._socket.sendto(data, (address, port))
        except OSError:
            self._renumber()
            raise
        self._sent += 1
        return self._sent - 1

    def _renumber(self) -> None:
        """Start counting at 0: whether a failed send used up a number is not defined."""
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING_NEW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING_NEW, _FLAGS)
        self._sent = 0

    def transmit_ns(self, number: int) -> int | None:
        """When packet ``number`` left (CLOCK_REALTIME), or None while that is not known."""
        if number not in self._stamps:
            self.drain()
        return self._stamps.get(number)

    def drain(self) -> None:
        """Empty the error queue: transmit stamps and ICMP errors."""
        while True:
            try:
                _, control, _, _ = self._socket.recvmsg(
                    MAX_DATAGRAM, CONTROL_BYTES, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT
                )
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno in _PENDING_ERRORS:
                    continue
                raise
            stamp_ns = _stamp_ns(control)
            for level, kind, data in control:
                if (level, kind) not in _RECVERR or len(data) < _EXTENDED_ERROR.size:
                    continue
                code, origin, _, _, _, _, number = _EXTENDED_ERROR.unpack_from(data)
                if origin == _ORIGIN_TIMESTAMPING and stamp_ns is not None:
                    self._stamps[number] = stamp_ns
                elif origin in _ORIGIN_ICMP:
                    name = errno.errorcode.get(code, str(code))
                    self.icmp_errors[name] = self.icmp_errors.get(name, 0) + 1

    def receive(self) -> Received | None:
        """The next datagram that waits, or None."""
        while True:
            try:
                data, control, _, source = self._socket.recvmsg(MAX_DATAGRAM, CONTROL_BYTES)
            except BlockingIOError:
                return None
            except OSError as exc:
                if exc.errno in _PENDING_ERRORS:
                    continue
                raise
            return Received(data, source[0], source[1], _stamp_ns(control))


def await_receive_stamps(timeout_s: float = 0.5) -> None:
    """Return when packets really are stamped on arrival; call it while the sockets in question are open.

    The kernel switches stamping on for all sockets together, from a work queue, and packets of the first
    moments have no stamp. Shown by a packet over loopback; a host without loopback waits a fixed time.
    """
    deadline = time.monotonic() + timeout_s
    try:
        with StampedSocket(socket.AF_INET, "127.0.0.1", 0) as probe:
            while time.monotonic() < deadline:
                probe.send(b"", "127.0.0.1", probe.port)
                select.select([probe], [], [], 0.01)
                received = probe.receive()
                if received is not None and received.realtime_ns is not None:
                    return
    except OSError:
        time.sleep(ARMING_S)


def _stamp_ns(control: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING_NEW and len(data) >= _STAMPS.size:
            seconds, nanoseconds, *_ = _STAMPS.unpack_from(data)
            if seconds:
                return int(seconds * NS_PER_S + nanoseconds)
    return None
