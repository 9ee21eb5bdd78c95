"""The pilot: what to do with each sample and each second, once the filter runs.

Follows the reference, decides when it is settled or lost, carries the clock through holdover and brings it
back. It is told samples and seconds; whether the receiver can be believed it asks of those who watch it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from appliance.events import Action, StepClock, WitnessVerdict
from appliance.snapshot import ClockState
from appliance.timescale.clock_state import ClockEvent, ClockStateMachine
from appliance.timescale.discipline_config import DisciplineConfig
from appliance.timescale.doubts import Doubts
from appliance.timescale.drag import Drag
from appliance.timescale.estimator import Estimator
from appliance.timescale.habits import Habits
from appliance.timescale.innovation import Verdict
from appliance.timescale.judgement import WITH_REFERENCE, WITHOUT_REFERENCE, Judge
from appliance.timescale.learnt import Learnt
from appliance.timescale.models import GnssModel, OscillatorModel
from appliance.timescale.named_seconds import NamedSeconds
from appliance.timescale.oscillator_watch import OscillatorWatch
from appliance.timescale.pulse_samples import PulseSample
from appliance.timescale.recovery import MISLED_NEED, NEED, Return, ReturnCheck
from appliance.timescale.reference import ReferenceHealth
from appliance.timescale.steersman import Steersman
from appliance.timescale.tracking import Tracker
from timecard.timescale import NS_PER_S

if TYPE_CHECKING:
    from appliance.timescale.discipline_record import Resumed

START_SIGMA_NS: Final = 100.0
STEER_AFTER: Final = 5
COAST_AFTER_S: Final = 1.9
QUIET_NS: Final = 3 * NS_PER_S
"""Nothing may speak against a returned reference for this long before it is looked at."""
ACCEPT_NS: Final = 600 * NS_PER_S
"""So long an operator's word counts for a reference that is not there yet."""
DOUBT_K: Final = 3.0
UNLOCKED_WALK_PPB: Final = 0.3
"""Per report, of the quartz inside an oscillator module that has lost its lock."""


class Heard(NamedTuple):
    """A sample of the reference: clock minus reference, and the width of what it is rounded to."""

    mono_ns: int
    sample_ns: float
    width_ns: float


class Pilot:
    """Tracker, state and the decisions between them."""

    def __init__(
        self,
        config: DisciplineConfig,
        mono_ns: int,
        health: ReferenceHealth,
        seconds: NamedSeconds,
        module: OscillatorWatch,
        counters: Counter[str],
    ) -> None:
        self.config = config
        self.habits = Habits(config, mono_ns)
        self.machine = ClockStateMachine(mono_ns)
        self.steersman = Steersman(config, self.oscillator, mono_ns)
        self.tracker: Tracker | None = None
        self.holdover_since_mono_ns: int | None = None
        self.forced_holdover = False
        self._accept_until_ns: int | None = None
        self.last_edge_ns = mono_ns
        self.heard: Heard | None = None
        """The newest sample of a reference that speaks for itself, followed or not."""
        self.alarms: dict[str, str] = {}
        self.judge = Judge(config, self.oscillator, self.gnss)
        self._health, self._seconds, self._module, self._counters = health, seconds, module, counters
        self._return = ReturnCheck(self.gnss, resolution_ns=config.timestamper_resolution_ns)

    # ------------------------------------------------------------------ what the unit is like

    @property
    def oscillator(self) -> OscillatorModel:
        """The oscillator as it is known now."""
        return self.habits.oscillator

    @property
    def gnss(self) -> GnssModel:
        """The receiver's pulse as it is known now."""
        return self.habits.gnss

    def learn(self) -> bool:
        """A slice of learning; True when the noise figures are others now."""
        learnt = self.habits.step()
        if learnt:
            self._counters["noise_learnt"] += 1
            self.steersman.adopt(self.oscillator)
            if self.tracker is not None:
                self.tracker.adopt(self.oscillator, self.gnss)
        return learnt

    def learnt(self, mono_ns: int, tai_s: int | None) -> Learnt | None:
        """What is worth keeping of it; None while nothing is."""
        settled = self.machine.state not in (ClockState.FREE_RUN, ClockState.ACQUIRING)
        if self.tracker is None or tai_s is None or not settled:
            return None
        return self.habits.learnt(self.tracker, mono_ns, tai_s)

    # ------------------------------------------------------------------ start and end of a filter's life

    def begin(self, mono_ns: int, error_ns: float, tai_s: int | None = None) -> None:
        """The second is certain and the clock within reach: start the filter."""
        self.tracker = self._new_tracker(mono_ns, error_ns, tai_s)
        self.judge.restart()
        self.last_edge_ns = mono_ns
        self.machine.on(ClockEvent.TIME_KNOWN, mono_ns, "time known, learning the oscillator's frequency")

    def take_up(self, resumed: Resumed, mono_ns: int, reason: str) -> None:
        """Go on with what the runtime record gave, in holdover."""
        tracker = resumed.tracker
        self.tracker, self.steersman = tracker, resumed.steersman
        self.judge.doubts = resumed.doubts
        self.habits.break_off()
        self.holdover_since_mono_ns = resumed.holdover_since_mono_ns
        self.last_edge_ns = mono_ns
        self.machine.on(ClockEvent.RESUMED, mono_ns, reason)
        tracker.coast(mono_ns)
        self._judge(tracker, mono_ns)

    def give_up(self, mono_ns: int, reason: str) -> None:
        """Nothing is known about the clock any more."""
        self.machine.on(ClockEvent.CLOCK_LOST, mono_ns, reason)
        self.drop()

    def drop(self) -> None:
        """Forget the filter."""
        self.tracker = None
        self.habits.break_off()
        self.holdover_since_mono_ns = None
        self.judge.doubts = Doubts()
        self._return.reset()
        self.alarms.clear()

    def _new_tracker(self, mono_ns: int, error_ns: float, tai_s: int | None = None) -> Tracker:
        estimator = Estimator(
            self.oscillator,
            self.gnss,
            phase_ns=error_ns,
            phase_sigma_ns=START_SIGMA_NS + self.gnss.sigma_ns,
            # What is in force now may have been right: the clock then keeps its rate until more is known.
            frequency_ppb=-self.steersman.frequency_ppb,
            cold=self._module.seen_unlocked or self.oscillator.cold_unless_told,
        )
        reference_degc = self.habits.inform(estimator, tai_s)
        if reference_degc is None:
            reference_degc = self._module.temperature_degc
        return Tracker(
            estimator,
            self.steersman.record,
            mono_ns,
            temperature_degc=reference_degc,
            swing_degc=self.config.temperature_swing_degc,
        )

    # ------------------------------------------------------------------ samples

    def take(self, pulse: PulseSample) -> list[Action]:
        """One pulse."""
        tracker, mono_ns = self.tracker, pulse.mono_ns
        if tracker is None:
            return []
        tracker.note_temperature(self._module.temperature_degc, mono_ns)
        qerr_ns = pulse.qerr_ns
        if qerr_ns is not None and not abs(qerr_ns) <= self.gnss.sawtooth_pp_ns:
            self._counters["qerr_refused"] += 1
            qerr_ns = None
        sample_ns = pulse.raw_ns + (qerr_ns or 0.0) - self.config.delay_ns
        if self._health.speaks(mono_ns) and self._seconds.error_s is None:
            sawtooth_ns = self.gnss.sawtooth_pp_ns if qerr_ns is None else 0.0
            self.heard = Heard(mono_ns, sample_ns, pulse.resolution_ns + sawtooth_ns)
        if self.machine.state in WITHOUT_REFERENCE:
            return self._look_at_return(tracker, mono_ns, sample_ns)
        if not self._health.usable(mono_ns) or self._seconds.error_s is not None:
            self._counters["samples_distrusted"] += 1
            return []
        self.judge.position_bias_ns = self._health.position_bias_ns
        if self._module.changing(mono_ns):
            tracker.open(self.oscillator.runaway_ppb)
        has_qerr = qerr_ns is not None
        variance_ns2 = tracker.estimator.sample_variance_ns2(
            sawtooth_removed=has_qerr, resolution_ns=pulse.resolution_ns
        )
        coarse_ns = (pulse.resolution_ns + (0.0 if has_qerr else self.gnss.sawtooth_pp_ns)) / 2.0
        followed = tracker.biases_followed
        innovation = tracker.sample(mono_ns, sample_ns, variance_ns2, coarse_ns)
        if tracker.biases_followed > followed:
            self.habits.break_off()
        if innovation is None:
            self._counters["samples_late"] += 1
            return []
        if innovation.accepted:
            self._counters["samples_of_meter" if pulse.from_meter else "samples"] += 1
            if self.machine.state is ClockState.LOCKED:
                self.habits.note(tracker, pulse, sample_ns, has_qerr=has_qerr)
        else:
            self._counters["samples_rejected"] += 1
            suspect = self._clock_is_suspect(mono_ns)
            verdict = tracker.verdict(mono_ns, innovation, clock_is_suspect=suspect)
            if verdict is Verdict.CLOCK:
                self._counters["clock_moved"] += 1
                tracker.clock_moved(for_certain=suspect)
                self.habits.break_off()
            elif verdict is Verdict.REFERENCE:
                self._counters["reference_moved"] += 1
                first_s = tracker.rejections.first_rejected_s
                before_ns = mono_ns if first_s is None else round(first_s * NS_PER_S)
                moved_ns = innovation.residual_ns
                reason = f"reference moved by {moved_ns:.0f} ns and the clock did not"
                ramp = tracker.rejections.from_zero  # where it ends is not known yet
                found = Doubts(found_out=True, misled=ramp, lie_ns=None if ramp else moved_ns)
                self.lose(reason, mono_ns, before_ns, found)
                return self.steer(mono_ns)
        if tracker.drag is not None and not self._clock_is_suspect(mono_ns):
            return self._led_away(tracker.drag, mono_ns)
        self._judge(tracker, mono_ns)
        return self._step(tracker, mono_ns) or self.steer(mono_ns)

    def _led_away(self, drag: Drag, mono_ns: int) -> list[Action]:
        """The reference goes where the oscillator alone cannot have gone."""
        self._counters["reference_dragged"] += 1
        reason = (
            f"reference moved by {drag.shift_ns:.0f} ns within {drag.window_s:.0f} s: "
            "more than a change of the oscillator explains"
        )
        self.lose(reason, mono_ns, drag.before_ns, Doubts(found_out=True, misled=True))
        return self.steer(mono_ns)

    def _clock_is_suspect(self, mono_ns: int) -> bool:
        """Something other than the samples says that the clock is not steady."""
        acquiring = self.machine.state is ClockState.ACQUIRING
        return acquiring or self.config.topology == "D" or self._module.suspect(mono_ns)

    def module_changed(self, unseen_s: float = 0.0) -> None:
        """The oscillator module lost or found its lock, at worst ``unseen_s`` ago."""
        if self.tracker is not None:
            runaway_ppb = self.oscillator.runaway_ppb
            self.tracker.open(runaway_ppb, runaway_ppb * unseen_s)
            self.habits.break_off()
            self.tracker.frequency_watch.clear()
            if self._module.locked:
                self.tracker.estimator.open_warmup()

    def module_unlocked(self) -> None:
        """Another report of a module without lock."""
        if self.tracker is not None:
            self.tracker.open(UNLOCKED_WALK_PPB)

    # ------------------------------------------------------------------ actions

    def steer(self, mono_ns: int) -> list[Action]:
        """The steering for the next second."""
        tracker, acquiring = self.tracker, self.machine.state is ClockState.ACQUIRING
        if tracker is None or (acquiring and tracker.accepted_run < STEER_AFTER):
            return []
        return self.steersman.steer(tracker, mono_ns, fast=acquiring)

    def _step(self, tracker: Tracker, mono_ns: int) -> list[Action]:
        unlocked = self._module.locked is False
        delta_ns = self.judge.step_ns(self.machine.state, tracker, mono_ns, oscillator_unlocked=unlocked)
        return [] if delta_ns is None else [StepClock(delta_ns=delta_ns)]

    # ------------------------------------------------------------------ every second

    def _judge(self, tracker: Tracker, mono_ns: int) -> None:
        """Move the state by what the filter says."""
        found = self.judge.verdict(self.machine.state, tracker, mono_ns)
        if found is None:
            return
        event, reason = found
        self.machine.on(event, mono_ns, reason)
        if event is ClockEvent.SETTLED:
            self.holdover_since_mono_ns = None

    def tick(self, mono_ns: int) -> list[Action]:
        """Once a second: silence is seen here, and holdover goes on."""
        tracker, state = self.tracker, self.machine.state
        if tracker is None:
            return []
        if state in WITH_REFERENCE:  # else it is that of the pulses which were followed
            self.judge.position_bias_ns = self._health.position_bias_ns
        tracker.note_temperature(self._module.temperature_degc, mono_ns)
        self._watch(tracker)
        if state in WITH_REFERENCE:
            reason = self._loss_reason(tracker, mono_ns)
            if reason is not None:
                last_ns = tracker.last_accepted_mono_ns
                self.lose(reason, mono_ns, mono_ns if last_ns is None else min(last_ns, mono_ns))
                return self.steer(mono_ns)
            if tracker.elapsed_s(mono_ns) <= COAST_AFTER_S:
                self._judge(tracker, mono_ns)
                return []
            self._counters["seconds_coasted"] += 1
        tracker.coast(mono_ns)
        self._judge(tracker, mono_ns)
        return self.steer(mono_ns)

    def _watch(self, tracker: Tracker) -> None:
        shift_ppb = tracker.frequency_watch.shift_ppb() if self.oscillator.kind == "rubidium" else None
        if shift_ppb is None:
            self.alarms.pop("frequency", None)
        else:
            # Said once: the figure moves every second, the alarm does not.
            self.alarms.setdefault(
                "frequency",
                f"oscillator moved by {shift_ppb * 1e3:.1f}e-12 against its own history: a jump, or the "
                "reference is being dragged away",
            )
        unexplained_ns, error_s = self.judge.doubts.unexplained_ns, self._seconds.error_s
        if unexplained_ns == 0.0:
            self.alarms.pop("unexplained", None)
        else:
            self.alarms["unexplained"] = (
                f"the clock has followed a reference that contradicted it: {unexplained_ns:.0f} ns are in "
                "the bound for that until an operator accepts it (time-appliance holdover leave)"
            )
        if error_s is None:
            self.alarms.pop("wrong-time", None)
        else:
            self.alarms["wrong-time"] = f"receiver's time is wrong by {error_s} s: not followed"

    # ------------------------------------------------------------------ loss

    def _loss_reason(self, tracker: Tracker, mono_ns: int) -> str | None:
        lost, error_s = self._health.loss(mono_ns), self._seconds.error_s
        silent_s = (mono_ns - self.last_edge_ns) / NS_PER_S
        uncertain = silent_s >= 2.0 and self.judge.bound_ns(tracker, mono_ns) > self.config.lock_limit_ns
        table = (
            (self.forced_holdover, "asked for by an operator"),
            (lost is not None, f"reference lost: {lost}"),
            (error_s is not None, f"receiver's time is wrong by {error_s} s"),
            (silent_s >= self.config.coast_s, f"no pulse for {int(silent_s)} s"),
            (uncertain, f"no pulse for {int(silent_s)} s and the bound is above the lock limit"),
        )
        return next((reason for holds, reason in table if holds), None)

    def lose(self, reason: str, mono_ns: int, before_ns: int, doubts: Doubts | None = None) -> None:
        """The reference is lost or distrusted; what was learnt shortly before ``before_ns`` goes too.

        ``doubts``: what it was found to have done; what was never explained before stays.
        """
        tracker = self.tracker
        if tracker is None or self.machine.state not in WITH_REFERENCE:
            return
        if self.machine.state is ClockState.ACQUIRING:
            self.machine.on(ClockEvent.REFERENCE_LOST, mono_ns, reason)
            self.drop()
            return
        doubts = doubts or Doubts()
        doubts.unexplained_ns = self.judge.doubts.unexplained_ns
        self.judge.doubts = doubts
        if self.holdover_since_mono_ns is None:
            last_good_ns = tracker.last_accepted_mono_ns
            self.holdover_since_mono_ns = mono_ns if last_good_ns is None else min(last_good_ns, mono_ns)
        if self.config.topology == "D":
            # Nothing holds the card's clock now but a bare crystal.
            tracker.open(self.oscillator.runaway_ppb)
        else:
            tracker.roll_back(before_ns, mono_ns, misled=doubts.misled)
        if doubts.misled:
            self.habits.break_off()
        tracker.coast(mono_ns)
        tracker.rejections.clear()
        self._return.reset()
        self._counters["holdovers"] += 1
        self.machine.on(ClockEvent.REFERENCE_LOST, mono_ns, reason)
        self._judge(tracker, mono_ns)

    def contradicted(self, verdict: WitnessVerdict) -> list[Action]:
        """Other sources of time contradict the reference, which may have dragged us along unseen."""
        reason = f"reference lost: {self._health.loss(verdict.mono_ns)}"
        self.lose(reason, verdict.mono_ns, verdict.mono_ns)
        if self.tracker is None:
            return []
        if not verdict.disputed:
            self.judge.doubts.astray_ppb = 0.0  # a majority knows who is wrong
        # The doubt is a limit, not a sigma.
        self.tracker.open(verdict.doubt_ppb / DOUBT_K, verdict.doubt_ns / DOUBT_K)
        self.habits.break_off()
        self._judge(self.tracker, verdict.mono_ns)
        return self.steer(verdict.mono_ns)

    # ------------------------------------------------------------------ the way back

    def hold(self, mono_ns: int) -> list[Action]:
        """An operator asks for holdover."""
        self.forced_holdover, self._accept_until_ns = True, None
        self.lose("asked for by an operator", mono_ns, mono_ns)
        return self.steer(mono_ns)

    def accept(self, mono_ns: int) -> None:
        """An operator believes the reference: the one that is followed, or that comes in the next minutes."""
        self.forced_holdover = False
        if self.machine.state in WITHOUT_REFERENCE:
            self._accept_until_ns = mono_ns + ACCEPT_NS
        else:
            self.judge.doubts.unexplained_ns = 0.0

    def _look_at_return(self, tracker: Tracker, mono_ns: int, sample_ns: float) -> list[Action]:
        if self._expired_for_s(mono_ns) >= self.config.release_s:
            self._health.overrule_dispute(mono_ns)
        clean = self._health.clean_for_ns(mono_ns) >= QUIET_NS
        if self.forced_holdover or self._seconds.error_s is not None or not clean:
            self._return.reset()
            return []
        if self.config.topology == "D":
            self.tracker = self._new_tracker(mono_ns, sample_ns)
            self.machine.on(ClockEvent.REFERENCE_BACK, mono_ns, "reference back, the card follows it")
            return []
        accepted = self._accept_until_ns is not None and mono_ns <= self._accept_until_ns
        doubts = self.judge.doubts
        need = MISLED_NEED if doubts.misled and not accepted else NEED
        found = self._return.offer(tracker, mono_ns, sample_ns, need=need, lie_ns=doubts.lie_ns)
        if found is None:
            return []
        if found.problem is not None and not accepted and not self._released(tracker, mono_ns):
            self._note_contradiction(tracker, mono_ns, found)
            self.alarms.setdefault("return", f"reference is back but not believed: {found.problem}")
            return []
        if accepted:
            doubts.unexplained_ns = 0.0
        elif found.problem is not None:
            # Either the reference is wrong, or the clock was: from here on by that and what it had become.
            own_ns = self.judge.own_bound_ns(tracker, mono_ns) - self.judge.bias_ns
            doubts.unexplained_ns += own_ns + abs(found.latest_ns)
        self._rejoin(tracker, mono_ns, found)
        if found.problem is None:
            self.machine.on(ClockEvent.REFERENCE_BACK, mono_ns, "reference back, removing the error")
        else:
            tracker.open(max(self.oscillator.jump_ppb, 3.0 * abs(found.slope_ppb)))
            self.judge.restart()
            event = ClockEvent.START_AGAIN if accepted else ClockEvent.REFERENCE_BACK
            self.machine.on(event, mono_ns, f"reference followed although {found.problem}")
        return self.steer(mono_ns)

    def _note_contradiction(self, tracker: Tracker, mono_ns: int, found: Return) -> None:
        """A clean reference says that the clock is wrong: the bound opens if both could be so.

        Not for a reference that was found to have moved, whose place is only kept, and not for one that is
        further away than the oscillator can have gone.
        """
        doubts, since_ns = self.judge.doubts, self.holdover_since_mono_ns
        if not found.misplaced or since_ns is None:
            return
        if doubts.found_out:
            if found.steady:
                doubts.lie_ns = found.offset_ns
            return
        went_ns = self.oscillator.jump_ppb * (mono_ns - since_ns) / NS_PER_S
        if abs(found.latest_ns) <= went_ns + self.judge.own_bound_ns(tracker, mono_ns):
            doubts.contradict(found.latest_ns, since_ns, mono_ns)
            self._judge(tracker, mono_ns)

    def _expired_for_s(self, mono_ns: int) -> float:
        expired = self.machine.state is ClockState.HOLDOVER_EXPIRED
        return (mono_ns - self.machine.since_mono_ns) / NS_PER_S if expired else 0.0

    def _released(self, tracker: Tracker, mono_ns: int) -> bool:
        """With the budget spent there is nothing left to protect: a healthy reference wins in the end.

        Not with a budget that only the contradiction of that reference has spent.
        """
        healthy_s = min(self._expired_for_s(mono_ns), self._return.disagrees_for_s(mono_ns))
        own_ns = self.judge.own_bound_ns(tracker, mono_ns)
        return healthy_s >= self.config.release_s and own_ns > self.config.budget_ns

    def _rejoin(self, tracker: Tracker, mono_ns: int, found: Return) -> None:
        """The measured phase goes into x and nowhere else."""
        offset_ns = found.offset_ns if found.problem is None else found.latest_ns
        tracker.realign(mono_ns)
        tracker.estimator.replace_phase(tracker.phase_ns(mono_ns) + offset_ns, found.samples)
        tracker.accepted_run = 0
        tracker.rejections.clear()
        self.judge.doubts = Doubts(unexplained_ns=self.judge.doubts.unexplained_ns)
        self._return.reset()
        self._accept_until_ns = None
        self.alarms.pop("return", None)
