"""PTP messages, bytes to values and back (IEEE 1588-2019, clause 13). No sockets, no clock.

``decode`` checks what makes a datagram a PTP message. Whether this receiver wants the message (domain, own
identity, plausible correction, ...) is the business of ``appliance.ptp.rules``. What decodes encodes to the
same bytes; only the trailer after messageLength (Annex D.4) is not part of the message.
"""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import Final

from appliance.ptp.messages import (
    Announce,
    DelayReq,
    DelayResp,
    FollowUp,
    Header,
    Management,
    Message,
    PdelayReq,
    PdelayResp,
    PdelayRespFollowUp,
    Signaling,
    Sync,
)
from appliance.ptp.primitives import HeaderFlag, PortIdentity, Reason, WireError
from appliance.ptp.tlv import decode_tlvs, encode_tlvs

__all__ = [
    "MAX_TRAILER_BYTES",
    "Announce",
    "DelayReq",
    "DelayResp",
    "FollowUp",
    "Header",
    "Management",
    "Message",
    "PdelayReq",
    "PdelayResp",
    "PdelayRespFollowUp",
    "Reason",
    "Signaling",
    "Sync",
    "WireError",
    "decode",
    "encode",
]

VERSION: Final = 2
MAX_TRAILER_BYTES: Final = 3
"""Two octets are usual over IPv6. Peers read four as one more TLV, so a longer trailer is a wrong length."""

# majorSdoId | messageType, minorVersionPTP | versionPTP, messageLength, domainNumber, minorSdoId, flagField,
# correctionField, messageTypeSpecific, sourcePortIdentity, sequenceId, controlField, logMessageInterval
_HEADER: Final = struct.Struct(">BBHBBHqI8sHHBb")

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
