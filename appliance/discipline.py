"""The discipline: every event in, actions out, a snapshot whenever one is wanted.

It owns no clock, no thread and no device. It decides which second it is, learns phase and frequency, steers,
notices when the reference is lost or lies, carries the clock through holdover and brings it back without a
bump. Topology D only watches: it never asks for anything.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from appliance.clock_state import ClockEvent, ClockStateMachine
from appliance.coarse_time import CardTime, CoarseTime
from appliance.discipline_config import DisciplineConfig, Topology
from appliance.estimator import Estimator
from appliance.events import (
    Action,
    ClockStepped,
    Command,
    CommandKind,
    Event,
    GnssEdge,
    OscillatorReport,
    OwnEdge,
    SourceFault,
    SourceRestored,
    Steer,
    SteeringApplied,
    StepClock,
    SyncOscillatorPulse,
    Tick,
)
from appliance.holdover import WIDE_K, BoundForecast, k_of, total_bias_ns
from appliance.innovation import Verdict
from appliance.models import GNSS, OSCILLATORS
from appliance.phase_meter import RESOLUTION_NS, PhaseMeter
from appliance.recovery import ReturnCheck
from appliance.reference import ReferenceHealth, SecondWatch
from appliance.servo import Servo, ServoLimits, SteeringRecord
from appliance.snapshot import ClockSnapshot, ClockState
from appliance.tracking import Tracker
from timecard.gnss.sawtooth import SawtoothPairing
from timecard.timescale import NS_PER_S
from timecard.values import (
    CorruptData,
    EdgeStamp,
    GnssFix,
    LeapInfo,
    OscillatorStatus,
    PulseLabel,
    ReceiverIdentity,
    RfStatus,
    SatelliteView,
    SurveyStatus,
)

__all__ = ["Discipline", "DisciplineConfig", "Topology"]

RECORD_VERSION: Final = 1
COARSE_STEP_NS: Final = 1_000
FINE_STEP_NS: Final = 20.0
FINE_STEP_SIGMA_NS: Final = 5.0
FINE_STEP_AFTER: Final = 20
MAX_FINE_STEPS: Final = 3
START_SIGMA_NS: Final = 100.0
STEER_AFTER: Final = 5
LOCK_AFTER: Final = 30
RELOCK_AFTER: Final = 10
SETTLED_NS: Final = 5.0
SETTLED_FREQUENCY_PPB: Final = 0.5
STEP_SETTLE_NS: Final = 1_050_000_000
"""Edges read earlier than this after a step may have been latched before it, or while the core spreads it."""
STEP_TIMEOUT_NS: Final = 5 * NS_PER_S
METER_WAIT_NS: Final = 600_000_000
METER_EARLIEST_NS: Final = 20_000_000
SYNC_ABOVE_NS: Final = 1_000.0
LABEL_LEAD_NS: Final = (400_000_000, 1_400_000_000)
"""When the label of an edge is read before the edge."""
EPOCH_LEAD_NS: Final = (0, 1_000_000_000)
QUIET_NS: Final = 3 * NS_PER_S
"""Nothing may speak against a returned reference for this long before it is looked at."""
UNREAD_TICKS: Final = 5
UNLOCKED_WALK_PPB: Final = 0.3
"""Per second, of the quartz inside an oscillator module that has lost its lock."""
LOCK_CHANGE_NS: Final = 2_500_000_000
LOCK_SUSPECT_NS: Final = 60 * NS_PER_S
REFRESH_NS: Final = 10 * NS_PER_S
OWN_EDGE_SILENT_NS: Final = 5 * NS_PER_S

WITH_REFERENCE: Final = frozenset({ClockState.ACQUIRING, ClockState.LOCKED, ClockState.RECOVERING})
WITHOUT_REFERENCE: Final = frozenset({ClockState.HOLDOVER, ClockState.HOLDOVER_EXPIRED})


class Discipline:
    """Keeps one card's clock on TAI."""

    def __init__(
        self, config: DisciplineConfig, mono_ns: int, resume: Mapping[str, Any] | None = None
    ) -> None:
        """``resume`` is an earlier ``runtime_record`` of the same boot and card; one that does not fit is dropped."""
        self.config = config
        self.oscillator = OSCILLATORS[config.model_name]
        self.gnss = GNSS[config.gnss_model]
        self.machine = ClockStateMachine(mono_ns)
        self.health = ReferenceHealth(
            min_satellites=config.min_satellites, max_time_accuracy_ns=config.max_time_accuracy_ns
        )
        self.forecast = BoundForecast(self.oscillator, config.p)
        self.bias_ns = total_bias_ns(
            self.gnss,
            delay_uncertainty_ns=config.delay_uncertainty_ns,
            calibrated=config.calibrated,
            resolution_ns=config.timestamper_resolution_ns,
        )
        self.steering = SteeringRecord(mono_ns)
        self.card_time = CardTime()
        self.tracker: Tracker | None = None
        self.counters: Counter[str] = Counter()
        self.alarms: dict[str, str] = {}
        self.epoch = 0
        self.waiting_for = "the first reading of the card's clock"
        self.holdover_since_mono_ns: int | None = None
        self.oscillator_locked: bool | None = None
        self._k = k_of(config.p)
        self._servo = Servo(
            self.oscillator.steering_time_s,
            ServoLimits(
                max_ppb=config.actuator_max_ppb,
                resolution_ppb=config.actuator_resolution_ppb,
                slew_ns_per_s=config.slew_ns_per_s,
                max_slew_ns_per_s=config.max_slew_ns_per_s,
            ),
        )
        self._pairing = SawtoothPairing()
        self._coarse = CoarseTime()
        self._label_watch, self._epoch_watch = SecondWatch(), SecondWatch()
        self._meter = PhaseMeter() if config.topology == "B" else None
        gnss_sigma_ns = self._gnss_sigma_ns()
        self._return = ReturnCheck(gnss_sigma_ns + self.gnss.sawtooth_pp_ns / 2.0)
        # GNSS now against GNSS before: constant calibration errors are the same in both.
        self._return_bias_ns = 2.0 * self.gnss.slow_bias_ns + 3.0 * gnss_sigma_ns
        self._return_bias_ns += config.timestamper_resolution_ns
        self._resume = dict(resume) if resume is not None else None
        self._forced_holdover = False
        self._accept_return = False
        self._card_lost = False
        self._time_verified = False
        self._seen_unlocked = False
        self._lock_changed_ns: int | None = None
        self._pulse_synced = False
        self._fine_steps = 0
        self._unread_ticks = 0
        self._step_pending_ns: int | None = None
        self._ignore_before_ns = mono_ns
        self._last_edge_ns = mono_ns
        self._last_own_edge_ns: int | None = None
        self._last_steer_ns = mono_ns - REFRESH_NS
        self._labels: deque[PulseLabel] = deque(maxlen=3)
        self._pending: tuple[int, float, float | None] | None = None
        self._temperature_reference_degc: float | None = None
        self._temperature_degc: float | None = None
        self._handlers: dict[type[Any], Callable[[Any], list[Action]]] = {
            GnssEdge: self._on_gnss_edge,
            OwnEdge: self._on_own_edge,
            PulseLabel: self._on_label,
            GnssFix: self._on_word,
            LeapInfo: self._on_word,
            SurveyStatus: self._on_word,
            RfStatus: self._on_word,
            SatelliteView: self._on_word,
            ReceiverIdentity: self._on_word,
            CorruptData: self._on_corrupt,
            OscillatorReport: self._on_oscillator,
            SteeringApplied: self._on_steering,
            ClockStepped: self._on_stepped,
            SourceFault: self._on_fault,
            SourceRestored: self._on_restored,
            Command: self._on_command,
            Tick: self._on_tick,
        }

    # ------------------------------------------------------------------ the three calls

    def handle(self, event: Event) -> list[Action]:
        """Take one event; what is returned is to be done in order, and its result handed back as an event."""
        return self._handlers[type(event)](event)

    def snapshot(self, mono_ns: int) -> ClockSnapshot:
        """What may be said at ``mono_ns``."""
        from appliance.publication import make_snapshot

        return make_snapshot(self, mono_ns)

    def runtime_record(self, mono_ns: int) -> dict[str, Any]:
        """JSON-able state for a restart within the same boot."""
        tracker = self.tracker if self.machine.state not in (ClockState.FREE_RUN, ClockState.ACQUIRING) else None
        return {
            "version": RECORD_VERSION,
            "topology": self.config.topology,
            "epoch": self.epoch,
            "mono_ns": mono_ns,
            "steering_ppb": self.steering.frequency_ppb,
            "steering_spread_ppb": self.steering.spread_ppb(mono_ns, 60.0),
            "tai_minus_utc_s": self.health.tai_minus_utc_s,
            "temperature_reference_degc": self._temperature_reference_degc,
            "tracker": None if tracker is None else tracker.to_record(mono_ns),
        }

    # ------------------------------------------------------------------ the receiver's words

    def _on_word(self, event: Any) -> list[Action]:
        self.health.note(event)
        return []

    def _on_label(self, label: PulseLabel) -> list[Action]:
        self._labels.append(label)
        self._pairing.add_label(label)
        self.health.note(label)
        return []

    def _on_corrupt(self, event: CorruptData) -> list[Action]:
        self.counters["gnss_corrupt_bytes"] += event.length
        return []

    # ------------------------------------------------------------------ edges

    def _on_own_edge(self, event: OwnEdge) -> list[Action]:
        self._last_own_edge_ns = event.stamp.read_mono_ns
        return []

    def _on_gnss_edge(self, event: GnssEdge) -> list[Action]:
        stamp = event.stamp
        self.counters["edges"] += 1
        if self._card_lost or self._resume is not None:
            return []
        if self._step_pending_ns is not None or stamp.read_mono_ns < self._ignore_before_ns:
            self.counters["edges_before_step"] += 1
            return []
        mono_ns = self.card_time.edge_mono_ns(stamp)
        self._last_edge_ns = mono_ns
        near_tai = self.tracker is not None or self._time_verified
        paired = self._pairing.pair(stamp, near_tai)
        if paired.edge_tai_ns is None:
            self.counters["edges_unnamed"] += 1
            return []
        raw_ns = float(stamp.card_tai_ns - paired.edge_tai_ns)
        if self.tracker is None:
            return self._first_edge(stamp, paired.edge_tai_ns, mono_ns)
        self._compare_seconds(stamp.read_mono_ns, paired.edge_tai_ns)
        actions = self._flush()
        if self._meter is None:
            return actions + self._take(mono_ns, raw_ns, paired.qerr_ns, self.config.timestamper_resolution_ns)
        # Topology B: the module's finer reading of the same pulse follows within the second.
        self._pending = (mono_ns, raw_ns, paired.qerr_ns)
        return actions if self._meter.usable else actions + self._flush(learn=True)

    def _flush(self, *, learn: bool = False) -> list[Action]:
        """Use the pending edge as the timestamper saw it; ``learn`` keeps it to be compared with the meter."""
        if self._pending is None or self._pending[0] == self._flushed_ns:
            return []
        mono_ns, raw_ns, qerr_ns = self._pending
        self._flushed_ns = mono_ns
        if not learn:
            self._pending = None
        return self._take(mono_ns, raw_ns, qerr_ns, self.config.timestamper_resolution_ns)

    _flushed_ns: int = -1

    def _compare_seconds(self, read_mono_ns: int, second_tai_ns: int) -> None:
        """The receiver's words against the second that the clock shows for this edge."""
        fix = self.health.fix
        for label in self._labels:
            lead_ns = read_mono_ns - label.read_mono_ns
            if label.edge_tai_ns is not None and LABEL_LEAD_NS[0] < lead_ns <= LABEL_LEAD_NS[1]:
                self._label_watch.compare(label.edge_tai_ns // NS_PER_S, second_tai_ns // NS_PER_S)
        if fix is not None and fix.epoch_tai_ns is not None:
            lead_ns = read_mono_ns - fix.read_mono_ns
            if EPOCH_LEAD_NS[0] <= lead_ns <= EPOCH_LEAD_NS[1]:
                behind_s = second_tai_ns // NS_PER_S - fix.epoch_tai_ns // NS_PER_S
                near = 0 <= behind_s <= 2
                self._epoch_watch.compare(0 if near else -behind_s, 0)

    @property
    def _wrong_second_s(self) -> int | None:
        """By how many seconds the receiver's time is believed to be wrong."""
        label_s = self._label_watch.error_s
        return label_s if label_s is not None else self._epoch_watch.error_s

    # ------------------------------------------------------------------ start

    def _first_edge(self, stamp: EdgeStamp, second_tai_ns: int, mono_ns: int) -> list[Action]:
        """Coarse time, checked twice; then a whole-ns step if needed; then the filter begins."""
        if not self._may_start(mono_ns):
            self._coarse.reset()
            return []
        if self._time_verified:
            self._begin(mono_ns, float(stamp.card_tai_ns - second_tai_ns) - self.config.delay_ns)
            return []
        offset_ns = self._coarse.offer(second_tai_ns, stamp.card_tai_ns, self.health.fix)
        if offset_ns is None:
            self.waiting_for = "two pulses that name the same time"
            return []
        error_ns = offset_ns - self.config.delay_ns
        if abs(error_ns) <= COARSE_STEP_NS:
            self._begin(mono_ns, error_ns)
            return []
        if self.config.topology == "D":
            if abs(offset_ns) >= NS_PER_S // 4:
                self.waiting_for = "the card's own servo to set the clock"
                return []
            self._begin(mono_ns, error_ns)
            return []
        self._time_verified = True
        return self._step(-round(error_ns), mono_ns)

    def _may_start(self, mono_ns: int) -> bool:
        checks = (
            (self.card_time.known, "the first reading of the card's clock"),
            (not self._forced_holdover, "an operator to leave holdover"),
            (self._oscillator_ready, self._oscillator_wait),
            (self.health.usable(mono_ns), self._reference_wait(mono_ns)),
        )
        for passed, reason in checks:
            if not passed:
                self.waiting_for = reason
                return False
        return True

    @property
    def _oscillator_ready(self) -> bool:
        return self.config.topology != "B" or self.oscillator_locked is True

    _oscillator_wait = "the oscillator module's first report"

    def _reference_wait(self, mono_ns: int) -> str:
        found = self.health.evidence(mono_ns)
        return f"the reference ({', '.join(found)})" if found else "a valid fix"

    def _begin(self, mono_ns: int, error_ns: float) -> None:
        self.tracker = self._new_tracker(mono_ns, error_ns)
        self._time_verified = False
        self._fine_steps = 0
        self._coarse.reset()
        self._forgive()
        self._last_edge_ns = mono_ns
        self.machine.on(ClockEvent.TIME_KNOWN, mono_ns, "time known, learning the oscillator's frequency")

    def _new_tracker(self, mono_ns: int, error_ns: float) -> Tracker:
        known_ppb = self.config.initial_oscillator_ppb
        # What is in force now is part of what will be seen: the prior belongs to the oscillator without it.
        estimator = Estimator(
            self.oscillator,
            self.gnss,
            phase_ns=error_ns,
            phase_sigma_ns=START_SIGMA_NS + self._gnss_sigma_ns(),
            frequency_ppb=-self.steering.frequency_ppb if known_ppb is None else known_ppb,
            cold=self._seen_unlocked or self.oscillator.cold_unless_told,
        )
        self._temperature_reference_degc = self._temperature_degc
        return Tracker(estimator, self.steering, mono_ns)

    # ------------------------------------------------------------------ samples

    def _take(
        self, mono_ns: int, raw_ns: float, qerr_ns: float | None, resolution_ns: float
    ) -> list[Action]:
        tracker = self.tracker
        if tracker is None:
            return []
        sample_ns = raw_ns + (qerr_ns or 0.0) - self.config.delay_ns
        if self.machine.state in WITHOUT_REFERENCE:
            return self._look_at_return(tracker, mono_ns, sample_ns)
        if not self.health.usable(mono_ns) or self._wrong_second_s is not None:
            self.counters["samples_distrusted"] += 1
            return []
        variance_ns2 = tracker.estimator.sample_variance_ns2(
            sawtooth_removed=qerr_ns is not None, resolution_ns=resolution_ns
        )
        if self._lock_changed(mono_ns, LOCK_CHANGE_NS):
            # The report may be older or younger than the change: for these pulses any frequency is possible.
            tracker.open(self.oscillator.runaway_ppb)
        innovation = tracker.sample(mono_ns, sample_ns, variance_ns2)
        if innovation is None:
            self.counters["samples_late"] += 1
            return []
        if innovation.accepted:
            self.counters["samples"] += 1
        else:
            self.counters["samples_rejected"] += 1
            match tracker.verdict(mono_ns, innovation, clock_is_suspect=self._clock_is_suspect(mono_ns)):
                case Verdict.CLOCK:
                    self.counters["clock_moved"] += 1
                    tracker.clock_moved()
                case Verdict.REFERENCE:
                    self.counters["reference_moved"] += 1
                    reason = f"reference moved by {innovation.residual_ns:.0f} ns and the clock did not"
                    first_s = tracker.rejections.first_rejected_s
                    before_ns = mono_ns if first_s is None else round(first_s * NS_PER_S)
                    self._lose(reason, mono_ns, before_ns)
                    return self._steer(mono_ns)
                case Verdict.UNDECIDED:
                    pass
        self._judge(mono_ns)
        return self._fine_step(mono_ns) or self._steer(mono_ns)

    def _clock_is_suspect(self, mono_ns: int) -> bool:
        """Something other than the samples says that the clock is not steady."""
        return (
            self.config.topology == "D"
            or self.machine.state is ClockState.ACQUIRING
            or self.oscillator_locked is False
            or self._lock_changed(mono_ns, LOCK_SUSPECT_NS)
        )

    def _lock_changed(self, mono_ns: int, within_ns: int) -> bool:
        changed_ns = self._lock_changed_ns
        return changed_ns is not None and mono_ns - changed_ns < within_ns

    def _fine_step(self, mono_ns: int) -> list[Action]:
        """Steps: before the first lock, or by policy when nothing good is served any more."""
        tracker = self.tracker
        if tracker is None or self.config.topology == "D" or self._step_pending_ns is not None:
            return []
        phase_ns = tracker.phase_ns(mono_ns)
        known = (
            tracker.accepted_run >= FINE_STEP_AFTER
            and tracker.estimator.phase_sigma_ns <= FINE_STEP_SIGMA_NS + self._gnss_sigma_ns()
            and tracker.estimator.oscillator_sigma_ppb <= FINE_STEP_SIGMA_NS
        )
        state = self.machine.state
        first_lock = state is ClockState.ACQUIRING and self._fine_steps < MAX_FINE_STEPS
        by_policy = (
            state is ClockState.RECOVERING
            and self.quick_bound_ns(mono_ns) > self.config.budget_ns
            and self.oscillator_locked is not False
        )
        limit_ns = FINE_STEP_NS if first_lock else self.config.step_limit_ns
        if not known or not (first_lock or by_policy) or abs(phase_ns) <= limit_ns:
            return []
        self._fine_steps += 1
        return self._step(-round(phase_ns), mono_ns)

    def _step(self, delta_ns: int, mono_ns: int) -> list[Action]:
        self._step_pending_ns = mono_ns
        return [StepClock(delta_ns=delta_ns)]

    def _steer(self, mono_ns: int) -> list[Action]:
        tracker = self.tracker
        if tracker is None or self.config.topology == "D":
            return []
        acquiring = self.machine.state is ClockState.ACQUIRING
        if acquiring and tracker.accepted_run < STEER_AFTER:
            return []
        command_ppb = self._servo.command(tracker.oscillator_ppb(), tracker.phase_ns(mono_ns), fast=acquiring)
        if self._servo.saturated:
            self.alarms["steering"] = f"steering at its limit of {self.config.actuator_max_ppb:g} ppb"
        else:
            self.alarms.pop("steering", None)
        # A kernel driver zeroes the drift register when the pulse is lost: in topology C always write again.
        due = self.config.topology == "C" or mono_ns - self._last_steer_ns >= REFRESH_NS
        if not due and abs(command_ppb - self.steering.frequency_ppb) < 1e-4:
            return []
        self._last_steer_ns = mono_ns
        return [Steer(frequency_ppb=command_ppb)]

    # ------------------------------------------------------------------ judgement

    def quick_bound_ns(self, mono_ns: int) -> float:
        """The bound at the filter's own time: enough for decisions."""
        tracker = self.tracker
        if tracker is None:
            return float("inf")
        sigma_ns = tracker.estimator.phase_sigma_ns * tracker.statistics.scale
        return (
            self.bias_ns
            + abs(tracker.phase_ns(mono_ns))
            + tracker.rejections.suspect_ns
            + self._k * sigma_ns
        )

    def _judge(self, mono_ns: int) -> None:
        """Move the state by what the filter says."""
        tracker, state = self.tracker, self.machine.state
        if tracker is None:
            return
        bound_ns = self.quick_bound_ns(mono_ns)
        if state is ClockState.HOLDOVER and bound_ns > self.config.budget_ns:
            self.machine.on(ClockEvent.BUDGET_SPENT, mono_ns, f"bound above {self.config.budget_ns:g} ns")
        elif state in (ClockState.ACQUIRING, ClockState.RECOVERING) and self._settled(tracker, mono_ns, bound_ns):
            self.machine.on(ClockEvent.SETTLED, mono_ns, "following the reference")
            self.holdover_since_mono_ns = None
        elif state is ClockState.LOCKED:
            if bound_ns > self.config.lock_limit_ns:
                reason = f"bound {bound_ns:.0f} ns above the lock limit of {self.config.lock_limit_ns:g} ns"
                self.machine.on(ClockEvent.UNSETTLED, mono_ns, reason)
            elif not tracker.statistics.holds:
                self.machine.on(ClockEvent.UNSETTLED, mono_ns, "samples scatter more than the model allows")

    def _settled(self, tracker: Tracker, mono_ns: int, bound_ns: float) -> bool:
        need = LOCK_AFTER if self.machine.state is ClockState.ACQUIRING else RELOCK_AFTER
        sigma_ns = tracker.estimator.phase_sigma_ns
        frequency_limit_ppb = max(SETTLED_FREQUENCY_PPB, 10.0 * self.oscillator.settled_ppb)
        return (
            tracker.accepted_run >= need
            and tracker.statistics.holds
            and bound_ns <= self.config.lock_limit_ns
            and abs(tracker.phase_ns(mono_ns)) <= max(SETTLED_NS, 3.0 * sigma_ns)
            and tracker.estimator.oscillator_sigma_ppb <= frequency_limit_ppb
        )

    def _loss_reason(self, tracker: Tracker, mono_ns: int) -> str | None:
        if self._forced_holdover:
            return "asked for by an operator"
        lost = self.health.loss(mono_ns)
        if lost is not None:
            return f"reference lost: {lost}"
        if self._wrong_second_s is not None:
            return f"receiver's time is wrong by {self._wrong_second_s} s"
        silent_s = (mono_ns - self._last_edge_ns) / NS_PER_S
        if silent_s >= self.config.coast_s:
            return f"no pulse for {silent_s:.0f} s"
        if silent_s >= 2.0 and self.quick_bound_ns(mono_ns) > self.config.lock_limit_ns:
            return f"no pulse for {silent_s:.0f} s and the bound is above the lock limit"
        return None

    def _lose(self, reason: str, mono_ns: int, before_ns: int) -> None:
        """The reference is lost or distrusted; what came after ``before_ns`` was not to be believed."""
        tracker = self.tracker
        if tracker is None:
            return
        if self._wrong_second_s is not None:
            self.alarms["wrong-time"] = f"receiver's time is wrong by {self._wrong_second_s} s: not followed"
        self._pending = None
        if self.machine.state is ClockState.ACQUIRING:
            self.machine.on(ClockEvent.REFERENCE_LOST, mono_ns, reason)
            self._start_over()
            return
        last_good_ns = tracker.last_accepted_mono_ns
        if self.machine.state is ClockState.LOCKED or self.holdover_since_mono_ns is None:
            self.holdover_since_mono_ns = mono_ns if last_good_ns is None else min(last_good_ns, mono_ns)
        if self.config.topology == "D":
            tracker.open(self.oscillator.runaway_ppb)
            tracker.coast(mono_ns)
        elif tracker.roll_back(before_ns, mono_ns) == 0.0:
            tracker.coast(mono_ns)
        tracker.rejections.clear()
        self._return.reset()
        self.counters["holdovers"] += 1
        self.machine.on(ClockEvent.REFERENCE_LOST, mono_ns, reason)
        self._judge(mono_ns)

    # ------------------------------------------------------------------ the way back

    def _look_at_return(self, tracker: Tracker, mono_ns: int, sample_ns: float) -> list[Action]:
        clean = self.health.clean_for_ns(mono_ns) >= QUIET_NS
        if self._forced_holdover or self._wrong_second_s is not None or not clean:
            self._return.reset()
            return []
        if self.config.topology == "D":
            self.tracker = self._new_tracker(mono_ns, sample_ns)
            self.machine.on(ClockEvent.REFERENCE_BACK, mono_ns, "reference back, the card follows it")
            return []
        residual_ns = sample_ns - tracker.phase_ns(mono_ns)
        sigma_ns = tracker.estimator.phase_sigma_ns * tracker.statistics.scale
        found = self._return.offer(
            mono_ns / NS_PER_S,
            residual_ns,
            WIDE_K * sigma_ns + self._return_bias_ns,
            tracker.estimator.oscillator_sigma_ppb,
        )
        if found is None:
            return []
        if found.problem is None:
            self._rejoin(tracker, mono_ns, found.offset_ns, found.samples)
            self.machine.on(ClockEvent.REFERENCE_BACK, mono_ns, "reference back, removing the error")
            return self._steer(mono_ns)
        self.alarms["return"] = f"reference is back but not believed: {found.problem}"
        if self._accept_return or self._released(mono_ns):
            self._rejoin(tracker, mono_ns, found.latest_ns, found.samples)
            tracker.open(max(self.oscillator.jump_ppb, 3.0 * abs(found.slope_ppb)))
            self._fine_steps = 0
            self.machine.on(ClockEvent.START_AGAIN, mono_ns, "a healthy reference outside the bound is accepted")
            return self._steer(mono_ns)
        return []

    def _released(self, mono_ns: int) -> bool:
        since_s = self._return.disagrees_since_s
        return (
            self.machine.state is ClockState.HOLDOVER_EXPIRED
            and since_s is not None
            and mono_ns / NS_PER_S - since_s >= self.config.release_s
        )

    def _rejoin(self, tracker: Tracker, mono_ns: int, offset_ns: float, samples: int) -> None:
        """The measured phase goes into x and nowhere else."""
        tracker.realign(mono_ns)
        tracker.estimator.replace_phase(tracker.phase_ns(mono_ns) + offset_ns, samples)
        tracker.accepted_run = 0
        tracker.rejections.clear()
        self._return.reset()
        self._accept_return = False
        self.alarms.pop("return", None)

    # ------------------------------------------------------------------ oscillator module

    def _on_oscillator(self, event: OscillatorReport) -> list[Action]:
        status = event.status
        if status.temperature_mdegc is not None:
            self._note_temperature(status.temperature_mdegc / 1000.0)
        self._note_lock(status)
        if status.alarms:
            self.alarms["oscillator-alarm"] = f"oscillator module: {', '.join(status.alarm_names) or status.alarms}"
        else:
            self.alarms.pop("oscillator-alarm", None)
        if self.config.topology != "B":
            return []
        if abs(status.frequency_ppb - self.steering.frequency_ppb) > 1e-3:
            # Somebody else steered, or this is the first report: believe the part.
            self.steering.apply(status.frequency_ppb, status.read_mono_ns)
        return self._meter_reading(status)

    def _note_temperature(self, degc: float) -> None:
        self._temperature_degc = degc
        if self._temperature_reference_degc is None:
            self._temperature_reference_degc = degc
        if self.tracker is not None:
            self.tracker.temperature_degc = degc - self._temperature_reference_degc

    def _note_lock(self, status: OscillatorStatus) -> None:
        before, self.oscillator_locked = self.oscillator_locked, status.locked
        tracker = self.tracker
        if before is not None and before is not status.locked:
            self._lock_changed_ns = status.read_mono_ns
            if tracker is not None:
                tracker.open(self.oscillator.runaway_ppb)
        if status.locked:
            self.alarms.pop("oscillator-unlocked", None)
            if before is False and tracker is not None:
                tracker.estimator.open_warmup()
            return
        self._seen_unlocked = True
        progress = f"({status.lock_progress_percent} %)"
        self._oscillator_wait = f"the oscillator module to lock {progress}"
        if tracker is None:
            self.waiting_for = self._oscillator_wait
            return
        self.alarms["oscillator-unlocked"] = f"oscillator module has lost its lock {progress}"
        tracker.open(UNLOCKED_WALK_PPB)

    def _meter_reading(self, status: OscillatorStatus) -> list[Action]:
        meter, phase_ns = self._meter, status.phase_ns
        if meter is None or phase_ns is None:
            return []
        if self._wants_sync(status, phase_ns):
            self._pulse_synced = True
            meter.forget()
            return [SyncOscillatorPulse()]
        if self._pending is None:
            return []
        mono_ns, raw_ns, qerr_ns = self._pending
        age_ns = status.read_mono_ns - mono_ns
        if not METER_EARLIEST_NS <= age_ns < NS_PER_S:
            return []
        was_usable = meter.usable
        refined_ns = meter.refine(raw_ns, phase_ns)
        if meter.disagrees:
            self.alarms["phase-meter"] = "the module's phase meter disagrees with the timestamper: not used"
        else:
            self.alarms.pop("phase-meter", None)
        used = self._flushed_ns == mono_ns
        self._pending = None
        if used:
            return []
        self._flushed_ns = mono_ns
        if refined_ns is None or not was_usable:
            return self._take(mono_ns, raw_ns, qerr_ns, self.config.timestamper_resolution_ns)
        self.counters["samples_of_meter"] += 1
        return self._take(mono_ns, refined_ns, qerr_ns, RESOLUTION_NS)

    def _wants_sync(self, status: OscillatorStatus, phase_ns: float) -> bool:
        return (
            not self._pulse_synced
            and status.locked
            and abs(phase_ns) > SYNC_ABOVE_NS
            and self.health.usable(status.read_mono_ns)
            and self.machine.state in (ClockState.FREE_RUN, ClockState.ACQUIRING)
        )

    # ------------------------------------------------------------------ what was done, what broke, what was asked

    def _on_steering(self, event: SteeringApplied) -> list[Action]:
        self.steering.apply(event.frequency_ppb, event.mono_ns)
        self._servo.applied(event.frequency_ppb)
        self.alarms.pop("actuator", None)
        return []

    def _on_stepped(self, event: ClockStepped) -> list[Action]:
        self.epoch += 1
        self.counters["steps"] += 1
        self._step_pending_ns = None
        self._ignore_before_ns = event.mono_ns + STEP_SETTLE_NS
        self._last_edge_ns = max(self._last_edge_ns, event.mono_ns)
        self.card_time.stepped(event.delta_ns)
        if self.tracker is not None:
            self.tracker.stepped(event.delta_ns)
        if self._meter is not None:
            self._meter.forget()
        self._pending = None
        self._pairing.reset()
        self._forgive()
        self.alarms.pop("actuator", None)
        return []

    def _on_fault(self, event: SourceFault) -> list[Action]:
        self.health.source_lost(event.source, event.mono_ns)
        self.alarms[event.source] = f"{event.source}: {event.reason}"
        if event.source == "card":
            self._card_gone(event.mono_ns, event.reason)
        elif event.source == "actuator":
            self._step_pending_ns = None
            self._time_verified = False
        elif event.source == "oscillator" and self._meter is not None:
            self._meter.forget()
        return []

    def _on_restored(self, event: SourceRestored) -> list[Action]:
        self.health.source_restored(event.source, event.mono_ns)
        self.alarms.pop(event.source, None)
        if event.source == "card":
            self._card_back()
        return []

    def _on_command(self, event: Command) -> list[Action]:
        if event.kind is CommandKind.ENTER_HOLDOVER:
            self._forced_holdover = True
            if self.machine.state in WITH_REFERENCE:
                self._lose("asked for by an operator", event.mono_ns, event.mono_ns)
            return self._steer(event.mono_ns)
        self._forced_holdover = False
        self._accept_return = self.machine.state in WITHOUT_REFERENCE
        self._forgive()
        return []

    # ------------------------------------------------------------------ once a second

    def _on_tick(self, tick: Tick) -> list[Action]:
        mono_ns = tick.mono_ns
        self._read_clock(tick)
        if self._card_lost:
            return []
        if self._resume is not None and tick.card_tai_ns is not None:
            self._take_up(mono_ns)
        if self._step_pending_ns is not None and mono_ns - self._step_pending_ns > STEP_TIMEOUT_NS:
            self._step_pending_ns = None
            self._time_verified = False
        self._watch_own_edge(mono_ns)
        tracker = self.tracker
        if tracker is None:
            self._may_start(mono_ns)
            return []
        actions: list[Action] = []
        if self._pending is not None and mono_ns - self._pending[0] >= METER_WAIT_NS:
            actions += self._flush()
        if self.machine.state in WITH_REFERENCE:
            reason = self._loss_reason(tracker, mono_ns)
            if reason is not None:
                last_ns = tracker.last_accepted_mono_ns
                self._lose(reason, mono_ns, mono_ns if last_ns is None else min(last_ns, mono_ns))
                return actions + self._steer(mono_ns)
            if tracker.elapsed_s(mono_ns) > 1.9:
                tracker.coast(mono_ns)
                self.counters["seconds_coasted"] += 1
                self._judge(mono_ns)
                actions += self._steer(mono_ns)
            self._watch_frequency(tracker)
            return actions
        if self.machine.state in WITHOUT_REFERENCE:
            tracker.coast(mono_ns)
            self._judge(mono_ns)
            actions += self._steer(mono_ns)
        return actions

    def _read_clock(self, tick: Tick) -> None:
        if tick.card_tai_ns is None:
            self._unread_ticks += 1
            if self._unread_ticks == UNREAD_TICKS and not self._card_lost:
                self.alarms["card"] = "card: its clock cannot be read"
                self._card_gone(tick.mono_ns, "its clock cannot be read")
            return
        if self._unread_ticks >= UNREAD_TICKS:
            self.alarms.pop("card", None)
            self._card_back()
        self._unread_ticks = 0
        jump_ns = self.card_time.note(tick.mono_ns, tick.card_tai_ns)
        stepping = self._step_pending_ns is not None or tick.mono_ns < self._ignore_before_ns
        if jump_ns is not None and not stepping and self.machine.state is not ClockState.FREE_RUN:
            self.epoch += 1
            self.counters["clock_set_by_others"] += 1
            self.alarms["clock-set"] = f"somebody else set the card's clock by {jump_ns / 1e6:.3f} ms"
            self._give_up(tick.mono_ns, self.alarms["clock-set"])

    def _watch_own_edge(self, mono_ns: int) -> None:
        last_ns = self._last_own_edge_ns
        if last_ns is not None and mono_ns - last_ns > OWN_EDGE_SILENT_NS:
            self.alarms["own-pulse"] = "the card clock's own pulse has stopped"
        else:
            self.alarms.pop("own-pulse", None)

    def _watch_frequency(self, tracker: Tracker) -> None:
        shift_ppb = tracker.frequency_watch.shift_ppb() if self.oscillator.kind == "rubidium" else None
        if shift_ppb is None:
            self.alarms.pop("frequency", None)
        else:
            self.alarms["frequency"] = (
                f"oscillator moved by {shift_ppb * 1e3:.1f}e-12 against its own history: "
                "a jump, or the reference is being dragged away"
            )
        if self._wrong_second_s is None:
            self.alarms.pop("wrong-time", None)

    # ------------------------------------------------------------------ giving up and going on

    def _card_gone(self, mono_ns: int, reason: str) -> None:
        self._card_lost = True
        self.card_time.forget()
        self._give_up(mono_ns, f"card lost: {reason}")

    def _card_back(self) -> None:
        self._card_lost = False
        self._start_over()

    def _give_up(self, mono_ns: int, reason: str) -> None:
        """Nothing is known about the clock any more."""
        self.machine.on(ClockEvent.CLOCK_LOST, mono_ns, reason)
        self._start_over()

    def _start_over(self) -> None:
        self.tracker = None
        self._resume = None
        self._pending = None
        self._time_verified = False
        self._step_pending_ns = None
        self.holdover_since_mono_ns = None
        self._coarse.reset()
        self._pairing.reset()
        self._return.reset()
        self._forgive()
        if self._meter is not None:
            self._meter.forget()

    def _take_up(self, mono_ns: int) -> None:
        """Go on where the record ends, in holdover; a record that does not fit is an ordinary start."""
        record, self._resume = self._resume or {}, None
        try:
            if record.get("version") != RECORD_VERSION or record.get("topology") != self.config.topology:
                raise ValueError("record is of another version or topology")
            steering_ppb, spread_ppb, epoch = (
                record.get(k) for k in ("steering_ppb", "steering_spread_ppb", "epoch")
            )
            written_ns, inner = record.get("mono_ns"), record.get("tracker")
            if not isinstance(inner, Mapping):
                raise ValueError("record was written before the first lock")
            if not isinstance(written_ns, int) or written_ns > mono_ns:
                raise ValueError("record's mono_ns is not an instant before now")
            if not isinstance(steering_ppb, float) or not isinstance(spread_ppb, float):
                raise ValueError("record's steering is not a number")
            anchor_ns = inner.get("anchor_mono_ns")
            if not isinstance(anchor_ns, int):
                raise ValueError("record's anchor_mono_ns is not an integer")
            steering = SteeringRecord(min(anchor_ns, mono_ns), steering_ppb)
            tracker = Tracker.from_record(inner, self.oscillator, self.gnss, steering, mono_ns)
        except ValueError as error:
            self.counters["records_refused"] += 1
            self.alarms["record"] = f"runtime record not used: {error}"
            return
        down_s = (mono_ns - written_ns) / NS_PER_S
        # The last commands before the end may be missing from the record.
        tracker.estimator.open_frequency(0.0, spread_ppb * down_s)
        self.steering, self.tracker = steering, tracker
        self.epoch = epoch if isinstance(epoch, int) else 0
        reference = record.get("temperature_reference_degc")
        if isinstance(reference, (int, float)):
            self._temperature_reference_degc = float(reference)
        self.holdover_since_mono_ns = anchor_ns
        self._last_edge_ns = mono_ns
        self.machine.on(ClockEvent.RESUMED, mono_ns, f"resumed after {down_s:.0f} s from the runtime record")
        self._judge(mono_ns)

    def _forgive(self) -> None:
        self._label_watch.forgive()
        self._epoch_watch.forgive()
        self.alarms.pop("wrong-time", None)

    def _gnss_sigma_ns(self) -> float:
        coloured = sum(sigma * sigma for sigma, _ in self.gnss.gauss_markov)
        return float((self.gnss.white_ns**2 + coloured + self.gnss.daily_amplitude_ns**2 / 2.0) ** 0.5)
