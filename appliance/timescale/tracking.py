"""Tracking: the estimator on the monotonic axis, with what steering really did and a way back.

The filter's time is always that of a pulse, or a whole number of seconds after one. It is told the phase that
steering added between, piece by piece. Copies of the last two hours are kept, because a reference often
degrades before it dies, or is led away slowly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from appliance.timescale.drag import Block, Drag, DragWatch, look_for_drag
from appliance.timescale.estimator import Estimator, Innovation
from appliance.timescale.innovation import (
    BiasWatch,
    FrequencyWatch,
    InnovationStatistics,
    RejectionWatch,
    Verdict,
)
from appliance.timescale.models import GnssModel, OscillatorModel
from appliance.timescale.past import Copy, Past
from appliance.timescale.record_fields import integer, number, optional_number, table
from appliance.timescale.servo import SteeringRecord
from appliance.timescale.transition import NS_PER_UNIT_S, TEMPCO, WARMUP, PhaseGrowth
from appliance.timescale.unfelt import Unfelt
from timecard.timescale import NS_PER_S

ROLL_BACK_S: Final = 40
"""Copies at least this much older than the trouble are trusted."""
MISLED_NS: Final = 2.0
"""After a slow drag copies are as much older as costs this much in holdover."""
MAX_AGE_S: Final = 1e10
"""What a record may say of how long the oscillator has been watched."""
SNAP_S: Final = 0.005
"""Pulses are whole seconds apart; the monotonic clock's own rate and a read's latency are not the clock's."""
YOUNG_S: Final = 150.0
YOUNG_JUMP: Final = 20.0
"""An oscillator seen for the first time (warming up, perhaps) is allowed this much more, fading out."""


class Tracker:
    """One filter's life: from the first sample to the next start."""

    def __init__(
        self,
        estimator: Estimator,
        steering: SteeringRecord,
        mono_ns: int,
        *,
        age_s: float = 0.0,
        temperature_degc: float | None = None,
        swing_degc: float = 0.0,
    ) -> None:
        """``temperature_degc``: the oscillator's, which becomes the reference for its slope.

        ``swing_degc``: amplitude of the daily wave that it may follow while nobody tells its temperature.
        """
        self.estimator = estimator
        self.temperature_degc = 0.0
        """Of the oscillator, above the reference."""
        self._reference_degc = temperature_degc
        self._felt_ns: int | None = None
        self.statistics = InnovationStatistics()
        self.rejections = RejectionWatch(estimator.oscillator.jump_ppb, estimator.oscillator.runaway_ppb)
        self.frequency_watch = FrequencyWatch(estimator.oscillator.settled_ppb)
        self.accepted_run = 0
        self.biases_followed = 0
        self.drag: Drag | None = None
        """The newest sample shows that the reference is led away."""
        self.last_sample_ns: float | None = None
        self.last_accepted_mono_ns: int | None = None
        self._bias = BiasWatch()
        self._steering = steering
        self._swing_degc = swing_degc
        self._anchor_ns = mono_ns
        self._followed_ns = mono_ns
        """Since then the filter is without samples."""
        self._start_ns = mono_ns - round(age_s * NS_PER_S)
        self._steered_ns = steering.phase_ns(mono_ns)
        self._warmth_ns = 0.0
        self._degc_s = 0.0
        self._past = Past()
        self._drag_watch = DragWatch()

    # ------------------------------------------------------------------ where we are

    @property
    def oscillator(self) -> OscillatorModel:
        """The oscillator's model."""
        return self.estimator.oscillator

    @property
    def anchor_mono_ns(self) -> int:
        """The filter's time."""
        return self._anchor_ns

    def age_s(self, mono_ns: int) -> float:
        """How long the oscillator has been watched."""
        return (mono_ns - self._start_ns) / NS_PER_S

    def elapsed_s(self, mono_ns: int) -> float:
        """Time since the filter's time."""
        return max(0.0, (mono_ns - self._anchor_ns) / NS_PER_S)

    def oscillator_ppb(self) -> float:
        """Expected frequency of the unsteered oscillator."""
        return self.estimator.oscillator_ppb(self.temperature_degc)

    def rate_ppb(self) -> float:
        """How the predicted phase moves under the steering in force."""
        return self.oscillator_ppb() + self._steering.frequency_ppb

    def phase_ns(self, mono_ns: int) -> float:
        """Predicted clock minus TAI at ``mono_ns``."""
        steered_ns = self._steering.phase_ns(mono_ns) - self._steered_ns
        free_ns = self.oscillator_ppb() * (mono_ns - self._anchor_ns) / NS_PER_S
        return self.estimator.phase_ns + free_ns + steered_ns

    def free_ns(self, sample_ns: float, mono_ns: int) -> float:
        """A sample without what steering and temperature, as far as its slope is known, did to it."""
        return sample_ns - self._steering.phase_ns(mono_ns) - self._warmth_ns

    def unfelt(self) -> Unfelt:
        """What its temperature may do to it unseen, from the filter's time on."""
        told = self._reference_degc is not None
        swing_ppb = 0.0 if told else self.oscillator.tempco_per_degc * 1e9 * self._swing_degc
        return Unfelt(swing_ppb, (self._anchor_ns - self._followed_ns) / NS_PER_S)

    @property
    def reference_degc(self) -> float | None:
        """Temperature at which the oscillator's frequency is told; None while none was reported."""
        return self._reference_degc

    # ------------------------------------------------------------------ what happens

    def adopt(self, oscillator: OscillatorModel, gnss: GnssModel) -> None:
        """Other noise figures from now on."""
        self.estimator.adopt(oscillator, gnss)
        self.frequency_watch.settled(oscillator.settled_ppb)

    def note_temperature(self, degc: float | None, mono_ns: int) -> None:
        """The oscillator's temperature now, which its resonator follows; None while nobody tells it."""
        if degc is None:
            return
        if self._reference_degc is None:
            self._reference_degc = degc
        above_degc = degc - self._reference_degc
        if self._felt_ns is None:
            self.temperature_degc = above_degc
        else:
            elapsed_s = max(0, mono_ns - self._felt_ns) / NS_PER_S
            followed = -math.expm1(-elapsed_s / self.oscillator.thermal_tau_s)
            self.temperature_degc += followed * (above_degc - self.temperature_degc)
        self._felt_ns = mono_ns

    def sample(
        self, mono_ns: int, sample_ns: float, variance_ns2: float, coarse_ns: float = 0.0
    ) -> Innovation | None:
        """Take a pulse; None when its second has been used already or is past.

        ``coarse_ns`` is the part of the sample's error that is rounding, at most.
        """
        if self.last_accepted_mono_ns is not None and mono_ns - self.last_accepted_mono_ns < NS_PER_S // 2:
            return None
        seconds = (mono_ns - self._anchor_ns) / NS_PER_S
        whole = round(seconds)
        if not self._advance(mono_ns, whole if abs(seconds - whole) <= SNAP_S else seconds):
            return None
        innovation = self.estimator.update(sample_ns, variance_ns2)
        self.drag = None
        if innovation.accepted:
            self._accepted(mono_ns, sample_ns, innovation)
            self._watch_for_drag(mono_ns, sample_ns, coarse_ns)
            self._follow_bias(mono_ns, innovation, coarse_ns)
        else:
            self.accepted_run = 0
        return innovation

    def verdict(self, mono_ns: int, innovation: Innovation, *, clock_is_suspect: bool) -> Verdict:
        """After a rejected sample: what the run of rejections amounts to."""
        self.rejections.allowance = self._jump_allowance(mono_ns)
        return self.rejections.rejected(
            mono_ns / NS_PER_S, innovation.residual_ns, clock_is_suspect=clock_is_suspect
        )

    def realign(self, mono_ns: int) -> None:
        """Move the filter's time to that of a pulse again, after coasting in seconds of another clock."""
        if mono_ns > self._anchor_ns:
            self._advance(mono_ns, (mono_ns - self._anchor_ns) / NS_PER_S)

    def coast(self, mono_ns: int) -> None:
        """No pulse: follow in whole seconds."""
        seconds = (mono_ns - self._anchor_ns) // NS_PER_S
        if seconds >= 1:
            unfelt_ns2 = float(self.unfelt().growth_ns2(seconds))
            self._advance(self._anchor_ns + seconds * NS_PER_S, seconds)
            self.estimator.open_frequency(0.0, math.sqrt(unfelt_ns2))

    def stepped(self, delta_ns: int) -> None:
        """The clock was stepped: the copies of before no longer fit."""
        self.estimator.step(delta_ns)
        self._forget_past()

    def clock_moved(self, *, for_certain: bool) -> None:
        """Rejected samples were right: let go of frequency and phase as far as they say.

        ``for_certain``: not by the samples' word alone.
        """
        slope_ppb = abs(self.rejections.slope_ppb())
        suspect_ns = self.rejections.largest_ns
        self._let_go(max(3.0 * slope_ppb, self.oscillator.jump_ppb), suspect_ns)
        if for_certain:
            self._forget_past()
        self.rejections.clear()

    def open(self, frequency_ppb: float, phase_ns: float = 0.0) -> None:
        """The oscillator itself is no longer what it was."""
        self._let_go(frequency_ppb, phase_ns)
        self._forget_past()

    def _let_go(self, frequency_ppb: float, phase_ns: float) -> None:
        self.estimator.open_frequency(frequency_ppb, phase_ns)
        self._past.changed(self._anchor_ns)
        self._bias.clear()
        self.accepted_run = 0

    def _forget_past(self) -> None:
        self._past.clear()
        self._drag_watch.clear()

    def _before_misled(self, limit_ns: int, now_ns: int) -> Copy | None:
        """As old a copy as costs little: no sample says when a slow drag began."""
        chosen, allowed_ns = None, math.inf
        for copy in self._past.newest_first(limit_ns):
            growth = PhaseGrowth(self.oscillator, np.array([(now_ns - copy.mono_ns) / NS_PER_S]))
            sigma_ns = math.sqrt(growth.variance_ns2(copy.state.covariance).item())
            if sigma_ns > allowed_ns:
                break
            chosen, allowed_ns = copy, min(allowed_ns, sigma_ns + MISLED_NS)
        return chosen

    def roll_back(self, before_mono_ns: int, now_mono_ns: int, *, misled: bool = False) -> float:
        """Forget what was learnt from shortly before ``before_mono_ns`` on; seconds of learning given up.

        ``misled``: by the reference, so that changes of the oscillator that it showed did not happen, and for
        longer than could be seen.
        """
        limit_ns = before_mono_ns - ROLL_BACK_S * NS_PER_S
        copy = self._before_misled(limit_ns, now_mono_ns) if misled else self._past.before(limit_ns)
        self._forget_past()
        if copy is None:
            return 0.0
        degc_now, degc_s = self.temperature_degc, self._degc_s - copy.degc_s
        self.temperature_degc = degc_s / max(1.0, (self._anchor_ns - copy.mono_ns) / NS_PER_S)
        self.estimator.restore(copy.state)
        self._anchor_ns, self._steered_ns, self._degc_s = copy.mono_ns, copy.steered_ns, copy.degc_s
        self._followed_ns = copy.mono_ns
        self.coast(now_mono_ns)
        self.temperature_degc = degc_now
        return (before_mono_ns - copy.mono_ns) / NS_PER_S

    # ------------------------------------------------------------------ record

    def to_record(self, mono_ns: int) -> dict[str, Any]:
        """Everything needed to go on after a restart."""
        return {
            "anchor_mono_ns": self._anchor_ns,
            "followed_mono_ns": self._followed_ns,
            "age_s": self.age_s(mono_ns),
            "reference_degc": self._reference_degc,
            "temperature_degc": self.temperature_degc,
            "innovations": self.statistics.to_record(),
            "estimator": self.estimator.to_record(),
        }

    @classmethod
    def from_record(
        cls,
        record: Mapping[str, Any],
        oscillator: OscillatorModel,
        gnss: GnssModel,
        steering: SteeringRecord,
        swing_degc: float = 0.0,
    ) -> Tracker:
        """Rebuild; ``ValueError`` names the field that does not fit."""
        try:
            anchor_ns, followed_ns = (integer(record, f"{name}_mono_ns") for name in ("anchor", "followed"))
            reference_degc = optional_number(record, "reference_degc", at_least=-273.15, up_to=1000.0)
            temperature_degc = number(record, "temperature_degc", at_least=-1000.0, up_to=1000.0)
            statistics = InnovationStatistics.from_record(table(record, "innovations"))
            age_s = number(record, "age_s", at_least=0.0, up_to=MAX_AGE_S)
            inner = table(record, "estimator")
        except ValueError as error:
            raise ValueError(f"tracker record: {error}") from None
        estimator = Estimator.from_record(inner, oscillator, gnss)
        made = cls(
            estimator,
            steering,
            anchor_ns,
            age_s=age_s,
            temperature_degc=reference_degc,
            swing_degc=swing_degc,
        )
        made._followed_ns = min(followed_ns, anchor_ns)
        # Nobody tells the temperature before the time that was missed has been caught up.
        made.temperature_degc, made.statistics = temperature_degc, statistics
        return made

    # ------------------------------------------------------------------ inside

    def _advance(self, mono_ns: int, seconds: float) -> bool:
        if seconds < 0:
            return False
        steered_ns = self._steering.phase_ns(mono_ns)
        self.estimator.advance(seconds, steered_ns - self._steered_ns, self.temperature_degc)
        slope, _ = self.estimator.known(TEMPCO)
        self._warmth_ns += NS_PER_UNIT_S * seconds * self.temperature_degc * slope
        self._degc_s += seconds * self.temperature_degc
        self._anchor_ns, self._steered_ns = mono_ns, steered_ns
        return True

    def _accepted(self, mono_ns: int, sample_ns: float, innovation: Innovation) -> None:
        self.accepted_run += 1
        self.last_sample_ns = sample_ns
        self.last_accepted_mono_ns = self._followed_ns = mono_ns
        self.statistics.note(innovation.normalised_squared)
        now_s = mono_ns / NS_PER_S
        self.rejections.accepted(now_s)
        # At the reference temperature: what temperature explains is no shift.
        self.frequency_watch.note(now_s, self.estimator.oscillator_ppb())
        if self._past.wants(mono_ns):
            self._past.add(
                Copy(mono_ns, self._steered_ns, self._degc_s, self._own_ppb(mono_ns), self.estimator.save())
            )

    def _own_ppb(self, mono_ns: int) -> float:
        """How far the oscillator's frequency may move by itself; a warm-up does not keep to its model."""
        warming_ppb = abs(self.estimator.known(WARMUP)[0]) * NS_PER_UNIT_S
        return self.oscillator.jump_ppb * self._jump_allowance(mono_ns) + warming_ppb

    def _watch_for_drag(self, mono_ns: int, sample_ns: float, coarse_ns: float) -> None:
        free_ns = sample_ns - self._steered_ns
        block = self._drag_watch.note(Block(mono_ns / NS_PER_S, free_ns, self._degc_s, coarse_ns))
        if block is not None:
            estimator = self.estimator
            self.drag = look_for_drag(
                block, self._past, estimator.oscillator, estimator.gnss, self.statistics.scale
            )

    def _follow_bias(self, mono_ns: int, innovation: Innovation, coarse_ns: float) -> None:
        """Innovations that lean: let go of the frequency, if the oscillator can have moved so fast."""
        bias = self._bias.note(innovation.residual_ns, math.sqrt(innovation.variance_ns2), coarse_ns)
        if bias is not None and bias.rate_ppb <= self.oscillator.jump_ppb * self._jump_allowance(mono_ns):
            self.biases_followed += 1
            self._let_go(max(bias.rate_ppb, self.oscillator.settled_ppb), abs(bias.mean_ns))

    def _jump_allowance(self, mono_ns: int) -> float:
        return 1.0 + YOUNG_JUMP * math.exp(-self.age_s(mono_ns) / YOUNG_S)
