"""Where generation 8 of u-blox keeps settings: fields of CFG messages, named by the keys that replaced them.

Layouts: u-blox M8 interface description (UBX-13003221), UBX-CFG-TP5, -TMODE2, -RATE, -NAV5, -ANT, -ITFM,
-PRT, -MSG, -GNSS. What a key counts in 0.1 mm, CFG-TMODE2 counts in mm.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from timecard.gnss.ublox_fields import PERIODS_S, SIGNAL_KEYS, SYSTEM_KEYS, message_key

CFG_CFG: Final = 0x0609
_CFG_MSG: Final = 0x0601
_CFG_GNSS: Final = 0x063E
_CFG_NAV5: Final = 0x0624
_CFG_ANT: Final = 0x0613
_UART1: Final = 1
_GNSS_HEADER: Final = 4
_GNSS_BLOCK: Final = 8


class Source(NamedTuple):
    """One message that can be polled and set."""

    key: int
    """Class and id."""
    poll: bytes = b""
    """What a poll has to name."""


class Part(NamedTuple):
    """One field of a message."""

    source: Source
    name: str
    offset: int
    kind: str
    """``struct`` letter of the field."""
    shift: int = 0
    bits: int = 0
    """Width; 0: the whole field."""
    scale: int = 1
    """Units of the key in one unit of the field."""
    block: int | None = None
    """UBX gnssId: the offset is that of this system's block of CFG-GNSS."""


def _source(key: int, poll: bytes = b"") -> Source:
    return Source(key, poll)


_TP5: Final = _source(0x0631, b"\x00")
_TMODE2: Final = _source(0x063D)
_RATE: Final = _source(0x0608)
_NAV5: Final = _source(_CFG_NAV5)
_ANT: Final = _source(_CFG_ANT)
_ITFM: Final = _source(0x0639)
_PRT: Final = _source(0x0600, bytes((_UART1,)))
_GNSS: Final = _source(_CFG_GNSS)
_MESSAGE_IDS: Final[Mapping[str, int]] = {
    "NAV_PVT": 0x0107, "NAV_STATUS": 0x0103, "NAV_TIMELS": 0x0126, "NAV_TIMEUTC": 0x0121, "NAV_EOE": 0x0161,
    "TIM_TP": 0x0D01, "MON_HW": 0x0A09, "TIM_SVIN": 0x0D04, "MON_RF": 0x0A38, "SEC_SIG": 0x2709,
    "NAV_SAT": 0x0135, "NAV_SIG": 0x0143,
}  # fmt: skip
_SYSTEM_IDS: Final = {"GPS": 0, "SBAS": 1, "GAL": 2, "BDS": 3, "QZSS": 5, "GLO": 6}
_L1_SIGNALS: Final = {
    ("GPS", "L1C/A"): 16, ("SBAS", "L1C/A"): 16, ("GAL", "E1"): 16, ("BDS", "B1I"): 16, ("QZSS", "L1C/A"): 16,
    ("QZSS", "L1S"): 18, ("GLO", "L1"): 16,
}  # fmt: skip
"""Bit of the flags of a CFG-GNSS block: sigCfgMask begins at bit 16."""


def _pulse_flag(name: str, shift: int, bits: int = 1) -> Part:
    return Part(_TP5, name, 28, "I", shift, bits)


PARTS: Final[Mapping[str, Part]] = {
    "CFG_TP_ANT_CABLEDELAY": Part(_TP5, "antCableDelay", 4, "h"),
    "CFG_TP_PERIOD_TP1": Part(_TP5, "freqPeriod", 8, "I"),
    "CFG_TP_PERIOD_LOCK_TP1": Part(_TP5, "freqPeriodLock", 12, "I"),
    "CFG_TP_LEN_TP1": Part(_TP5, "pulseLenRatio", 16, "I"),
    "CFG_TP_LEN_LOCK_TP1": Part(_TP5, "pulseLenRatioLock", 20, "I"),
    "CFG_TP_USER_DELAY_TP1": Part(_TP5, "userConfigDelay", 24, "i"),
    "CFG_TP_TP1_ENA": _pulse_flag("active", 0),
    "CFG_TP_SYNC_GNSS_TP1": _pulse_flag("lockGnssFreq", 1),
    "CFG_TP_USE_LOCKED_TP1": _pulse_flag("lockedOtherSet", 2),
    "CFG_TP_PULSE_DEF": _pulse_flag("isFreq", 3),
    "CFG_TP_PULSE_LENGTH_DEF": _pulse_flag("isLength", 4),
    "CFG_TP_ALIGN_TO_TOW_TP1": _pulse_flag("alignToTow", 5),
    "CFG_TP_POL_TP1": _pulse_flag("polarity", 6),
    "CFG_TP_TIMEGRID_TP1": _pulse_flag("gridUtcGnss", 7, 4),
    "CFG_TMODE_MODE": Part(_TMODE2, "timeMode", 0, "B"),
    "CFG_TMODE_POS_TYPE": Part(_TMODE2, "lla", 2, "H", 0, 1),
    "CFG_TMODE_ECEF_X": Part(_TMODE2, "ecefXOrLat", 4, "i"),
    "CFG_TMODE_ECEF_Y": Part(_TMODE2, "ecefYOrLon", 8, "i"),
    "CFG_TMODE_ECEF_Z": Part(_TMODE2, "ecefZOrAlt", 12, "i"),
    # The same words again, for a place in latitude and longitude (1e-7 deg) and height (cm).
    "CFG_TMODE_LAT": Part(_TMODE2, "ecefXOrLat", 4, "i"),
    "CFG_TMODE_LON": Part(_TMODE2, "ecefYOrLon", 8, "i"),
    "CFG_TMODE_HEIGHT": Part(_TMODE2, "ecefZOrAlt", 12, "i"),
    "CFG_TMODE_FIXED_POS_ACC": Part(_TMODE2, "fixedPosAcc", 16, "I", scale=10),
    "CFG_TMODE_SVIN_MIN_DUR": Part(_TMODE2, "svinMinDur", 20, "I"),
    "CFG_TMODE_SVIN_ACC_LIMIT": Part(_TMODE2, "svinAccLimit", 24, "I", scale=10),
    "CFG_RATE_MEAS": Part(_RATE, "measRate", 0, "H"),
    "CFG_RATE_NAV": Part(_RATE, "navRate", 2, "H"),
    "CFG_RATE_TIMEREF": Part(_RATE, "timeRef", 4, "H"),
    "CFG_NAVSPG_DYNMODEL": Part(_NAV5, "dynModel", 2, "B"),
    "CFG_NAVSPG_INFIL_MINELEV": Part(_NAV5, "minElev", 12, "b"),
    "CFG_NAVSPG_UTCSTANDARD": Part(_NAV5, "utcStandard", 30, "B"),
    "CFG_HW_ANT_CFG_VOLTCTRL": Part(_ANT, "svcs", 0, "H", 0, 1),
    "CFG_HW_ANT_CFG_SHORTDET": Part(_ANT, "scd", 0, "H", 1, 1),
    "CFG_HW_ANT_CFG_OPENDET": Part(_ANT, "ocd", 0, "H", 2, 1),
    "CFG_HW_ANT_CFG_PWRDOWN": Part(_ANT, "pdwnOnSCD", 0, "H", 3, 1),
    "CFG_HW_ANT_CFG_RECOVER": Part(_ANT, "recovery", 0, "H", 4, 1),
    "CFG_ITFM_ENABLE": Part(_ITFM, "enable", 0, "I", 31, 1),
    "CFG_ITFM_ANTSETTING": Part(_ITFM, "antSetting", 4, "I", 12, 2),
    "CFG_UART1_BAUDRATE": Part(_PRT, "baudRate", 8, "I"),
    "CFG_UART1INPROT_UBX": Part(_PRT, "inUbx", 12, "H", 0, 1),
    "CFG_UART1OUTPROT_UBX": Part(_PRT, "outUbx", 14, "H", 0, 1),
    "CFG_UART1OUTPROT_NMEA": Part(_PRT, "outNmea", 14, "H", 1, 1),
    **{
        message_key(name): Part(
            _source(_CFG_MSG, _MESSAGE_IDS[name].to_bytes(2, "big")), f"{name.replace('_', '-')}.rate", 3, "B"
        )
        for name in PERIODS_S
    },
    **{
        SYSTEM_KEYS[system]: Part(_GNSS, f"{system}.enable", 4, "I", 0, 1, block=number)
        for system, number in _SYSTEM_IDS.items()
    },
    **{
        SIGNAL_KEYS[system][signal]: Part(
            _GNSS, f"{system}.{signal}", 4, "I", shift, 1, block=_SYSTEM_IDS[system]
        )
        for (system, signal), shift in _L1_SIGNALS.items()
    },
}
"""Key to the field that generation 8 has for it."""
_NAMES: Final = {
    0x0600: "CFG-PRT", 0x0601: "CFG-MSG", 0x0608: "CFG-RATE", 0x0613: "CFG-ANT", 0x0624: "CFG-NAV5",
    0x0631: "CFG-TP5", 0x0639: "CFG-ITFM", 0x063D: "CFG-TMODE2", 0x063E: "CFG-GNSS",
}  # fmt: skip
_LENGTHS: Final = {
    0x0600: 20, 0x0601: 8, 0x0608: 6, 0x0613: 4, 0x0624: 36, 0x0631: 32, 0x0639: 8, 0x063D: 28,
}  # fmt: skip
_NAV5_MASK: Final = {"dynModel": 1 << 0, "minElev": 1 << 1, "utcStandard": 1 << 10}
_RECONFIGURE_PINS: Final = 1 << 15


def label(key: str) -> str:
    """What the receiver's own document calls it: ``CFG-TP5.antCableDelay``."""
    part = PARTS.get(key)
    return key if part is None else f"{_NAMES[part.source.key]}.{part.name}"


def is_answer(source: Source, payload: bytes) -> bool:
    """Whether a payload is an answer to a poll of this message."""
    if not payload.startswith(source.poll):
        return False
    if source.key != _CFG_GNSS:
        return len(payload) == _LENGTHS[source.key]
    return len(payload) >= _GNSS_HEADER and len(payload) == _GNSS_HEADER + _GNSS_BLOCK * payload[3]


def value_in(part: Part, payload: bytes) -> int | None:
    """The value of a field; None when this receiver's message has no such block."""
    at = _offset(part, payload)
    if at is None:
        return None
    (word,) = struct.unpack_from(f"<{part.kind}", payload, at)
    if part.bits:
        word = word >> part.shift & (1 << part.bits) - 1
    return int(word) * part.scale


def with_value(part: Part, payload: bytes, value: int) -> bytes:
    """The payload with another value. Raises ``ValueError`` when it does not fit."""
    at = _offset(part, payload)
    word = round(value / part.scale)
    if part.bits:
        if not 0 <= word < 1 << part.bits:
            raise ValueError(f"{part.name}={value}: does not fit {part.bits} bits")
        (old,) = struct.unpack_from(f"<{part.kind}", payload, at or 0)
        word = old & ~((1 << part.bits) - 1 << part.shift) | word << part.shift
    changed = bytearray(payload)
    try:
        struct.pack_into(f"<{part.kind}", changed, at or 0, word)
    except struct.error as error:
        raise ValueError(f"{part.name}={value}: {error}") from error
    return bytes(changed)


def to_send(source: Source, payload: bytes) -> bytes:
    """The payload as it is set: only what belongs to our fields takes effect."""
    if source.key == _CFG_NAV5:
        return sum(_NAV5_MASK.values()).to_bytes(2, "little") + payload[2:]
    if source.key == _CFG_ANT:
        pins = int.from_bytes(payload[2:4], "little") & ~_RECONFIGURE_PINS
        return payload[:2] + pins.to_bytes(2, "little")
    return payload


def _offset(part: Part, payload: bytes) -> int | None:
    if part.block is None:
        return part.offset
    starts = range(_GNSS_HEADER, len(payload) - _GNSS_BLOCK + 1, _GNSS_BLOCK)
    return next((at + part.offset for at in starts if payload[at] == part.block), None)
