"""The estimator that learns, on series with known truth: one start for every oscillator.

It begins with the noise figures that all oscillators begin with and its own part's data-sheet ageing, and
takes over what the learner finds every six hours, as the discipline does. The regulator is the product's,
with the steps of the actuators. What the discipline does around them (gates, states, start-up) is left out:
here the filter is judged, and no pulse is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from appliance.timescale.estimator import Estimator, FilterState
from appliance.timescale.learning import FINE_NS, NoiseLearner
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.noise_fit import NoiseFigures, common_start
from appliance.timescale.servo import Servo, ServoLimits
from appliance.timescale.transition import Array

START_PPB = 1.0
MAX_PPB = 1_000.0
RESOLUTION_PPB = {"sa53": 1e-6, "sa55": 1e-6, "mro50": 3e-3, "csac": 1e-3}
"""Steps of the actuators, from their drivers; elsewhere the card's drift register is finer than all noise."""


@dataclass
class Run:
    """What came out."""

    steered_ns: Array
    """Error of the steered clock just before each pulse."""
    nis: Array
    figures: NoiseFigures | None
    estimator: Estimator


def run(
    name: str,
    sample_ns: Array,
    truth_ns: Array,
    *,
    sawtooth_removed: bool = True,
    resolution_ns: float = 0.0,
    on_state: Callable[[int, Estimator, FilterState], None] | None = None,
    every_s: int = 600,
    gnss_model: str = "f9t_dual",
) -> Run:
    """Filter and steer the free-running clock ``name``; a sample that is NaN is missing."""
    oscillator, gnss = OSCILLATORS[name], GNSS[gnss_model]
    saw_ns2 = 0.0 if sawtooth_removed else gnss.sawtooth_pp_ns**2 / 12.0
    steps_ns2 = saw_ns2 + resolution_ns**2 / 12.0
    steps_ns = float(np.sqrt(steps_ns2))
    start = common_start(oscillator.aging_per_day, gnss, steps_ns if steps_ns > FINE_NS else 0.0)
    estimator = Estimator(
        *start.models(oscillator, gnss),
        phase_ns=float(sample_ns[0]),
        phase_sigma_ns=50.0,
        frequency_sigma_ppb=START_PPB,
    )
    learner = NoiseLearner(oscillator.aging_per_day, gnss)
    limits = ServoLimits(max_ppb=MAX_PPB, resolution_ppb=RESOLUTION_PPB.get(name, 0.0))
    servo = Servo(estimator.oscillator.steering_time_s, limits)
    n = len(sample_ns)
    steered, nis = np.empty(n), np.full(n, np.nan)
    steering = correction = 0.0
    last = 0
    for k in range(n):
        if k:
            estimator.advance(1, steering)
            correction += steering
        steered[k] = truth_ns[k] + correction
        if not np.isnan(sample_ns[k]):
            variance = estimator.sample_variance_ns2(
                sawtooth_removed=sawtooth_removed, resolution_ns=resolution_ns
            )
            innovation = estimator.update(float(sample_ns[k]) + correction, variance)
            nis[k] = innovation.normalised_squared
            if innovation.accepted:
                learner.note(k - last, float(sample_ns[k]), steps_ns2)
                last = k
        figures = learner.step()
        if figures is not None:
            estimator.adopt(*figures.models(oscillator, gnss))
            servo.set_steering_time(estimator.oscillator.steering_time_s)
        if on_state is not None and k % every_s == 0:
            on_state(k, estimator, estimator.save())
        steering = servo.command(estimator.oscillator_ppb(), estimator.phase_ns)
    return Run(steered, nis, learner.figures, estimator)
