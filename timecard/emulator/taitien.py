"""Emulated Taitien units: of a CSAC's commands, those that the Time Card uses (its ``OSC/Taitien``).

Only ``!MD``, ``!MP`` and ``!D<tau>`` are documented; the replies are taken to be those of a CSAC, and ``!MP``
to switch the following of the pulse on as ``!MD`` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from timecard.emulator.csac import BAUD, EmulatedCsac
from timecard.emulator.csac_engine import DISCIPLINE
from timecard.emulator.sa5x_engine import InputPulses, Oscillator

DOCUMENTED: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {"DTA-100": ("MD", "D100"), "DT-5151": ("MP", "D300")}
)
"""A rubidium and an OCXO unit, and a sample of each command."""


class EmulatedTaitien(EmulatedCsac):
    """A ``SerialDevice``, and a source of pulses. All times are true TAI."""

    def __init__(
        self,
        oscillator: Oscillator,
        pulses: InputPulses | None,
        start_tai_ns: int,
        *,
        model: str = "DTA-100",
        seed: int = 0,
        warmup_s: float = 0.0,
        unlocked_offset_ppb: float = 50.0,
        baud: int = BAUD,
    ) -> None:
        """``model`` is ``DTA-100`` or ``DT-5151``."""
        self.model = model
        super().__init__(
            oscillator,
            pulses,
            start_tai_ns,
            seed=seed,
            warmup_s=warmup_s,
            unlocked_offset_ppb=unlocked_offset_ppb,
            baud=baud,
        )
        samples = DOCUMENTED[model]
        self._commands.keep(samples)
        if "MP" in samples:
            self._commands.add("MP", self._on_follow)

    def _on_follow(self, match: re.Match[str], t_ns: int) -> str:
        self._engine.set_mode(DISCIPLINE, True, t_ns)
        return self._commands.mode_text()
