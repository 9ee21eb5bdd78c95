"""SPTP client: measures how far this host's clock is from a server, and steers nothing.

Two modes. ``standard`` binds the event and the general port, as a fleet's clients do. ``unprivileged`` uses
one ephemeral port and a portNumber above 10, which makes the server send the Announce back to that same port.
"""

from __future__ import annotations

import errno
import secrets
import select
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final, Literal, Self, TypedDict, Unpack, get_args

from appliance.ptp.exchange import Exchange, Lost, Outcome, PathDelayFilter, Sample, utc_offset
from appliance.ptp.primitives import PortIdentity
from appliance.ptp.rules import ReceiveRules, plain_address
from appliance.ptp.sptp_diagnosis import Attempt, SptpError, bind, explain, resolve
from appliance.ptp.sptp_report import ServerQuality, SptpReport
from appliance.ptp.timestamping import StampedSocket, await_receive_stamps
from appliance.ptp.wire import Announce
from timecard.timebase import HostTimebase, Timebase
from timecard.timescale import NS_PER_S

PORTS: Final = (319, 320)
"""UDP event and general port of PTP (IEEE 1588-2019, Annexes C and D)."""
DATAGRAMS_PER_ROUND: Final = 64
"""Then the deadline is looked at again, whatever floods in."""
FOREIGN_MAX: Final = 8

Mode = Literal["standard", "unprivileged"]


class ClientOptions(TypedDict, total=False):
    """The keyword arguments of ``SptpClient``, for those who pass them on."""

    mode: Mode
    ports: tuple[int, int]
    timeout_s: float
    domain: int
    paths: Sequence[int]
    path_delay: PathDelayFilter | None
    utc_offset_s: int | None
    bind_address: str | None
    identity: bytes | None


class SptpClient:
    """Exchanges with one server, one at a time. A context manager."""

    def __init__(
        self,
        server: str,
        *,
        mode: Mode = "unprivileged",
        ports: tuple[int, int] = PORTS,
        timeout_s: float = 0.1,
        domain: int = 0,
        paths: Sequence[int] = (0,),
        path_delay: PathDelayFilter | None = None,
        utc_offset_s: int | None = None,
        bind_address: str | None = None,
        identity: bytes | None = None,
        timebase: Timebase | None = None,
    ) -> None:
        """Resolve the server and open the sockets.

        ``ports`` are the server's event and general port; ``standard`` binds the same ones. ``paths`` are
        values of TLV 0x2007, used in turn. ``utc_offset_s`` replaces the announced offset between this host's
        clock and the server's timescale; ``identity`` is an own clockIdentity of 8 bytes instead of a random
        one. Raises ``SptpError`` and, for impossible arguments, ``ValueError``.
        """
        if mode not in get_args(Mode):
            raise ValueError(f"mode: {mode!r} is none of {', '.join(get_args(Mode))}")
        if not all(0 < port <= 0xFFFF for port in ports):
            raise ValueError(f"ports: {ports} are not two of 1..65535")
        if not 0 <= domain <= 0xFF:
            raise ValueError(f"domain: {domain} is not 0..255")
        if not paths or not all(0 <= path <= 0xFFFF for path in paths):
            raise ValueError("paths: at least one value of 0..65535")
        if timeout_s <= 0:
            raise ValueError(f"timeout_s: {timeout_s} is not above 0")
        self.server, self.ports, self.mode = server, ports, mode
        self.refused: Counter[str] = Counter()
        self.foreign: Counter[str] = Counter()
        """Datagrams from other addresses than the server's, by address (the first few of them)."""
        self.announce: Announce | None = None
        """The last Announce of a complete exchange."""
        self._timeout_ns = round(timeout_s * NS_PER_S)
        self._domain, self._paths, self._utc_offset_s = domain, tuple(paths), utc_offset_s
        settings = path_delay or PathDelayFilter()
        self._filters = {path: settings.fresh() for path in self._paths}
        self._timebase = timebase or HostTimebase()
        self._pinned: PortIdentity | None = None
        self._count = 0
        self._first_sequence = secrets.randbelow(0x10000)
        family, self._target = resolve(server, ports[0])
        self.address = plain_address(self._target)
        with ExitStack() as stack:
            local = bind_address or ("::" if family == socket.AF_INET6 else "0.0.0.0")
            self._event = stack.enter_context(bind(family, local, ports[0] if mode == "standard" else 0))
            self._general = (
                stack.enter_context(bind(family, local, ports[1])) if mode == "standard" else self._event
            )
            self._stack = stack.pop_all()
        # A random EUI-64 with the "locally administered" bit: two clients never share an identity.
        clock = identity or bytes((secrets.randbits(8) & 0xFC | 2,)) + secrets.token_bytes(7)
        self.identity = PortIdentity(clock, 1 if mode == "standard" else self._event.port)
        self._rules = ReceiveRules(domain=domain, own=self.identity)
        self._inputs: tuple[tuple[StampedSocket, bool | None], ...] = (
            ((self._event, True), (self._general, False)) if mode == "standard" else ((self._event, None),)
        )
        self._poll = select.poll()
        for opened, _ in self._inputs:
            self._poll.register(opened, select.POLLIN)
        await_receive_stamps()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the sockets."""
        self._stack.close()

    def exchange(self) -> Sample | Lost:
        """One exchange; returns when both replies and the transmit stamp are here, or at the timeout."""
        index, self._count = self._count, self._count + 1
        path = self._paths[index % len(self._paths)]
        current = Exchange(
            sequence_id=(self._first_sequence + index) & 0xFFFF,
            path=path,
            rules=self._rules,
            pinned=self._pinned,
        )
        deadline_ns = self._timebase.mono_ns() + self._timeout_ns
        try:
            number = self._event.send(
                current.request(self.identity, self._domain), self._target, self.ports[0]
            )
        except OSError as exc:
            self.refused[f"send-{errno.errorcode.get(exc.errno or 0, 'error')}"] += 1
            return Lost(sequence_id=current.sequence_id, path=path, outcome=Outcome.NOT_SENT)
        while True:
            self._receive(current)
            if current.t3_host_ns is None:
                current.t3_host_ns = self._event.transmit_ns(number)
            if current.answered and current.t3_host_ns is not None:
                break
            left_ns = deadline_ns - self._timebase.mono_ns()
            if left_ns <= 0:
                break
            self._poll.poll(left_ns / 1e6)
            self._event.drain()
        result = current.result(self._filters[path], self._utc_offset_s)
        if isinstance(result, Sample):
            assert current.announce is not None
            self.announce, self._pinned = current.announce, current.announce.header.source
        return result

    def _receive(self, current: Exchange) -> None:
        for opened, event_port in self._inputs:
            for _ in range(DATAGRAMS_PER_ROUND):
                received = opened.receive()
                if received is None:
                    break
                source = plain_address(received.address)
                if source == self.address:
                    current.offer(
                        received.data, received.realtime_ns, received.port, self.refused, event_port
                    )
                else:
                    self.refused["foreign-address"] += 1
                    if source in self.foreign or len(self.foreign) < FOREIGN_MAX:
                        self.foreign[source] += 1

    def attempt(self, outcomes: Counter[Outcome]) -> Attempt:
        """What has been tried so far and what came of it."""
        return Attempt(
            server=self.server,
            address=self.address,
            ports=self.ports,
            standard_mode=self.mode == "standard",
            outcomes=outcomes,
            refused=self.refused,
            foreign=self.foreign,
            icmp_errors=self._event.icmp_errors,
        )


def measure(
    server: str,
    *,
    count: int = 10,
    interval_s: float = 1.0,
    give_up_after: int | None = None,
    on_exchange: Callable[[Sample | Lost], None] | None = None,
    **options: Unpack[ClientOptions],
) -> SptpReport:
    """Measure ``server`` by ``count`` exchanges, started every ``interval_s`` (0: one after the other).

    ``on_exchange`` sees each result as it comes; ``options`` are those of ``SptpClient``. When the first
    ``give_up_after`` exchanges (default: three, plus one for each further path) all fail, ``SptpError`` says
    what was sent and what is probably wrong.
    """
    if count < 1:
        raise ValueError(f"count: {count} is below 1")
    patience = give_up_after or 2 + len(set(options.get("paths", (0,))))
    timebase = HostTimebase()
    samples: list[Sample] = []
    outcomes: Counter[Outcome] = Counter()
    with SptpClient(server, **options, timebase=timebase) as client:
        start_ns = timebase.mono_ns()
        due_ns = start_ns
        for index in range(count):
            if (wait_ns := due_ns - timebase.mono_ns()) > 0:
                timebase.sleep_s(wait_ns / NS_PER_S)
            # Lost time is not made up for: no burst after a stall.
            due_ns = max(due_ns + round(interval_s * NS_PER_S), timebase.mono_ns())
            result = client.exchange()
            if on_exchange is not None:
                on_exchange(result)
            if isinstance(result, Sample):
                samples.append(result)
                outcomes[Outcome.COMPLETE] += 1
                continue
            outcomes[result.outcome] += 1
            if not samples and index + 1 >= min(patience, count):
                raise SptpError(explain(client.attempt(outcomes)))
        elapsed_s = (timebase.mono_ns() - start_ns) / NS_PER_S
        return _report(client, tuple(samples), outcomes, options.get("utc_offset_s"), elapsed_s)


def _report(
    client: SptpClient,
    samples: tuple[Sample, ...],
    outcomes: Counter[Outcome],
    given_utc_offset_s: int | None,
    elapsed_s: float,
) -> SptpReport:
    announce = client.announce
    assert announce is not None
    offset_s, source = utc_offset(announce)
    return SptpReport(
        server=client.server,
        address=client.address,
        event_port=client.ports[0],
        mode=client.mode,
        client_identity=client.identity,
        samples=samples,
        outcomes=dict(outcomes),
        refused=dict(client.refused),
        quality=ServerQuality(
            port_identity=str(announce.header.source),
            grandmaster_identity=announce.grandmaster.hex(),
            clock_class=announce.clock_class,
            clock_accuracy=announce.clock_accuracy,
            offset_scaled_log_variance=announce.variance,
            priority1=announce.priority1,
            priority2=announce.priority2,
            steps_removed=announce.steps_removed,
            time_source=announce.time_source,
            flags=int(announce.header.flags),
            utc_offset_s=announce.utc_offset_s,
        ),
        utc_offset_s=offset_s if given_utc_offset_s is None else given_utc_offset_s,
        utc_offset_source=source if given_utc_offset_s is None else "given",
        elapsed_s=elapsed_s,
    )
