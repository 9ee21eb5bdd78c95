"""A client of the native server that builds and reads datagrams from the byte tables, not with our codec."""

from __future__ import annotations

import random
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from appliance.ptp._native import ClockPage, Server

NS = 1_000_000_000
UTC_OFFSET_NS = 37 * NS
SERVER_IDENTITY = bytes.fromhex("b8cef6fffe0210e4")
CLIENT_IDENTITY = bytes.fromhex("0c42a1fffe6d7ca6")
WILDCARD = b"\xff" * 10
ANNOUNCE: dict[str, Any] = {
    "clock_class": 6,
    "clock_accuracy": 0x25,
    "offset_scaled_log_variance": 0x4E5D,
    "current_utc_offset": 37,
    "flags": 0x3C,
    "time_source": 0x20,
    "priority1": 128,
    "priority2": 127,
    "grandmaster_identity": SERVER_IDENTITY,
    "steps_removed": 0,
    "epoch": 0,
}

SYNC, DELAY_REQ, FOLLOW_UP, DELAY_RESP, ANNOUNCE_TYPE, SIGNALING = 0, 1, 8, 9, 11, 12
REQUEST, GRANT, CANCEL, ACKNOWLEDGE = 4, 5, 6, 7


def raw_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def host_clocks() -> tuple[int, int]:
    """CLOCK_MONOTONIC_RAW and CLOCK_REALTIME at one instant."""

    def bracket() -> tuple[int, int, int]:
        before = raw_ns()
        real = time.time_ns()
        after = raw_ns()
        return after - before, (before + after) // 2, real

    _, raw, real = min(bracket() for _ in range(20))
    return raw, real


def fresh_page(
    *, offset_ns: int = 0, rate_ppb: float = 0.0, valid_s: float = 60.0, serving: bool = True, **announce: Any
) -> ClockPage:
    """A page whose TAI is the host's plus ``offset_ns`` now, and drifts by ``rate_ppb``."""
    page = ClockPage()
    raw, real = host_clocks()
    page.publish_map(
        raw_anchor_ns=raw,
        tai_anchor_ns=real + UTC_OFFSET_NS + offset_ns,
        rate_ppb=rate_ppb,
        valid_until_raw_ns=raw + round(valid_s * NS),
        error_ns=100,
    )
    page.publish_announce(**ANNOUNCE | announce)
    page.set_serving(serving)
    return page


def free_ports() -> tuple[int, int]:
    """Two neighbouring UDP ports, free on every address and outside what the kernel hands out by itself."""
    for _ in range(100):
        port = random.randrange(12_000, 32_000)
        with (
            suppress(OSError),
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as first,
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as second,
        ):
            first.bind(("::", port))
            second.bind(("::", port + 1))
            return port, port + 1
    raise AssertionError("no two free UDP ports")


@dataclass
class Serving:
    """A running server and where it is."""

    server: Server
    page: ClockPage
    event_port: int
    general_port: int

    def count(self, name: str) -> int:
        return self.server.stats()[name]

    def wait_for(self, name: str, at_least: int, within_s: float = 2.0) -> int:
        """Threads count when they get to it."""
        deadline = raw_ns() + round(within_s * NS)
        while (value := self.count(name)) < at_least and raw_ns() < deadline:
            time.sleep(0.002)
        return value


@contextmanager
def serving(page: ClockPage | None = None, **options: Any) -> Iterator[Serving]:
    """A server on free loopback ports."""
    event_port, general_port = free_ports()
    page = page or fresh_page()
    options = {"addresses": ["127.0.0.1"], "clock_identity": SERVER_IDENTITY} | options
    server = Server(page, event_port=event_port, general_port=general_port, **options)
    server.start()
    try:
        yield Serving(server, page, event_port, general_port)
    finally:
        server.stop()


@dataclass(frozen=True)
class Datagram:
    """A reply with the fields every test looks at."""

    data: bytes
    address: str
    port: int
    received_raw_ns: int

    @property
    def kind(self) -> int:
        return self.data[0] & 15

    @property
    def length(self) -> int:
        return int.from_bytes(self.data[2:4], "big")

    @property
    def flags(self) -> int:
        return int.from_bytes(self.data[6:8], "big")

    @property
    def correction(self) -> int:
        return int.from_bytes(self.data[8:16], "big", signed=True)

    @property
    def sequence(self) -> int:
        return int.from_bytes(self.data[30:32], "big")

    @property
    def timestamp_ns(self) -> int:
        return int.from_bytes(self.data[34:40], "big") * NS + int.from_bytes(self.data[40:44], "big")

    @property
    def tlvs(self) -> list[tuple[int, bytes]]:
        """Of a Signaling message."""
        found, at = [], 44
        while at < self.length:
            kind, size = struct.unpack_from(">HH", self.data, at)
            found.append((kind, self.data[at + 4 : at + 4 + size]))
            at += 4 + size
        return found

    @property
    def grants(self) -> dict[int, tuple[int, int]]:
        """Message type to log period and duration."""
        return {
            value[0] >> 4: (int.from_bytes(value[1:2], "big", signed=True), int.from_bytes(value[2:6], "big"))
            for kind, value in self.tlvs
            if kind == GRANT
        }


def header(kind: int, length: int, flags: int, sequence: int, **fields: Any) -> bytes:
    return struct.pack(
        ">BBHBBHqI8sHHBb",
        fields.get("major_sdo_id", 0) << 4 | kind,
        0x12,
        length,
        fields.get("domain", 0),
        0,
        flags,
        fields.get("correction", 0),
        0,
        fields.get("identity", CLIENT_IDENTITY),
        fields.get("port_number", 1),
        sequence,
        0,
        0x7F,
    )


def sptp_request(
    sequence: int = 1, *, offset: int | None = None, flags: int = 0x2400, **fields: Any
) -> bytes:
    tlv = b"" if offset is None else struct.pack(">HHH", 0x2007, 2, offset)
    return header(DELAY_REQ, 44 + len(tlv), flags, sequence, **fields) + bytes(10) + tlv


def signaling(*tlvs: bytes, sequence: int = 1, target: bytes = WILDCARD, **fields: Any) -> bytes:
    body = b"".join(tlvs)
    return header(SIGNALING, 44 + len(body), 0x0400, sequence, **fields) + target + body


def request(kind: int, log_period: int = 0, duration_s: int = 60) -> bytes:
    return struct.pack(">HHBbI", REQUEST, 6, kind << 4, log_period, duration_s)


def cancel(kind: int) -> bytes:
    return struct.pack(">HHBB", CANCEL, 2, kind << 4, 0)


@dataclass
class Client:
    """One UDP socket; ``port`` 0 is an ephemeral one."""

    to: Serving
    address: str = "127.0.0.1"
    server: str = "127.0.0.1"
    port: int = 0
    sock: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind((self.address, self.port))
        self.port = self.sock.getsockname()[1]

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def event(self, data: bytes) -> None:
        self.sock.sendto(data, (self.server, self.to.event_port))

    def general(self, data: bytes) -> None:
        self.sock.sendto(data, (self.server, self.to.general_port))

    def receive(self, within_s: float = 1.0) -> Datagram | None:
        """The next datagram, None when none comes in time."""
        if not select.select([self.sock], [], [], max(0.0, within_s))[0]:
            return None
        data, source = self.sock.recvfrom(2048)
        return Datagram(data, source[0], source[1], raw_ns())

    def next(self, within_s: float = 1.0) -> Datagram:
        reply = self.receive(within_s)
        assert reply is not None, "no reply"
        return reply

    def all_within(self, seconds: float) -> list[Datagram]:
        """Everything that comes in this time."""
        deadline, found = raw_ns() + round(seconds * NS), []
        while (left := deadline - raw_ns()) > 0:
            reply = self.receive(left / NS)
            if reply is not None:
                found.append(reply)
        return found

    def drain(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self.sock.recv(2048, socket.MSG_DONTWAIT)

    def exchange(self, sequence: int = 1, **fields: Any) -> tuple[Datagram, Datagram]:
        """One SPTP exchange of a probe (port number above 10): Sync and Announce come to this socket."""
        self.event(sptp_request(sequence, **({"port_number": 4242} | fields)))
        sync, announce = self.next(), self.next()
        assert (sync.kind, announce.kind) == (SYNC, ANNOUNCE_TYPE)
        assert sync.sequence == announce.sequence == sequence
        return sync, announce
