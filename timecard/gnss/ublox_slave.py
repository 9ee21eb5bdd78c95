"""What the FPGA's time-of-day slave hears on the receiver's line, and must go on hearing.

It taps the receiver's UART, needs NAV-TIMEUTC and NAV-TIMELS once a second, takes antenna and jamming from
MON-HW, and follows a few rates only (Time Card ``TodSlave``; ptp_ocp ``tod_baud_rate``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from timecard.gnss.ublox_fields import (
    BAUD,
    MEASURE,
    NAVIGATE,
    PERIODS_S,
    UBX_OUT,
    Read,
    epochs_per_s,
    message_key,
)

_FRAME_BYTES: Final[Mapping[str, int]] = {
    "NAV_PVT": 100, "NAV_STATUS": 24, "NAV_TIMELS": 32, "NAV_TIMEUTC": 28, "NAV_EOE": 12, "TIM_TP": 24,
    "MON_HW": 68, "TIM_SVIN": 36, "MON_RF": 60, "SEC_SIG": 20, "NAV_SAT": 16 + 12 * 40,
    "NAV_SIG": 16 + 16 * 70,
}  # fmt: skip
"""With 40 satellites and 70 signals."""
_SLAVE_MESSAGES: Final = ("NAV_TIMEUTC", "NAV_TIMELS", "MON_HW")
SLAVE_BAUDS: Final = (4_800, 9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800)
"""Rates of the FPGA's time-of-day slave (ptp_ocp ``tod_baud_rate``)."""
_LINE_SHARE: Final = 0.95
_BITS_PER_BYTE: Final = 10
GUARD_KEYS: Final = (MEASURE, NAVIGATE, UBX_OUT, BAUD, *map(message_key, PERIODS_S))
"""What has to be known to see what the FPGA hears."""


def taken_from_slave(before: Read, after: Read) -> tuple[str, ...]:
    """Why the FPGA's time-of-day slave would lose something that it gets ``before``; empty if it does not."""
    reasons = []
    for message in _SLAVE_MESSAGES:
        if _period_s(before, message) == 1.0 and (period_s := _period_s(after, message)) != 1.0:
            name = message.replace("_", "-")
            often = f"come every {period_s:g} s" if period_s else "not come any more"
            reasons.append(
                f"UBX-{name} would {often}, but the FPGA's time of day needs it once a second: "
                'ask for messages = "time-card" too, or leave rate_hz'
            )
    baud = int(after.get(BAUD, 0))
    if baud and baud != before.get(BAUD, 0) and baud not in SLAVE_BAUDS:
        rates = ", ".join(map(str, SLAVE_BAUDS))
        reasons.append(f"baud = {baud}: the FPGA's time of day cannot follow; it has {rates}")
    elif baud and (needed := _bytes_in_a_second(after)) > max(
        baud / _BITS_PER_BYTE * _LINE_SHARE, _bytes_in_a_second(before) if baud == before.get(BAUD) else 0
    ):
        reasons.append(
            f"baud = {baud}: the line carries {baud / _BITS_PER_BYTE:.0f} bytes a second, the messages that"
            f" are on need up to {needed}: the receiver would drop some, also for the FPGA's time of day"
        )
    return tuple(reasons)


def _period_s(values: Read, message: str) -> float | None:
    rate_hz = epochs_per_s(values)
    count = values.get(message_key(message), 0)
    if not rate_hz or not count or not values.get(UBX_OUT, 1):
        return None
    return count / rate_hz


def _bytes_in_a_second(values: Read) -> int:
    """In the second in which every message comes."""
    rate_hz = epochs_per_s(values) or 1.0
    counts = {message: values.get(message_key(message), 0) for message in _FRAME_BYTES}
    return sum(
        _FRAME_BYTES[message] * max(1, int(rate_hz / count)) for message, count in counts.items() if count
    )
