"""One SPTP exchange without sockets: the request, which replies count, and what follows from the four times.

Delay_Req leaves the client at T3 and reaches the server at T4; Sync leaves it at T1 and arrives at T2. The
Sync carries T4, the Announce carries T1 and, in its correctionField, the correction CF2 of the Delay_Req; CF1
is the correction of the Sync as received. Replies are verified: type, sequence, identity and count.
"""

from __future__ import annotations

import statistics
from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from appliance.ptp.primitives import (
    CORRECTION_ONE_NS,
    SPTP_REQUEST_FLAGS,
    ZERO,
    HeaderFlag,
    PortIdentity,
    WireError,
)
from appliance.ptp.rules import MAX_CORRECTION_NS, ReceiveRules
from appliance.ptp.tlv import AlternateResponsePort
from appliance.ptp.wire import Announce, DelayReq, DelayResp, Header, Sync, decode, encode
from timecard.timescale import NS_PER_S, TAI_MINUS_UTC_2017_S

REQUEST_TRAILER_BYTES: Final = 2
PLAUSIBLE_UTC_OFFSET_S: Final = range(30, 51)
"""A server that never declares its UTC offset valid is still believed inside this range."""


class Outcome(Enum):
    """How an exchange ended."""

    COMPLETE = "complete"
    NO_ANSWER = "no-answer"
    NO_SYNC = "no-sync"
    NO_ANNOUNCE = "no-announce"
    NO_TRANSMIT_STAMP = "no-transmit-stamp"
    NO_RECEIVE_STAMP = "no-receive-stamp"
    NOT_SENT = "not-sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One complete exchange. Host times are CLOCK_REALTIME, server times are what the server says."""

    sequence_id: int
    path: int
    """Value of TLV 0x2007: which source port, and so which network path, was asked for."""
    server_port: int
    """The source port that the Sync came from."""
    t1_server_ns: int
    t2_host_ns: int
    t3_host_ns: int
    t4_server_ns: int
    cf1_ns: float
    cf2_ns: float
    utc_offset_s: int
    """Added to the host's times."""
    server_to_client_ns: float
    client_to_server_ns: float
    path_delay_ns: float
    """Mean path delay after the filter."""
    delay_rejected: bool
    """The filter refused this exchange's own path delay."""
    offset_ns: float
    """Client minus server, both in the server's timescale."""

    @property
    def raw_path_delay_ns(self) -> float:
        """Mean path delay of this exchange alone."""
        return (self.server_to_client_ns + self.client_to_server_ns) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """An exchange that gave no sample."""

    sequence_id: int
    path: int
    outcome: Outcome


@dataclass(kw_only=True)
class PathDelayFilter:
    """Mean path delay over a window, with optional rejection of implausible samples."""

    length: int = 1
    kind: str = "median"
    """``last``, ``mean`` or ``median``."""
    discard: bool = False
    discard_below_ns: float = 0.0
    discard_from_ns: float = 0.0
    discard_multiplier: float = 1000.0
    _window: deque[float] = field(init=False, repr=False)
    _delay_ns: float | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"path delay filter: length {self.length} is below 1")
        if self.kind not in ("last", "mean", "median"):
            raise ValueError(f"path delay filter: kind {self.kind!r} is none of last, mean, median")
        if self.discard_multiplier < 2:
            raise ValueError(f"path delay filter: discard_multiplier {self.discard_multiplier} is below 2")
        if 0 < self.discard_from_ns <= self.discard_below_ns:
            raise ValueError("path delay filter: discard_from_ns must exceed discard_below_ns")
        self._window = deque(maxlen=self.length)

    def fresh(self) -> PathDelayFilter:
        """The same settings without memory: each path has a filter of its own."""
        return PathDelayFilter(
            length=self.length,
            kind=self.kind,
            discard=self.discard,
            discard_below_ns=self.discard_below_ns,
            discard_from_ns=self.discard_from_ns,
            discard_multiplier=self.discard_multiplier,
        )

    def update(self, raw_ns: float, cf1_ns: float, cf2_ns: float) -> tuple[float, bool]:
        """Take a sample; returns the delay in force and whether the sample was rejected."""
        if self._delay_ns is not None and self._rejects(raw_ns, self._delay_ns, cf1_ns, cf2_ns):
            return self._delay_ns, True
        self._window.append(raw_ns)
        if self.kind == "last":
            self._delay_ns = raw_ns
        elif self.kind == "mean":
            self._delay_ns = sum(self._window) / len(self._window)
        else:
            self._delay_ns = statistics.median(self._window)
        return self._delay_ns, False

    def _rejects(self, raw_ns: float, delay_ns: float, cf1_ns: float, cf2_ns: float) -> bool:
        if not self.discard:
            return False
        if not (0 <= cf1_ns <= MAX_CORRECTION_NS and 0 <= cf2_ns <= MAX_CORRECTION_NS):
            return True
        if raw_ns < self.discard_below_ns:
            return True
        limit_ns = self.discard_multiplier * delay_ns
        full = len(self._window) == self.length
        return full and raw_ns > self.discard_from_ns and raw_ns > limit_ns > self.discard_below_ns


def utc_offset(announce: Announce) -> tuple[int, str]:
    """Seconds to add to a UTC clock before it is compared with this server, and where they come from.

    A server outside the PTP timescale serves whatever its clock reads: nothing is added.
    """
    flags = announce.header.flags
    if not flags & HeaderFlag.PTP_TIMESCALE:
        return 0, "not-ptp-timescale"
    if flags & HeaderFlag.UTC_OFFSET_VALID:
        return announce.utc_offset_s, "announced"
    if announce.utc_offset_s in PLAUSIBLE_UTC_OFFSET_S:
        return announce.utc_offset_s, "announced-unconfirmed"
    return TAI_MINUS_UTC_2017_S, "fallback"


class Exchange:
    """The replies to one request, as far as they have come."""

    def __init__(
        self, *, sequence_id: int, path: int, rules: ReceiveRules, pinned: PortIdentity | None
    ) -> None:
        """``pinned`` is the server's identity once it is known."""
        self.sequence_id = sequence_id
        self.path = path
        self.sync: Sync | None = None
        self.announce: Announce | None = None
        self.sync_port = 0
        self.t2_host_ns: int | None = None
        self.t3_host_ns: int | None = None
        self._rules = rules
        self._pinned = pinned

    def request(self, source: PortIdentity, domain: int) -> bytes:
        """The Delay_Req: always with TLV 0x2007 and two octets after it, as deployed clients send it."""
        header = Header(source=source, sequence_id=self.sequence_id, flags=SPTP_REQUEST_FLAGS, domain=domain)
        message = DelayReq(header=header, tlvs=(AlternateResponsePort(self.path),))
        return encode(message, REQUEST_TRAILER_BYTES)

    def offer(
        self,
        datagram: bytes,
        realtime_ns: int | None,
        source_port: int,
        refused: Counter[str],
        event_port: bool | None = None,
    ) -> None:
        """Take a datagram of the server; what does not belong to this exchange is counted in ``refused``.

        ``event_port`` says on which of our ports it came in, None where both kinds share one.
        """
        try:
            message = decode(datagram)
            self._rules.check(message, event_port=event_port)
        except WireError as exc:
            refused[exc.reason.value] += 1
            return
        header = message.header
        if not isinstance(message, Sync | Announce):
            refused["classic-reply" if isinstance(message, DelayResp) else "unexpected-type"] += 1
        elif header.sequence_id != self.sequence_id:
            refused["stale-sequence"] += 1
        elif self._pinned is not None and header.source != self._pinned:
            refused["identity-changed"] += 1
        elif message.origin == ZERO:
            refused["no-time"] += 1
        elif isinstance(message, Sync):
            if self.sync is not None:
                refused["duplicate"] += 1
                return
            self.sync, self.sync_port, self.t2_host_ns = message, source_port, realtime_ns
            self._pinned = header.source
        elif self.announce is not None:
            refused["duplicate"] += 1
        else:
            self.announce, self._pinned = message, header.source

    @property
    def answered(self) -> bool:
        """Both replies are here."""
        return self.sync is not None and self.announce is not None

    @property
    def outcome(self) -> Outcome:
        """What can be said now."""
        if self.sync is None:
            return Outcome.NO_ANSWER if self.announce is None else Outcome.NO_SYNC
        if self.announce is None:
            return Outcome.NO_ANNOUNCE
        if self.t2_host_ns is None:
            return Outcome.NO_RECEIVE_STAMP
        if self.t3_host_ns is None:
            return Outcome.NO_TRANSMIT_STAMP
        return Outcome.COMPLETE

    def result(self, path_delay: PathDelayFilter, utc_offset_s: int | None = None) -> Sample | Lost:
        """The sample, or why there is none; ``utc_offset_s`` overrides what the Announce says."""
        sync, announce, t2, t3 = self.sync, self.announce, self.t2_host_ns, self.t3_host_ns
        if sync is None or announce is None or t2 is None or t3 is None:
            return Lost(sequence_id=self.sequence_id, path=self.path, outcome=self.outcome)
        if utc_offset_s is None:
            utc_offset_s, _ = utc_offset(announce)
        shift_ns = utc_offset_s * NS_PER_S
        t1, t4 = announce.origin.total_ns, sync.origin.total_ns
        cf1_ns = sync.header.correction_raw / CORRECTION_ONE_NS
        cf2_ns = announce.header.correction_raw / CORRECTION_ONE_NS
        # Whole nanoseconds are subtracted as integers: a double near 1.8e18 steps in 256 ns.
        server_to_client_ns = (t2 + shift_ns - t1) - cf1_ns
        client_to_server_ns = (t4 - t3 - shift_ns) - cf2_ns
        raw_ns = (server_to_client_ns + client_to_server_ns) / 2
        delay_ns, rejected = path_delay.update(raw_ns, cf1_ns, cf2_ns)
        return Sample(
            sequence_id=self.sequence_id,
            path=self.path,
            server_port=self.sync_port,
            t1_server_ns=t1,
            t2_host_ns=t2,
            t3_host_ns=t3,
            t4_server_ns=t4,
            cf1_ns=cf1_ns,
            cf2_ns=cf2_ns,
            utc_offset_s=utc_offset_s,
            server_to_client_ns=server_to_client_ns,
            client_to_server_ns=client_to_server_ns,
            path_delay_ns=delay_ns,
            delay_rejected=rejected,
            offset_ns=server_to_client_ns - delay_ns,
        )
