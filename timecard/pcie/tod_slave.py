"""The FPGA's time-of-day slave, which listens to the receiver's line: its rate, its protocol, its messages.

Register semantics: Time Card register map, ``TodSlave``. Rate and protocol change only while it is disabled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from timecard.errors import RefusedError
from timecard.protocols import RegisterBus

BAUDS: Final = (
    *(1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600),
    *(115_200, 230_400, 460_800, 921_600, 1_000_000, 2_000_000),
)
"""By code."""
_ENABLE: Final = 1
_TIME_MESSAGES_OFF: Final = 0x3_0000
"""NAV-TIMELS and NAV-TIMEUTC are not read."""
_PROTOCOL: Final = 0x7000_0000
_UBX: Final = 0x1000_0000
_BAUD_CODE: Final = 0xF


@dataclass(frozen=True, slots=True, kw_only=True)
class TodLine:
    """What the slave listens for; ``ubx`` with the two messages that tell time."""

    ubx: bool
    baud: int | None
    """None for a code without a meaning."""

    def __str__(self) -> str:
        rate = f"{self.baud} baud" if self.baud else "an unknown rate"
        return f"UBX at {rate}" if self.ubx else f"off or not UBX, at {rate}"


class TodSlave:
    """The block ``tod`` of a card whose registers are ours."""

    def __init__(self, bus: RegisterBus) -> None:
        board = bus.board
        self.name = f"{bus.name} time-of-day slave"
        self._bus = bus
        self._ctrl, self._baud = board.at("tod", "ctrl"), board.at("tod", "uart_baud")

    def line(self) -> TodLine:
        """What it listens for now."""
        ctrl, code = self._bus.read32(self._ctrl), self._bus.read32(self._baud) & _BAUD_CODE
        mask = _PROTOCOL | _TIME_MESSAGES_OFF | _ENABLE
        return TodLine(ubx=ctrl & mask == _UBX | _ENABLE, baud=BAUDS[code] if code < len(BAUDS) else None)

    def listen(self, baud: int) -> None:
        """Listen for UBX at ``baud``. Raises ``RefusedError`` for a rate that it does not have."""
        if baud not in BAUDS:
            raise RefusedError(self.name, "set baud rate", f"{baud}: it has {', '.join(map(str, BAUDS))}")
        ctrl = self._bus.read32(self._ctrl) & ~(_PROTOCOL | _TIME_MESSAGES_OFF | _ENABLE)
        self._bus.write32(self._ctrl, ctrl)
        self._bus.write32(self._baud, BAUDS.index(baud))
        self._bus.write32(self._ctrl, ctrl | _UBX | _ENABLE)
