"""One SPTP exchange without sockets: arithmetic, verification of replies, the filter, statistics."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest

from appliance.ptp.exchange import Exchange, Lost, Outcome, PathDelayFilter, Sample, utc_offset
from appliance.ptp.primitives import HeaderFlag, PortIdentity, Timestamp
from appliance.ptp.rules import ReceiveRules
from appliance.ptp.sptp_report import Statistics, percentile
from appliance.ptp.wire import Announce, DelayReq, Header, Sync, decode, encode
from tests.unit.ptp.sptp_responder import CLOCK

NS = 1_000_000_000
SERVER = PortIdentity(CLOCK, 1)
CLIENT = PortIdentity(bytes.fromhex("0c42a1fffe6d7ca6"), 4242)


def sync(
    sequence: int = 7, *, t4_ns: int = 1, correction_ns: float = 0.0, source: PortIdentity = SERVER
) -> Sync:
    header = Header(source=source, sequence_id=sequence, correction_raw=round(correction_ns * 65536))
    return Sync(header=header, origin=Timestamp.from_ns(t4_ns))


def announce(
    sequence: int = 7,
    *,
    t1_ns: int = 1,
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
        (encode(sync(t4_ns=0)), "no-time"),
        (encode(announce(t1_ns=0)), "no-time"),
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


def test_replies_count_only_on_the_port_of_their_kind() -> None:
    current = exchange()
    refused: Counter[str] = Counter()
    current.offer(encode(sync()), 1, 319, refused, event_port=False)
    current.offer(encode(announce()), 1, 319, refused, event_port=True)
    assert refused == {"wrong-port": 2}
    current.offer(encode(sync()), 1, 319, refused, event_port=True)
    current.offer(encode(announce()), 1, 319, refused, event_port=False)
    assert current.answered


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
        PathDelayFilter(**settings)  # type: ignore[arg-type]  # wrong on purpose


def test_statistics_are_those_of_the_textbook() -> None:
    values = [float(v) for v in range(1, 101)]
    found = Statistics.of([*values[:-1], -100.0])
    assert (found.count, found.max, found.min, found.p99) == (100, 99.0, -100.0, 98.0)
    assert found.p99_abs == 99.0
    assert Statistics.of(values).std == pytest.approx(math.sqrt(sum((v - 50.5) ** 2 for v in values) / 99))
    assert percentile([4.0], 0.99) == 4.0
    with pytest.raises(ValueError, match="no values"):
        Statistics.of([])
