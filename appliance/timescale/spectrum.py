"""The spectrum of what a clock shows against GNSS, measured and as the model makes it.

Six hours of samples, steering taken out, are differenced twice. That leaves a stationary process whatever
the clock does by itself: a steady frequency vanishes, drift is a constant, a random walk of frequency is
white. Its power is measured with several tapers (Thomson, Proc. IEEE 70, 1982) that fall off fast enough for
the steep spectrum of white phase noise not to leak downwards, and gathered in bins of nearly equal relative
width.

All spectra are two-sided in angular frequency per sample: white noise of variance v has the level v.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np

from appliance.timescale.transition import DAY_S, LADDER_S, NS_PER_UNIT_S, Array

WINDOW_S: Final = 21_602
TAPERS: Final = 4
_LENGTH: Final = WINDOW_S - 2
_COARSE: Final = 720
"""Points of a taper that are enough for its resolution, which only depends on its shape."""
_PAD: Final = 4
"""Model points per Fourier frequency, where bins are single frequencies."""
_SMOOTHED: Final = 48
"""Below this Fourier frequency the tapers' resolution is taken into account."""
_REACH: Final = 12
_SINGLE: Final = 12
_GROWTH: Final = 1.08
_POINTS: Final = 6
"""Model points in a wide bin."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Bins of the measured power, and where the model is evaluated for them."""

    edges: tuple[int, ...]
    """Fourier frequencies at which bins begin; the last is the end."""
    omega: Array
    """Model points, radians per sample."""
    weights: Array
    """Bins by points: how each bin averages the model."""

    @property
    def ordinates(self) -> Array:
        """Fourier frequencies in each bin, which is about its number of independent values."""
        return np.diff(np.array(self.edges, dtype=np.float64))


@lru_cache(maxsize=2)
def tapers(length: int = _LENGTH) -> Array:
    """Orthonormal tapers (rows) that vanish with their slope at both ends."""
    at = (np.arange(length) + 0.5) / length * math.pi
    raw = np.array([np.sin(at) * np.sin(k * at) for k in range(1, TAPERS + 1)])
    return np.ascontiguousarray(np.linalg.qr(raw.T)[0].T)


@lru_cache(maxsize=1)
def grid() -> Grid:
    """The bins and the points for them."""
    half = _LENGTH // 2
    edges = list(range(1, _SINGLE + 1))
    while edges[-1] < half:
        edges.append(min(half, max(edges[-1] + 1, round(edges[-1] * _GROWTH))))
    low = (np.arange((_SMOOTHED + _REACH) * _PAD) + 0.5) / _PAD
    omega, rows = [low], []
    for first, end in pairwise(edges):
        if end <= _SMOOTHED:
            row = np.zeros(len(low))
            for j in range(first, end):
                row += _resolution(low - j) + _resolution(low + j)
            rows.append((0, row / row.sum()))
        else:
            points = first + (np.arange(_POINTS) + 0.5) / _POINTS * (end - first) - 0.5
            rows.append((sum(map(len, omega)), np.full(_POINTS, 1.0 / _POINTS)))
            omega.append(points)
    weights = np.zeros((len(rows), sum(map(len, omega))))
    for bin_index, (begin, row) in enumerate(rows):
        weights[bin_index, begin : begin + len(row)] = row
    return Grid(tuple(edges), np.concatenate(omega) * (2.0 * math.pi / _LENGTH), weights)


def _resolution(distance: Array) -> Array:
    """Mean power response of the tapers at these distances in Fourier frequencies; only ratios count."""
    table = _resolution_table()
    index = np.minimum(np.abs(np.rint(distance * 2 * _PAD)).astype(int), len(table) - 1)
    return np.asarray(np.where(np.abs(distance) < _REACH, table[index], 0.0))


@lru_cache(maxsize=1)
def _resolution_table() -> Array:
    transform = np.fft.rfft(tapers(_COARSE), n=2 * _PAD * _COARSE, axis=1)[:, : 2 * _PAD * _REACH + 1]
    return np.asarray((np.abs(transform) ** 2).mean(axis=0))


def bin_power(second_differences: Array, taper: Array) -> Array:
    """Mean power of a window in each bin, ns^2, as one taper sees it."""
    power = np.abs(np.fft.rfft(second_differences * taper)) ** 2
    edges = np.array(grid().edges)
    return np.asarray(np.add.reduceat(power[: edges[-1]], edges[:-1]) / np.diff(edges))


# ---------------------------------------------------------------------- the model's components


def _step_power(omega: Array) -> Array:
    """What one difference does to power."""
    return np.asarray(4.0 * np.sin(omega / 2.0) ** 2)


def white_phase(omega: Array) -> Array:
    """White noise of the pulse, per ns^2."""
    return np.asarray(_step_power(omega) ** 2)


def white_frequency(omega: Array) -> Array:
    """White FM, per ns^2/s."""
    return _step_power(omega)


def random_walk_frequency(omega: Array) -> Array:
    """Random walk of frequency, per unit^2/s."""
    return np.asarray(NS_PER_UNIT_S**2 * (2.0 + np.cos(omega)) / 3.0)


def flicker_ladder(omega: Array) -> Array:
    """Flicker FM as the sum of the Gauss-Markov frequencies, per unit^2 in each."""
    total = np.zeros_like(omega)
    turn = np.exp(1j * omega)
    for tau in LADDER_S:
        a = 1.0 / tau
        phi, integral = math.exp(-a), tau * -math.expm1(-a)
        q_mm, q_xm = -math.expm1(-2.0 * a), tau * math.expm1(-a) ** 2
        q_xx = tau**2 * (2.0 * a - 3.0 + 4.0 * phi - phi * phi) if a > 1e-2 else tau**2 * a**3 * 2.0 / 3.0
        gain = integral / (turn - phi)
        total += np.abs(gain) ** 2 * q_mm + 2.0 * gain.real * q_xm + q_xx
    return np.asarray(NS_PER_UNIT_S**2 * total * _step_power(omega))


def coloured_pulse(omega: Array, tau_s: float) -> Array:
    """A Gauss-Markov error of the pulse, per ns^2."""
    phi = math.exp(-1.0 / tau_s)
    shape = -math.expm1(-2.0 / tau_s) / (1.0 - 2.0 * phi * np.cos(omega) + phi * phi)
    return np.asarray(shape * _step_power(omega) ** 2)


@lru_cache(maxsize=1)
def drift_power() -> Array:
    """Power in each bin that a constant drift puts there through the tapers' skirts, per (unit/day)^2."""
    skirts = np.zeros(grid().edges[-1] + 1)
    skirts[:_REACH] = _resolution_table()[:: 2 * _PAD][:_REACH] * (_LENGTH / _COARSE)
    edges = np.array(grid().edges)
    binned = np.add.reduceat(skirts[: edges[-1]], edges[:-1]) / np.diff(edges)
    return np.asarray((NS_PER_UNIT_S / DAY_S) ** 2 * binned)


@lru_cache(maxsize=1)
def binned_parts() -> tuple[Array, Array, Array, Array]:
    """White FM, random walk FM, flicker ladder and white noise of the pulse, in the bins."""
    omega, weights = grid().omega, grid().weights
    parts = (white_frequency, random_walk_frequency, flicker_ladder, white_phase)
    first, second, third, fourth = (np.asarray(weights @ part(omega)) for part in parts)
    return first, second, third, fourth


def prepare() -> None:
    """Make all tables now: some 0.1 s, once."""
    tapers(), drift_power(), binned_parts()


def binned_pulse(tau_s: float) -> Array:
    """A Gauss-Markov error of the pulse, per ns^2, in the bins."""
    return np.asarray(grid().weights @ coloured_pulse(grid().omega, tau_s))
