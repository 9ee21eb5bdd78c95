"""MTIE, exactly, over all windows of every length: running maxima by doubling instead of one pass a window.

MTIE(n) is the largest peak-to-peak of phase in any n + 1 samples in a row (ITU-T G.810, appendix II).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from appliance.analysis.recording import Array


def mtie(phases_ns: Sequence[Array], factors: Iterable[int]) -> dict[int, float]:
    """MTIE in ns for rising averaging factors; no window crosses a gap.

    Factors that fit nowhere are absent.
    """
    factors = tuple(factors)
    found: dict[int, float] = {}
    for phase_ns in phases_ns:
        for factor, value in zip(factors, _of_piece(phase_ns, factors), strict=False):
            found[factor] = max(value, found.get(factor, 0.0))
    return found


def _of_piece(phase_ns: Array, factors: Sequence[int]) -> Iterable[float]:
    """MTIE of one piece for as many factors as fit into it.

    ``high[i]`` is the maximum of ``width`` samples from i on; a window of up to twice that is two of them.
    """
    high = low = phase_ns
    width = 1
    for factor in factors:
        window = factor + 1
        if window > len(phase_ns):
            return
        while 2 * width <= window:
            high = np.maximum(high[:-width], high[width:])
            low = np.minimum(low[:-width], low[width:])
            width *= 2
        windows, second = len(phase_ns) - factor, window - width
        top = np.maximum(high[:windows], high[second : second + windows])
        bottom = np.minimum(low[:windows], low[second : second + windows])
        yield float(np.max(top - bottom))
