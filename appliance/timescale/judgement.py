"""Judgement: what may be claimed, when the clock is settled, when a step is allowed, who is suspected."""

from __future__ import annotations

from typing import Final

from appliance.snapshot import ClockState
from appliance.timescale.clock_state import ClockEvent
from appliance.timescale.discipline_config import DisciplineConfig
from appliance.timescale.doubts import Doubts
from appliance.timescale.holdover import k_of, total_bias_ns
from appliance.timescale.models import GnssModel, OscillatorModel
from appliance.timescale.tracking import Tracker
from timecard.timescale import NS_PER_S

LOCK_AFTER: Final = 30
RELOCK_AFTER: Final = 10
SETTLED_NS: Final = 5.0
SETTLED_FREQUENCY_PPB: Final = 0.5
FINE_STEP_NS: Final = 20.0
FINE_STEP_SIGMA_NS: Final = 5.0
FINE_STEP_AFTER: Final = 20
MAX_FINE_STEPS: Final = 3

WITH_REFERENCE: Final = frozenset({ClockState.ACQUIRING, ClockState.LOCKED, ClockState.RECOVERING})
WITHOUT_REFERENCE: Final = frozenset({ClockState.HOLDOVER, ClockState.HOLDOVER_EXPIRED})


class Judge:
    """Compares what the filter says with what was promised."""

    def __init__(self, config: DisciplineConfig, oscillator: OscillatorModel, gnss: GnssModel) -> None:
        self._config, self._gnss = config, gnss
        self._k = k_of(config.p)
        self._frequency_limit_ppb = max(SETTLED_FREQUENCY_PPB, 10.0 * oscillator.settled_ppb)
        self._fine_steps = 0
        self.position_bias_ns = 0.0
        """What an unfinished survey adds."""
        self.doubts = Doubts()
        self._constant_bias_ns = total_bias_ns(
            gnss,
            delay_uncertainty_ns=config.delay_uncertainty_ns,
            calibrated=config.calibrated,
            resolution_ns=config.timestamper_resolution_ns,
        )

    @property
    def bias_ns(self) -> float:
        """The part of the bound that no averaging removes."""
        return self._constant_bias_ns + self.position_bias_ns

    def restart(self) -> None:
        """A new acquisition: it may step again."""
        self._fine_steps = 0

    def suspect_ns(self, tracker: Tracker, mono_ns: int) -> float:
        """How far off the clock may be beyond what the filter knows."""
        return tracker.rejections.suspect_ns(mono_ns / NS_PER_S) + self.doubts.suspect_ns(mono_ns)

    def suspect_rate_ppb(self, tracker: Tracker) -> float:
        """How fast that grows."""
        return tracker.rejections.suspect_rate_ppb + self.doubts.astray_ppb

    def bound_ns(self, tracker: Tracker, mono_ns: int) -> float:
        """The bound at the filter's own time: enough for decisions."""
        return self.own_bound_ns(tracker, mono_ns) + self.doubts.suspect_ns(mono_ns)

    def own_bound_ns(self, tracker: Tracker, mono_ns: int) -> float:
        """The same as far as this clock alone is concerned."""
        sigma_ns = tracker.estimator.phase_sigma_ns * tracker.statistics.scale
        pending_ns = abs(tracker.phase_ns(mono_ns)) + tracker.rejections.suspect_ns(mono_ns / NS_PER_S)
        return self.bias_ns + pending_ns + self._k * sigma_ns

    def verdict(self, state: ClockState, tracker: Tracker, mono_ns: int) -> tuple[ClockEvent, str] | None:
        """The event that the filter's own figures cause, with its reason."""
        bound_ns, limit_ns = self.bound_ns(tracker, mono_ns), self._config.lock_limit_ns
        if state is ClockState.HOLDOVER and bound_ns > self._config.budget_ns:
            return ClockEvent.BUDGET_SPENT, f"bound above {self._config.budget_ns:g} ns"
        if state is ClockState.LOCKED and bound_ns > limit_ns:
            return ClockEvent.UNSETTLED, f"bound above the lock limit of {limit_ns:g} ns"
        if state is ClockState.LOCKED and not tracker.statistics.holds:
            return ClockEvent.UNSETTLED, "samples scatter more than the model allows"
        if state in WITH_REFERENCE and self._settled(state, tracker, mono_ns, bound_ns):
            return ClockEvent.SETTLED, "following the reference"
        return None

    def _settled(self, state: ClockState, tracker: Tracker, mono_ns: int, bound_ns: float) -> bool:
        return (
            tracker.accepted_run >= (LOCK_AFTER if state is ClockState.ACQUIRING else RELOCK_AFTER)
            and tracker.statistics.holds
            and bound_ns <= self._config.lock_limit_ns
            and abs(tracker.phase_ns(mono_ns)) <= max(SETTLED_NS, 3.0 * tracker.estimator.phase_sigma_ns)
            and tracker.estimator.oscillator_sigma_ppb <= self._frequency_limit_ppb
        )

    def step_ns(
        self, state: ClockState, tracker: Tracker, mono_ns: int, *, oscillator_unlocked: bool
    ) -> int | None:
        """A step, before the first lock or by policy when nothing good is served any more; else None."""
        if self._config.topology == "D" or tracker.accepted_run < FINE_STEP_AFTER:
            return None
        phase_ns, filter_ = tracker.phase_ns(mono_ns), tracker.estimator
        first_lock = state is ClockState.ACQUIRING and self._fine_steps < MAX_FINE_STEPS
        by_policy = (
            state is ClockState.RECOVERING
            and self.bound_ns(tracker, mono_ns) > self._config.budget_ns
            and not oscillator_unlocked
        )
        known = (
            filter_.phase_sigma_ns <= FINE_STEP_SIGMA_NS + self._gnss.sigma_ns
            and filter_.oscillator_sigma_ppb <= FINE_STEP_SIGMA_NS
        )
        limit_ns = FINE_STEP_NS if first_lock else self._config.step_limit_ns
        if not known or not (first_lock or by_policy) or abs(phase_ns) <= limit_ns:
            return None
        self._fine_steps += 1
        return -round(phase_ns)
