"""Oscillator modules that can be on the MAC port, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MAC_PHYSICS: Final[Mapping[str, str]] = MappingProxyType({
    "sa53": "sa53",
    "sa55": "sa55",
    "mro50": "mro50",
    "csac": "csac",
    "sa65": "csac",
    "sa3xm": "sa53",
    "dta100": "mro50",
    "dt5151": "ocxo",
    "quartz": "ocxo",
})  # fmt: skip
"""The oscillator model that a module's 10 MHz has unless told otherwise: its own, or the nearest class's."""
ON_I2C: Final = frozenset({"quartz"})
"""Modules without a serial port."""
MAC_FIRMWARES: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        "1.0.4": "V1.0.4.0.5ADA4E31",
        "1.1.30": "V1.1.30.0.635AC64C",
        "1.6.5": "V1.6.5.0.669A7202",
        "broken": None,
    }
)
"""SA5X firmware that was seen in the field, and an image that a power cut has broken."""
