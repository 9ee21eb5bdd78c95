"""An emulated receiver that speaks NMEA 0183 and nothing else, and listens to nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from timecard.emulator.receiver_core import Piece, ReceiverCore
from timecard.emulator.receiver_epoch import Epoch
from timecard.emulator.receiver_leap import LeapSchedule
from timecard.emulator.receiver_navigation import Start
from timecard.emulator.receiver_nmea import SENTENCES
from timecard.emulator.receiver_pulse import PulsePhysics

ORDER: Final = ("GGA", "GLL", "GSA", "GSV", "RMC", "VTG", "ZDA")
_VALUES: Final[Mapping[str, int]] = MappingProxyType({
    "CFG_TP_TP1_ENA": 1, "CFG_TP_USE_LOCKED_TP1": 1, "CFG_TP_LEN_LOCK_TP1": 100_000, "CFG_TP_POL_TP1": 1,
    "CFG_RATE_MEAS": 1000, "CFG_RATE_NAV": 1, "CFG_HW_ANT_CFG_PWRDOWN": 1,
})  # fmt: skip


class _Fixed:
    """Nothing can be set."""

    def __init__(self, baud: int) -> None:
        self.changes = 0
        self._values = {**_VALUES, "CFG_UART1_BAUDRATE": baud}

    def value(self, name: str) -> int:
        return self._values.get(name, 0)

    def restart(self) -> None:
        pass


class EmulatedNmea(ReceiverCore):
    """A ``SerialDevice`` with sentences only; its pulse comes while it is locked."""

    def __init__(
        self,
        gnss: PulsePhysics,
        start_tai_ns: int,
        *,
        seed: int = 0,
        start: Start = Start.HOT,
        baud: int = 9_600,
        sentences: Sequence[str] = ORDER,
        leap: LeapSchedule | None = None,
    ) -> None:
        self._sentences = tuple(sentences)
        super().__init__(gnss, start_tai_ns, _Fixed(baud), seed=seed, start=start, leap=leap)

    def _messages(self, epoch: Epoch, count: int) -> Sequence[Piece]:
        return [Piece(SENTENCES[kind](epoch)) for kind in self._sentences]

    def _hear(self, data: bytes, t_ns: int) -> None:
        """Nobody reads it."""
