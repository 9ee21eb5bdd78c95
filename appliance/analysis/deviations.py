"""Stability of a clock: deviations by allantools, pooled over gap-free pieces, with confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.analysis.noise import Noise, degrees_of_freedom
from appliance.analysis.recording import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """A deviation: which function of allantools, and what its confidence needs (NIST SP 1065, section 5)."""

    function: str
    label: str
    differences: int
    """2 for the Allan, 3 for the Hadamard variance."""
    reach: int
    """Samples of phase that one term spans, in averaging factors."""
    stride: bool = False
    """Terms do not overlap."""
    modified: bool = False
    unit: str = ""
    interval: bool = True
    """There is a formula for its degrees of freedom."""

    def terms(self, samples: int, factor: int) -> int:
        """How many terms ``samples`` of phase give."""
        whole = samples - self.reach * factor + self.modified
        return -(-whole // factor) if self.stride and whole > 0 else max(0, whole)


STATISTICS: Final[Mapping[str, Statistic]] = {
    each.function: each
    for each in (
        Statistic(function="oadev", label="ADEV", differences=2, reach=2),
        Statistic(function="mdev", label="MDEV", differences=2, reach=3, modified=True),
        Statistic(function="ohdev", label="HDEV", differences=3, reach=3),
        Statistic(function="tdev", label="TDEV", differences=2, reach=3, modified=True, unit="ns"),
        Statistic(function="adev", label="ADEV (not overlapping)", differences=2, reach=2, stride=True),
        Statistic(function="hdev", label="HDEV (not overlapping)", differences=3, reach=3, stride=True),
        Statistic(function="totdev", label="TOTDEV", differences=2, reach=2, interval=False),
    )
}
DEFAULT: Final = ("oadev", "mdev", "ohdev", "tdev")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """One value of a curve; low and high are its confidence interval, None where none can be given."""

    tau_s: float
    value: float
    low: float | None
    high: float | None
    terms: int
    degrees_of_freedom: float | None


def deviation(
    statistic: Statistic,
    phases_ns: Sequence[Array],
    factor: int,
    interval_s: float,
    noise: Noise | None = None,
    confidence: float | None = None,
) -> Deviation | None:
    """At tau = ``factor`` intervals over all pieces; None when none of them gives two terms. TDEV is in ns.

    The squares of the pieces are pooled by their numbers of terms, their degrees of freedom added.
    """
    import allantools

    compute = getattr(allantools, statistic.function)
    tau_s = factor * interval_s
    total = edf = 0.0
    terms = 0
    for phase_ns in phases_ns:
        if statistic.terms(len(phase_ns), factor) < 2:
            continue
        _, values, _, numbers = compute(
            phase_ns * 1e-9, rate=1.0 / interval_s, data_type="phase", taus=np.array([tau_s])
        )
        total += float(numbers[0]) * float(values[0]) ** 2
        terms += int(numbers[0])
        if noise is not None and statistic.interval:
            edf += (
                degrees_of_freedom(
                    noise.alpha,
                    statistic.differences,
                    factor,
                    len(phase_ns),
                    overlapping=not statistic.stride,
                    modified=statistic.modified,
                )
                or 0.0
            )
    if terms == 0:
        return None
    value = float(np.sqrt(total / terms)) * (1e9 if statistic.unit == "ns" else 1.0)
    low, high = _interval(value, edf, confidence)
    return Deviation(
        tau_s=tau_s, value=value, low=low, high=high, terms=terms, degrees_of_freedom=edf or None
    )


def averaging_factors(text: str | Sequence[float], longest: int, interval_s: float) -> tuple[int, ...]:
    """Rising averaging factors up to half of the longest piece.

    ``octave`` is 1, 2, 4, ...; ``decade`` 1, 2, 4, 10, 20, 40, ...; ``many`` 20 a decade; numbers are
    times in s.
    Raises ``ValueError`` for a time that is no multiple of the interval.
    """
    limit = max(1, longest // 2)
    found: Iterable[int]
    if text == "octave":
        found = (1 << k for k in range(limit.bit_length()))
    elif text == "decade":
        found = (digit * 10**k for k in range(len(str(limit))) for digit in (1, 2, 4))
    elif text == "many":
        found = (round(10 ** (k / 20)) for k in range(int(20 * np.log10(limit)) + 1))
    else:
        found = [_factor(float(tau_s), interval_s) for tau_s in text]
    return tuple(sorted({factor for factor in found if factor <= limit}))


def _factor(tau_s: float, interval_s: float) -> int:
    factor = round(tau_s / interval_s)
    if factor < 1 or abs(tau_s / interval_s - factor) > 1e-6 * factor:
        raise ValueError(f"tau = {tau_s:g} s is no multiple of the interval of {interval_s:g} s")
    return factor


def _interval(value: float, edf: float, confidence: float | None) -> tuple[float | None, float | None]:
    if not edf or confidence is None:
        return None, None
    from allantools import ci

    low, high = ci.confidence_interval(value, edf, confidence)
    return float(low), float(high)
