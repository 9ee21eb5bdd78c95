"""Parameters of an emulated SA5X: names, ranges, factory settings, and which of them are stored.

Names, units and ranges: Microchip "MAC SA5X User's Guide", DS50002938. Factory settings of time constants,
thresholds and the phase limit are not published; those here are plausible.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Setting(NamedTuple):
    """A parameter that can be written."""

    factory: int
    low: int
    high: int
    step: int = 1
    stored: bool = True
    """``{store}`` keeps it."""


MAX_TUNING: Final = 20_000_000
SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType({
    "PpsSource": Setting(0, 0, 1),
    "Disciplining": Setting(0, 0, 1),
    "DisciplineThresholdPps0": Setting(20, 1, 1000),
    "DisciplineThresholdPps1": Setting(20, 1, 1000),
    "TauPps0": Setting(10_000, 10, 45_000),
    "TauPps1": Setting(10_000, 10, 45_000),
    "PhaseMetering": Setting(0, 0, 1),
    "PhaseLimit": Setting(1_000, -1_000_000, 1_000_000),
    "PpsOffset": Setting(0, -83_886_080, 83_886_080, 10),
    "PpsWidth": Setting(80_000_000, 100, 83_886_080, 10),
    "CableDelay": Setting(0, -500_000_000, 500_000_000),
    "PpsQErr": Setting(0, -1_000_000, 1_000_000, stored=False),
    "DigitalTuning": Setting(0, -MAX_TUNING, MAX_TUNING),
    "AnalogTuningEnabled": Setting(0, 0, 1),
    "AnalogTuning": Setting(1_250, 0, 2_500, stored=False),
    "TimeOfDay": Setting(0, 0, 2**31 - 1, stored=False),
})  # fmt: skip
READ_ONLY_FROM_1_5: Final[Mapping[str, str]] = MappingProxyType(
    {"LaserTempSet": "41250", "OscTuning": "2108", "OvenCurrent": "133", "DCSignal": "1022"}
)
"""Firmware 1.5 and newer; values of a healthy unit."""
NOT_BEFORE_1_1: Final = frozenset({"LockProgress", "EffectiveTuning", "DisciplineTuning"})
"""Meta's telemetry tool asks for them from firmware 1.1 on; older firmware is taken not to know them."""
NUMBERS: Final[Mapping[str, str]] = MappingProxyType({"769": "PpsSource"})
"""Parameters can be addressed by number; the guide's example is the only published one."""
