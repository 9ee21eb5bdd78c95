"""An SPTP server in a thread, from the description of the exchange and not from our codec.

It serves the host's clock as TAI plus an offset, through kernel stamps, and can misbehave in named ways.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.ptp.timestamping import StampedSocket, await_receive_stamps

CLOCK = bytes.fromhex("b8cef6fffe0210e4")
NS = 1_000_000_000


@dataclass
class Behaviour:
    """What the responder does; the defaults are those of a good server."""

    offset_ns: int = 0
    utc_offset_s: int = 37
    flags: int = 0x0408
    domain: int = 0
    cf1_ns: float = 0.0
    cf2_ns: float = 0.0
    classic: bool = False
    send_sync: bool = True
    send_announce: bool = True
    duplicate: bool = False
    announce_first: bool = False
    sequence_shift: int = 0
    delay_s: float = 0.0
    silent_first: int = 0
    identity: Callable[[int], bytes] = field(default=lambda number: CLOCK)
    source: str | None = None
    """Answer from this address instead of the one that was asked."""


class Responder:
    """Bound to ``address``, two ports; answers until closed."""

    def __init__(
        self, behaviour: Behaviour, address: str = "127.0.0.1", ports: tuple[int, int] = (0, 0)
    ) -> None:
        self.behaviour = behaviour
        self.requests: list[tuple[bytes, tuple[str, int]]] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._event = StampedSocket(family, address, ports[0])
        self._worker = StampedSocket(family, behaviour.source or address, 0)
        self._general = socket.socket(family, socket.SOCK_DGRAM)
        self._general.bind((behaviour.source or address, 0))
        self._general_port = ports[1]
        self.ports = (self._event.port, ports[1] or self._event.port)
        await_receive_stamps()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Responder:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for opened in (self._event, self._worker, self._general):
            opened.close()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._event, select.POLLIN)
        while not self._stop.is_set():
            poll.poll(50)
            self._event.drain()
            while (received := self._event.receive()) is not None:
                assert received.realtime_ns is not None
                self.requests.append((received.data, (received.address, received.port)))
                if len(self.requests) > self.behaviour.silent_first:
                    self._answer(received.data, received.address, received.port, received.realtime_ns)

    def _answer(self, request: bytes, address: str, port: int, t4_ns: int) -> None:
        does = self.behaviour
        time.sleep(does.delay_s)
        clock = does.identity(len(self.requests))
        kind, flags, sequence = request[0] & 0xF, request[6:8], struct.unpack_from(">H", request, 30)[0]
        assert (kind, flags) == (1, b"\x24\x00"), "not an SPTP request"
        sequence = (sequence + does.sequence_shift) & 0xFFFF
        general_to = port if struct.unpack_from(">H", request, 28)[0] > 10 else self._general_port
        if does.classic:
            body = self._stamp(t4_ns) + request[20:30]
            self._general.sendto(self._header(9, 0x0400, 54, 0, clock, sequence) + body, (address, port))
            return
        t1_ns = self._sync(address, port, clock, sequence, t4_ns) if does.send_sync else t4_ns + 1000
        if does.send_announce:
            correction_ns = does.cf2_ns + struct.unpack_from(">q", request, 8)[0] / 65536
            header = self._header(0xB, does.flags, 64, correction_ns, clock, sequence)
            quality = struct.pack(
                ">hBBBBHB8sHB", does.utc_offset_s, 0, 128, 6, 0x21, 23008, 128, clock, 0, 0x20
            )
            for _ in range(2 if does.duplicate else 1):
                self._general.sendto(header + self._stamp(t1_ns) + quality + b"\0\0", (address, general_to))

    def _sync(self, address: str, port: int, clock: bytes, sequence: int, t4_ns: int) -> int:
        """Send the Sync, twice if asked; returns T1 of the first."""
        does = self.behaviour
        sync = self._header(0, 0x0600, 44, does.cf1_ns, clock, sequence) + self._stamp(t4_ns) + b"\0\0"
        number = self._worker.send(sync, address, port)
        while (t1_ns := self._worker.transmit_ns(number)) is None:
            time.sleep(0.0005)
        if does.duplicate:
            self._worker.send(sync, address, port)
        return t1_ns

    def _header(
        self, kind: int, flags: int, length: int, correction_ns: float, clock: bytes, sequence: int
    ) -> bytes:
        return struct.pack(
            ">BBHBBHqI8sHHBb",
            kind,
            0x12,
            length,
            self.behaviour.domain,
            0,
            flags,
            round(correction_ns * 65536),
            0,
            clock,
            1,
            sequence,
            0,
            0x7F,
        )

    def _stamp(self, realtime_ns: int) -> bytes:
        seconds, nanoseconds = divmod(realtime_ns + 37 * NS + self.behaviour.offset_ns, NS)
        return struct.pack(">HII", seconds >> 32, seconds & 0xFFFFFFFF, nanoseconds)
