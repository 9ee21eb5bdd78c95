"""Which power-law noise a series shows at an averaging time, and what that means for confidence.

Lag-1 autocorrelation (Riley and Greenhall, 2004) from 30 averaged samples on, the B1 and R(n) ratios (Barnes;
Howe) from 10 on, below that the noise of the last shorter time. The formulas are those of allantools.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

import numpy as np

from appliance.analysis.recording import Array

MIN_ACF: Final = 30
MIN_RATIOS: Final = 10
MAX_ACF: Final = 100_000
"""More samples tell no more about the kind of noise, and the autocorrelation is slow."""
NAMES: Final = {
    2: "white PM",
    1: "flicker PM",
    0: "white FM",
    -1: "flicker FM",
    -2: "random walk FM",
    -3: "flicker walk FM",
    -4: "random run FM",
}


class Origin(StrEnum):
    """How a kind of noise was found."""

    AUTOCORRELATION = "lag-1 autocorrelation"
    RATIOS = "B1 and R(n)"
    SHORTER = "as at shorter times"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Noise at one averaging time: the power of frequency in the spectral density of y."""

    alpha: int
    exponent: float | None
    """The same before rounding, where the method tells."""
    name: str
    origin: Origin


def identify(phase: Array, factors: Iterable[int]) -> dict[int, Noise | None]:
    """Noise for rising averaging factors; None where nothing can be said, as for a constant."""
    found: dict[int, Noise | None] = {}
    last: Noise | None = None
    with np.errstate(all="ignore"):
        for factor in factors:
            last = _at(phase, factor, last)
            found[factor] = last
    return found


@lru_cache(maxsize=4096)
def degrees_of_freedom(
    alpha: int, differences: int, factor: int, samples: int, *, overlapping: bool, modified: bool
) -> float | None:
    """Equivalent degrees of freedom (Greenhall and Riley, 2003); None where the formula has no case."""
    from allantools import ci

    alpha = max(alpha, 2 - 2 * differences)  # an Allan variance sees nothing steeper than random walk FM
    try:
        edf = float(
            ci.edf_greenhall(alpha, differences, factor, samples, overlapping=overlapping, modified=modified)
        )
    except (NotImplementedError, AssertionError, ZeroDivisionError):
        return None
    return edf if 0.0 < edf < np.inf else None


def _at(phase: Array, factor: int, last: Noise | None) -> Noise | None:
    from allantools import ci

    averaged = len(phase) // factor
    if averaged >= MIN_ACF:
        try:
            alpha, exponent, *_ = ci.autocorr_noise_id(phase[: MAX_ACF * factor], factor, dmin=0, dmax=3)
        except ValueError:  # a constant has no autocorrelation
            return None
        alpha = min(max(int(alpha), min(NAMES)), max(NAMES))
        return Noise(alpha=alpha, exponent=float(exponent), name=NAMES[alpha], origin=Origin.AUTOCORRELATION)
    if averaged >= MIN_RATIOS:
        ratio = float(ci.b1(phase, factor, 1.0))
        if not np.isfinite(ratio):
            return None
        # Boundaries fall as b rises: the first that the ratio is above tells the noise.
        alpha = next((b + 1 for b in (-3, -2, -1) if ratio > ci.b1_boundary(b, averaged)), 1)
        if alpha == 1 and ci.rn(phase, factor, 1.0) < ci.rn_boundary(factor, 0):
            alpha = 2
        return Noise(alpha=alpha, exponent=None, name=NAMES[alpha], origin=Origin.RATIOS)
    if last is None:
        return None
    return Noise(alpha=last.alpha, exponent=None, name=last.name, origin=Origin.SHORTER)
