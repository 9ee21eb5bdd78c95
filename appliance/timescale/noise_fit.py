"""From a measured spectrum to the noise parameters of the model: maximum of likelihood times weak priors.

The likelihood is Whittle's: power in a bin of n Fourier frequencies scatters like the mean of n exponential
variables around the model. Every parameter but the age of a correlation enters linearly, so the scoring
iteration (Fisher) needs no derivatives beyond the components themselves. Its matrix also says how well each
parameter is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from appliance.timescale import spectrum
from appliance.timescale.models import GnssModel, OscillatorModel
from appliance.timescale.record_fields import number, numbers
from appliance.timescale.transition import DAY_S, UNIT, Array, densities

START_WHITE_FM: Final = 4e-11
OTHER_START: Final = 8.0
"""Noisy white FM and a noisy pulse look alike for minutes: the search begins a second time from so much more
of the former."""
START_FLICKER: Final = 3e-12
START_WALK_OF_AGEING: Final = 0.45
"""Random walk at one day in units of a day's ageing: rubidium, oven and plain quartz agree on it within a
factor of three."""
STEPS_TAU_S: Final = 2.5
"""Memory of rounding errors, of the receiver and of the stamps: the phase creeps through their steps."""
WANDER_SHARE: Final = 0.03
"""The regulator is as slow as it may be for the phase that has wandered meanwhile to be this share of the
pulse's own coloured noise, as variances."""
WANDER_S: Final = 30.0
"""Flicker is counted with its wander over this time."""
LONGEST_STEERING_S: Final = 20.0
SETTLED_OF_FLICKER: Final = 2.5
"""After a long lock the frequency is known but for the flicker of the last minutes."""
_PRIOR_SIGMA: Final = (1.2, 1.0, 1.0, 0.7, 0.4, 0.4, 0.25, 0.5)
"""Of ln(figure), in the order of ``NoiseFigures``: a factor e or so for the oscillator, less for the
receiver, whose kind is known."""
_ITERATIONS: Final = 40
_STEP: Final = 1.5
_DONE: Final = 1e-3
_TAU_DELTA: Final = 0.02


@dataclass(frozen=True, slots=True)
class NoiseFigures:
    """What was learnt: the amplitudes of the model's tables, and how well they are known."""

    white_fm_1s: float
    random_walk_1day: float
    flicker_floor: float
    white_ns: float
    """Of the pulse, beside the steps below where they are fitted."""
    coloured_ns: float
    coloured_tau_s: float
    steps_ns: float
    """Standard deviation of rounding: of stamps, and of the pulse where no qErr removes it; 0 when fine."""
    steps_tau_s: float
    ln_sigma: tuple[float, ...]
    """One sigma of the natural logarithm of each of the above, in order (0 for those not fitted)."""

    def to_record(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {"ln_sigma": list(self.ln_sigma)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> NoiseFigures:
        """Rebuild; ``ValueError`` names the field that does not fit."""
        values = {
            name: number(record, name, at_least=low, up_to=high) for name, (low, high) in _CREDIBLE.items()
        }
        return cls(**values, ln_sigma=numbers(record, "ln_sigma", len(values), above=-1e-9, up_to=10.0))

    def models(self, oscillator: OscillatorModel, gnss: GnssModel) -> tuple[OscillatorModel, GnssModel]:
        """The model tables with these figures in place of theirs."""
        pulse_ns2 = sum(sigma**2 for sigma, _ in gnss.gauss_markov)
        wander_ns2_s = (self.white_fm_1s * 1e9) ** 2 + WANDER_S * (self.flicker_floor * 1e9) ** 2
        # Not known exactly: a little more than the likeliest value is right on average.
        flicker_floor = self.flicker_floor * math.exp(0.5 * self.ln_sigma[2] ** 2)
        coloured = [(self.coloured_ns, self.coloured_tau_s), *gnss.gauss_markov[1:]]
        if self.steps_ns > 0.0:
            coloured.append((self.steps_ns, self.steps_tau_s))
        return (
            replace(
                oscillator,
                white_fm_1s=self.white_fm_1s,
                random_walk_1day=self.random_walk_1day,
                flicker_floor=flicker_floor,
                settled_ppb=max(oscillator.settled_ppb, SETTLED_OF_FLICKER * self.flicker_floor * 1e9),
                steering_time_s=min(max(WANDER_SHARE * pulse_ns2 / wander_ns2_s, 1.0), LONGEST_STEERING_S),
            ),
            replace(
                gnss,
                white_ns=self.white_ns,
                gauss_markov=tuple(coloured),
                steps_are_coloured=self.steps_ns > 0.0,
            ),
        )


_CREDIBLE: Final = {
    "white_fm_1s": (1e-14, 1e-7),
    "random_walk_1day": (1e-15, 1e-6),
    "flicker_floor": (1e-15, 1e-7),
    "white_ns": (1e-3, 100.0),
    "coloured_ns": (1e-3, 100.0),
    "coloured_tau_s": (1.0, 1e4),
    "steps_ns": (0.0, 100.0),
    "steps_tau_s": (0.1, 1e4),
}
"""What a figure may be, and what is fitted is held to."""


def common_start(ageing_per_day: float, gnss: GnssModel, steps_ns: float) -> NoiseFigures:
    """Where every oscillator begins: nothing but its data sheet's ageing tells one from another.

    ``steps_ns`` is the standard deviation of rounding in the samples; 0 when it is fine.
    """
    sigma_ns, tau_s = gnss.gauss_markov[0]
    return NoiseFigures(
        white_fm_1s=START_WHITE_FM,
        random_walk_1day=START_WALK_OF_AGEING * ageing_per_day,
        flicker_floor=START_FLICKER,
        white_ns=gnss.white_ns,
        coloured_ns=sigma_ns,
        coloured_tau_s=tau_s,
        steps_ns=steps_ns,
        steps_tau_s=STEPS_TAU_S,
        ln_sigma=(0.0,) * len(_PRIOR_SIGMA),
    )


@dataclass(frozen=True, slots=True)
class _Look:
    """The target at one place."""

    at: Array
    cost: float
    gradient: Array
    fisher: Array


class NoiseFit:
    """One maximisation, in steps of about a millisecond."""

    def __init__(
        self, power_ns2: Array, windows: float, ageing_per_day: float, gnss: GnssModel, steps_ns: float
    ) -> None:
        """``power_ns2``: mean power per bin of so many windows; ``steps_ns`` as in ``common_start``."""
        self._power = power_ns2
        self._weight = spectrum.grid().ordinates * windows
        fitted = 8 if steps_ns > 0.0 else 6
        centre = common_start(ageing_per_day, gnss, max(steps_ns, 1e-3))
        self._prior = _to_parameters(centre)[:fitted]
        # Amplitudes are fitted as variances, whose logarithm scatters twice as much.
        sigma = np.array([s * (1.0 if i in _TAUS else 2.0) for i, s in enumerate(_PRIOR_SIGMA[:fitted])])
        self._precision = 1.0 / sigma**2
        # The drift is in the samples, and as large as the part's ageing for all that is known here.
        known = spectrum.drift_power() * (ageing_per_day / UNIT) ** 2
        for sigma_ns, tau_s in gnss.gauss_markov[1:]:
            known = known + sigma_ns**2 * spectrum.binned_pulse(tau_s)
        self._known = known
        other = self._prior.copy()
        other[0] += 2.0 * math.log(OTHER_START)
        self._starts = [other]
        self._best: _Look | None = None
        self._now = self._look(self._prior)
        self._left = _ITERATIONS

    def step(self) -> NoiseFigures | None:
        """One iteration; the figures once it has settled from every start."""
        move = np.linalg.solve(self._now.fisher, -self._now.gradient)
        move *= min(1.0, _STEP / float(np.abs(move).max()))
        moved = self._look(self._now.at + move)
        self._left -= 1
        if moved.cost > self._now.cost:
            moved = self._look(self._now.at + 0.2 * move)
        settled = moved.cost >= self._now.cost or float(np.abs(move).max()) < _DONE
        if moved.cost < self._now.cost:
            self._now = moved
        if not settled and self._left > 0:
            return None
        if self._best is None or self._now.cost < self._best.cost:
            self._best = self._now
        if not self._starts:
            return _to_figures(self._best)
        self._now, self._left = self._look(self._starts.pop()), _ITERATIONS
        return None

    def _look(self, at: Array) -> _Look:
        value = np.exp(at)
        rows = [v * shape for v, shape in zip(value, spectrum.binned_parts(), strict=False)]
        for index in range(4, len(at), 2):
            tau_s = float(np.clip(value[index + 1], 1.0, 1e4))
            shape, longer = (spectrum.binned_pulse(t) for t in (tau_s, tau_s * math.exp(_TAU_DELTA)))
            rows += [value[index] * shape, value[index] * (longer - shape) / _TAU_DELTA]
        model = self._known + sum(row for index, row in enumerate(rows) if index not in _TAUS)
        ratio = self._power / model
        sensitivity = np.array(rows) / model
        distance = at - self._prior
        pull = self._precision * distance
        return _Look(
            at=at,
            cost=float(self._weight @ (np.log(model) + ratio)) + 0.5 * float(distance @ pull),
            gradient=sensitivity @ (self._weight * (1.0 - ratio)) + pull,
            fisher=(sensitivity * self._weight) @ sensitivity.T + np.diag(self._precision),
        )


_TAUS: Final = frozenset({5, 7})
"""Parameters that are logarithms of times; the others are of variances."""


def _to_parameters(figures: NoiseFigures) -> Array:
    return np.log(
        [
            *densities(figures.white_fm_1s, figures.random_walk_1day, figures.flicker_floor),
            figures.white_ns**2,
            figures.coloured_ns**2,
            figures.coloured_tau_s,
            figures.steps_ns**2,
            figures.steps_tau_s,
        ]
    )


def _to_figures(found: _Look) -> NoiseFigures:
    value = [float(v) for v in np.exp(found.at)] + [0.0, STEPS_TAU_S]
    sigma = [float(v) for v in np.sqrt(np.diag(np.linalg.inv(found.fisher)))] + [0.0, 0.0]
    raw = (
        math.sqrt(value[0]) * 1e-9,
        math.sqrt(value[1] * DAY_S / 3.0) * UNIT,
        math.sqrt(value[2] * 2.0 * math.log(2.0) / math.log(10.0)) * UNIT,
        math.sqrt(value[3]),
        math.sqrt(value[4]),
        value[5],
        math.sqrt(value[6]),
        value[7],
    )
    held = {
        name: min(max(v, low), high) for v, (name, (low, high)) in zip(raw, _CREDIBLE.items(), strict=True)
    }
    return NoiseFigures(
        **held,
        ln_sigma=tuple(s if i in _TAUS else s / 2.0 for i, s in enumerate(sigma[:8])),
    )
