"""A card in miniature for tests of the discipline: a world of numbers in, events out, actions carried out.

Time is true TAI in seconds from the start. The clock reads true time plus ``x``; a pulse for a second comes
``gnss_ns`` late; the host's monotonic clock runs at a rate of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from appliance.events import (
    Action,
    ClockStepped,
    Event,
    GnssEdge,
    OscillatorReport,
    OwnEdge,
    Steer,
    SteeringApplied,
    StepClock,
    Tick,
)
from appliance.snapshot import ClockSnapshot, ClockState
from appliance.timescale.discipline import Discipline
from appliance.timescale.discipline_config import DisciplineConfig
from appliance.timescale.models import GnssModel, OscillatorModel
from appliance.timescale.transition import (
    DRIFT,
    FREQUENCY,
    GNSS_FIRST,
    LADDER,
    PHASE,
    TEMPCO,
    WARMUP,
    prior_covariance,
    transition,
)
from timecard.timescale import NS_PER_S
from timecard.values import EdgeStamp, FixType, GnssFix, LeapInfo, OscillatorStatus, PulseLabel

Array = NDArray[np.float64]

START_TAI_S = 1_750_000_000
START_MONO_NS = 5_000 * NS_PER_S
MONO_RATE = 1.0 + 17e-6


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))


@dataclass
class World:
    """Free-running phase, pulse error without sawtooth, and sawtooth, all in ns at whole seconds."""

    phase_ns: Array
    pulse_ns: Array
    sawtooth_ns: Array
    y0_ppb: float = 0.0

    def __len__(self) -> int:
        return len(self.phase_ns)


def make_world(
    oscillator: OscillatorModel, gnss: GnssModel, seconds: int, seed: int, *, y0_ppb: float = 0.0
) -> World:
    """One realisation of the linear Gaussian world that the models describe."""
    rng = np.random.default_rng(seed)
    f, q = transition(oscillator, gnss, 1.0)
    p = prior_covariance(oscillator, gnss, phase_ns=0.0, frequency_ppb=0.0, cold=False)
    q[TEMPCO, TEMPCO] = p[TEMPCO, TEMPCO] = p[WARMUP, WARMUP] = 0.0
    state = _root(p) @ rng.standard_normal(len(p))
    state[PHASE], state[FREQUENCY] = 0.0, y0_ppb * 1e3
    state[DRIFT] = oscillator.aging_per_day * 1e12 * rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 0.9)
    noise = rng.standard_normal((seconds, len(p))) @ _root(q).T
    states = np.empty((seconds, len(p)))
    for k in range(seconds):
        states[k] = state
        state = f @ state + noise[k]
    pulse = states[:, GNSS_FIRST:-1].sum(axis=1) + gnss.white_ns * rng.standard_normal(seconds)
    assert LADDER < GNSS_FIRST
    t = np.arange(seconds)
    rate = 0.37 + 0.45 * np.sin(2 * np.pi * t / 5400 + rng.uniform(0, 6))
    rate += 7e-4 * np.cumsum(rng.standard_normal(seconds))
    width = gnss.sawtooth_pp_ns
    ticks = np.cumsum(rate) + 0.05 * rng.standard_normal(seconds) + rng.uniform(0, width)
    sawtooth = ticks % width - width / 2
    return World(states[:, PHASE].copy(), pulse, sawtooth, y0_ppb)


@dataclass
class Second:
    """What the fault scripts may change of one second before it is played."""

    pulse: bool = True
    late_ns: float = 0.0
    """Extra delay of the pulse."""
    words: bool = True
    """The receiver speaks."""
    fix_ok: bool = True
    satellites: int = 20
    pulse_locked: bool = True
    named_error_s: int = 0
    """The receiver names another second."""
    oscillator_locked: bool = True
    oscillator_speaks: bool = True
    oscillator_resets: int = 0
    extra_ppb: float = 0.0
    """Frequency error of the oscillator beyond the world's."""
    temperature_mdegc: int | None = None
    extra_events: list[Event] = field(default_factory=list)


@dataclass
class Row:
    """One second as seen from outside."""

    second: int
    error_ns: float
    """Clock minus true time just before the pulse."""
    tick_error_ns: float
    """The same at the snapshot."""
    snapshot: ClockSnapshot

    @property
    def state(self) -> ClockState:
        """State of the clock."""
        return self.snapshot.state


class ClosedLoop:
    """Plays a world against a discipline, one second at a time."""

    def __init__(
        self,
        world: World,
        config: DisciplineConfig,
        *,
        with_qerr: bool = True,
        clock_error_ns: int | float = 0.0,
        antenna_ns: float = 0.0,
        discipline: Discipline | None = None,
    ) -> None:
        self.world, self.config = world, config
        self.discipline = discipline or Discipline(config, self.mono_ns(0.0))
        self.rows: list[Row] = []
        self.actions: list[Action] = []
        self.second = 0
        self._with_qerr = with_qerr
        self._antenna_ns = antenna_ns
        whole_ns = round(clock_error_ns)
        self._base_ns = whole_ns if abs(whole_ns) > 1e9 else 0
        """The clock's gross error, which a float cannot hold."""
        self._shift_ns = clock_error_ns - self._base_ns
        self._steered_ns = 0.0
        self._steering_ppb = 0.0
        self._steered_at_s = 0.0
        self._wanted_ppb: float | None = None
        self._extra_ns = 0.0
        self._extra_ppb = 0.0
        self._edges = 0
        self.meter_constant_ns = 137.3
        self.readable = True

    # ------------------------------------------------------------------ the world

    @staticmethod
    def mono_ns(t_s: float) -> int:
        """Monotonic clock of the host at true time ``t_s``."""
        return START_MONO_NS + round(t_s * NS_PER_S * MONO_RATE)

    def error_ns(self, t_s: float) -> float:
        """Clock minus true time."""
        k = min(int(t_s), len(self.world) - 2)
        phase = self.world.phase_ns
        free = phase[k] + (phase[k + 1] - phase[k]) * (t_s - k)
        steered = self._steered_ns + self._steering_ppb * (t_s - self._steered_at_s)
        extra = self._extra_ns + self._extra_ppb * (t_s - self.second)
        return float(free + steered + extra + self._shift_ns)

    def move_clock(self, delta_ns: int) -> None:
        """The clock is stepped, by whoever."""
        gross_ns, self._base_ns = self._base_ns + delta_ns, 0
        if abs(gross_ns) > 1e9:
            self._base_ns = gross_ns
        else:
            self._shift_ns += gross_ns

    def _steer(self, ppb: float, t_s: float) -> SteeringApplied:
        self._steered_ns += self._steering_ppb * (t_s - self._steered_at_s)
        limit = self.config.actuator_max_ppb
        self._steering_ppb, self._steered_at_s = max(-limit, min(limit, ppb)), t_s
        return SteeringApplied(frequency_ppb=self._steering_ppb, mono_ns=self.mono_ns(t_s))

    def _card_tai_ns(self, t_s: float) -> int:
        """What the clock shows; the whole seconds are kept apart from the fractions of a ns."""
        whole = math.floor(t_s)
        base = (START_TAI_S + whole) * NS_PER_S
        return base + self._base_ns + math.floor((t_s - whole) * NS_PER_S + self.error_ns(t_s))

    # ------------------------------------------------------------------ one second

    def play(self, seconds: int, script: Callable[[int, Second], None] | None = None) -> list[Row]:
        """Play on; ``script`` may change each second. Returns the rows of these seconds."""
        begin = len(self.rows)
        for _ in range(seconds):
            facts = Second()
            if script is not None:
                script(self.second, facts)
            self._play_second(facts)
        return self.rows[begin:]

    def _take(self, event: Event, t_s: float) -> None:
        pending = [event]
        while pending:
            for action in self.discipline.handle(pending.pop(0)):
                self.actions.append(action)
                if isinstance(action, StepClock):
                    self.move_clock(action.delta_ns)
                    pending.append(ClockStepped(delta_ns=action.delta_ns, mono_ns=self.mono_ns(t_s)))
                elif isinstance(action, Steer):
                    if self.config.topology == "B":
                        self._wanted_ppb = action.frequency_ppb
                    else:
                        pending.append(self._steer(action.frequency_ppb, t_s))
                else:
                    self.meter_constant_ns = 0.0

    def _play_second(self, facts: Second) -> None:
        k = self.second
        t = float(k)
        self._extra_ppb = facts.extra_ppb
        tai_ns = (START_TAI_S + k) * NS_PER_S
        named_ns = tai_ns + facts.named_error_s * NS_PER_S
        error_ns = self.error_ns(t)
        if facts.words and k > 0:
            self._take(self._label(named_ns, k, facts, t - 0.85), t - 0.85)
        late_ns = self.world.pulse_ns[k] - self.world.sawtooth_ns[k] + self._antenna_ns + facts.late_ns
        # ``sawtooth`` is qErr: added to the late pulse it removes the receiver's step.
        if facts.pulse and self.readable:
            self._edges += 1
            step = self.config.timestamper_resolution_ns
            shown_ns = (
                (math.floor((error_ns + late_ns) / step) + 0.5) * step if step > 1.0 else error_ns + late_ns
            )
            stamp = EdgeStamp(
                channel="ts0",
                card_tai_ns=tai_ns + self._base_ns + round(shown_ns),
                event_count=self._edges,
                dropped=False,
                read_mono_ns=self.mono_ns(t + 0.03),
            )
            self._take(GnssEdge(stamp=stamp), t + 0.03)
        if facts.words:
            self._take(
                GnssFix(
                    epoch_tai_ns=named_ns,
                    fix=FixType.TIME_ONLY if facts.fix_ok else FixType.NONE,
                    fix_ok=facts.fix_ok,
                    time_valid=True,
                    utc_resolved=True,
                    time_accuracy_ns=5.0,
                    satellites_used=facts.satellites,
                    read_mono_ns=self.mono_ns(t + 0.2),
                ),
                t + 0.2,
            )
            if k % 10 == 0:
                self._take(
                    LeapInfo(
                        tai_minus_utc_s=37,
                        change_s=0,
                        seconds_to_event=None,
                        source="GPS",
                        read_mono_ns=self.mono_ns(t + 0.2),
                    ),
                    t + 0.2,
                )
        if self.config.topology == "B" and facts.oscillator_speaks:
            self._oscillator(facts, error_ns + late_ns, t + 0.3)
        for event in facts.extra_events:
            self._take(event, t + 0.4)
        shown = self._card_tai_ns(t + 0.5) if self.readable else None
        if shown is not None:
            own = EdgeStamp(
                channel="ts5",
                card_tai_ns=tai_ns,
                event_count=k,
                dropped=False,
                read_mono_ns=self.mono_ns(t + 0.05),
            )
            self._take(OwnEdge(stamp=own), t + 0.5)
        self._take(Tick(mono_ns=self.mono_ns(t + 0.5), card_tai_ns=shown), t + 0.5)
        snapshot = self.discipline.snapshot(self.mono_ns(t + 0.5))
        self.rows.append(Row(k, error_ns, self.error_ns(t + 0.5), snapshot))
        self._extra_ns += self._extra_ppb
        self.second += 1

    def _label(self, named_ns: int, k: int, facts: Second, t_s: float) -> PulseLabel:
        return PulseLabel(
            edge_tai_ns=named_ns,
            qerr_ns=float(self.world.sawtooth_ns[k]) if self._with_qerr else None,
            pulse_locked=facts.pulse_locked,
            read_mono_ns=self.mono_ns(t_s),
        )

    def _oscillator(self, facts: Second, seen_ns: float, t_s: float) -> None:
        if self._wanted_ppb is not None:
            wanted, self._wanted_ppb = self._wanted_ppb, None
            self._take(self._steer(wanted, t_s), t_s)
        phase = (seen_ns - self._shift_ns + self.meter_constant_ns) / 0.45
        status = OscillatorStatus(
            locked=facts.oscillator_locked,
            lock_progress_percent=100 if facts.oscillator_locked else 40,
            frequency_ppb=self._steering_ppb,
            phase_ns=round(phase) * 0.45 if facts.pulse else None,
            pps_detected=facts.pulse,
            temperature_mdegc=facts.temperature_mdegc,
            alarms=0,
            alarm_names=(),
            resets=facts.oscillator_resets,
            read_mono_ns=self.mono_ns(t_s),
        )
        self._take(OscillatorReport(status=status), t_s)


def states(rows: list[Row]) -> list[tuple[str, int]]:
    """Runs of states: (state, seconds)."""
    runs: list[tuple[str, int]] = []
    for row in rows:
        if runs and runs[-1][0] == row.state.value:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((row.state.value, 1))
    return runs
