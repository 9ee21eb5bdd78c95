"""The tracker with everything that watches over it, on samples alone: as fast as many virtual days want."""

from __future__ import annotations

from appliance.timescale.estimator import Estimator
from appliance.timescale.innovation import Verdict
from appliance.timescale.models import GnssModel, OscillatorModel
from appliance.timescale.servo import SteeringRecord
from appliance.timescale.tracking import Tracker
from timecard.timescale import NS_PER_S


class WatchedFilter:
    """Follows the samples of a free clock; decides as the pilot does for a clock that is locked."""

    def __init__(self, oscillator: OscillatorModel, gnss: GnssModel, first_ns: float) -> None:
        estimator = Estimator(
            oscillator, gnss, phase_ns=first_ns, phase_sigma_ns=50.0, frequency_sigma_ppb=1.0
        )
        self.tracker = Tracker(estimator, SteeringRecord(0), 0)
        self._variance_ns2 = estimator.sample_variance_ns2(sawtooth_removed=True, resolution_ns=0.0)

    @property
    def phase_ns(self) -> float:
        """Estimated phase: its error is what a clock that is steered by it has."""
        return self.tracker.estimator.phase_ns

    def sample(self, second: int, sample_ns: float) -> str | None:
        """Take one; by what the reference was found to be wrong, or None."""
        tracker, mono_ns = self.tracker, second * NS_PER_S
        innovation = tracker.sample(mono_ns, sample_ns, self._variance_ns2)
        assert innovation is not None
        if not innovation.accepted:
            verdict = tracker.verdict(mono_ns, innovation, clock_is_suspect=False)
            if verdict is Verdict.REFERENCE:
                return "gate"
            if verdict is Verdict.CLOCK:
                tracker.clock_moved(for_certain=False)
        return None if tracker.drag is None else "drag"
