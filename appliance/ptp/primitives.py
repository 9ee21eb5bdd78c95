"""What PTP messages are made of: enumerations, identities, timestamps, and the one error of the decoder.

Section numbers refer to IEEE 1588-2019. Integers that a peer may set freely (clockClass, clockAccuracy, time
source, ...) stay integers: an enumeration names the known values and never rejects the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag
from typing import Final

from timecard.timescale import NS_PER_S

CORRECTION_ONE_NS: Final = 1 << 16
"""correctionField counts nanoseconds times 65536 (7.3.3.4)."""
CORRECTION_TOO_BIG: Final = (1 << 63) - 1
"""The correction cannot be represented (13.3.2.9)."""
LOG_INTERVAL_NONE: Final = 0x7F
"""logMessageInterval of messages that have no interval of their own (13.3.2.14)."""


class Reason(Enum):
    """Why a datagram is refused; the value is the key of the counter."""

    SHORT_HEADER = "short-header"
    SHORT_BODY = "short-body"
    LENGTH_OVERRUN = "length-overrun"
    LENGTH_UNDERRUN = "length-underrun"
    TRAILER_TOO_LONG = "trailer-too-long"
    VERSION = "version"
    SDO_ID = "sdo-id"
    DOMAIN = "domain"
    MESSAGE_TYPE = "message-type"
    WRONG_PORT = "wrong-port"
    TLV_ODD = "tlv-odd"
    TLV_OVERRUN = "tlv-overrun"
    TLV_TRUNCATED = "tlv-truncated"
    TLV_SIZE = "tlv-size"
    TLV_COUNT = "tlv-count"
    TLV_MISSING = "tlv-missing"
    NANOSECONDS = "nanoseconds"
    CORRECTION = "correction"
    OWN_IDENTITY = "own-identity"
    PATH_LOOP = "path-loop"
    STEPS_REMOVED = "steps-removed"
    TARGET = "target"
    SOURCE_ADDRESS = "source-address"


class WireError(ValueError):
    """A datagram or a field of it breaks a rule; ``reason`` says which, the text says with what value."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason


class MessageType(IntEnum):
    """messageType (Table 36). Values below 8 are event messages and travel on the event port."""

    SYNC = 0x0
    DELAY_REQ = 0x1
    PDELAY_REQ = 0x2
    PDELAY_RESP = 0x3
    FOLLOW_UP = 0x8
    DELAY_RESP = 0x9
    PDELAY_RESP_FOLLOW_UP = 0xA
    ANNOUNCE = 0xB
    SIGNALING = 0xC
    MANAGEMENT = 0xD

    @property
    def is_event(self) -> bool:
        """Whether the message is timestamped."""
        return self < 8


class HeaderFlag(IntFlag):
    """flagField (Table 37); the low byte is meaningful in Announce only."""

    LEAP61 = 0x0001
    LEAP59 = 0x0002
    UTC_OFFSET_VALID = 0x0004
    PTP_TIMESCALE = 0x0008
    TIME_TRACEABLE = 0x0010
    FREQUENCY_TRACEABLE = 0x0020
    SYNCHRONIZATION_UNCERTAIN = 0x0040
    ALTERNATE_MASTER = 0x0100
    TWO_STEP = 0x0200
    UNICAST = 0x0400
    PROFILE_SPECIFIC_1 = 0x2000
    PROFILE_SPECIFIC_2 = 0x4000
    SECURITY = 0x8000


SPTP_REQUEST_FLAGS: Final = HeaderFlag.UNICAST | HeaderFlag.PROFILE_SPECIFIC_1
"""Exactly this flagField on a Delay_Req asks for the SPTP exchange; one more bit makes it an ordinary one."""


class TimeSource(IntEnum):
    """timeSource (Table 6)."""

    ATOMIC_CLOCK = 0x10
    GNSS = 0x20
    TERRESTRIAL_RADIO = 0x30
    SERIAL_TIME_CODE = 0x39
    PTP = 0x40
    NTP = 0x50
    HAND_SET = 0x60
    OTHER = 0x90
    INTERNAL_OSCILLATOR = 0xA0


@dataclass(frozen=True, slots=True, order=True)
class PortIdentity:
    """clockIdentity (8 bytes) and portNumber (7.5.2)."""

    clock: bytes
    port: int

    def __post_init__(self) -> None:
        if len(self.clock) != 8:
            raise ValueError(f"a clockIdentity has 8 bytes, not {len(self.clock)}")

    def __str__(self) -> str:
        digits = self.clock.hex()
        return f"{digits[:6]}.{digits[6:10]}.{digits[10:]}-{self.port}"


WILDCARD: Final = PortIdentity(b"\xff" * 8, 0xFFFF)
"""All clocks, all ports."""


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """48 bits of seconds, 32 of nanoseconds (5.3.3); TAI when the sender's timescale is PTP."""

    seconds: int = 0
    nanoseconds: int = 0

    @classmethod
    def from_ns(cls, total_ns: int) -> Timestamp:
        """The timestamp of ``total_ns`` nanoseconds since the epoch."""
        return cls(*divmod(total_ns, NS_PER_S))

    @property
    def total_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return self.seconds * NS_PER_S + self.nanoseconds

    def wire(self) -> tuple[int, int, int]:
        """Values for the struct codes ``HII``."""
        return self.seconds >> 32, self.seconds & 0xFFFF_FFFF, self.nanoseconds


ZERO: Final = Timestamp()
"""What a two-step clock puts where it knows no time yet."""


def timestamp_from_wire(seconds_high: int, seconds_low: int, nanoseconds: int) -> Timestamp:
    """A timestamp from the struct codes ``HII``; raises ``WireError`` when nanoseconds reach a second."""
    if nanoseconds >= NS_PER_S:
        raise WireError(Reason.NANOSECONDS, f"nanosecondsField {nanoseconds} is not below 10^9")
    return Timestamp((seconds_high << 32) | seconds_low, nanoseconds)


def mac_to_clock_identity(mac: bytes) -> bytes:
    """clockIdentity of an interface: FF FE in the middle of a MAC-48, no bit inverted; an EUI-64 as it is."""
    if len(mac) == 8:
        return mac
    if len(mac) != 6:
        raise ValueError(f"a hardware address has 6 or 8 bytes, not {len(mac)}")
    return mac[:3] + b"\xff\xfe" + mac[3:]
