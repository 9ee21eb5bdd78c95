"""The temperature around the card: constant, a daily wave, and steps; and an oscillator lagging behind it.

All of it has a closed form, so the temperature and its integral are exact at any time and cost nothing in
between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

DAY_S: Final = 86_400.0
_MAX_STEPS: Final = 1_000


@dataclass(slots=True, kw_only=True)
class TemperatureWorld:
    """The air at the card. Times are seconds since the start of the world."""

    base_c: float = 35.0
    daily_amplitude_c: float = 0.0
    """Half of the daily swing; warmest six hours after the start."""
    _steps: list[tuple[float, float]] = field(default_factory=list)

    def add_step(self, at_s: float, delta_c: float) -> None:
        """Change the temperature by ``delta_c`` from ``at_s`` on."""
        if len(self._steps) >= _MAX_STEPS:
            raise ValueError(f"temperature step: already {_MAX_STEPS} steps in this world")
        self._steps.append((at_s, delta_c))

    def air_c(self, at_s: float) -> float:
        """Temperature of the air."""
        wave = self.daily_amplitude_c * math.sin(2 * math.pi * at_s / DAY_S)
        return self.base_c + wave + sum(delta for start, delta in self._steps if at_s >= start)

    def lagged_c(self, at_s: float, lag_s: float) -> float:
        """Temperature of a part that follows with the time constant ``lag_s`` (first-order low-pass)."""
        amplitude, angle = self._lagged_wave(lag_s)
        value = self.base_c + amplitude * math.sin(2 * math.pi * at_s / DAY_S - angle)
        for start, delta in self._steps:
            if at_s > start:
                value -= delta * math.expm1(-(at_s - start) / lag_s)
        return value

    def lagged_integral_cs(self, at_s: float, lag_s: float) -> float:
        """Integral from 0 to ``at_s`` of (lagged temperature - base), in degC s."""
        amplitude, angle = self._lagged_wave(lag_s)
        rate = 2 * math.pi / DAY_S
        value = amplitude / rate * (math.cos(angle) - math.cos(rate * at_s - angle))
        for start, delta in self._steps:
            since = at_s - start
            if since > 0:
                value += delta * (since + lag_s * math.expm1(-since / lag_s))
        return value

    def _lagged_wave(self, lag_s: float) -> tuple[float, float]:
        product = 2 * math.pi * lag_s / DAY_S
        return self.daily_amplitude_c / math.hypot(1.0, product), math.atan(product)
