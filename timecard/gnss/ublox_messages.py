"""UBX messages in use: ids, the payload each needs at least, and decoding by pyubx2.

Layouts: u-blox F9 interface description (UBX-18010854). A frame with a right checksum may still carry a
payload that its own layout does not allow; that is corrupt data and not an exception.
"""

from __future__ import annotations

from typing import Any, Final

from pyubx2 import VALNONE, UBXMessageError, UBXParseError, UBXReader, UBXStreamError, UBXTypeError

from timecard.gnss.ubx import UbxFrame
from timecard.values import CorruptData

NAV_POSECEF: Final = 0x0101
NAV_POSLLH: Final = 0x0102
NAV_STATUS: Final = 0x0103
NAV_PVT: Final = 0x0107
NAV_TIMEGPS: Final = 0x0120
NAV_TIMEUTC: Final = 0x0121
NAV_TIMELS: Final = 0x0126
NAV_SAT: Final = 0x0135
NAV_SVIN: Final = 0x013B
NAV_SIG: Final = 0x0143
ACK_NAK: Final = 0x0500
ACK_ACK: Final = 0x0501
CFG_VALSET: Final = 0x068A
CFG_VALGET: Final = 0x068B
MON_VER: Final = 0x0A04
MON_HW: Final = 0x0A09
MON_RF: Final = 0x0A38
TIM_TP: Final = 0x0D01
TIM_SVIN: Final = 0x0D04
SEC_UNIQID: Final = 0x2703
SEC_SIG: Final = 0x2709

_FIXED: Final = {
    NAV_POSECEF: 20, NAV_POSLLH: 28, NAV_STATUS: 16, NAV_PVT: 84, NAV_TIMEGPS: 16, NAV_TIMEUTC: 20,
    NAV_TIMELS: 24, NAV_SVIN: 40, MON_VER: 40, MON_HW: 60, TIM_TP: 16, TIM_SVIN: 28,
}  # fmt: skip
"""Bytes of the layout, or of its part before optional fields."""
_REPEATED: Final = {
    NAV_SAT: (8, 5, 12), NAV_SIG: (8, 5, 16), MON_RF: (4, 1, 24), SEC_SIG: (4, None, 0),
}  # fmt: skip
"""Header bytes, where the header counts its groups, bytes per group."""


def parse(frame: UbxFrame, read_mono_ns: int) -> Any:
    """The message as pyubx2 names its fields, or ``CorruptData``."""
    short = too_short(frame, read_mono_ns)
    if short is not None:
        return short
    try:
        return UBXReader.parse(frame.raw, validate=VALNONE)
    except (UBXParseError, UBXMessageError, UBXStreamError, UBXTypeError) as exc:
        return corrupt(frame, str(exc), read_mono_ns)


def too_short(frame: UbxFrame, read_mono_ns: int) -> CorruptData | None:
    """``CorruptData`` when the payload does not hold what its own header announces."""
    payload_bytes = len(frame.raw) - 8
    if payload_bytes >= _needed_bytes(frame):
        return None
    return corrupt(frame, f"payload of {payload_bytes} bytes is too short", read_mono_ns)


def corrupt(frame: UbxFrame, reason: str, read_mono_ns: int) -> CorruptData:
    """A frame that says nothing usable."""
    return CorruptData(
        length=len(frame.raw),
        reason=f"UBX {frame.key >> 8:02X} {frame.key & 0xFF:02X}: {reason}"[:200],
        read_mono_ns=read_mono_ns,
    )


def _needed_bytes(frame: UbxFrame) -> int:
    if frame.key not in _REPEATED:
        return _FIXED.get(frame.key, 0)
    header, count_at, group = _REPEATED[frame.key]
    if len(frame.raw) - 8 < header or count_at is None:
        return header
    return header + group * frame.raw[6 + count_at]


class Watch:
    """Lets a message through when bytes that matter changed, or when it was not looked at for a while."""

    __slots__ = ("_last", "_last_ns", "_period_ns", "_slices")

    def __init__(self, period_ns: int, *slices: slice) -> None:
        """``slices`` are parts of the payload."""
        self._period_ns = period_ns
        self._slices = slices
        self._last: list[bytes] | None = None
        self._last_ns = 0

    def is_due(self, frame: UbxFrame, now_ns: int) -> bool:
        """Whether to decode this one; if so it is remembered."""
        payload = frame.payload
        seen = [payload[part] for part in self._slices]
        if seen == self._last and now_ns - self._last_ns < self._period_ns:
            return False
        self._last = seen
        self._last_ns = now_ns
        return True
