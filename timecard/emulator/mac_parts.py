"""How each oscillator module that can be on the MAC port is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from timecard.emulator.csac import SA65, EmulatedCsac
from timecard.emulator.mac_names import MAC_FIRMWARES
from timecard.emulator.mro50 import EmulatedMro50
from timecard.emulator.sa3xm import EmulatedSa3xm
from timecard.emulator.sa5x import EmulatedSa5x
from timecard.emulator.sa5x_engine import InputPulses, Oscillator
from timecard.emulator.serial_part import SerialPart
from timecard.emulator.taitien import EmulatedTaitien


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """What a module has around it."""

    oscillator: Oscillator
    pulses: InputPulses
    start_tai_ns: int
    seed: int
    warmup_s: float
    unlocked_offset_ppb: float
    baud: int
    """Of the card's port, as its maker had it set."""
    firmware: str | None = None
    """One of ``MAC_FIRMWARES``; None: the part's usual one."""

    def make(self, part: Callable[..., SerialPart], *placed: object, **options: Any) -> SerialPart:
        """A part with what all of them take."""
        return part(
            self.oscillator,
            *placed,
            self.start_tai_ns,
            seed=self.seed,
            warmup_s=self.warmup_s,
            unlocked_offset_ppb=self.unlocked_offset_ppb,
            **options,
        )


def _sa5x(fitting: Fitting) -> SerialPart:
    options = {} if fitting.firmware is None else {"firmware": MAC_FIRMWARES[fitting.firmware]}
    return fitting.make(EmulatedSa5x, fitting.pulses, baud=fitting.baud, **options)


def _taitien(model: str) -> Callable[[Fitting], SerialPart]:
    return lambda fitting: fitting.make(EmulatedTaitien, fitting.pulses, model=model)


MAC_PARTS: Final[Mapping[str, Callable[[Fitting], SerialPart]]] = MappingProxyType({
    "sa53": _sa5x,
    "sa55": _sa5x,
    "mro50": lambda fitting: fitting.make(EmulatedMro50),
    "csac": lambda fitting: fitting.make(EmulatedCsac, fitting.pulses),
    "sa65": lambda fitting: fitting.make(EmulatedCsac, fitting.pulses, kind=SA65),
    "sa3xm": lambda fitting: fitting.make(EmulatedSa3xm),
    "dta100": _taitien("DTA-100"),
    "dt5151": _taitien("DT-5151"),
})  # fmt: skip
