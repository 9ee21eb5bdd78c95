"""The SPTP client against a responder on loopback, good and bad, and its arithmetic without sockets."""

from __future__ import annotations

import json
import math
import socket
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from appliance.ptp.exchange import Exchange, Lost, Outcome, PathDelayFilter, Sample, utc_offset
from appliance.ptp.primitives import HeaderFlag, PortIdentity, Timestamp
from appliance.ptp.rules import ReceiveRules
from appliance.ptp.sptp import SptpClient, measure
from appliance.ptp.sptp_diagnosis import SptpError
from appliance.ptp.sptp_report import Statistics, percentile
from appliance.ptp.timestamping import StampedSocket
from appliance.ptp.wire import Announce, DelayReq, Header, Sync, decode, encode
from tests.unit.ptp.sptp_responder import CLOCK, Behaviour, Responder

NS = 1_000_000_000
SERVER = PortIdentity(CLOCK, 1)
CLIENT = PortIdentity(bytes.fromhex("0c42a1fffe6d7ca6"), 4242)
NEAR_NS = 5_000_000
"""Loopback path and scheduling; a sign or a missing term is off by far more."""


def free_port_pair() -> tuple[int, int]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b,
    ):
        a.bind(("127.0.0.1", 0))
        b.bind(("127.0.0.1", 0))
        return a.getsockname()[1], b.getsockname()[1]


# --- arithmetic and verification, without sockets


def sync(
    sequence: int = 7, *, t4_ns: int = 0, correction_ns: float = 0.0, source: PortIdentity = SERVER
) -> Sync:
    header = Header(source=source, sequence_id=sequence, correction_raw=round(correction_ns * 65536))
    return Sync(header=header, origin=Timestamp.from_ns(t4_ns))


def announce(
    sequence: int = 7,
    *,
    t1_ns: int = 0,
    correction_ns: float = 0.0,
    source: PortIdentity = SERVER,
    flags: HeaderFlag = HeaderFlag.UNICAST | HeaderFlag.PTP_TIMESCALE,
    utc_offset_s: int = 37,
) -> Announce:
    return Announce(
        header=Header(
            source=source, sequence_id=sequence, flags=flags, correction_raw=round(correction_ns * 65536)
        ),
        origin=Timestamp.from_ns(t1_ns),
        utc_offset_s=utc_offset_s,
        priority1=128,
        clock_class=6,
        clock_accuracy=0x21,
        variance=0x59E0,
        priority2=128,
        grandmaster=source.clock,
        steps_removed=0,
        time_source=0x20,
    )


def exchange(pinned: PortIdentity | None = None) -> Exchange:
    return Exchange(sequence_id=7, path=3, rules=ReceiveRules(own=CLIENT), pinned=pinned)


def test_the_request_is_what_the_vectors_show() -> None:
    own = PortIdentity(CLIENT.clock, 1)
    datagram = exchange().request(own, domain=0)
    message = decode(datagram)
    # Vector sptp_delay_req_altport3 without its correction, which transparent clocks add.
    assert datagram.hex() == (
        "01120032000024000000000000000000000000000c42a1fffe6d7ca600010007007f"
        "000000000000000000002007000200030000"
    )
    assert isinstance(message, DelayReq)
    assert message.header.flags == 0x2400


def test_the_four_times_and_both_corrections_give_offset_and_delay() -> None:
    # A client 1000 ns ahead; 700 ns to the client, 500 ns back; 40.5 and 60.25 ns in transparent clocks.
    now_utc = 1_790_000_000 * NS
    t3 = now_utc + 1000
    t4 = now_utc + 37 * NS + 500 + 60
    t1 = t4 + 20_000
    t2 = t1 - 37 * NS + 700 + 40 + 1000
    current = exchange()
    current.t3_host_ns = t3
    refused: Counter[str] = Counter()
    current.offer(encode(announce(t1_ns=t1, correction_ns=60.25)), None, 319, refused)
    current.offer(encode(sync(t4_ns=t4, correction_ns=40.5)), t2, 319, refused)
    sample = current.result(PathDelayFilter())
    assert isinstance(sample, Sample)
    assert not refused
    assert sample.server_to_client_ns == 700 + 40 + 1000 - 40.5
    assert sample.client_to_server_ns == 500 + 60 - 1000 - 60.25
    assert sample.raw_path_delay_ns == pytest.approx((700 + 500 - 0.5 - 0.25) / 2)
    assert sample.offset_ns == pytest.approx(1000 + (700 - 500 - 0.5 + 0.25) / 2)


@pytest.mark.parametrize(
    ("flags", "announced_s", "expected"),
    [
        (0x0408, 37, (37, "announced-unconfirmed")),
        (0x0408, 0, (37, "fallback")),
        (0x040C, 36, (36, "announced")),
        (0x0400, 37, (0, "not-ptp-timescale")),
    ],
)
def test_the_utc_offset_is_the_servers_if_it_can_be_believed(
    flags: int, announced_s: int, expected: tuple[int, str]
) -> None:
    assert utc_offset(announce(flags=HeaderFlag(flags), utc_offset_s=announced_s)) == expected


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (encode(sync(8)), "stale-sequence"),
        (encode(announce(6)), "stale-sequence"),
        (encode(sync(source=PortIdentity(bytes(8), 1))), "identity-changed"),
        (encode(sync(source=PortIdentity(CLIENT.clock, 5))), "own-identity"),
        (encode(replace(sync(), header=replace(sync().header, domain=1))), "domain"),
        (encode(sync(correction_ns=10_000_000_001)), "correction"),
        (encode(DelayReq(header=sync().header)), "unexpected-type"),
        (b"\x00\x12", "short-header"),
        (encode(replace(announce(), steps_removed=255)), "steps-removed"),
    ],
)
def test_a_reply_that_does_not_belong_is_counted_and_ignored(datagram: bytes, reason: str) -> None:
    current = exchange(pinned=SERVER)
    refused: Counter[str] = Counter()
    current.offer(datagram, 1, 319, refused)
    assert refused == {reason: 1}
    assert current.outcome is Outcome.NO_ANSWER


def test_each_reply_counts_once_and_both_must_be_of_one_server() -> None:
    current = exchange()
    refused: Counter[str] = Counter()
    current.offer(encode(sync(t4_ns=1)), 11, 319, refused)
    current.offer(encode(sync(t4_ns=2)), 12, 319, refused)
    current.offer(encode(announce(source=PortIdentity(bytes(8), 1))), 13, 319, refused)
    assert refused == {"duplicate": 1, "identity-changed": 1}
    assert current.t2_host_ns == 11
    assert current.outcome is Outcome.NO_ANNOUNCE


def test_an_exchange_without_one_of_the_stamps_gives_no_sample() -> None:
    current = exchange()
    current.offer(encode(sync()), 11, 319, Counter())
    current.offer(encode(announce()), None, 319, Counter())
    lost = current.result(PathDelayFilter())
    assert isinstance(lost, Lost)
    assert lost.outcome is Outcome.NO_TRANSMIT_STAMP
    current.t2_host_ns, current.t3_host_ns = None, 5
    assert current.outcome is Outcome.NO_RECEIVE_STAMP


def test_the_path_delay_filter_follows_the_documented_rules() -> None:
    chosen = PathDelayFilter(
        length=3, kind="median", discard=True, discard_below_ns=10, discard_from_ns=1000, discard_multiplier=2
    )
    assert chosen.update(5, -1, 0) == (5, False), "the first sample is always accepted"
    assert chosen.update(100, 0, 0) == (52.5, False)
    assert chosen.update(9, 0, 0) == (52.5, True), "below the floor"
    assert chosen.update(5000, 0, 0) == (100, False), "the window is not full yet"
    assert chosen.update(5000, 0, 0) == (100, True), "far above the delay in force"
    assert chosen.update(999, 0, 0) == (999, False), "not above discard_from"
    assert chosen.update(100, -0.5, 0) == (999, True), "negative correction"
    assert chosen.update(100, 0, 10_000_000_001) == (999, True), "impossible correction"
    mean = PathDelayFilter(length=2, kind="mean")
    assert [mean.update(v, 0, 0)[0] for v in (1, 3, 7)] == [1, 2, 5]
    assert chosen.fresh().update(7, 0, 0) == (7, False)


@pytest.mark.parametrize(
    "settings",
    [
        {"length": 0},
        {"kind": "mode"},
        {"discard_multiplier": 1},
        {"discard_from_ns": 5, "discard_below_ns": 5},
    ],
)
def test_impossible_filter_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="path delay filter"):
        PathDelayFilter(**settings)  # type: ignore[arg-type]


def test_statistics_are_those_of_the_textbook() -> None:
    values = [float(v) for v in range(1, 101)]
    found = Statistics.of([*values[:-1], -100.0])
    assert (found.count, found.max, found.min, found.p99) == (100, 99.0, -100.0, 98.0)
    assert found.p99_abs == 99.0
    assert Statistics.of(values).std == pytest.approx(math.sqrt(sum((v - 50.5) ** 2 for v in values) / 99))
    assert percentile([4.0], 0.99) == 4.0
    with pytest.raises(ValueError, match="no values"):
        Statistics.of([])


# --- over loopback


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_unprivileged_client_measures_the_servers_offset(address: str) -> None:
    offset_ns = 250_000_000
    with Responder(Behaviour(offset_ns=offset_ns), address) as server:
        report = measure(address, count=50, interval_s=0, ports=server.ports, paths=(0, 5), timeout_s=1.0)
    assert (report.sent, report.lost) == (50, 0)
    assert abs(report.offset.median + offset_ns) < NEAR_NS
    assert 0 < report.path_delay.median < NEAR_NS
    assert {s.path for s in report.samples} == {0, 5}
    sequences = [s.sequence_id for s in report.samples]
    assert [(b - a) & 0xFFFF for a, b in pairwise(sequences)] == [1] * 49
    assert all(s.t3_host_ns < s.t2_host_ns and s.t4_server_ns < s.t1_server_ns for s in report.samples)
    ports = {port for _, (_, port) in server.requests}
    identities = {request[20:30] for request, _ in server.requests}
    assert len(ports) == len(identities) == 1
    assert report.client_identity.port in ports
    assert report.client_identity.port > 10
    summary = json.loads(json.dumps(report.summary()))
    assert summary["quality"]["clock_class"] == 6
    assert summary["paths"]["5"]["count"] == 25
    assert summary["utc_offset_source"] == "announced-unconfirmed"
    assert summary["loss"] == 0


def test_a_standard_client_gets_the_announce_on_its_general_port() -> None:
    ports = free_port_pair()
    with Responder(Behaviour(), "127.0.0.2", ports):
        report = measure(
            "127.0.0.2",
            count=5,
            interval_s=0,
            ports=ports,
            mode="standard",
            bind_address="127.0.0.1",
            timeout_s=1.0,
        )
    assert report.lost == 0
    assert report.client_identity.port == 1
    assert abs(report.offset.median) < NEAR_NS


def test_a_negative_offset_and_corrections_keep_their_signs() -> None:
    with Responder(Behaviour(offset_ns=-80_000_000, cf1_ns=20_000_000, cf2_ns=60_000_000)) as server:
        report = measure("127.0.0.1", count=9, interval_s=0, ports=server.ports, timeout_s=1.0)
    # Corrections were not really spent on the path: 60 - 20 ms of apparent asymmetry.
    assert abs(report.offset.median - 80_000_000 - (60_000_000 - 20_000_000) / 2) < NEAR_NS
    assert abs(report.path_delay.median + 40_000_000) < NEAR_NS


def test_a_server_outside_the_ptp_timescale_is_compared_without_utc_offset() -> None:
    with Responder(Behaviour(offset_ns=-37 * NS, flags=0x0400)) as server:
        report = measure("127.0.0.1", count=3, interval_s=0, ports=server.ports, timeout_s=1.0)
    assert report.utc_offset_source == "not-ptp-timescale"
    assert abs(report.offset.median) < NEAR_NS


def test_a_given_utc_offset_wins() -> None:
    with Responder(Behaviour()) as server:
        report = measure(
            "127.0.0.1", count=3, interval_s=0, ports=server.ports, timeout_s=1.0, utc_offset_s=36
        )
    assert report.utc_offset_source == "given"
    assert abs(report.offset.median + NS) < NEAR_NS


def test_lost_replies_are_counted_and_do_not_end_the_measurement() -> None:
    seen: list[Sample | Lost] = []
    with Responder(Behaviour(silent_first=2)) as server:
        report = measure(
            "127.0.0.1", count=6, interval_s=0, ports=server.ports, timeout_s=0.3, on_exchange=seen.append
        )
    assert report.outcomes == {Outcome.NO_ANSWER: 2, Outcome.COMPLETE: 4}
    assert [isinstance(r, Lost) for r in seen] == [True, True, False, False, False, False]


def test_duplicates_change_nothing() -> None:
    with Responder(Behaviour(duplicate=True)) as server:
        report = measure("127.0.0.1", count=5, interval_s=0.01, ports=server.ports, timeout_s=1.0)
    assert report.lost == 0
    assert set(report.refused) <= {"duplicate", "stale-sequence"}
    assert sum(report.refused.values()) >= 4


def test_a_server_that_changes_its_identity_is_noticed() -> None:
    def identity(number: int) -> bytes:
        return CLOCK if number <= 3 else bytes(8)

    with Responder(Behaviour(identity=identity)) as server:
        report = measure("127.0.0.1", count=5, interval_s=0, ports=server.ports, timeout_s=0.3)
    assert len(report.samples) == 3
    assert report.refused["identity-changed"] == 4
    assert report.quality.grandmaster_identity == CLOCK.hex()


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        (Behaviour(send_announce=False), "Sync came but no Announce"),
        (Behaviour(send_sync=False), "Announce came but no Sync"),
        (Behaviour(classic=True), "speaks PTP but not SPTP"),
        (Behaviour(domain=24), "another domain"),
        (Behaviour(sequence_shift=1), "slower than the timeout"),
        (Behaviour(source="127.0.0.3"), "answers come from 127.0.0.3"),
        (Behaviour(silent_first=99), "nothing came back"),
    ],
)
def test_a_failed_measurement_names_the_probable_cause_in_one_line(behaviour: Behaviour, cause: str) -> None:
    with Responder(behaviour) as server, pytest.raises(SptpError) as info:
        measure("127.0.0.1", count=2, interval_s=0, ports=server.ports, timeout_s=0.1)
    text = str(info.value)
    assert cause in text
    assert f"2 Delay_Reqs sent to 127.0.0.1 port {server.ports[0]}" in text
    assert "\n" not in text


def test_a_closed_port_is_told_from_a_silent_host() -> None:
    with pytest.raises(SptpError, match="no PTP server listens on UDP"):
        measure("127.0.0.1", count=3, interval_s=0, ports=free_port_pair(), timeout_s=0.1)


def test_one_failure_among_late_ones_gives_up_only_after_all_paths() -> None:
    with Responder(Behaviour(silent_first=5)) as server:
        report = measure(
            "127.0.0.1", count=8, interval_s=0, ports=server.ports, timeout_s=0.1, paths=(0, 1, 2, 3)
        )
    assert report.lost == 5


def test_names_and_ports_that_cannot_work_are_one_clear_line() -> None:
    with pytest.raises(SptpError, match=r"cannot resolve the server name 'no-such-host\.invalid'"):
        SptpClient("no-such-host.invalid")
    with (
        StampedSocket(socket.AF_INET, "127.0.0.1", 0) as taken,
        pytest.raises(SptpError, match="another PTP program uses it"),
    ):
        SptpClient("127.0.0.1", mode="standard", ports=(taken.port, taken.port), bind_address="127.0.0.1")
    with pytest.raises(SptpError, match="does not have that address"):
        SptpClient("127.0.0.1", bind_address="192.0.2.77")
    for wrong in ({"paths": ()}, {"paths": (70_000,)}, {"timeout_s": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SptpClient("127.0.0.1", **wrong)
    with pytest.raises(ValueError, match="count"):
        measure("127.0.0.1", count=0)


def test_transmit_stamps_keep_their_numbers_after_a_refused_packet() -> None:
    (closed, _) = free_port_pair()
    with StampedSocket(socket.AF_INET, "127.0.0.1", 0) as sender:
        for _ in range(3):
            sender.send(b"nobody listens", "127.0.0.1", closed)
        number = sender.send(b"again", "127.0.0.1", closed)
        assert sender.transmit_ns(number) is not None
        sender.drain()
        assert set(sender.icmp_errors) == {"ECONNREFUSED"}
