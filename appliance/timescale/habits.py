"""What this unit is like: its data sheet first, then what its samples taught, here or in an earlier run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.timescale.discipline_config import DisciplineConfig
from appliance.timescale.estimator import Estimator
from appliance.timescale.learning import NoiseLearner
from appliance.timescale.learnt import Learnt, make_learnt, read_learnt
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.noise_fit import NoiseFigures
from appliance.timescale.pulse_samples import PulseSample
from appliance.timescale.tracking import Tracker
from timecard.timescale import NS_PER_S


class Habits:
    """Model tables in force, the learner, and what an earlier run left."""

    def __init__(self, config: DisciplineConfig, mono_ns: int) -> None:
        self._sheet = OSCILLATORS[config.model_name], GNSS[config.gnss_model]
        self.oscillator, self.gnss = self._sheet
        self.figures: NoiseFigures | None = None
        self._learn_s = config.learn_s
        # In topology D the card's own servo follows the pulse: its doings are not the oscillator's.
        ageing = self.oscillator.aging_per_day
        self._learner = None if config.topology == "D" else NoiseLearner(ageing, self.gnss)
        self._earlier: Learnt | None = None
        self._noted_ns = mono_ns

    def take_up(self, record: Mapping[str, Any]) -> None:
        """Begin with what an earlier run learnt; ``ValueError`` when it, or its noise alone, does not fit."""
        learnt = read_learnt(record)
        if self._learner is None:
            return
        if learnt.oscillator != self.oscillator.name:
            raise ValueError(f"it is of oscillator {learnt.oscillator!r}, this is {self.oscillator.name!r}")
        self._earlier = learnt
        if learnt.noise is not None and learnt.gnss == self.gnss.name:
            self.adopt(self._learner.take_up(learnt.noise))
        if learnt.noise_problem is not None:
            raise ValueError(f"only the noise: {learnt.noise_problem}")

    def inform(self, estimator: Estimator, tai_s: int | None) -> float | None:
        """Tell a filter that begins what is known; the temperature that its frequency belongs to, if any."""
        if self._earlier is None:
            return None
        self._earlier.inform(estimator, self.oscillator, tai_s)
        return self._earlier.reference_degc

    def step(self) -> bool:
        """A slice of learning; True when the noise figures are others now."""
        figures = None if self._learner is None else self._learner.step()
        if figures is not None:
            self.adopt(figures)
        return figures is not None

    def adopt(self, figures: NoiseFigures) -> None:
        """Use these noise figures."""
        self.figures = figures
        self.oscillator, self.gnss = figures.models(*self._sheet)

    def note(self, tracker: Tracker, pulse: PulseSample, sample_ns: float, *, has_qerr: bool) -> None:
        """An accepted sample of a locked clock."""
        if self._learner is None:
            return
        seconds = round((pulse.mono_ns - self._noted_ns) / NS_PER_S)
        self._noted_ns = pulse.mono_ns
        steps_ns2 = tracker.estimator.rounding_ns2(
            sawtooth_removed=has_qerr, resolution_ns=pulse.resolution_ns
        )
        self._learner.note(seconds, tracker.free_ns(sample_ns, pulse.mono_ns), steps_ns2)

    def break_off(self) -> None:
        """Phase or frequency do not go on from what was: not to be taken for the oscillator's noise."""
        if self._learner is not None:
            self._learner.break_off()

    def learnt(self, tracker: Tracker, mono_ns: int, tai_s: int) -> Learnt | None:
        """What is worth keeping; None before the oscillator has been watched long enough."""
        if self._learner is None or tracker.age_s(mono_ns) < self._learn_s:
            return None
        return make_learnt(
            tracker.estimator, self._learner, tai_s=tai_s, reference_degc=tracker.reference_degc
        )
