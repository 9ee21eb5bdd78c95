"""Long realisations of the model's world in a moment: every component is filtered noise of its own."""

from __future__ import annotations

import math

import numpy as np
from scipy.signal import lfilter

from appliance.timescale.models import GnssModel, OscillatorModel
from appliance.timescale.transition import DAY_S, LADDER_S, NS_PER_UNIT_S, noise_of
from tests.unit.timescale.closed_loop import Array


def fast_world(
    oscillator: OscillatorModel, gnss: GnssModel, seconds: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Phase of the free clock and of the pulse's error (without sawtooth), ns at whole seconds.

    The drift is drawn from the data sheet's figure. Frequencies act over the second that follows, which makes
    nothing of a Gauss-Markov frequency's wander within one second: below 1e-3 of what it does in a minute.
    """
    noise = noise_of(oscillator)
    frequency = np.cumsum(math.sqrt(noise.q2) * rng.standard_normal(seconds))
    drift = oscillator.aging_per_day * 1e12 * rng.standard_normal()
    frequency += drift / DAY_S * np.arange(seconds)
    for tau in LADDER_S:
        mean_s = tau * -math.expm1(-1.0 / tau)
        frequency += mean_s * _gauss_markov(math.sqrt(noise.ladder), tau, seconds, rng)
    phase = np.zeros(seconds)
    steps = NS_PER_UNIT_S * frequency[:-1] + math.sqrt(noise.q1) * rng.standard_normal(seconds - 1)
    phase[1:] = np.cumsum(steps)
    pulse = gnss.white_ns * rng.standard_normal(seconds)
    for sigma, tau in gnss.gauss_markov:
        pulse += _gauss_markov(sigma, tau, seconds, rng)
    wave = gnss.daily_amplitude_ns / math.sqrt(2.0) * rng.standard_normal(2)
    angle = 2.0 * math.pi / DAY_S * np.arange(seconds)
    return phase, pulse + wave[0] * np.cos(angle) + wave[1] * np.sin(angle)


def _gauss_markov(sigma: float, tau_s: float, seconds: int, rng: np.random.Generator) -> Array:
    phi = math.exp(-1.0 / tau_s)
    noise = sigma * math.sqrt(-math.expm1(-2.0 / tau_s)) * rng.standard_normal(seconds)
    noise[0] = sigma * rng.standard_normal()
    return np.asarray(lfilter([1.0], [1.0, -phi], noise))
