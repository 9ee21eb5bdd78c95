"""Learns the unit's own noise while the clock is locked.

Every six hours of samples become a spectrum, spectra of some days are averaged with forgetting, and the noise
figures of the model are fitted to them. Samples are taken one by one; the rest is done in slices of a
millisecond, one at each call of ``step``, so that whoever calls once a second is never held up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from appliance.timescale import spectrum
from appliance.timescale.models import GnssModel
from appliance.timescale.noise_fit import NoiseFigures, NoiseFit
from appliance.timescale.record_fields import number, numbers, table
from appliance.timescale.transition import Array

BRIDGE_S: Final = 600
"""A gap up to here is bridged by a straight line."""
BRIDGED_SHARE: Final = 0.05
"""So much of a window may be bridges."""
MEMORY_WINDOWS: Final = 12.0
"""About three days: habits change with temperature and age."""
FINE_NS: Final = 0.3
"""Rounding with a smaller standard deviation counts as white noise of the pulse."""
SAME_STEPS: Final = 0.2
"""A rounding that differs by more is another kind of sample, of which earlier spectra say nothing."""
_CREDIBLE_POWER_NS2: Final = (1e-12, 1e12)
"""Of a bin: samples without any noise, or with too much of it, count as this."""


@dataclass(slots=True)
class _Job:
    """A full window on its way to figures."""

    second_differences: Array
    steps_ns: float
    power_ns2: Array
    tapered: int = 0
    fit: NoiseFit | None = None


class NoiseLearner:
    """Window, evidence, figures."""

    def __init__(self, ageing_per_day: float, gnss: GnssModel) -> None:
        spectrum.prepare()
        self._ageing_per_day, self._gnss = ageing_per_day, gnss
        self.figures: NoiseFigures | None = None
        self.windows = 0
        """Windows used since the start."""
        self._phase_ns = np.zeros(spectrum.WINDOW_S)
        self._count = 0
        self._bridged = 0
        self._steps_ns2 = 0.0
        self._power: Array | None = None
        """Evidence: mean power per bin."""
        self._weight = 0.0
        """In windows."""
        self._evidence_steps_ns = 0.0
        self._job: _Job | None = None

    def note(self, seconds: int, free_ns: float, steps_ns2: float) -> None:
        """A sample ``seconds`` after the one before: clock minus reference without what steering did.

        ``steps_ns2`` is the variance of rounding in it.
        """
        if self._count and (seconds < 1 or seconds > BRIDGE_S):
            self.break_off()
        if self._count and seconds > 1:
            before = self._phase_ns[self._count - 1]
            fill = np.arange(1, seconds) / seconds
            room = min(seconds - 1, spectrum.WINDOW_S - self._count)
            self._phase_ns[self._count : self._count + room] = before + fill[:room] * (free_ns - before)
            self._count += room
            self._bridged += room
        if self._bridged > BRIDGED_SHARE * spectrum.WINDOW_S:
            self.break_off()
        if self._count < spectrum.WINDOW_S:
            self._phase_ns[self._count] = free_ns
            self._count += 1
            self._steps_ns2 += steps_ns2
        if self._count == spectrum.WINDOW_S:
            self._close_window()

    def window(self, phase_ns: Array, steps_ns2: float) -> NoiseFigures:
        """A whole window at once, and the figures from it: for those who need not be quick."""
        self.break_off()
        self._phase_ns[:] = phase_ns
        self._count, self._steps_ns2 = len(phase_ns), steps_ns2 * len(phase_ns)
        self._close_window()
        while (figures := self.step()) is None:
            pass
        return figures

    def break_off(self) -> None:
        """What comes does not go on from what was."""
        self._count = self._bridged = 0
        self._steps_ns2 = 0.0

    def step(self) -> NoiseFigures | None:
        """A slice of work, if there is any; new figures when they have been found."""
        job = self._job
        if job is None:
            return None
        if job.fit is not None:
            figures = job.fit.step()
            if figures is not None:
                self.figures, self._job = figures, None
            return figures
        tapers = spectrum.tapers()
        job.power_ns2 += spectrum.bin_power(job.second_differences, tapers[job.tapered]) / len(tapers)
        job.tapered += 1
        if job.tapered == len(tapers):
            power = self._add(job.power_ns2, job.steps_ns)
            job.fit = NoiseFit(power, self._weight, self._ageing_per_day, self._gnss, job.steps_ns)
        return None

    def _close_window(self) -> None:
        true_share = 1.0 - self._bridged / spectrum.WINDOW_S
        steps_ns = math.sqrt(self._steps_ns2 / (self._count - self._bridged))
        # A straight phase goes with the second difference; its size would only cost digits.
        second_differences = np.diff(self._phase_ns - self._phase_ns[0], 2)
        self._job = _Job(
            second_differences / math.sqrt(true_share),
            steps_ns if steps_ns > FINE_NS else 0.0,
            np.zeros(len(spectrum.grid().ordinates)),
        )
        self.break_off()

    def _add(self, power: Array, steps_ns: float) -> Array:
        self.windows += 1
        power = np.clip(power, *_CREDIBLE_POWER_NS2)
        differs = abs(steps_ns - self._evidence_steps_ns) > SAME_STEPS * max(
            steps_ns, self._evidence_steps_ns
        )
        if self._power is None or differs:
            self._power, self._weight, self._evidence_steps_ns = power, 1.0, steps_ns
            return power
        kept = min(self._weight, MEMORY_WINDOWS - 1.0)
        self._power = (kept * self._power + power) / (kept + 1.0)
        self._weight = kept + 1.0
        return self._power

    # ------------------------------------------------------------------ record

    def to_record(self) -> dict[str, Any] | None:
        """Figures and the evidence for them, JSON-able; None while nothing is learnt."""
        if self.figures is None or self._power is None:
            return None
        return {
            "figures": self.figures.to_record(),
            "power_ns2": [float(v) for v in self._power],
            "windows": self._weight,
            "steps_ns": self._evidence_steps_ns,
        }

    @staticmethod
    def check(record: Mapping[str, Any]) -> tuple[NoiseFigures, tuple[float, ...], float, float]:
        """Figures, power, its weight and rounding of a record; ``ValueError`` names what does not fit."""
        bins = len(spectrum.grid().ordinates)
        return (
            NoiseFigures.from_record(table(record, "figures")),
            numbers(record, "power_ns2", bins, above=0.0, up_to=_CREDIBLE_POWER_NS2[1]),
            number(record, "windows", at_least=1.0, up_to=MEMORY_WINDOWS),
            number(record, "steps_ns", at_least=0.0, up_to=100.0),
        )

    def take_up(self, record: Mapping[str, Any]) -> NoiseFigures:
        """Go on from a record; ``ValueError`` as above."""
        self.figures, power, self._weight, self._evidence_steps_ns = self.check(record)
        self._power = np.array(power)
        return self.figures
