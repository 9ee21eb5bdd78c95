"""Parameters of an SA5X as numbers (Microchip "MAC SA5X User's Guide", DS50002938)."""

from __future__ import annotations

import math
from typing import Final

from timecard.errors import ProtocolError, UnsupportedError
from timecard.mac.client import LineClient

DIGITAL: Final = "DigitalTuning"
EFFECTIVE: Final = "EffectiveTuning"


class Parameters:
    """Reads and writes them; every call raises what ``LineClient.request`` raises."""

    def __init__(self, client: LineClient) -> None:
        self.absent: set[str] = set()
        """Those that this firmware was found not to have."""
        self._client = client

    def number(self, name: str) -> float:
        """The value; ``ProtocolError`` when the answer is no number."""
        return self._as_number(f"get,{name}", self._client.request("get", name))

    def set(self, name: str, value: int) -> float:
        """Write; returns what the part says is in force."""
        return self._as_number(f"set,{name},{value}", self._client.request("set", name, str(value)))

    def set_checked(self, name: str, value: int) -> None:
        """A write that must be taken as it is."""
        in_force = self.set(name, value)
        if in_force != value:
            raise ProtocolError(self._client.name, f"set,{name},{value}", f"{in_force:g} is in force instead")

    def effective(self) -> int:
        """The tuning in force (1e-15); firmware before 1.1 has ``DigitalTuning`` only."""
        if EFFECTIVE not in self.absent:
            try:
                return round(self.number(EFFECTIVE))
            except UnsupportedError:
                self.absent.add(EFFECTIVE)
        return round(self.number(DIGITAL))

    def _as_number(self, operation: str, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ProtocolError(self._client.name, operation, f"answers {text[:40]!r}, which is no number")
        return number
