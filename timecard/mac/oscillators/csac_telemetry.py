"""The telemetry line of a CSAC: seventeen fields, each checked ("SA.45s CSAC User Guide", 990-00123)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from timecard.values import Reading

MAX_LINE: Final = 160
LOCKED: Final = 0
DISCIPLINE: Final = 0x10
"""Bit of Mode: its own loop is on."""
METER_OFF: Final = "---"
NO_PULSE: Final = "NEEDREFPPS"
STATES: Final[Mapping[int, tuple[str, int]]] = MappingProxyType({
    9: ("asleep", 0),
    8: ("laser warm-up", 5),
    7: ("heater equilibration", 30),
    6: ("microwave power acquisition", 50),
    5: ("laser current acquisition", 60),
    4: ("laser power acquisition", 70),
    3: ("microwave frequency acquisition", 80),
    2: ("frequency stabilisation", 90),
    1: ("frequency steering", 95),
    0: ("locked", 100),
})  # fmt: skip
"""Meaning of Status, and how far on the way to the lock (percent; ours)."""
DISC_STATES: Final = ("acquiring", "locked", "holdover")
_REAL: Final = r"[+-]?\d{1,6}(?:\.\d{1,6})?"
_PATTERNS: Final = {
    "Status": r"\d", "Alarm": r"0x[0-9A-Fa-f]{4}", "SN": r"[0-9A-Za-z]{4,16}", "Mode": r"0x[0-9A-Fa-f]{4}",
    "Contrast": r"[+-]?\d{1,6}", "LaserI": _REAL, "TCXO": _REAL, "HeatP": _REAL, "Sig": _REAL, "Temp": _REAL,
    "Steer": r"[+-]?\d{1,7}", "ATune": rf"{_REAL}|---", "Phase": r"[+-]?\d{1,10}|---|NEEDREFPPS",
    "DiscOK": r"[012]|---", "TOD": r"\d{1,10}", "LTime": r"\d{1,10}", "Ver": r"\d{1,3}\.[0-9A-Za-z.]{1,8}",
}  # fmt: skip
_LINE: Final = re.compile(",".join(f"(?P<{name}>{pattern})" for name, pattern in _PATTERNS.items()))
_UNITS: Final = {
    "Contrast": "", "LaserI": "mA", "TCXO": "V", "HeatP": "mW", "Sig": "V", "Temp": "degC", "Steer": "1e-12",
    "ATune": "V", "Phase": "ns", "TOD": "s", "LTime": "s",
}  # fmt: skip
_RESTART_SLACK_S: Final = 2


class TelemetryError(ValueError):
    """The line is no telemetry; internal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """One line."""

    status: int
    alarms: int
    serial: str
    mode: int
    temperature_c: float
    steer: int
    """1e-12."""
    phase_ns: int | None
    """Output minus input pulse as times; None when off or without pulse."""
    tod_s: int
    lock_s: int
    firmware: str
    text: Mapping[str, str]
    """All fields as they came."""

    @property
    def progress_percent(self) -> int:
        """How far the acquisition is."""
        return STATES[self.status][1]

    def restarted_since(self, earlier: Telemetry) -> bool:
        """Its time of day began anew, and so did its lock."""
        return self.tod_s + _RESTART_SLACK_S < earlier.tod_s and (
            self.status != LOCKED or self.lock_s < earlier.lock_s
        )

    def readings(self) -> tuple[Reading, ...]:
        """Everything, by the part's own names."""
        state, disc = self.text["Status"], self.text["DiscOK"]
        if not self.mode & DISCIPLINE:
            disc = "off"  # the digit means nothing then
        elif disc != METER_OFF:
            disc = f"{disc} {DISC_STATES[int(disc)]}"
        return (
            Reading(name="Status", value=f"{state} {STATES[self.status][0]}", unit=""),
            Reading(name="Mode", value=self.text["Mode"], unit=""),
            *(Reading(name=name, value=_value(self.text[name]), unit=unit) for name, unit in _UNITS.items()),
            Reading(name="DiscOK", value=disc, unit=""),
        )


def parse_telemetry(line: str) -> Telemetry:
    """Raises ``TelemetryError`` when a field is not as documented."""
    found = _LINE.fullmatch(line.strip()) if len(line) <= MAX_LINE else None
    if found is None:
        raise TelemetryError(f"no telemetry: {line[:60]!r}")
    temperature_c = float(found["Temp"])
    if not math.isfinite(temperature_c) or abs(temperature_c) > 200:
        raise TelemetryError(f"temperature {found['Temp']} degC")
    return Telemetry(
        status=int(found["Status"]),
        alarms=int(found["Alarm"], 16),
        serial=found["SN"],
        mode=int(found["Mode"], 16),
        temperature_c=temperature_c,
        steer=int(found["Steer"]),
        phase_ns=None if found["Phase"] in (METER_OFF, NO_PULSE) else int(found["Phase"]),
        tod_s=int(found["TOD"]),
        lock_s=int(found["LTime"]),
        firmware=found["Ver"],
        text=MappingProxyType(found.groupdict()),
    )


def _value(text: str) -> float | str | None:
    if text == METER_OFF:
        return None
    return text if text == NO_PULSE else float(text)
