"""PTP messages, bytes to values and back (IEEE 1588-2019, clause 13). No sockets, no clock.

``decode`` checks what makes a datagram a PTP message. Whether this receiver wants the message (domain, own
identity, plausible correction, ...) is the business of ``ReceiveRules.check``. What decodes encodes to the same
bytes, reserved fields included; only the trailer after messageLength (Annex D.4) is not part of the message.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self

from appliance.ptp.primitives import (
    CORRECTION_ONE_NS,
    LOG_INTERVAL_NONE,
    WILDCARD,
    HeaderFlag,
    MessageType,
    PortIdentity,
    Reason,
    Timestamp,
    WireError,
    timestamp_from_wire,
)
from appliance.ptp.tlv import PathTrace, Tlv, decode_tlvs, encode_tlvs

VERSION: Final = 2
MAX_TRAILER_BYTES: Final = 3
"""Two octets are usual over IPv6. Peers read four as one more TLV, so a longer trailer is a wrong length."""

# majorSdoId | messageType, minorVersionPTP | versionPTP, messageLength, domainNumber, minorSdoId, flagField,
# correctionField, messageTypeSpecific, sourcePortIdentity, sequenceId, controlField, logMessageInterval (13.3)
_HEADER: Final = struct.Struct(">BBHBBHqI8sHHBb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The common header, without the message type and length, which follow from the message."""

    source: PortIdentity
    sequence_id: int
    flags: HeaderFlag = HeaderFlag.UNICAST
    domain: int = 0
    correction_raw: int = 0
    """correctionField: nanoseconds times 65536."""
    control: int = 0
    """controlField; obsolete, never evaluated."""
    log_message_interval: int = LOG_INTERVAL_NONE
    minor_version: int = 1
    major_sdo_id: int = 0
    minor_sdo_id: int = 0
    message_type_specific: int = 0

    @property
    def correction_ns(self) -> float:
        """correctionField in nanoseconds."""
        return self.correction_raw / CORRECTION_ONE_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What all messages have."""

    header: Header
    tlvs: tuple[Tlv, ...] = ()

    TYPE: ClassVar[MessageType]
    LAYOUT: ClassVar[struct.Struct]

    @property
    def message_length(self) -> int:
        """messageLength as it is sent."""
        return _HEADER.size + self.LAYOUT.size + len(encode_tlvs(self.tlvs))

    def body(self) -> tuple[Any, ...]:
        """Values for ``LAYOUT``."""
        raise NotImplementedError

    @classmethod
    def from_body(cls, header: Header, tlvs: tuple[Tlv, ...], values: tuple[Any, ...]) -> Self:
        """The message from what ``LAYOUT`` unpacked."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class _OriginMessage(Message):
    origin: Timestamp = Timestamp()

    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">HII")

    def body(self) -> tuple[Any, ...]:
        return self.origin.wire()

    @classmethod
    def from_body(cls, header: Header, tlvs: tuple[Tlv, ...], values: tuple[Any, ...]) -> Self:
        return cls(header=header, tlvs=tlvs, origin=timestamp_from_wire(*values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync(_OriginMessage):
    """Sync (13.6). In SPTP ``origin`` is T4, when the server received the request."""

    TYPE: ClassVar[MessageType] = MessageType.SYNC


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayReq(_OriginMessage):
    """Delay_Req (13.6)."""

    TYPE: ClassVar[MessageType] = MessageType.DELAY_REQ


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp(_OriginMessage):
    """Follow_Up (13.7); ``origin`` is preciseOriginTimestamp."""

    TYPE: ClassVar[MessageType] = MessageType.FOLLOW_UP


@dataclass(frozen=True, slots=True, kw_only=True)
class _ResponseMessage(Message):
    timestamp: Timestamp
    requesting: PortIdentity

    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">HII8sH")

    def body(self) -> tuple[Any, ...]:
        return *self.timestamp.wire(), self.requesting.clock, self.requesting.port

    @classmethod
    def from_body(cls, header: Header, tlvs: tuple[Tlv, ...], values: tuple[Any, ...]) -> Self:
        return cls(
            header=header,
            tlvs=tlvs,
            timestamp=timestamp_from_wire(*values[:3]),
            requesting=PortIdentity(*values[3:]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayResp(_ResponseMessage):
    """Delay_Resp (13.8); ``timestamp`` is receiveTimestamp."""

    TYPE: ClassVar[MessageType] = MessageType.DELAY_RESP


@dataclass(frozen=True, slots=True, kw_only=True)
class PdelayResp(_ResponseMessage):
    """Pdelay_Resp (13.10); ``timestamp`` is requestReceiptTimestamp."""

    TYPE: ClassVar[MessageType] = MessageType.PDELAY_RESP


@dataclass(frozen=True, slots=True, kw_only=True)
class PdelayRespFollowUp(_ResponseMessage):
    """Pdelay_Resp_Follow_Up (13.11); ``timestamp`` is responseOriginTimestamp."""

    TYPE: ClassVar[MessageType] = MessageType.PDELAY_RESP_FOLLOW_UP


@dataclass(frozen=True, slots=True, kw_only=True)
class PdelayReq(Message):
    """Pdelay_Req (13.9)."""

    origin: Timestamp = Timestamp()
    reserved: bytes = bytes(10)

    TYPE: ClassVar[MessageType] = MessageType.PDELAY_REQ
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">HII10s")

    def body(self) -> tuple[Any, ...]:
        """Values for ``LAYOUT``."""
        return *self.origin.wire(), self.reserved

    @classmethod
    def from_body(cls, header: Header, tlvs: tuple[Tlv, ...], values: tuple[Any, ...]) -> Self:
        """The message from what ``LAYOUT`` unpacked."""
        return cls(header=header, tlvs=tlvs, origin=timestamp_from_wire(*values[:3]), reserved=values[3])


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce(Message):
    """Announce (13.5). In SPTP ``origin`` is T1 and the header's correction is that of the Delay_Req."""

    origin: Timestamp = Timestamp()
    utc_offset_s: int
    reserved: int = 0
    priority1: int
    clock_class: int
    clock_accuracy: int
    variance: int
    """offsetScaledLogVariance as sent."""
    priority2: int
    grandmaster: bytes
    """grandmasterIdentity, 8 bytes."""
    steps_removed: int
    time_source: int

    TYPE: ClassVar[MessageType] = MessageType.ANNOUNCE
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">HIIhBBBBHB8sHB")

    def body(self) -> tuple[Any, ...]:
        """Values for ``LAYOUT``."""
        return (
            *self.origin.wire(),
            self.utc_offset_s,
            self.reserved,
            self.priority1,
            self.clock_class,
            self.clock_accuracy,
            self.variance,
            self.priority2,
            self.grandmaster,
            self.steps_removed,
            self.time_source,
        )

    @classmethod
    def from_body(cls, header: Header, tlvs: tuple[Tlv, ...], values: tuple[Any, ...]) -> Self:
        """The message from what ``LAYOUT`` unpacked."""
        return cls(
            header=header,
            tlvs=tlvs,
            origin=timestamp_from_wire(*values[:3]),
            utc_offset_s=values[3],
            reserved=values[4],
            priority1=values[5],
            clock_class=values[6],
            clock_accuracy=values[7],
            variance=values[8],
            priority2=values[9],
            grandmaster=values[10],
            steps_removed=values[11],
            time_source=values[12],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signaling(Message):
    """Signaling (13.12): at least one TLV."""

    target: PortIdentity = WILDCARD

    TYPE: ClassVar[MessageType] = MessageType.SIGNALING
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">8sH")

    def body(self) -> tuple[Any, ...]:
        """Values for ``LAYOUT``."""
        return self.target.clock, self.target.port

    @classmethod
    def from_body(cls, header: Header, tlvs: tuple[Tlv, ...], values: tuple[Any, ...]) -> Self:
        """The message from what ``LAYOUT`` unpacked."""
        if not tlvs:
            raise WireError(Reason.TLV_MISSING, "Signaling without a TLV")
        return cls(header=header, tlvs=tlvs, target=PortIdentity(*values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Management(Message):
    """Management (15.4.1): at least one TLV, MANAGEMENT or MANAGEMENT_ERROR_STATUS in practice."""

    target: PortIdentity = WILDCARD
    starting_boundary_hops: int = 0
    boundary_hops: int = 0
    action: int
    """actionField; see ``appliance.ptp.management.Action``."""
    reserved: int = 0
    """The nibble above actionField in bits 8-11, the byte after it in bits 0-7."""

    TYPE: ClassVar[MessageType] = MessageType.MANAGEMENT
    LAYOUT: ClassVar[struct.Struct] = struct.Struct(">8sHBBBB")

    def body(self) -> tuple[Any, ...]:
        """Values for ``LAYOUT``."""
        return (
            self.target.clock,
            self.target.port,
            self.starting_boundary_hops,
            self.boundary_hops,
            self.reserved >> 8 << 4 | self.action,
            self.reserved & 0xFF,
        )

    @classmethod
    def from_body(cls, header: Header, tlvs: tuple[Tlv, ...], values: tuple[Any, ...]) -> Self:
        """The message from what ``LAYOUT`` unpacked."""
        if not tlvs:
            raise WireError(Reason.TLV_MISSING, "Management without a TLV")
        return cls(
            header=header,
            tlvs=tlvs,
            target=PortIdentity(*values[:2]),
            starting_boundary_hops=values[2],
            boundary_hops=values[3],
            action=values[4] & 0xF,
            reserved=values[4] >> 4 << 8 | values[5],
        )


_CLASSES: Final = MappingProxyType[int, type[Message]](
    {
        cls.TYPE: cls
        for cls in (
            Sync,
            DelayReq,
            PdelayReq,
            PdelayResp,
            FollowUp,
            DelayResp,
            PdelayRespFollowUp,
            Announce,
            Signaling,
            Management,
        )
    }
)


def decode(datagram: bytes) -> Message:
    """The message in one datagram, whatever follows messageLength ignored; raises ``WireError``."""
    if len(datagram) < _HEADER.size:
        raise WireError(Reason.SHORT_HEADER, f"{len(datagram)} bytes, a header has {_HEADER.size}")
    (
        first,
        version,
        length,
        domain,
        minor_sdo,
        flags,
        correction,
        specific,
        clock,
        port,
        sequence,
        control,
        log,
    ) = _HEADER.unpack_from(datagram)
    if version & 0xF != VERSION:
        raise WireError(Reason.VERSION, f"versionPTP {version & 0xF}")
    cls = _CLASSES.get(first & 0xF)
    if cls is None:
        raise WireError(Reason.MESSAGE_TYPE, f"reserved messageType 0x{first & 0xF:X}")
    fixed = _HEADER.size + cls.LAYOUT.size
    if len(datagram) < fixed:
        raise WireError(Reason.SHORT_BODY, f"{cls.__name__} of {len(datagram)} bytes, needs {fixed}")
    if length > len(datagram):
        raise WireError(Reason.LENGTH_OVERRUN, f"messageLength {length} in {len(datagram)} bytes")
    if length < fixed:
        raise WireError(Reason.LENGTH_UNDERRUN, f"messageLength {length}, {cls.__name__} needs {fixed}")
    if len(datagram) - length > MAX_TRAILER_BYTES:
        raise WireError(
            Reason.TRAILER_TOO_LONG, f"{len(datagram) - length} bytes after messageLength {length}"
        )
    header = Header(
        source=PortIdentity(clock, port),
        sequence_id=sequence,
        flags=HeaderFlag(flags),
        domain=domain,
        correction_raw=correction,
        control=control,
        log_message_interval=log,
        minor_version=version >> 4,
        major_sdo_id=first >> 4,
        minor_sdo_id=minor_sdo,
        message_type_specific=specific,
    )
    tlvs = decode_tlvs(bytes(datagram[fixed:length])) if length > fixed else ()
    return cls.from_body(header, tlvs, cls.LAYOUT.unpack_from(datagram, _HEADER.size))


def encode(message: Message, trailer_bytes: int = 0) -> bytes:
    """The datagram, followed by ``trailer_bytes`` zeros; ``ValueError`` when a field does not fit."""
    header = message.header
    try:
        tlvs = encode_tlvs(message.tlvs)
        body = message.LAYOUT.pack(*message.body())
        head = _HEADER.pack(
            header.major_sdo_id << 4 | message.TYPE,
            header.minor_version << 4 | VERSION,
            _HEADER.size + len(body) + len(tlvs),
            header.domain,
            header.minor_sdo_id,
            header.flags,
            header.correction_raw,
            header.message_type_specific,
            header.source.clock,
            header.source.port,
            header.sequence_id,
            header.control,
            header.log_message_interval,
        )
    except struct.error as exc:
        raise ValueError(f"{type(message).__name__}: a field does not fit its place: {exc}") from exc
    return b"".join((head, body, tlvs, bytes(trailer_bytes)))
