"""What others do with the same pulse: PI servos, and a staged proportional rule with a learnt equilibrium.

The PI is linuxptp's: frequency = kp z + sum of ki z, at one sample per second. The staged rule follows the
published description of the mRO-50's disciplining program: every 6 s the mean of six offsets is removed with
a time constant that shrinks with the offset, and an exponential mean of what was applied is the new
equilibrium.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.optimize import minimize
from scipy.signal import lfilter

from appliance.timescale.transition import Array

LINUXPTP: Final = (0.7, 0.3)
CYCLE_S: Final = 6
QUIET_NS: Final = 30.0
STAGES: Final = (
    # from (h), shortest and longest time constant (s), share of a cycle in the equilibrium
    (0.0, 10.0, 30.0, 0.02),
    (2.0, 180.0, 360.0, 0.01),
    (4.0, 180.0, 360.0, 0.005),
    (6.0, 180.0, 360.0, 0.0025),
)
COARSE_S: Final = 600


def pi_servo(free_ns: Array, gnss_ns: Array, kp: float, ki: float) -> Array:
    """Steered phase just before each pulse; starts with the frequency of the first ten minutes.

    The loop is linear, so it is two filters: one on the clock, one on the pulse.
    """
    clock = free_ns - free_ns[0] - (free_ns[COARSE_S] - free_ns[0]) / COARSE_S * np.arange(len(free_ns))
    own = np.array([1.0, -2.0, 1.0])
    loop = np.array([0.0, kp + ki, -kp])
    return np.asarray(lfilter(own, own + loop, clock) - lfilter(loop, own + loop, gnss_ns))


def best_pi(free_ns: Array, gnss_ns: Array, from_s: int) -> tuple[float, float, Array]:
    """The gains that would have been best on this very file, and their output."""

    def cost(at: Array) -> float:
        out = pi_servo(free_ns, gnss_ns, *np.exp(at))[from_s:]
        mean = float(np.mean(np.square(out)))
        return math.log(mean) if math.isfinite(mean) and mean > 0.0 else 1e3

    found = min(
        (
            minimize(
                cost,
                np.log([kp, kp * kp / 2.0]),
                method="Nelder-Mead",
                options={"xatol": 0.01, "maxiter": 80},
            )
            for kp in (0.3, 0.02)
        ),
        key=lambda result: float(result.fun),
    )
    kp, ki = (float(v) for v in np.exp(found.x))
    return kp, ki, pi_servo(free_ns, gnss_ns, kp, ki)


def staged_rule(free_ns: Array, gnss_ns: Array) -> Array:
    """Steered phase of the rule above."""
    slope = (free_ns[COARSE_S] - free_ns[0]) / COARSE_S
    clock = free_ns - free_ns[0] - slope * np.arange(len(free_ns))
    steered = np.empty(len(clock))
    correction = equilibrium = 0.0
    applied = 0.0
    for begin in range(0, len(clock) - CYCLE_S + 1, CYCLE_S):
        part = slice(begin, begin + CYCLE_S)
        steered[part] = clock[part] + correction + applied * np.arange(CYCLE_S)
        offset = float(np.mean(steered[part] + gnss_ns[part]))
        correction += applied * CYCLE_S
        _, shortest, longest, share = max(s for s in STAGES if s[0] * 3_600 <= begin)
        time_s = min(max(longest * math.exp(-((offset / QUIET_NS) ** 2)), shortest), longest)
        applied = equilibrium - offset / time_s
        equilibrium += share * (applied - equilibrium)
    rest = len(clock) % CYCLE_S
    if rest:
        steered[-rest:] = clock[-rest:] + correction
    return steered
