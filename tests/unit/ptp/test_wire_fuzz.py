"""Whatever arrives: a message that encodes back to the same bytes, or a ``WireError``, and nothing else."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.ptp import management
from appliance.ptp.datasets import ManagementId
from appliance.ptp.primitives import HeaderFlag, MessageType, PortIdentity, Timestamp
from appliance.ptp.rules import ReceiveRules
from appliance.ptp.tlv import (
    AcknowledgeCancelUnicast,
    AlternateResponsePort,
    AlternateTimeOffset,
    CancelFlag,
    CancelUnicast,
    GrantUnicast,
    ManagementTlv,
    OpaqueTlv,
    OrganizationExtension,
    PathTrace,
    RequestUnicast,
    Tlv,
    TlvType,
)
from appliance.ptp.wire import (
    Announce,
    DelayReq,
    DelayResp,
    FollowUp,
    Header,
    Message,
    PdelayReq,
    PdelayResp,
    PdelayRespFollowUp,
    Signaling,
    Sync,
    WireError,
    decode,
    encode,
)

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A loaded machine is no finding."""
thorough = settings(steady, max_examples=400)

u8, u16, u32 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32))
i8, i16, i32 = (st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32))
nibble = st.integers(0, 15)
clocks = st.binary(min_size=8, max_size=8)
ports = st.builds(PortIdentity, clocks, u16)
stamps = st.builds(Timestamp, st.integers(0, (1 << 48) - 1), st.integers(0, 10**9 - 1))
even_bytes = st.binary(max_size=20).map(lambda b: b + b[: len(b) % 2])

headers = st.builds(
    Header,
    source=ports,
    sequence_id=u16,
    flags=u16.map(HeaderFlag),
    domain=u8,
    correction_raw=st.integers(-(1 << 63), (1 << 63) - 1),
    control=u8,
    log_message_interval=i8,
    minor_version=nibble,
    major_sdo_id=nibble,
    minor_sdo_id=u8,
    message_type_specific=u32,
)
tlvs: st.SearchStrategy[Tlv] = st.one_of(
    st.builds(RequestUnicast, message_type=nibble, log_period=i8, duration_s=u32, reserved=nibble),
    st.builds(GrantUnicast, message_type=nibble, log_period=i8, duration_s=u32, flags=u8),
    st.builds(CancelUnicast, message_type=nibble, flags=nibble.map(CancelFlag), reserved=u8),
    st.builds(AcknowledgeCancelUnicast, message_type=nibble, flags=nibble.map(CancelFlag), reserved=u8),
    st.builds(PathTrace, st.lists(clocks, max_size=4).map(tuple)),
    st.builds(AlternateResponsePort, u16),
    st.builds(
        OrganizationExtension,
        organization=st.binary(min_size=3, max_size=3),
        subtype=st.binary(min_size=3, max_size=3),
        data=even_bytes,
    ),
    st.builds(ManagementTlv, management_id=u16, data=even_bytes),
    st.builds(OpaqueTlv, st.sampled_from([TlvType.PAD, TlvType.AUTHENTICATION, 0x2FFF, 0x8000]), even_bytes),
)
tlv_lists = st.lists(tlvs, max_size=4).map(tuple)


def messages() -> st.SearchStrategy[Message]:
    common: dict[str, Any] = {"header": headers, "tlvs": tlv_lists}
    return st.one_of(
        *(st.builds(cls, **common, origin=stamps) for cls in (Sync, DelayReq, FollowUp)),
        *(
            st.builds(cls, **common, timestamp=stamps, requesting=ports)
            for cls in (DelayResp, PdelayResp, PdelayRespFollowUp)
        ),
        st.builds(PdelayReq, **common, origin=stamps, reserved=st.binary(min_size=10, max_size=10)),
        st.builds(
            Announce,
            **common,
            origin=stamps,
            utc_offset_s=i16,
            reserved=u8,
            priority1=u8,
            clock_class=u8,
            clock_accuracy=u8,
            variance=u16,
            priority2=u8,
            grandmaster=clocks,
            steps_removed=u16,
            time_source=u8,
        ),
        st.builds(
            Signaling, header=headers, tlvs=st.lists(tlvs, min_size=1, max_size=4).map(tuple), target=ports
        ),
    )


@given(messages(), st.integers(0, 3))
@steady
def test_what_is_encoded_decodes_to_the_same_value(message: Message, trailer_bytes: int) -> None:
    datagram = encode(message, trailer_bytes)
    assert len(datagram) == message.message_length + trailer_bytes
    assert decode(datagram) == message


def survives(datagram: bytes) -> None:
    try:
        message = decode(datagram)
    except WireError:
        return
    length = int.from_bytes(datagram[2:4], "big")
    assert encode(message) == datagram[:length]
    with contextlib.suppress(WireError):
        ReceiveRules(own=PortIdentity(bytes(8), 1)).check(message, event_port=True)
    for tlv in message.tlvs:
        if isinstance(tlv, ManagementTlv):
            try:
                data = management.decode_data(tlv)
            except WireError:
                continue
            if data is not None:
                assert management.encode_data(data) == tlv


@given(st.binary(max_size=200))
@steady
def test_noise_is_refused_or_understood(datagram: bytes) -> None:
    survives(datagram)


@given(st.sampled_from(list(MessageType)), st.binary(min_size=44, max_size=400), st.integers(0, 3))
@thorough
def test_noise_behind_a_correct_start_is_refused_or_understood(kind: int, tail: bytes, trailer: int) -> None:
    total = len(tail) + 4
    survives(bytes((kind, 0x12)) + max(0, total - trailer).to_bytes(2, "big") + tail)


@given(messages(), st.data())
@thorough
def test_a_changed_message_is_refused_or_understood(message: Message, data: st.DataObject) -> None:
    datagram = bytearray(encode(message, 2))
    for _ in range(data.draw(st.integers(1, 4))):
        datagram[data.draw(st.integers(0, len(datagram) - 1))] = data.draw(u8)
    survives(bytes(datagram[: data.draw(st.integers(0, len(datagram)))]))
    survives(bytes(datagram))


@given(st.sampled_from(list(ManagementId)), st.binary(max_size=300))
@thorough
def test_management_data_of_any_content_is_refused_or_understood(kind: int, raw: bytes) -> None:
    tlv = ManagementTlv(management_id=kind, data=raw)
    try:
        data = management.decode_data(tlv)
    except WireError:
        return
    assert data is not None
    assert management.encode_data(data).data == raw + b"\0" * (len(raw) % 2)


@given(
    st.builds(
        AlternateTimeOffset,
        key=u8,
        current_offset_s=i32,
        jump_s=i32,
        next_jump_s=st.integers(0, (1 << 48) - 1),
        display_name=st.binary(max_size=10),
    )
)
@steady
def test_an_alternate_time_offset_is_padded_to_even_and_keeps_its_name(tlv: AlternateTimeOffset) -> None:
    value = tlv.value()
    assert len(value) % 2 == 0
    again = AlternateTimeOffset.decode(value)
    assert again.display_name == tlv.display_name
    assert again.value() == value
