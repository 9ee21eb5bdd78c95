"""TLVs: framing (IEEE 1588-2019, 14.1) and the types that appear in unicast PTP, SPTP and management.

A TLV keeps every bit it arrived with, reserved ones included: what was decoded encodes to the same bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from types import MappingProxyType
from typing import ClassVar, Final, Protocol, Self

from appliance.ptp.primitives import Reason, WireError

MAX_TLVS: Final = 64
"""More than any peer sends in one datagram; bounds the work for one."""

_FRAME: Final = struct.Struct(">HH")


class TlvType(IntEnum):
    """tlvType (Table 52), and Meta's 0x2007 from the experimental range."""

    MANAGEMENT = 0x0001
    MANAGEMENT_ERROR_STATUS = 0x0002
    ORGANIZATION_EXTENSION = 0x0003
    REQUEST_UNICAST_TRANSMISSION = 0x0004
    GRANT_UNICAST_TRANSMISSION = 0x0005
    CANCEL_UNICAST_TRANSMISSION = 0x0006
    ACKNOWLEDGE_CANCEL_UNICAST_TRANSMISSION = 0x0007
    PATH_TRACE = 0x0008
    ALTERNATE_TIME_OFFSET_INDICATOR = 0x0009
    ALTERNATE_RESPONSE_PORT = 0x2007
    PAD = 0x8008
    AUTHENTICATION = 0x8009


class CancelFlag(IntFlag):
    """Low nibble of a CANCEL (16.1.4.3)."""

    NONE = 0x0
    MAINTAIN_REQUEST = 0x1
    MAINTAIN_GRANT = 0x2


class Tlv(Protocol):
    """Any TLV."""

    @property
    def tlv_type(self) -> int:
        """tlvType."""
        ...

    def value(self) -> bytes:
        """valueField, without type and length."""
        ...


def _exact(name: str, value: bytes, size: int) -> None:
    if len(value) != size:
        raise WireError(Reason.TLV_SIZE, f"{name} has {len(value)} value bytes instead of {size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestUnicast:
    """REQUEST_UNICAST_TRANSMISSION (16.1.4.1)."""

    message_type: int
    log_period: int
    """Period is 2^n s."""
    duration_s: int
    reserved: int = 0
    """Low nibble beside messageType."""

    tlv_type: ClassVar[int] = TlvType.REQUEST_UNICAST_TRANSMISSION
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct(">BbI")

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """From the value bytes."""
        _exact("REQUEST_UNICAST_TRANSMISSION", value, cls._LAYOUT.size)
        first, log_period, duration_s = cls._LAYOUT.unpack(value)
        return cls(
            message_type=first >> 4, reserved=first & 0xF, log_period=log_period, duration_s=duration_s
        )

    def value(self) -> bytes:
        """To the value bytes."""
        return self._LAYOUT.pack(self.message_type << 4 | self.reserved, self.log_period, self.duration_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantUnicast:
    """GRANT_UNICAST_TRANSMISSION (16.1.4.2); duration 0 is a denial."""

    message_type: int
    log_period: int
    duration_s: int
    flags: int = 1
    """Bit 0, R: renewal invited."""
    reserved: int = 0
    """Low nibble beside messageType, and the byte before the flags in bits 8-15."""

    tlv_type: ClassVar[int] = TlvType.GRANT_UNICAST_TRANSMISSION
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct(">BbIBB")

    @property
    def renewal_invited(self) -> bool:
        """R bit."""
        return bool(self.flags & 1)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """From the value bytes."""
        _exact("GRANT_UNICAST_TRANSMISSION", value, cls._LAYOUT.size)
        first, log_period, duration_s, middle, flags = cls._LAYOUT.unpack(value)
        return cls(
            message_type=first >> 4,
            log_period=log_period,
            duration_s=duration_s,
            flags=flags,
            reserved=middle << 8 | first & 0xF,
        )

    def value(self) -> bytes:
        """To the value bytes."""
        first = self.message_type << 4 | self.reserved & 0xF
        return self._LAYOUT.pack(first, self.log_period, self.duration_s, self.reserved >> 8, self.flags)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cancel:
    message_type: int
    flags: CancelFlag = CancelFlag.NONE
    reserved: int = 0

    NAME: ClassVar[str]

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """From the value bytes."""
        _exact(cls.NAME, value, 2)
        return cls(message_type=value[0] >> 4, flags=CancelFlag(value[0] & 0xF), reserved=value[1])

    def value(self) -> bytes:
        """To the value bytes."""
        return bytes((self.message_type << 4 | self.flags, self.reserved))


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelUnicast(_Cancel):
    """CANCEL_UNICAST_TRANSMISSION (16.1.4.3)."""

    tlv_type: ClassVar[int] = TlvType.CANCEL_UNICAST_TRANSMISSION
    NAME: ClassVar[str] = "CANCEL_UNICAST_TRANSMISSION"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeCancelUnicast(_Cancel):
    """ACKNOWLEDGE_CANCEL_UNICAST_TRANSMISSION (16.1.4.4)."""

    tlv_type: ClassVar[int] = TlvType.ACKNOWLEDGE_CANCEL_UNICAST_TRANSMISSION
    NAME: ClassVar[str] = "ACKNOWLEDGE_CANCEL_UNICAST_TRANSMISSION"


@dataclass(frozen=True, slots=True)
class PathTrace:
    """PATH_TRACE (16.2): the clocks an Announce has passed."""

    clocks: tuple[bytes, ...]

    tlv_type: ClassVar[int] = TlvType.PATH_TRACE

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """From the value bytes."""
        if len(value) % 8:
            raise WireError(Reason.TLV_SIZE, f"PATH_TRACE length {len(value)} is not a multiple of 8")
        return cls(tuple(value[at : at + 8] for at in range(0, len(value), 8)))

    def value(self) -> bytes:
        """To the value bytes."""
        return b"".join(self.clocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlternateTimeOffset:
    """ALTERNATE_TIME_OFFSET_INDICATOR (16.3)."""

    key: int
    current_offset_s: int
    jump_s: int
    next_jump_s: int
    """48 bits, seconds of the sender's timescale."""
    display_name: bytes
    """UTF-8 as sent, at most 255 bytes."""
    padding: bytes = b""
    """What follows the name; one zero byte where the length would be odd."""

    tlv_type: ClassVar[int] = TlvType.ALTERNATE_TIME_OFFSET_INDICATOR
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct(">BiiHIB")

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """From the value bytes."""
        head = cls._LAYOUT.size
        if len(value) < head or len(value) - head - value[head - 1] not in (0, 1):
            raise WireError(
                Reason.TLV_SIZE,
                f"ALTERNATE_TIME_OFFSET_INDICATOR of {len(value)} bytes does not fit its name",
            )
        key, current, jump, high, low, length = cls._LAYOUT.unpack_from(value)
        return cls(
            key=key,
            current_offset_s=current,
            jump_s=jump,
            next_jump_s=high << 32 | low,
            display_name=value[head : head + length],
            padding=value[head + length :],
        )

    def value(self) -> bytes:
        """To the value bytes, padded to an even length."""
        high, low = self.next_jump_s >> 32, self.next_jump_s & 0xFFFF_FFFF
        head = self._LAYOUT.pack(
            self.key, self.current_offset_s, self.jump_s, high, low, len(self.display_name)
        )
        raw = head + self.display_name + self.padding
        return raw + b"\0" * (len(raw) % 2)


@dataclass(frozen=True, slots=True)
class AlternateResponsePort:
    """0x2007: ask for another source port of the reply, hence another network path."""

    offset: int

    tlv_type: ClassVar[int] = TlvType.ALTERNATE_RESPONSE_PORT

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """From the value bytes."""
        _exact("ALTERNATE_RESPONSE_PORT", value, 2)
        return cls(int.from_bytes(value, "big"))

    def value(self) -> bytes:
        """To the value bytes."""
        return struct.pack(">H", self.offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationExtension:
    """ORGANIZATION_EXTENSION (14.3)."""

    organization: bytes
    subtype: bytes
    data: bytes = b""

    tlv_type: ClassVar[int] = TlvType.ORGANIZATION_EXTENSION

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """From the value bytes."""
        if len(value) < 6:
            raise WireError(Reason.TLV_SIZE, f"ORGANIZATION_EXTENSION of {len(value)} bytes, needs 6")
        return cls(organization=value[:3], subtype=value[3:6], data=value[6:])

    def value(self) -> bytes:
        """To the value bytes."""
        if len(self.organization) != 3 or len(self.subtype) != 3:
            raise ValueError("organizationId and organizationSubType have 3 bytes each")
        return self.organization + self.subtype + self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementTlv:
    """MANAGEMENT (15.5.2); ``data`` is read by ``appliance.ptp.management``."""

    management_id: int
    data: bytes = b""

    tlv_type: ClassVar[int] = TlvType.MANAGEMENT

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """From the value bytes."""
        if len(value) < 2:
            raise WireError(Reason.TLV_SIZE, "MANAGEMENT without managementId")
        return cls(management_id=int.from_bytes(value[:2], "big"), data=value[2:])

    def value(self) -> bytes:
        """To the value bytes."""
        return struct.pack(">H", self.management_id) + self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementErrorStatus:
    """MANAGEMENT_ERROR_STATUS (15.5.4)."""

    error_id: int
    management_id: int
    text: bytes = b""
    """What follows the reserved field: nothing, or a PTPText with its length byte and padding."""
    reserved: int = 0

    tlv_type: ClassVar[int] = TlvType.MANAGEMENT_ERROR_STATUS
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct(">HHI")

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """From the value bytes."""
        head = cls._LAYOUT.size
        rest = value[head:]
        if len(value) < head or (rest and len(rest) - 1 - rest[0] not in (0, 1)):
            raise WireError(Reason.TLV_SIZE, f"MANAGEMENT_ERROR_STATUS of {len(value)} bytes")
        error_id, management_id, reserved = cls._LAYOUT.unpack_from(value)
        return cls(error_id=error_id, management_id=management_id, reserved=reserved, text=rest)

    def value(self) -> bytes:
        """To the value bytes."""
        return self._LAYOUT.pack(self.error_id, self.management_id, self.reserved) + self.text


@dataclass(frozen=True, slots=True)
class OpaqueTlv:
    """A TLV that is carried and not read: PAD, AUTHENTICATION, and every unknown type."""

    tlv_type: int
    data: bytes

    def value(self) -> bytes:
        """To the value bytes."""
        return self.data


class _Decodable(Protocol):
    @classmethod
    def decode(cls, value: bytes) -> Tlv: ...


_DECODERS: Final = MappingProxyType[int, type[_Decodable]](
    {
        TlvType.MANAGEMENT: ManagementTlv,
        TlvType.MANAGEMENT_ERROR_STATUS: ManagementErrorStatus,
        TlvType.ORGANIZATION_EXTENSION: OrganizationExtension,
        TlvType.REQUEST_UNICAST_TRANSMISSION: RequestUnicast,
        TlvType.GRANT_UNICAST_TRANSMISSION: GrantUnicast,
        TlvType.CANCEL_UNICAST_TRANSMISSION: CancelUnicast,
        TlvType.ACKNOWLEDGE_CANCEL_UNICAST_TRANSMISSION: AcknowledgeCancelUnicast,
        TlvType.PATH_TRACE: PathTrace,
        TlvType.ALTERNATE_TIME_OFFSET_INDICATOR: AlternateTimeOffset,
        TlvType.ALTERNATE_RESPONSE_PORT: AlternateResponsePort,
    }
)


def decode_tlvs(data: bytes) -> tuple[Tlv, ...]:
    """All TLVs of ``data``, which they must fill exactly; raises ``WireError``."""
    tlvs: list[Tlv] = []
    at = 0
    while at < len(data):
        if len(data) - at < _FRAME.size:
            raise WireError(Reason.TLV_TRUNCATED, f"{len(data) - at} bytes left over after the last TLV")
        if len(tlvs) == MAX_TLVS:
            raise WireError(Reason.TLV_COUNT, f"more than {MAX_TLVS} TLVs")
        kind, length = _FRAME.unpack_from(data, at)
        at += _FRAME.size
        if length % 2:
            raise WireError(Reason.TLV_ODD, f"TLV 0x{kind:04X} has the odd length {length}")
        if length > len(data) - at:
            raise WireError(
                Reason.TLV_OVERRUN, f"TLV 0x{kind:04X} of {length} bytes, but {len(data) - at} are left"
            )
        value = data[at : at + length]
        decoder = _DECODERS.get(kind)
        tlvs.append(OpaqueTlv(kind, value) if decoder is None else decoder.decode(value))
        at += length
    return tuple(tlvs)


def encode_tlvs(tlvs: tuple[Tlv, ...]) -> bytes:
    """TLVs to bytes."""
    parts = []
    for tlv in tlvs:
        value = tlv.value()
        if len(value) % 2:
            raise ValueError(f"TLV 0x{tlv.tlv_type:04X} has an odd number of value bytes ({len(value)})")
        parts.append(_FRAME.pack(tlv.tlv_type, len(value)) + value)
    return b"".join(parts)
