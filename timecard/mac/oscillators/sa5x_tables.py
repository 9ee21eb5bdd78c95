"""Alarm bits and parameters of an SA5X (Microchip "MAC SA5X User's Guide", DS50002938)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from timecard.mac.alarm_names import names_of
from timecard.mac.driver import AlarmBit

ALARM_BITS: Final[Mapping[int, AlarmBit]] = MappingProxyType({
    0: AlarmBit("FPGA fault", "fpga-fault"),
    1: AlarmBit("PLL fault", "pll-fault"),
    2: AlarmBit("flash fault", "flash-fault"),
    3: AlarmBit("last lock acquisition failed", "acquisition-failed"),
    4: AlarmBit("expected external oscillator missing", "reference-missing"),
    5: AlarmBit("cell heater fault", "heater-fault"),
    6: AlarmBit("firmware does not fit the hardware", "firmware-fault"),
    16: AlarmBit("internal temperature not stable", "temperature-unstable", settles=True),
    17: AlarmBit("disciplining without input pulse", "no-pulse"),
    18: AlarmBit("tuning at its limit", "steering-limit"),
})  # fmt: skip
"""Bits of ``Alarms``."""
ALARMS: Final = {bit: alarm.words for bit, alarm in ALARM_BITS.items()}
READINGS: Final[Mapping[str, str]] = MappingProxyType({
    "Locked": "", "LockProgress": "%", "Alarms": "", "PpsInDetected": "", "PpsSource": "", "Disciplining": "",
    "DisciplineLocked": "", "DisciplineThresholdPps0": "ns", "DisciplineThresholdPps1": "ns", "TauPps0": "s",
    "TauPps1": "s", "Phase": "ns", "PhaseMetering": "", "PhaseLimit": "ns", "JamSyncing": "",
    "PpsOffset": "ns", "PpsWidth": "ns", "CableDelay": "ns", "DigitalTuning": "1e-15",
    "DisciplineTuning": "1e-15",
    "EffectiveTuning": "1e-15", "LastCorrection": "1e-15", "AnalogTuningEnabled": "", "AnalogTuning": "mV",
    "Temperature": "m degC", "PowerSupply": "mV", "TimeOfDay": "s", "TotalRuntime": "s", "TotalLocktime": "s",
    "LaserTempSet": "m degC", "OscTuning": "", "OvenCurrent": "", "DCSignal": "",
})  # fmt: skip
"""What can be read, and its unit; the last four from firmware 1.5 on, without published units."""


def alarm_names(alarms: int) -> tuple[str, ...]:
    """Meanings of the bits that are set."""
    return names_of(alarms, ALARM_BITS)
