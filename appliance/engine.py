"""The engine: the discipline joined to the card. The only writer of the card's clock.

``take`` hands an event to the discipline and carries out what it asks for; what was really done goes back as
an event. It owns no thread: the daemon's main loop calls it live, the simulation calls it in virtual time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, assert_never

from appliance.board import StatusBoard
from appliance.events import (
    Action,
    ClockStepped,
    CorrectPulse,
    Event,
    FollowPulse,
    SourceFault,
    SourceRestored,
    Steer,
    SteeringApplied,
    StepClock,
    SyncOscillatorPulse,
    TakeOver,
    Tick,
)
from appliance.module_loop import ModuleLoop
from appliance.sources import OscillatorSource
from appliance.timescale.discipline import Discipline
from appliance.witnessing import Witnessing
from timecard.errors import TimeCardError
from timecard.protocols import Clock, CrossTimestamping
from timecard.timebase import Timebase

log = logging.getLogger(__name__)


class CardClock(Clock, CrossTimestamping, Protocol):
    """What the engine needs of the card's clock."""


class Engine:
    """Event in, action carried out, result back in."""

    def __init__(
        self,
        discipline: Discipline,
        clock: CardClock,
        timebase: Timebase,
        *,
        oscillator: OscillatorSource | None,
        sync_pulse: Callable[[], None] | None = None,
        module_loop: ModuleLoop | None = None,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.discipline = discipline
        self.board = StatusBoard()
        self._clock = clock
        self._timebase = timebase
        self._oscillator = oscillator
        self._sync_pulse = sync_pulse
        self._module_loop = module_loop
        self._on_step = on_step
        self._card_lost = False
        self.witnessing: Witnessing | None = None
        """Other sources of time, where there are any."""

    def take(self, event: Event) -> None:
        """Handle one event and everything that follows from it."""
        pending = [event]
        while pending:
            current = pending.pop(0)
            self.board.note(current)
            for action in self.discipline.handle(current):
                pending.extend(self._carry_out(action))

    def tick(self) -> None:
        """Once a second: read the clock, so that silence and a dead card are seen."""
        now_ns = self._timebase.mono_ns()
        card_tai_ns: int | None = None
        try:
            # Both clocks at one instant: a reading of one after the other would call a busy host a step.
            sample = self._clock.cross_timestamp()
            now_ns, card_tai_ns = sample.mono_raw_ns, sample.card_tai_ns
        except TimeCardError as error:
            if not self._card_lost:
                self._card_lost = True
                self.take(SourceFault(source="card", reason=str(error), mono_ns=now_ns))
        else:
            if self._card_lost:
                self._card_lost = False
                self.take(SourceRestored(source="card", mono_ns=now_ns))
        self.take(Tick(mono_ns=now_ns, card_tai_ns=card_tai_ns))
        if self.witnessing is not None:
            for verdict in self.witnessing.tick(now_ns):
                self.take(verdict)

    def _carry_out(self, action: Action) -> list[Event]:
        now_ns = self._timebase.mono_ns()
        try:
            match action:
                case StepClock(delta_ns=delta_ns):
                    self._clock.step_ns(delta_ns)
                    self._on_step()
                    if self.witnessing is not None:
                        self.witnessing.stepped(delta_ns, now_ns)
                    log.warning("clock stepped delta_ns=%d", delta_ns)
                    return [ClockStepped(delta_ns=delta_ns, mono_ns=now_ns)]
                case Steer(frequency_ppb=frequency_ppb):
                    if self._oscillator is not None:
                        self._oscillator.steer(frequency_ppb)
                        return []
                    in_force_ppb = self._clock.set_frequency_ppb(frequency_ppb)
                    return [SteeringApplied(frequency_ppb=in_force_ppb, mono_ns=now_ns)]
                case SyncOscillatorPulse():
                    if self._oscillator is not None and self._sync_pulse is not None:
                        self._oscillator.submit(self._sync_pulse)
                    return []
                case CorrectPulse() | FollowPulse() | TakeOver():
                    self._hand_over(action)
                    return []
                case _ as never:
                    assert_never(never)
        except TimeCardError as error:
            return [SourceFault(source="actuator", reason=str(error), mono_ns=now_ns)]

    def _hand_over(self, action: CorrectPulse | FollowPulse | TakeOver) -> None:
        loop, source = self._module_loop, self._oscillator
        if loop is None or source is None:
            return
        match action:
            case CorrectPulse(correction_ns=correction_ns):
                source.submit(lambda: loop.correct_pulse(correction_ns))
            case FollowPulse():
                source.submit(loop.follow)
            case TakeOver():
                source.submit(loop.take_over)
