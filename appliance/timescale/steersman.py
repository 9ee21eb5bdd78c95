"""Steering: when a command is sent, and the record of what the actuator did."""

from __future__ import annotations

from typing import Final

from appliance.events import Action, Steer, SteeringApplied
from appliance.timescale.discipline_config import DisciplineConfig
from appliance.timescale.models import OscillatorModel
from appliance.timescale.servo import Servo, ServoLimits, SteeringRecord
from appliance.timescale.tracking import Tracker
from timecard.timescale import NS_PER_S

REFRESH_NS: Final = 10 * NS_PER_S
LEAST_CHANGE_PPB: Final = 1e-4
FOREIGN_PPB: Final = 1e-3
"""A module that reports a steering this far from the one on record was steered by somebody else."""


class Steersman:
    """The regulator with its actuator."""

    def __init__(self, config: DisciplineConfig, oscillator: OscillatorModel, mono_ns: int) -> None:
        self._topology = config.topology
        self._limits = ServoLimits(
            max_ppb=config.actuator_max_ppb,
            resolution_ppb=config.actuator_resolution_ppb,
            slew_ns_per_s=config.slew_ns_per_s,
            max_slew_ns_per_s=config.max_slew_ns_per_s,
        )
        self._servo = Servo(oscillator.steering_time_s, self._limits)
        self._sent_ns = mono_ns - REFRESH_NS
        self.record = SteeringRecord(mono_ns)
        self.alarm: str | None = None
        self.hands_off = False
        """Topology A: the module's own loop steers now."""
        self.untold_ns = 0.0
        """Topology A: how far the module's loop would move the clock if its corrections ceased to be told."""
        self.level = False
        """Topology A: only the oscillator's frequency is compensated, no phase is removed: what the module's
        loop begins with is what it needs in the long run."""

    @property
    def frequency_ppb(self) -> float:
        """Steering in force."""
        return self.record.frequency_ppb

    def steer(self, tracker: Tracker, mono_ns: int, *, fast: bool) -> list[Action]:
        """The command for the next second; nothing when the one in force will do."""
        if self._topology == "D" or self.hands_off:
            return []
        phase_ns = 0.0 if self.level else tracker.phase_ns(mono_ns)
        command_ppb = self._servo.command(tracker.oscillator_ppb(), phase_ns, fast=fast)
        at_limit = self._servo.saturated
        self.alarm = f"steering at its limit of {self._limits.max_ppb:g} ppb" if at_limit else None
        # A kernel driver zeroes the drift register when the pulse is lost: in topology C always write again.
        due = self._topology == "C" or mono_ns - self._sent_ns >= REFRESH_NS
        if not due and abs(command_ppb - self.frequency_ppb) < LEAST_CHANGE_PPB:
            return []
        self._sent_ns = mono_ns
        return [Steer(frequency_ppb=command_ppb)]

    def adopt(self, oscillator: OscillatorModel) -> None:
        """The oscillator is known better: steer as fast as it wants."""
        self._servo.set_steering_time(oscillator.steering_time_s)

    def applied(self, event: SteeringApplied) -> None:
        """The actuator took a command."""
        self.record.apply(event.frequency_ppb, event.mono_ns)
        self._servo.applied(event.frequency_ppb)

    def reported(self, frequency_ppb: float, mono_ns: int) -> None:
        """The module's own word on its steering: believed when it differs (first report, foreign hand).

        While its own loop steers, its word is all there is.
        """
        differs_ppb = abs(frequency_ppb - self.frequency_ppb)
        if differs_ppb > FOREIGN_PPB or (self.hands_off and differs_ppb > 0.0):
            self.record.apply(frequency_ppb, mono_ns)
