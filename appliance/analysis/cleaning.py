"""Outliers and trends: what may be taken out of a series before it is judged, and only when asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.analysis.recording import Array
from appliance.analysis.series import DEGREE, Detrend, Marks, Series
from appliance.analysis.units import Kind

WINDOW: Final = 11
"""Samples of the running median; up to five wrong ones in a row stand out of it."""
LIMIT_SIGMA: Final = 6.0
"""Of a Gaussian 2e-9 lie beyond it: none in a year of seconds."""
_MEDIAN_TO_SIGMA: Final = 1.4826
_Q95_TO_SIGMA: Final = 1 / 1.96
DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """Least-squares fit over all samples, gaps included as time."""

    phase_ns: float | None
    """Mean phase; None for frequency data."""
    frequency: float
    """Fractional frequency offset, mean over the span."""
    drift_per_day: float | None
    """Change of the fractional frequency in a day; None for fewer than 16 samples."""


def outliers(series: Series) -> tuple[Marks, ...]:
    """Marks of samples that stand further from the median of their neighbours than the rest lets expect.

    The scale is a sigma that fits both the median and the 95 % quantile of all residuals: a sawtooth is often
    quiet and then jumps. It is at least the resolution of the values.
    """
    from scipy.ndimage import median_filter

    residuals = [
        piece.values - median_filter(piece.values, min(WINDOW, len(piece.values)), mode="nearest")
        for piece in series.pieces
    ]
    size = np.abs(np.concatenate(residuals))
    sigma = max(_MEDIAN_TO_SIGMA * float(np.median(size)), _Q95_TO_SIGMA * float(np.quantile(size, 0.95)))
    if sigma == 0.0:
        # Coarse values: nearly all equal their neighbours, and one step of the resolution is no outlier.
        sigma = float(size[size > 0].min(initial=np.inf))
    return tuple(np.abs(residual) > LIMIT_SIGMA * sigma for residual in residuals)


def trend(series: Series) -> Trend:
    """Offset, frequency and drift."""
    times_s, values = _points(series)
    enough = len(values) >= 16
    if series.kind is Kind.FREQUENCY:
        slope, _ = _fit(times_s, values, 1)
        return Trend(
            phase_ns=None, frequency=float(values.mean()), drift_per_day=slope * DAY_S if enough else None
        )
    slope, _ = _fit(times_s, values, 1)
    curve = _fit(times_s, values, 2)[0] if enough else None
    return Trend(
        phase_ns=float(values.mean()),
        frequency=slope * 1e-9,
        drift_per_day=None if curve is None else 2.0 * curve * 1e-9 * DAY_S,
    )


def detrended(series: Series, what: Detrend) -> Series:
    """Without the trend; the fit is over all pieces together, since a clock goes on during a gap."""
    if what is Detrend.NONE:
        return series
    degree = DEGREE[what] - (series.kind is Kind.FREQUENCY)
    if degree < 0:
        return series
    times_s, values = _points(series)
    span_s = max(float(times_s[-1]), 1.0)
    coefficients = np.polyfit(times_s / span_s, values, degree)
    return series.mapped(
        lambda piece: piece.values - np.polyval(coefficients, series.times_s(piece) / span_s)
    )


def _points(series: Series) -> tuple[Array, Array]:
    return (
        np.concatenate([series.times_s(piece) for piece in series.pieces]),
        np.concatenate([piece.values for piece in series.pieces]),
    )


def _fit(times_s: Array, values: Array, degree: int) -> Array:
    """Coefficients, highest first, fitted on a scaled axis so that no digits are lost."""
    span_s = max(float(times_s[-1]), 1.0)
    scaled = np.polyfit(times_s / span_s, values, degree)
    coefficients: Array = scaled / span_s ** np.arange(degree, -1, -1)
    return coefficients
