"""Unicast negotiation with the native server, and the flows it leads to (IEEE 1588-2019, 16.1)."""

from __future__ import annotations

import struct
import time
from itertools import pairwise
from statistics import median
from typing import Any

import pytest

from tests.unit.ptp.native_client import (
    ACKNOWLEDGE,
    ANNOUNCE,
    ANNOUNCE_TYPE,
    CANCEL,
    CLIENT_IDENTITY,
    DELAY_RESP,
    FOLLOW_UP,
    GRANT,
    NS,
    SERVER_IDENTITY,
    SIGNALING,
    SYNC,
    WILDCARD,
    Client,
    Datagram,
    Serving,
    cancel,
    fresh_page,
    host_clocks,
    raw_ns,
    request,
    serving,
    signaling,
    sptp_request,
)

ALL = (ANNOUNCE_TYPE, SYNC, DELAY_RESP)


def negotiate(client: Client, *tlvs: bytes, **fields: Any) -> Datagram:
    """Send a Signaling message and return the one that answers it."""
    client.general(signaling(*tlvs, **fields))
    deadline_ns = raw_ns() + NS
    while raw_ns() < deadline_ns:
        reply = client.next()
        if reply.kind == SIGNALING:
            return reply
    raise AssertionError("no Signaling came")


def subscriptions(to: Serving) -> tuple[int, int, int]:
    stats = to.server.stats()
    return (
        stats["subscriptions.announce"],
        stats["subscriptions.sync"],
        stats["subscriptions.delay_resp"],
    )


def test_one_message_answers_all_requests_of_one_message() -> None:
    with serving() as to, Client(to) as client:
        grant = negotiate(
            client,
            request(ANNOUNCE_TYPE, 1, 300),
            request(SYNC, -4, 60),
            request(DELAY_RESP, -4, 60),
            sequence=9,
        )
        assert grant.grants == {ANNOUNCE_TYPE: (1, 300), SYNC: (-4, 60), DELAY_RESP: (-4, 60)}
        assert (grant.sequence, grant.flags, grant.length) == (9, 0x0400, 44 + 3 * 12)
        assert grant.data[20:30] == SERVER_IDENTITY + b"\x00\x01"
        assert grant.data[34:44] == CLIENT_IDENTITY + b"\x00\x01"  # the target is who asked
        assert all(kind == GRANT and value[7] == 1 for kind, value in grant.tlvs)  # renewal invited
        assert subscriptions(to) == (1, 1, 1)
        (first, *_), contracts = to.server.contracts(), to.server.contracts()
        assert {c[4]: (c[5], c[6]) for c in contracts} == grant.grants
        assert first[:4] == ("127.0.0.1", client.port, CLIENT_IDENTITY, 1)


@pytest.mark.parametrize(
    ("tlv", "expected", "counter"),
    [
        (request(SYNC, -8), (-8, 0), "signaling.denied.period"),
        (request(SYNC, -128), (-128, 0), "signaling.denied.period"),
        (request(SYNC, 5), (5, 0), "signaling.denied.period"),
        (request(ANNOUNCE_TYPE, 0, 0), (0, 0), "signaling.denied.duration"),
        (request(FOLLOW_UP), (0, 0), "signaling.denied.type"),
        (request(3), (0, 0), "signaling.denied.type"),
    ],
)
def test_what_cannot_be_granted_is_denied_with_duration_0(
    tlv: bytes, expected: tuple[int, int], counter: str
) -> None:
    with serving() as to, Client(to) as client:
        reply = negotiate(client, tlv)
        assert reply.grants == {tlv[4] >> 4: expected}
        assert to.count(counter) == 1
        assert subscriptions(to) == (0, 0, 0)
        assert client.receive(0.05) is None


def test_a_longer_duration_is_granted_as_far_as_allowed() -> None:
    with serving(duration_max_s=1000) as to, Client(to) as client:
        assert negotiate(client, request(ANNOUNCE_TYPE, 0, 3600)).grants == {ANNOUNCE_TYPE: (0, 1000)}


def test_limits_deny_and_leave_others_alone() -> None:
    with serving(contracts_per_address=3, contracts_max=4, addresses=["0.0.0.0"]) as to:
        with Client(to) as client, Client(to, "127.0.0.2") as other:
            assert all(duration for _, duration in negotiate(client, *map(request, ALL)).grants.values())
            more = negotiate(client, request(SYNC), port_number=2)
            assert more.grants == {SYNC: (0, 0)}
            assert negotiate(client, request(SYNC)).grants == {SYNC: (0, 60)}  # a renewal is no new contract
            assert negotiate(other, request(SYNC)).grants == {SYNC: (0, 60)}
            assert negotiate(other, request(ANNOUNCE_TYPE)).grants == {ANNOUNCE_TYPE: (0, 0)}
        assert to.count("signaling.denied.limit") == 2


def test_the_sum_of_rates_of_an_address_is_limited() -> None:
    with serving(messages_per_s_address=200) as to, Client(to) as client:
        assert negotiate(client, request(SYNC, -7)).grants == {SYNC: (-7, 60)}
        assert negotiate(client, request(DELAY_RESP, -7)).grants == {DELAY_RESP: (-7, 0)}
        assert negotiate(client, request(DELAY_RESP, -6)).grants == {DELAY_RESP: (-6, 60)}


def test_a_flood_of_requests_in_one_datagram_gets_one_answer() -> None:
    with serving() as to, Client(to) as client:
        reply = negotiate(client, *[request(ANNOUNCE_TYPE, 0, 300)] * 40)
        assert [kind for kind, _ in reply.tlvs] == [GRANT]
        assert len(reply.data) == 56
        assert to.count("rx.tlv_excess") == 32
        assert [r.kind for r in client.all_within(0.1)] == [ANNOUNCE_TYPE]  # the first one, at once


@pytest.mark.parametrize(
    ("target", "answered"),
    [
        (WILDCARD, True),
        (SERVER_IDENTITY + b"\x00\x01", True),
        (SERVER_IDENTITY + b"\xff\xff", True),
        (b"\xff" * 8 + b"\x00\x01", True),
        (SERVER_IDENTITY + b"\x00\x02", False),
        (CLIENT_IDENTITY + b"\x00\x01", False),
        (bytes(10), False),
    ],
)
def test_only_signaling_for_us_is_answered(target: bytes, answered: bool) -> None:
    with serving() as to, Client(to) as client:
        client.general(signaling(request(DELAY_RESP), target=target))
        if answered:
            assert client.next().grants == {DELAY_RESP: (0, 60)}
        else:
            assert to.wait_for("dropped.target", 1) == 1
            assert client.receive(0.02) is None


def test_unknown_tlvs_are_skipped() -> None:
    with serving() as to, Client(to) as client:
        padding = struct.pack(">HHI", 0x8008, 4, 0)
        reply = negotiate(client, padding, request(DELAY_RESP), padding)
        assert reply.grants == {DELAY_RESP: (0, 60)}


def flows(to: Serving, tlvs: list[bytes], seconds: float) -> tuple[list[Datagram], list[Datagram]]:
    """What a client with its own address gets: at its event port, and where it signalled from."""
    with (
        Client(to, "127.0.0.2", port=to.event_port) as event,
        Client(to, "127.0.0.2", port=to.general_port) as general,
    ):
        general.general(signaling(*tlvs))
        replies = general.all_within(seconds)
        return event.all_within(0.01), replies


def test_flows_come_at_the_granted_rates() -> None:
    page = fresh_page(offset_ns=5 * NS, rate_ppb=10_000.0)
    with serving(page) as to:
        before_ns = page.read_map(raw_ns()) or 0
        syncs, replies = flows(to, [request(ANNOUNCE_TYPE, -3, 60), request(SYNC, -5, 60)], 1.02)
        after_ns = page.read_map(raw_ns()) or 0
    announces = [r for r in replies if r.kind == ANNOUNCE_TYPE]
    follow_ups = [r for r in replies if r.kind == FOLLOW_UP]
    assert replies[0].kind == SIGNALING  # the grant comes before the first message
    # Never more than granted; fewer only where this process was not scheduled.
    assert 4 <= len(announces) <= 10
    assert 16 <= len(syncs) <= 34
    assert [s.sequence for s in syncs] == list(range(len(syncs)))
    assert len(syncs) - len(follow_ups) in (0, 1)  # the last one may just be on its way
    assert [f.sequence for f in follow_ups] == list(range(len(follow_ups)))
    assert [a.sequence for a in announces] == list(range(len(announces)))
    assert {(s.kind, s.flags, s.data[33]) for s in syncs} == {(SYNC, 0x0600, 0x7F)}
    assert {(f.flags, f.data[33]) for f in follow_ups} == {(0x0400, 0xFB)}
    assert {(a.flags, a.data[33]) for a in announces} == {(0x043C, 0xFD)}
    stamps = [f.timestamp_ns for f in follow_ups]
    assert before_ns <= stamps[0]
    assert stamps[-1] <= after_ns
    spacings_ns = [b - a for a, b in pairwise(stamps)]
    assert NS / 32 * 0.9 < median(spacings_ns) < NS / 32 * 1.1
    for message in (*syncs, *announces):  # estimates, close to the truth
        assert abs(message.timestamp_ns - stamps[0]) < 2 * NS


def test_delay_resp_goes_to_those_who_were_granted_it() -> None:
    with serving() as to, Client(to) as general, Client(to) as event:
        delay_req = sptp_request(12, flags=0x0400, correction=0x18A90000)
        event.event(delay_req)
        assert to.wait_for("dropped.no_contract", 1) == 1
        negotiate(general, request(DELAY_RESP))
        before_ns = to.page.read_map(raw_ns()) or 0
        event.event(delay_req)
        reply = general.next()  # where the Signaling came from
        assert (reply.kind, reply.sequence, reply.correction) == (DELAY_RESP, 12, 0x18A90000)
        assert (reply.length, reply.flags, reply.data[33]) == (54, 0x0400, 0x7F)
        assert reply.data[44:54] == CLIENT_IDENTITY + b"\x00\x01"
        assert before_ns <= reply.timestamp_ns <= (to.page.read_map(raw_ns()) or 0)
        event.event(sptp_request(13, flags=0x0400, port_number=2))  # another port of the same clock
        assert to.wait_for("dropped.no_contract", 2) == 2


def test_delay_resp_without_contract_when_configured() -> None:
    with (
        serving(delay_resp_without_contract=True) as to,
        Client(to, "127.0.0.2") as event,
        Client(to, "127.0.0.2", port=to.general_port) as general,
    ):
        event.event(sptp_request(3, flags=0x0400))
        assert general.next().kind == DELAY_RESP


def test_a_cancel_is_acknowledged_and_ends_the_flow() -> None:
    with serving() as to, Client(to) as client:
        negotiate(client, request(ANNOUNCE_TYPE, -5), request(DELAY_RESP))
        assert len(client.all_within(0.2)) >= 4
        reply = negotiate(client, cancel(ANNOUNCE_TYPE), sequence=5)
        assert [(kind, value[0] >> 4) for kind, value in reply.tlvs] == [(ACKNOWLEDGE, ANNOUNCE_TYPE)]
        assert reply.sequence == 5
        assert subscriptions(to) == (0, 0, 1)
        assert client.all_within(0.15) == []
        again = negotiate(client, cancel(ANNOUNCE_TYPE))  # the first ACK was lost
        assert [kind for kind, _ in again.tlvs] == [ACKNOWLEDGE]


def test_grants_and_acknowledgements_are_not_answered() -> None:
    with serving() as to, Client(to) as client:
        acknowledge = struct.pack(">HHBB", ACKNOWLEDGE, 2, ANNOUNCE_TYPE << 4, 0)
        grant = struct.pack(">HHBbIBB", GRANT, 8, ANNOUNCE_TYPE << 4, 0, 60, 0, 1)
        client.general(signaling(acknowledge, grant))
        assert to.wait_for("rx.signaling.acknowledge_cancel", 1) == 1
        assert client.receive(0.05) is None


def test_a_contract_ends_by_itself() -> None:
    with serving() as to, Client(to) as client:
        negotiate(client, request(ANNOUNCE_TYPE, -4, 1), request(DELAY_RESP, 0, 1))
        replies = client.all_within(1.3)
        assert 1 <= len(replies) <= 17
        assert to.wait_for("signaling.expired", 2) == 2
        assert subscriptions(to) == (0, 0, 0)
        client.drain()
        assert client.all_within(0.2) == []


def test_a_renewal_keeps_the_count_and_moves_to_the_new_port() -> None:
    with serving() as to, Client(to) as client, Client(to) as later:
        negotiate(client, request(ANNOUNCE_TYPE, -4))
        first = client.all_within(0.3)
        negotiate(later, request(ANNOUNCE_TYPE, -4))
        client.drain()
        moved = later.all_within(0.3)
        assert client.receive(0.0) is None
        assert 2 <= len(moved) <= 6  # no extra message for the renewal
        assert moved[0].sequence >= len(first)
        assert all(b.sequence == a.sequence + 1 for a, b in pairwise(moved))
        assert subscriptions(to) == (1, 0, 0)


def test_a_changed_class_is_in_the_next_scheduled_announce() -> None:
    with serving() as to, Client(to) as client:
        negotiate(client, request(ANNOUNCE_TYPE, -3))
        client.all_within(0.2)
        to.page.publish_announce(**ANNOUNCE | {"clock_class": 7, "clock_accuracy": 0x27, "flags": 0x08})
        replies = client.all_within(0.5)
        assert 3 <= len(replies) <= 5  # no burst
        assert {(r.data[48], r.data[49], r.flags) for r in replies} == {(7, 0x27, 0x0408)}


def test_flows_pause_while_the_map_is_void() -> None:
    page = fresh_page(valid_s=0.3)
    with serving(page) as to, Client(to) as client:
        negotiate(client, request(ANNOUNCE_TYPE, -4))
        time.sleep(0.4)
        client.drain()
        assert client.all_within(0.2) == []
        assert to.count("dropped.no_time") >= 2
        raw, real = host_clocks()
        page.publish_map(
            raw_anchor_ns=raw,
            tai_anchor_ns=real,
            rate_ppb=0.0,
            valid_until_raw_ns=raw + 60 * NS,
            error_ns=0,
        )
        assert 2 <= len(client.all_within(0.25)) <= 5
        assert subscriptions(to) == (1, 0, 0)


def cancelled(replies: list[Datagram]) -> list[int]:
    return sorted(v[0] >> 4 for r in replies if r.kind == SIGNALING for kind, v in r.tlvs if kind == CANCEL)


def test_not_serving_cancels_contracts_and_denies_new_ones() -> None:
    with serving() as to, Client(to) as client:
        negotiate(client, *map(request, ALL))
        client.all_within(0.05)
        to.page.set_serving(False)
        assert cancelled(client.all_within(0.2)) == sorted(ALL)
        assert subscriptions(to) == (0, 0, 0)
        assert negotiate(client, request(SYNC)).grants == {SYNC: (0, 0)}
        assert to.count("signaling.denied.not_serving") == 1
        to.page.set_serving(True)
        time.sleep(0.05)
        assert negotiate(client, request(SYNC)).grants == {SYNC: (0, 60)}


def test_stopping_cancels_the_contracts() -> None:
    with serving() as to, Client(to) as client:
        for port_number in range(1, 11):
            negotiate(client, *map(request, ALL), port_number=port_number)
        client.drain()
        began_ns = raw_ns()
        to.server.stop()
        assert raw_ns() - began_ns < NS
        assert cancelled(client.all_within(0.1)) == sorted(ALL * 10)
        assert to.server.contracts() == []


def test_ipv6_signaling_has_the_trailer() -> None:
    with serving(addresses=["::1"]) as to, Client(to, "::1", "::1") as client:
        reply = negotiate(client, request(ANNOUNCE_TYPE))
        assert (reply.length, len(reply.data), reply.grants) == (56, 58, {ANNOUNCE_TYPE: (0, 60)})
        announce = client.next()
        assert (announce.kind, announce.length, len(announce.data)) == (ANNOUNCE_TYPE, 64, 66)
