"""Time error as in ITU-T G.810 and G.8260: maximum, constant part over 1000 s, dynamic part about 0.1 Hz."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.analysis.recording import Array
from appliance.analysis.series import Series

CONSTANT_S: Final = 1000.0
CUTOFF_HZ: Final = 0.1
SETTLE_TIME_CONSTANTS: Final = 10.0
"""After these a first-order filter has forgotten its first sample to 5e-5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeError:
    """In ns. A None has its reason in ``reasons``."""

    max_abs_ns: float
    max_abs_at_s: float
    """Seconds after the first sample."""
    minimum_ns: float
    maximum_ns: float
    mean_ns: float
    std_ns: float
    rms_ns: float
    constant_min_ns: float | None
    """Smallest and largest mean of any 1000 s in a row."""
    constant_max_ns: float | None
    dynamic_low_peak_to_peak_ns: float | None
    """After a first-order low-pass of 0.1 Hz."""
    dynamic_low_std_ns: float | None
    dynamic_high_peak_to_peak_ns: float | None
    """What the low-pass takes away."""
    reasons: tuple[str, ...]


def time_error(series: Series) -> TimeError:
    """Of all pieces; no mean or filter crosses a gap."""
    values = np.concatenate([piece.values for piece in series.pieces])
    times_s = np.concatenate([series.times_s(piece) for piece in series.pieces])
    worst = int(np.argmax(np.abs(values)))
    pieces = [piece.values for piece in series.pieces]
    means = _running_means(pieces, max(1, round(CONSTANT_S / series.interval_s)))
    low, high = _split(pieces, series.interval_s)
    reasons = []
    if means is None:
        reasons.append(f"no cTE: no {CONSTANT_S:g} s without a gap")
    if low is None:
        reasons.append(f"no dTE: samples too far apart for {CUTOFF_HZ:g} Hz, or pieces too short")
    return TimeError(
        max_abs_ns=float(abs(values[worst])),
        max_abs_at_s=float(times_s[worst]),
        minimum_ns=float(values.min()),
        maximum_ns=float(values.max()),
        mean_ns=float(values.mean()),
        std_ns=float(values.std()),
        rms_ns=float(np.sqrt(np.mean(values**2))),
        constant_min_ns=None if means is None else float(means.min()),
        constant_max_ns=None if means is None else float(means.max()),
        dynamic_low_peak_to_peak_ns=None if low is None else float(np.ptp(low)),
        dynamic_low_std_ns=None if low is None else float(low.std()),
        dynamic_high_peak_to_peak_ns=None if high is None else float(np.ptp(high)),
        reasons=tuple(reasons),
    )


def _running_means(pieces: Sequence[Array], length: int) -> Array | None:
    found = []
    for values in pieces:
        if len(values) >= length:
            centre = values.mean()  # sums of small numbers keep their digits
            sums = np.cumsum(np.concatenate(([0.0], values - centre)))
            found.append(centre + (sums[length:] - sums[:-length]) / length)
    return np.concatenate(found) if found else None


def _split(pieces: Sequence[Array], interval_s: float) -> tuple[Array | None, Array | None]:
    """Slow and fast part, once the filter has settled; nothing when the rate does not reach the cut-off."""
    if 0.5 / interval_s <= CUTOFF_HZ:
        return None, None
    from scipy.signal import lfilter

    gain = -math.expm1(-2 * math.pi * CUTOFF_HZ * interval_s)
    settle = math.ceil(SETTLE_TIME_CONSTANTS / (2 * math.pi * CUTOFF_HZ * interval_s))
    low, high = [], []
    for values in pieces:
        if len(values) > settle:
            state = [(1.0 - gain) * values[0]]
            slow, _ = lfilter([gain], [1.0, gain - 1.0], values, zi=state)
            low.append(slow[settle:])
            high.append((values - slow)[settle:])
    return (np.concatenate(low), np.concatenate(high)) if low else (None, None)
