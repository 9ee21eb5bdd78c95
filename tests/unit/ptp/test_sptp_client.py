"""The SPTP client against a responder on loopback, good and bad."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from itertools import pairwise

import pytest

from appliance.ptp.exchange import Lost, Outcome, Sample
from appliance.ptp.sptp import FOREIGN_MAX, SptpClient, measure
from appliance.ptp.sptp_diagnosis import SptpError
from appliance.ptp.timestamping import StampedSocket
from tests.unit.ptp.sptp_responder import CLOCK, Behaviour, Responder

NS = 1_000_000_000
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
    for wrong in (
        {"paths": ()},
        {"paths": (70_000,)},
        {"timeout_s": 0},
        {"mode": "root"},
        {"ports": (0, 320)},
        {"domain": 256},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SptpClient("127.0.0.1", **wrong)
    with pytest.raises(ValueError, match="count"):
        measure("127.0.0.1", count=0)


def test_a_flood_from_elsewhere_neither_stops_an_exchange_nor_fills_the_memory() -> None:
    with Responder(Behaviour(delay_s=0.05)) as server, ExitStack() as stack:
        noisy = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(12)]
        for number, opened in enumerate(noisy):
            opened.bind((f"127.0.1.{number + 1}", 0))
        client = stack.enter_context(SptpClient("127.0.0.1", ports=server.ports, timeout_s=1.0))
        for opened in noisy * 20:
            opened.sendto(b"noise", ("127.0.0.1", client.identity.port))
        assert isinstance(client.exchange(), Sample)
    assert client.refused == {"foreign-address": 240}
    assert len(client.foreign) == FOREIGN_MAX


def test_transmit_stamps_keep_their_numbers_after_a_refused_packet() -> None:
    (closed, _) = free_port_pair()
    with StampedSocket(socket.AF_INET, "127.0.0.1", 0) as sender:
        for _ in range(3):
            sender.send(b"nobody listens", "127.0.0.1", closed)
        number = sender.send(b"again", "127.0.0.1", closed)
        assert sender.transmit_ns(number) is not None
        sender.drain()
        assert set(sender.icmp_errors) == {"ECONNREFUSED"}
