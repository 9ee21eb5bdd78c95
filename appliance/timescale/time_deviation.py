"""MTIE and TDEV of a series at one sample a second, at intervals of powers of two (ITU-T G.810, annex II)."""

from __future__ import annotations

import numpy as np

from appliance.analysis.mtie import mtie
from appliance.timescale.transition import Array

Curve = tuple[tuple[float, float], ...]


def mtie_ns(phase_ns: Array) -> Curve:
    """Largest peak-to-peak value in any window of 2, 3, 5, 9 ... samples: (interval in s, ns)."""
    factors = [1 << power for power in range(len(phase_ns).bit_length())]
    return tuple((float(factor), value) for factor, value in mtie([phase_ns], factors).items())


def tdev_ns(phase_ns: Array) -> Curve:
    """Time deviation at 1, 2, 4 ... s, as long as three intervals fit: (interval in s, ns)."""
    found: list[tuple[float, float]] = []
    count, interval = len(phase_ns), 1
    total = np.concatenate(([0.0], np.cumsum(phase_ns)))
    while 3 * interval <= count:
        n = interval
        means = (total[n:] - total[:-n]) / n
        second = means[2 * n :] - 2.0 * means[n:-n] + means[: -2 * n]
        found.append((float(interval), float(np.sqrt(np.mean(second**2) / 6.0))))
        interval *= 2
    return tuple(found)
