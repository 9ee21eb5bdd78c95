"""What temperature may do to an oscillator unseen, where nobody reports its temperature.

A room follows a daily wave: ``swing * sin(2 pi t / day)``, of unknown phase. The oscillator's frequency was
learnt at the temperature of the last sample, so what the wave adds to the phase after T seconds is, at the
worst phase of the wave,

    tempco * swing / w * sqrt((w T - sin w T)^2 + (1 - cos w T)^2),     w = 2 pi / day,

which begins with the square of time and never falls. The slope against temperature is known as one sigma, so
this is a sigma as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.timescale.transition import DAY_S, Array

_PER_S: Final = 2.0 * math.pi / DAY_S


@dataclass(frozen=True, slots=True)
class Unfelt:
    """The wave's effect since the last sample."""

    swing_ppb: float = 0.0
    """One sigma of the frequency's amplitude; 0 where the temperature is told."""
    since_s: float = 0.0
    """From the last sample to the filter's time: what came of that is in the filter's covariance."""

    def growth_ns2(self, seconds: float | Array) -> Array:
        """Variance that the next ``seconds`` add to the phase."""
        grown = _shape(self.since_s + np.asarray(seconds)) - _shape(np.asarray(self.since_s))
        return np.asarray((self.swing_ppb / _PER_S) ** 2 * np.maximum(grown, 0.0))


def _shape(seconds: Array) -> Array:
    angle = _PER_S * seconds
    return np.asarray((angle - np.sin(angle)) ** 2 + (1.0 - np.cos(angle)) ** 2)
