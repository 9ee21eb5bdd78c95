"""The messages as values: header, body and TLVs of each type (IEEE 1588-2019, clause 13).

Each class names the struct of its body; ``appliance.ptp.wire`` does the rest. Reserved fields are kept, so
that what was decoded encodes to the same bytes.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from appliance.ptp.primitives import (
    CORRECTION_ONE_NS,
    LOG_INTERVAL_NONE,
    WILDCARD,
    ZERO,
    HeaderFlag,
    MessageType,
    PortIdentity,
    Reason,
    Timestamp,
    WireError,
    timestamp_from_wire,
)
from appliance.ptp.tlv import Tlv, encode_tlvs

HEADER_SIZE: Final = 34


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
class Message(ABC):
    """What all messages have."""

    header: Header
    tlvs: tuple[Tlv, ...] = ()

    TYPE: ClassVar[MessageType]
    LAYOUT: ClassVar[struct.Struct]

    @property
    def message_length(self) -> int:
        """messageLength as it is sent."""
        return HEADER_SIZE + self.LAYOUT.size + len(encode_tlvs(self.tlvs))

    @abstractmethod
    def body(self) -> tuple[Any, ...]:
        """Values for ``LAYOUT``."""

    @classmethod
    @abstractmethod
    def from_body(cls, header: Header, tlvs: tuple[Tlv, ...], values: tuple[Any, ...]) -> Self:
        """The message from what ``LAYOUT`` unpacked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _OriginMessage(Message):
    origin: Timestamp = ZERO

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

    origin: Timestamp = ZERO
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

    origin: Timestamp = ZERO
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
        if len(self.grandmaster) != 8:
            raise ValueError(f"Announce: grandmasterIdentity has 8 bytes, not {len(self.grandmaster)}")
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
