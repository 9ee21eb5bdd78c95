"""Runs in the guest, in namespace "far": SPTP exchanges of which the client's NIC stamps all that it can.

    python3 sptp_hardware_client.py COUNT DIGIT SEARCHED CARD_PHC NIC_PHC CORE_SOCKET

DIGIT is the first of the requests' flow label: with 2 the server's NIC stamps them (see igb_stamps.py). The
kernel takes the label of the server's Sync from a hash over addresses and ports, so that about one port in
sixteen gets Syncs which this NIC stamps: before the COUNT exchanges such a port is looked for among SEARCHED.

Prints JSON: the server's counters ``before`` and ``after``, and ``answers``, an object for each
exchange: ``t1`` and ``t4`` as the server says, ``t2`` and ``t3`` by this NIC's stamps, all in ns of the
card's clock and null where there is none; ``half_ns`` is what ``t2`` and ``t3`` may be wrong by, ``port_ns``
what the server's times may be, as it claims around the exchange.
"""

import json
import select
import socket
import struct
import sys
import time
from collections import Counter
from pathlib import Path

from appliance.core_report import CoreReport
from appliance.ipc import CoreClient, CoreError
from appliance.ptp.exchange import Exchange
from appliance.ptp.primitives import PortIdentity
from appliance.ptp.rules import ReceiveRules
from timecard.kernel.cross_timestamp import undo_window_adjust
from timecard.kernel.phc import Phc

SO_TIMESTAMPING = 37
TX_HARDWARE, RX_HARDWARE, RAW_HARDWARE, OPT_TSONLY = 1 << 0, 1 << 2, 1 << 6, 1 << 11
FLAGS = TX_HARDWARE | RX_HARDWARE | RAW_HARDWARE | OPT_TSONLY
IPV6_FLOWINFO_SEND = 33
SERVER, EVENT_PORT, INTERFACE = "fd00::1", 319, "eth0"
OWN = PortIdentity(b"\x02client!", 11)
"""The server sends Announces to the request's own port when the portNumber is above 10."""
WAIT_S = 3.0
PAUSE_S = 0.1
"""Time for both NICs to let their stamps go before the next packet."""
SAMPLES = 25
"""The narrowest counts."""
REPORT_S = 30.0

Answer = dict[str, int | float | None]


def hardware_stamp_ns(control: list[tuple[int, int, bytes]]) -> int | None:
    """The third time of ``struct scm_timestamping``."""
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING) and len(data) >= 48:
            seconds, ns = struct.unpack("=6q", data[:48])[4:]
            if seconds:
                return int(seconds) * 1_000_000_000 + int(ns)
    return None


class Client:
    """One source port."""

    def __init__(self, digit: int, card: Phc, nic: Phc, core: CoreClient) -> None:
        self._target = (SERVER, EVENT_PORT, digit << 16, 0)
        self._card, self._nic, self._core = card, nic, core
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_IPV6, IPV6_FLOWINFO_SEND, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, FLAGS)
        self._socket.setblocking(False)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def exchange(self) -> Answer:
        """One, with all that came within the limit."""
        self._sequence += 1
        current = Exchange(sequence_id=self._sequence, path=0, rules=ReceiveRules(own=OWN), pinned=None)
        claims = [self._port_ns()]
        ahead_ns, half_ns = self._card_ahead_ns()
        sent_ns = self._ask(current)
        claims.append(self._port_ns())
        received_ns = current.t2_host_ns
        return {
            "t1": current.announce.origin.total_ns if current.announce else None,
            "t2": None if received_ns is None else received_ns + ahead_ns,
            "t3": None if sent_ns is None else sent_ns + ahead_ns,
            "t4": current.sync.origin.total_ns if current.sync else None,
            "half_ns": half_ns,
            "port_ns": max(claims),
        }

    def _ask(self, current: Exchange) -> int | None:
        """Send the request and take what comes; returns the stamp of the request."""
        refused: Counter[str] = Counter()
        sent_ns = None
        self._socket.sendto(current.request(OWN, 0), self._target)
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end and not (current.answered and sent_ns is not None):
            select.select([self._socket], [], [], 0.05)
            try:
                _, control, _, _ = self._socket.recvmsg(0, 256, socket.MSG_ERRQUEUE)
                sent_ns = hardware_stamp_ns(control)
            except BlockingIOError:
                pass
            try:
                data, control, _, source = self._socket.recvmsg(1024, 256)
                current.offer(data, hardware_stamp_ns(control), source[1], refused)
            except BlockingIOError:
                pass
        time.sleep(PAUSE_S)
        assert not refused, refused
        return sent_ns

    def _card_ahead_ns(self) -> tuple[int, float]:
        """The card's clock minus the NIC's, and half the width of that comparison."""
        middles, half_ns = [], 0.0
        for phc in (self._card, self._nic):
            undone = [undo_window_adjust(bracket, None) for bracket in phc.brackets(SAMPLES)]
            best = min((u.bracket for u in undone if u), key=lambda b: b.after_ns - b.before_ns)
            half_ns += (best.after_ns - best.before_ns) / 2
            middles.append(best.clock_ns - (best.before_ns + best.after_ns) // 2)
        return middles[0] - middles[1], half_ns

    def _port_ns(self) -> float:
        bound_ns = report(self._core).bounds.port[INTERFACE]
        assert bound_ns is not None, "core claims nothing"
        return bound_ns


def report(core: CoreClient) -> CoreReport:
    """What core says; in a guest that is short of time it may be late with it."""
    end = time.monotonic() + REPORT_S
    while True:
        try:
            return core.report()
        except CoreError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def counters(core: CoreClient, received: int) -> dict[str, int]:
    """The server's, once they show that many requests: core reports about once a second."""
    end = time.monotonic() + REPORT_S
    while True:
        found = dict(report(core).ptp.counters)
        if found["rx.delay_req"] >= received:
            return found
        assert time.monotonic() < end, f"{received} requests were sent, but {found}"
        time.sleep(0.2)


def main() -> None:
    """Look for a port, then measure."""
    count, digit, searched = (int(word) for word in sys.argv[1:4])
    answers = []
    with Phc(Path(sys.argv[4])) as card, Phc(Path(sys.argv[5])) as nic:
        core = CoreClient(Path(sys.argv[6]), timeout_s=30.0)
        before = counters(core, 0)
        client = Client(digit, card, nic, core)
        for _ in range(searched):
            answers.append(client.exchange())
            if answers[-1]["t2"] is not None:
                break
            client.close()
            client = Client(digit, card, nic, core)
        answers += [client.exchange() for _ in range(count)]
        client.close()
    after = counters(core, before["rx.delay_req"] + len(answers))
    print(json.dumps({"answers": answers, "before": before, "after": after}))


main()
