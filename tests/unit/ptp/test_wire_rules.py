"""What a receiver refuses although it is a well-formed message, and what the encoder refuses to send."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.ptp.primitives import (
    CORRECTION_TOO_BIG,
    WILDCARD,
    MessageType,
    PortIdentity,
    Reason,
    Timestamp,
    mac_to_clock_identity,
)
from appliance.ptp.rules import ReceiveRules, check_source, plain_address
from appliance.ptp.tlv import MAX_TLVS, AlternateResponsePort, OpaqueTlv, PathTrace, RequestUnicast
from appliance.ptp.wire import Announce, DelayReq, Header, Message, Signaling, Sync, WireError, decode, encode

OWN = PortIdentity(bytes.fromhex("0c42a1fffe6d7ca6"), 1)
PEER = PortIdentity(bytes.fromhex("b8cef6fffe0210e4"), 1)
RULES = ReceiveRules(own=OWN)
HEADER = Header(source=PEER, sequence_id=7)
ANNOUNCE = Announce(
    header=HEADER,
    utc_offset_s=37,
    priority1=128,
    clock_class=6,
    clock_accuracy=0x21,
    variance=0x59E0,
    priority2=128,
    grandmaster=PEER.clock,
    steps_removed=0,
    time_source=0x20,
)
SIGNALING = Signaling(
    header=HEADER, target=OWN, tlvs=(RequestUnicast(message_type=0xB, log_period=0, duration_s=60),)
)


def reason(message: Message, *, event_port: bool | None = None, rules: ReceiveRules = RULES) -> Reason | None:
    try:
        rules.check(message, event_port=event_port)
    except WireError as exc:
        return exc.reason
    return None


def test_what_is_meant_for_us_passes() -> None:
    for message in (ANNOUNCE, SIGNALING, Sync(header=HEADER)):
        assert reason(message) is None


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (Sync(header=replace(HEADER, domain=24)), Reason.DOMAIN),
        (Sync(header=replace(HEADER, major_sdo_id=1)), Reason.SDO_ID),
        (Sync(header=replace(HEADER, correction_raw=CORRECTION_TOO_BIG)), Reason.CORRECTION),
        (Sync(header=replace(HEADER, correction_raw=-10_000_000_001 * 65536)), Reason.CORRECTION),
        (Sync(header=replace(HEADER, source=PortIdentity(OWN.clock, 9))), Reason.OWN_IDENTITY),
        (replace(ANNOUNCE, steps_removed=255), Reason.STEPS_REMOVED),
        (replace(ANNOUNCE, tlvs=(PathTrace((PEER.clock, OWN.clock)),)), Reason.PATH_LOOP),
        (replace(SIGNALING, target=PEER), Reason.TARGET),
        (replace(SIGNALING, target=PortIdentity(OWN.clock, 2)), Reason.TARGET),
    ],
)
def test_what_is_not_for_us_is_refused(message: Message, expected: Reason) -> None:
    assert reason(message) is expected


@pytest.mark.parametrize(
    "target", [WILDCARD, OWN, PortIdentity(WILDCARD.clock, 1), PortIdentity(OWN.clock, WILDCARD.port)]
)
def test_signaling_targets_may_mix_wildcards(target: PortIdentity) -> None:
    assert reason(replace(SIGNALING, target=target)) is None


def test_event_messages_belong_on_the_event_port_and_general_ones_on_the_other() -> None:
    assert reason(Sync(header=HEADER), event_port=True) is None
    assert reason(ANNOUNCE, event_port=False) is None
    assert reason(Sync(header=HEADER), event_port=False) is Reason.WRONG_PORT
    assert reason(ANNOUNCE, event_port=True) is Reason.WRONG_PORT


@pytest.mark.parametrize(
    ("address", "port"),
    [("192.0.2.1", 0), ("224.0.1.129", 319), ("ff02::6b", 319), ("::", 319), ("192.0.2.9", 319)],
)
def test_nothing_is_sent_back_to_addresses_that_no_peer_has(address: str, port: int) -> None:
    with pytest.raises(WireError) as info:
        check_source(address, port, own_addresses={"192.0.2.9"})
    assert info.value.reason is Reason.SOURCE_ADDRESS


def test_a_mapped_address_is_the_same_as_the_plain_one() -> None:
    assert plain_address("::ffff:192.0.2.9") == "192.0.2.9"
    assert plain_address("fe80::1%veth0") == "fe80::1"
    with pytest.raises(WireError):
        check_source("::ffff:192.0.2.9", 319, own_addresses={"192.0.2.9"})
    check_source("::ffff:192.0.2.10", 319, own_addresses={"192.0.2.9"})


def test_three_bytes_after_the_message_are_a_trailer_and_four_are_not() -> None:
    message = DelayReq(header=HEADER)
    assert decode(encode(message, 3)) == message
    with pytest.raises(WireError) as info:
        decode(encode(message, 4))
    assert info.value.reason is Reason.TRAILER_TOO_LONG


def test_the_number_of_tlvs_is_bounded() -> None:
    tlv = AlternateResponsePort(1)
    assert len(decode(encode(DelayReq(header=HEADER, tlvs=(tlv,) * MAX_TLVS))).tlvs) == MAX_TLVS
    with pytest.raises(WireError) as info:
        decode(encode(DelayReq(header=HEADER, tlvs=(tlv,) * (MAX_TLVS + 1))))
    assert info.value.reason is Reason.TLV_COUNT


@pytest.mark.parametrize(
    "message",
    [
        DelayReq(header=replace(HEADER, sequence_id=65536)),
        DelayReq(header=HEADER, origin=Timestamp(1 << 48, 0)),
        DelayReq(header=HEADER, tlvs=(AlternateResponsePort(-1),)),
        DelayReq(header=HEADER, tlvs=(OpaqueTlv(0x8008, b"odd"),)),
        replace(ANNOUNCE, grandmaster=b"short"),
    ],
)
def test_a_field_that_does_not_fit_is_an_error_of_the_caller(message: Message) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        encode(message)


def test_identities_print_and_derive_as_peers_show_them() -> None:
    assert str(PEER) == "b8cef6.fffe.0210e4-1"
    assert mac_to_clock_identity(bytes.fromhex("0c42a16d7ca6")) == OWN.clock
    assert mac_to_clock_identity(PEER.clock) == PEER.clock
    with pytest.raises(ValueError, match="6 or 8 bytes, not 5"):
        mac_to_clock_identity(bytes(5))
    with pytest.raises(ValueError, match="8 bytes, not 6"):
        PortIdentity(bytes(6), 1)


def test_a_timestamp_survives_nanoseconds_and_back() -> None:
    assert Timestamp.from_ns(1_790_000_000_123_456_789) == Timestamp(1_790_000_000, 123_456_789)
    assert Timestamp.from_ns(-1 % (1 << 78)).nanoseconds < 10**9
    assert Timestamp((1 << 48) - 1, 999_999_999).total_ns == (1 << 48) * 10**9 - 1


def test_only_event_types_are_timestamped() -> None:
    assert [t for t in MessageType if t.is_event] == [0, 1, 2, 3]
