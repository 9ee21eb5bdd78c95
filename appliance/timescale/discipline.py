"""The discipline: every event in, actions out, a snapshot whenever one is wanted.

It owns no clock, no thread and no device. Here words, edges and readings are sorted and the start is made;
what follows from a sample or a second of silence is the pilot's. Topology D only watches: it never asks for
anything.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from appliance.events import (
    Action,
    ClockMoved,
    ClockStepped,
    Command,
    CommandKind,
    Event,
    GnssEdge,
    OscillatorReport,
    OwnEdge,
    RehearseHoldover,
    SourceFault,
    SourceRestored,
    SteeringApplied,
    StepClock,
    SyncOscillatorPulse,
    TakeOver,
    Tick,
    WitnessVerdict,
)
from appliance.leap.decision import LeapDesk
from appliance.leap.words import LeapWord
from appliance.snapshot import ClockSnapshot, ClockState
from appliance.timescale.card_watch import CardChange, CardWatch
from appliance.timescale.discipline_config import DisciplineConfig, Topology
from appliance.timescale.discipline_record import make_record, read_record
from appliance.timescale.hand_over import NO_CLOCK, Facts, HandOver
from appliance.timescale.holdover import BoundForecast
from appliance.timescale.named_seconds import NamedSeconds
from appliance.timescale.oscillator_watch import OVERDUE_NS, OscillatorWatch
from appliance.timescale.phase_meter import DISAGREE_N
from appliance.timescale.pilot import Pilot
from appliance.timescale.publication import make_snapshot, not_ready_for_holdover
from appliance.timescale.pulse_samples import PulseSample, PulseSamples
from appliance.timescale.reference import ReferenceHealth
from appliance.timescale.rehearsal import Rehearsal
from appliance.timescale.start_up import StartUp
from timecard.gnss.integrity_rules import RULES as GNSS_ALARMS
from timecard.gnss.sawtooth import SawtoothPairing, label_of_next
from timecard.timescale import NS_PER_S
from timecard.values import (
    Alarm,
    AntennaPosition,
    CorruptData,
    EdgeStamp,
    GnssFix,
    LeapInfo,
    OscillatorStatus,
    PulseLabel,
    ReceiverIdentity,
    RfStatus,
    SatelliteView,
    SignalView,
    SurveyStatus,
)

__all__ = ["Discipline", "DisciplineConfig", "Topology"]

STEP_SETTLE_NS: Final = 1_050_000_000
"""Edges read earlier than this after a step may have been latched before it, or while it is spread."""
STEP_TIMEOUT_NS: Final = 5 * NS_PER_S
EPOCH_AGE_NS: Final = 10 * NS_PER_S
SYNC_ABOVE_NS: Final = 1_000.0
TRIM_SIGMA_NS: Final = 0.3
"""Topology A: the relation of the module's phase to the clock must be known so well."""


class Discipline:
    """Keeps one card's clock on TAI."""

    def __init__(
        self,
        config: DisciplineConfig,
        mono_ns: int,
        resume: Mapping[str, Any] | None = None,
        on_accept: Callable[[], None] = lambda: None,
        learnt: Mapping[str, Any] | None = None,
        epoch: int = 0,
    ) -> None:
        """``resume``: a ``runtime_record`` of this boot and card; one that does not fit is dropped.

        ``on_accept`` is called when an operator accepts the receiver's time. ``learnt`` is an earlier run's
        ``learnt_record``; one that does not fit is dropped with an alarm. ``epoch``: what to begin with when
        nothing is resumed; another than that of whoever kept this clock before.
        """
        self.config = config
        self.counters: Counter[str] = Counter()
        self.alarms: dict[str, str] = {}
        self.epoch = epoch
        self.card = CardWatch()
        self.module = OscillatorWatch()
        self.health = ReferenceHealth(
            min_satellites=config.min_satellites,
            max_time_accuracy_ns=config.max_time_accuracy_ns,
            fixed_sigma_m=config.position_sigma_m,
        )
        self._seconds = NamedSeconds()
        self.pilot = Pilot(config, mono_ns, self.health, self._seconds, self.module, self.counters)
        self._take_up_learnt(learnt)
        self.forecast = BoundForecast(self.pilot.oscillator, config.p)
        self._samples = PulseSamples(
            config.timestamper_resolution_ns,
            with_meter=config.uses_module,
            meter_resolution_ns=config.phase_resolution_ns,
        )
        self.hand_over = HandOver(self.counters)
        self.rehearsal = Rehearsal(self.pilot, self.health)
        self.leap = LeapDesk()
        self.leap.resume((resume or {}).get("leap"), mono_ns)
        self._pairing = SawtoothPairing()
        self._start = StartUp(config, self.card.time, self.health, self.module)
        self._resume = dict(resume) if resume is not None else None
        self._pulse_synced = False
        self._step_pending_ns: int | None = None
        self._ignore_before_ns = mono_ns
        self._on_accept = on_accept
        self._ticked_ns = mono_ns
        self._handlers: dict[type[Any], Callable[[Any], list[Action]]] = {
            GnssEdge: self._on_gnss_edge,
            OwnEdge: self._on_own_edge,
            PulseLabel: self._on_label,
            GnssFix: self._on_word,
            LeapInfo: self._on_leap_info,
            LeapWord: self._on_leap_word,
            SurveyStatus: self._on_word,
            RfStatus: self._on_word,
            SatelliteView: self._on_word,
            ReceiverIdentity: self._on_word,
            SignalView: self._on_word,
            AntennaPosition: self._on_word,
            CorruptData: self._on_corrupt,
            Alarm: self._on_alarm,
            OscillatorReport: self._on_oscillator,
            SteeringApplied: self._on_steering,
            ClockStepped: self._on_stepped,
            ClockMoved: self._on_moved,
            SourceFault: self._on_fault,
            SourceRestored: self._on_restored,
            Command: self._on_command,
            RehearseHoldover: self._on_rehearse,
            WitnessVerdict: self._on_witnesses,
            Tick: self._on_tick,
        }

    @property
    def resuming(self) -> bool:
        """A runtime record waits for the card's first reading."""
        return self._resume is not None

    @property
    def waiting_for(self) -> str:
        """What a clock in free-run waits for, in plain words."""
        return self._start.waiting_for

    # ------------------------------------------------------------------ the three calls

    def handle(self, event: Event) -> list[Action]:
        """Take one event; what is returned is to be done in order, and its result handed back as an event."""
        return self._handlers[type(event)](event)

    def snapshot(self, mono_ns: int) -> ClockSnapshot:
        """What may be said at ``mono_ns``."""
        return make_snapshot(self, mono_ns)

    def runtime_record(self, mono_ns: int) -> dict[str, Any]:
        """JSON-able state for a restart within the same boot."""
        record = make_record(self.pilot, self.epoch, mono_ns, rehearsing=self.rehearsal.active)
        return record | {"leap": self.leap.to_record()}

    def learnt_record(self) -> dict[str, Any] | None:
        """JSON-able: what the unit is like, for a later boot; None while nothing worth keeping is known."""
        learnt = self.pilot.learnt(self._ticked_ns, self.tai_s(self._ticked_ns))
        return None if learnt is None else learnt.to_record()

    def _take_up_learnt(self, learnt: Mapping[str, Any] | None) -> None:
        if learnt is not None:
            try:
                self.pilot.habits.take_up(learnt)
            except ValueError as error:
                self.alarms["learnt"] = f"what was learnt before is not used: {error}"

    def tai_s(self, mono_ns: int) -> int | None:
        """The second of TAI by the clock, before it is set by the receiver; None while neither knows it."""
        fix = self.health.fix
        tai_ns: int | None = None
        if self.pilot.tracker is not None:
            tai_ns = self.card.time.card_tai_ns(mono_ns)
        elif fix is not None and fix.epoch_tai_ns is not None and mono_ns - fix.read_mono_ns <= EPOCH_AGE_NS:
            tai_ns = fix.epoch_tai_ns + mono_ns - fix.read_mono_ns
        return None if tai_ns is None else tai_ns // NS_PER_S

    # ------------------------------------------------------------------ the receiver's words

    def _on_word(self, event: Any) -> list[Action]:
        self.health.note(event)
        return []

    def _on_leap_info(self, info: LeapInfo) -> list[Action]:
        fix = self.health.fix
        if fix is None or fix.refused_tai_ns is None:  # else its date is wrong, and what it says for it
            self.leap.note_receiver(info, self.tai_s(info.read_mono_ns))
        return []

    def _on_leap_word(self, word: LeapWord) -> list[Action]:
        self.leap.note(word)
        return []

    def _on_label(self, label: PulseLabel) -> list[Action]:
        named = label_of_next(label)
        self._pairing.add_label(named)
        self._seconds.add_label(named)
        self.health.note(label)
        if self.config.topology != "A":
            return []
        qerr_ns = named.qerr_ns if label.pulse_locked else None
        if qerr_ns is not None and not abs(qerr_ns) <= self.pilot.gnss.sawtooth_pp_ns:
            qerr_ns = None
        return self.hand_over.label(label.read_mono_ns, qerr_ns)

    def _on_alarm(self, alarm: Alarm) -> list[Action]:
        if alarm.active:
            self.counters[f"alarm_{alarm.name}"] += 1
        if alarm.name in GNSS_ALARMS:
            self.health.note_alarm(alarm)
        elif alarm.active:
            self.alarms[alarm.name] = f"{alarm.name}: {alarm.evidence}"
        else:
            self.alarms.pop(alarm.name, None)
        return []

    def _on_corrupt(self, event: CorruptData) -> list[Action]:
        self.counters["gnss_corrupt_bytes"] += event.length
        return []

    # ------------------------------------------------------------------ edges and readings

    def _on_own_edge(self, event: OwnEdge) -> list[Action]:
        self.card.own_edge(event.stamp.read_mono_ns)
        return []

    def _on_gnss_edge(self, event: GnssEdge) -> list[Action]:
        stamp, pilot = event.stamp, self.pilot
        self.counters["edges"] += 1
        if self.card.lost or self._resume is not None:
            return []
        if self._step_pending_ns is not None or stamp.read_mono_ns < self._ignore_before_ns:
            self.counters["edges_before_step"] += 1
            return []
        mono_ns = self.card.time.edge_mono_ns(stamp)
        pilot.last_edge_ns = max(pilot.last_edge_ns, mono_ns)
        paired = self._pairing.pair(stamp, pilot.tracker is not None or self._start.time_verified)
        if paired.edge_tai_ns is None:
            self.counters["edges_unnamed"] += 1
            return []
        if pilot.tracker is None:
            return self._first_edge(stamp, paired.edge_tai_ns, mono_ns)
        self._seconds.compare(stamp.read_mono_ns, paired.edge_tai_ns, self.health.fix)
        raw_ns = float(stamp.card_tai_ns - paired.edge_tai_ns)
        return self._take(self._samples.edge(mono_ns, raw_ns, paired.qerr_ns), stamp.read_mono_ns)

    def _take(self, samples: list[PulseSample], now_ns: int) -> list[Action]:
        actions: list[Action] = []
        for sample in samples:
            if self._step_pending_ns is None:
                actions += self.pilot.take(sample)
                self._note_step(actions, now_ns)
        return actions

    def _note_step(self, actions: list[Action], now_ns: int) -> None:
        if any(isinstance(action, StepClock) for action in actions):
            self._step_pending_ns = now_ns

    def _on_oscillator(self, event: OscillatorReport) -> list[Action]:
        status = event.status
        changed = self.module.note(status)
        if changed:
            self.pilot.module_changed(self.module.unseen_s)
        elif not status.locked:
            self.pilot.module_unlocked()
        if not self.config.uses_module:
            return []
        self.pilot.steersman.reported(status.frequency_ppb, status.read_mono_ns)
        if self.config.topology == "A":
            handed = self._handed(self.hand_over.report(status.disciplining, status.read_mono_ns))
            if handed or self.hand_over.meter_is_shifted(status.read_mono_ns):
                self._samples.mute()
                return handed
        if status.phase_ns is None or not math.isfinite(status.phase_ns):
            return []
        if self._wants_sync(status, status.phase_ns):
            self._pulse_synced = True
            self._samples.forget()
            return [SyncOscillatorPulse()]
        meter = self._samples.meter
        agreed = meter is not None and meter.usable
        actions = self._take(self._samples.reading(status.read_mono_ns, status.phase_ns), status.read_mono_ns)
        if meter is not None and agreed and meter.disagrees and self._clock_moved_alone(status.read_mono_ns):
            return actions
        if meter is not None and meter.disagrees:
            self.alarms["phase-meter"] = "the module's phase meter disagrees with the timestamper: not used"
        else:
            self.alarms.pop("phase-meter", None)
        return actions

    def _clock_moved_alone(self, mono_ns: int) -> bool:
        """By the meter the module kept to the reference, and the timestamper says that the clock did not.

        In topology A the module may have followed the reference itself, and its meter tells nothing.
        """
        tracker = self.pilot.tracker
        moved_ns = None if tracker is None else tracker.rejections.all_of_ns(DISAGREE_N)
        if moved_ns is None or self.config.topology != "B":
            return False
        self._set_by_others(mono_ns, round(moved_ns))
        return True

    def _wants_sync(self, status: OscillatorStatus, phase_ns: float) -> bool:
        """Once, before the first lock: a meter that starts half a second off is of no use."""
        return (
            not self._pulse_synced
            and status.locked
            and abs(phase_ns) > SYNC_ABOVE_NS
            and self.health.usable(status.read_mono_ns)
            and self.pilot.machine.state in (ClockState.FREE_RUN, ClockState.ACQUIRING)
        )

    def _first_edge(self, stamp: EdgeStamp, second_tai_ns: int, mono_ns: int) -> list[Action]:
        """Coarse time, checked twice; then a whole-ns step if needed; then the filter begins."""
        if not self._start.ready(mono_ns, forced_holdover=self.pilot.forced_holdover):
            self._start.reset()
            return []
        start = self._start.edge(stamp, second_tai_ns)
        if start is None:
            return []
        if start.step_ns is not None:
            self._step_pending_ns = stamp.read_mono_ns
            return [StepClock(delta_ns=start.step_ns)]
        self._seconds.forgive()
        self.pilot.begin(mono_ns, start.error_ns, second_tai_ns // NS_PER_S)
        return []

    # ------------------------------------------------------------------ what was done, broke, or was asked

    def _on_steering(self, event: SteeringApplied) -> list[Action]:
        self.pilot.steersman.applied(event)
        self.alarms.pop("actuator", None)
        return []

    def _on_stepped(self, event: ClockStepped) -> list[Action]:
        self.epoch += 1
        self.counters["steps"] += 1
        self._step_pending_ns = None
        self._ignore_before_ns = event.mono_ns + STEP_SETTLE_NS
        self.pilot.last_edge_ns = max(self.pilot.last_edge_ns, event.mono_ns)
        self.card.time.stepped(event.delta_ns)
        self.pilot.habits.break_off()
        if self.pilot.tracker is not None:
            self.pilot.tracker.stepped(event.delta_ns)
        self._samples.forget()
        self._pairing.reset()
        self._seconds.forgive()
        self.alarms.pop("actuator", None)
        return []

    def _on_moved(self, event: ClockMoved) -> list[Action]:
        if not self._stepping(event.mono_ns):
            self.card.time.stepped(event.delta_ns)
            self._set_by_others(event.mono_ns, event.delta_ns)
        return []

    def _on_fault(self, event: SourceFault) -> list[Action]:
        self.health.source_lost(event.source, event.mono_ns)
        self.alarms[event.source] = f"{event.source}: {event.reason}"
        if event.source == "card":
            self.card.declare_lost()
            self._give_up(event.mono_ns, f"card lost: {event.reason}")
        elif event.source == "actuator":
            self._step_pending_ns = None
            self._start.reset()
        elif event.source == "oscillator" and self.config.uses_module:
            self._miss_module(event.mono_ns, 0)
        return []

    def _miss_module(self, mono_ns: int, limit_ns: int = OVERDUE_NS) -> None:
        """The bound opens by what a module that nobody hears may have done meanwhile."""
        silent_s = self.module.overdue_s(mono_ns, limit_ns)
        if silent_s is not None:
            self.pilot.module_changed(silent_s)

    def _on_restored(self, event: SourceRestored) -> list[Action]:
        self.health.source_restored(event.source, event.mono_ns)
        self.alarms.pop(event.source, None)
        if event.source == "card":
            self.card.declare_back()
        return []

    def _on_command(self, event: Command) -> list[Action]:
        pilot = self.pilot
        self.rehearsal.end("asked for by an operator", event.mono_ns)
        if event.kind is CommandKind.END_REHEARSAL:
            return []
        if event.kind is CommandKind.ENTER_HOLDOVER:
            return pilot.hold(event.mono_ns)
        pilot.accept(event.mono_ns)
        self._seconds.forgive()
        self._on_accept()
        return []

    def _on_rehearse(self, event: RehearseHoldover) -> list[Action]:
        tracker = self.pilot.tracker
        bound_ns = None if tracker is None else self.pilot.judge.bound_ns(tracker, event.mono_ns)
        return self.rehearsal.begin(event, not_ready_for_holdover(self, event.mono_ns, bound_ns))

    def _on_witnesses(self, event: WitnessVerdict) -> list[Action]:
        self.health.note_witnesses(event.against, event.mono_ns, disputed=event.disputed)
        return [] if event.against is None else self.pilot.contradicted(event)

    # ------------------------------------------------------------------ once a second

    def _on_tick(self, tick: Tick) -> list[Action]:
        self._ticked_ns = tick.mono_ns
        if self.pilot.learn():
            self.forecast = BoundForecast(self.pilot.oscillator, self.config.p)
        actions = self._second(tick)
        self.rehearsal.tick(tick.mono_ns)
        self.leap.judge(self.tai_s(tick.mono_ns))
        return actions + self._hand_over(tick.mono_ns) if self.config.topology == "A" else actions

    def _second(self, tick: Tick) -> list[Action]:
        mono_ns = tick.mono_ns
        self._read_clock(tick)
        if self.card.lost:
            return []
        if self._resume is not None and tick.card_tai_ns is not None:
            self._take_up(mono_ns)
        if self._step_pending_ns is not None and mono_ns - self._step_pending_ns > STEP_TIMEOUT_NS:
            self._step_pending_ns = None
            self._start.reset()
        if self.card.own_pulse_stopped(mono_ns):
            self.alarms["own-pulse"] = "the card clock's own pulse has stopped"
        else:
            self.alarms.pop("own-pulse", None)
        if self.pilot.machine.state is ClockState.LOCKED:
            self.alarms.pop("clock-set", None)
            self.alarms.pop("record", None)
        if self.pilot.tracker is None:
            self._start.ready(mono_ns, forced_holdover=self.pilot.forced_holdover)
            return []
        if self.config.uses_module:
            self._miss_module(mono_ns)
        actions = self._take(self._samples.overdue(mono_ns), mono_ns)
        if self._step_pending_ns is None:
            actions += self.pilot.tick(mono_ns)
        return actions

    def _hand_over(self, mono_ns: int) -> list[Action]:
        """Topology A: let the module follow the pulse, or take over."""
        actions = self.hand_over.tick(mono_ns, self._facts(mono_ns))
        if self.hand_over.telling or SyncOscillatorPulse() in actions:
            self._samples.mute()
        return self._handed(actions) + (self.pilot.steer(mono_ns) if TakeOver() in actions else [])

    def _handed(self, actions: list[Action]) -> list[Action]:
        self.pilot.steersman.hands_off = self.hand_over.hands_off
        self.pilot.steersman.level = self.hand_over.telling
        self.pilot.steersman.untold_ns = self.hand_over.untold_ns
        return actions

    def _facts(self, mono_ns: int) -> Facts:
        pilot, meter = self.pilot, self._samples.meter
        tracker = pilot.tracker
        if self.card.lost or tracker is None:
            return NO_CLOCK
        last_ns = tracker.last_accepted_mono_ns
        known = meter is not None and meter.usable and meter.constant_sigma_ns <= TRIM_SIGMA_NS
        bound_ns = pilot.judge.bound_ns(tracker, mono_ns)
        return Facts(
            locked=pilot.machine.state is ClockState.LOCKED,
            believed=self.health.usable(mono_ns),
            module_locked=self.module.locked is True,
            ready=not not_ready_for_holdover(self, mono_ns, bound_ns),
            accepted_run=tracker.accepted_run,
            silent_s=math.inf if last_ns is None else (mono_ns - last_ns) / NS_PER_S,
            phase_ns=tracker.phase_ns(mono_ns),
            phase_sigma_ns=tracker.estimator.phase_sigma_ns,
            trim_ns=meter.constant_ns - self.config.delay_ns if meter is not None and known else None,
        )

    def _read_clock(self, tick: Tick) -> None:
        change = self.card.tick(tick, stepping=self._stepping(tick.mono_ns))
        if change is CardChange.LOST:
            self.alarms["card"] = "card: its clock cannot be read"
            self._give_up(tick.mono_ns, self.alarms["card"])
        elif change is CardChange.BACK:
            self.alarms.pop("card", None)
        elif change is CardChange.SET_BY_OTHERS:
            self._set_by_others(tick.mono_ns, self.card.jump_ns)

    def _stepping(self, mono_ns: int) -> bool:
        """A step of our own is under way: the clock may jump."""
        return self._step_pending_ns is not None or mono_ns < self._ignore_before_ns

    def _set_by_others(self, mono_ns: int, jump_ns: int) -> None:
        """Before there is a filter nothing is claimed, and nothing lost."""
        if self.pilot.tracker is None and self._resume is None:
            return
        self.epoch += 1
        self.counters["clock_set_by_others"] += 1
        reason = f"somebody else set the card's clock by {jump_ns / 1e6:.3f} ms"
        self.alarms["clock-set"] = reason
        self._give_up(mono_ns, reason)

    def _give_up(self, mono_ns: int, reason: str) -> None:
        """Nothing is known about the clock any more."""
        self.pilot.give_up(mono_ns, reason)
        self._resume = None
        self._step_pending_ns = None
        self._start.reset()
        self._pairing.reset()
        self._samples.forget()
        self._seconds.forgive()

    def _take_up(self, mono_ns: int) -> None:
        """Go on where the record ends, in holdover; a record that does not fit is an ordinary start."""
        record, self._resume = self._resume or {}, None
        try:
            resumed = read_record(record, self.pilot, mono_ns)
        except ValueError as error:
            self.alarms["record"] = f"runtime record not used: {error}"
            return
        self.epoch = resumed.epoch
        self.forecast = BoundForecast(self.pilot.oscillator, self.config.p)
        reason = f"resumed from the runtime record after {resumed.down_s:.0f} s"
        self.pilot.take_up(resumed, mono_ns, reason)
