"""The start: what has to be there first, and coarse time that is checked twice before it is believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appliance.timescale.card_watch import CardTime
from appliance.timescale.coarse_time import CoarseTime
from appliance.timescale.discipline_config import DisciplineConfig
from appliance.timescale.oscillator_watch import OscillatorWatch
from appliance.timescale.reference import ReferenceHealth
from timecard.timescale import NS_PER_S
from timecard.values import EdgeStamp

COARSE_STEP_NS: Final = 1_000
SERVO_REACH_NS: Final = NS_PER_S // 4
"""Topology D: the card's servo pulls the clock in by itself from here."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a verified edge leads to: a step first, or the filter at once."""

    step_ns: int | None
    """Add this to the clock before anything else."""
    error_ns: float
    """Clock minus TAI, when no step is needed."""


class StartUp:
    """Waits for clock, oscillator and reference, then finds the second."""

    def __init__(
        self,
        config: DisciplineConfig,
        card_time: CardTime,
        health: ReferenceHealth,
        module: OscillatorWatch,
    ) -> None:
        self._config, self._card_time, self._health, self._module = config, card_time, health, module
        self._coarse = CoarseTime()
        self.time_verified = False
        """The second was verified and the clock stepped onto it: the next edge begins the filter."""
        self.waiting_for = "the first reading of the card's clock"
        self._missed = True

    def reset(self) -> None:
        """Begin anew."""
        self._coarse.reset()
        self.time_verified = False

    def ready(self, mono_ns: int, *, forced_holdover: bool) -> bool:
        """Everything that a start needs is there; else ``waiting_for`` says what is missing."""
        found = self._health.evidence(mono_ns)
        reference = f"the reference ({', '.join(found)})" if found else "a valid fix"
        module_ready = not self._config.uses_module or self._module.locked is True
        table = (
            (self._card_time.known, "the first reading of the card's clock"),
            (not forced_holdover, "an operator to leave holdover"),
            (module_ready, self._module.waiting_for),
            (self._health.usable(mono_ns), reference),
        )
        missing = [reason for passed, reason in table if not passed]
        if missing:
            self.waiting_for = missing[0]
        elif self._missed:
            self.waiting_for = "two pulses that name the same time"
        self._missed = bool(missing)
        return not missing

    def edge(self, stamp: EdgeStamp, second_tai_ns: int) -> Start | None:
        """An edge while everything is ready; None while the second is not certain."""
        offset_ns = stamp.card_tai_ns - second_tai_ns
        error_ns = offset_ns - self._config.delay_ns
        if self.time_verified:
            self.reset()
            return Start(None, error_ns)
        if self._coarse.offer(second_tai_ns, stamp.card_tai_ns, self._health.fix) is None:
            return None
        follows = self._config.topology == "D"
        if abs(offset_ns) <= (SERVO_REACH_NS if follows else COARSE_STEP_NS):
            self.reset()
            return Start(None, error_ns)
        if follows:
            self.waiting_for = "the card's own servo to set the clock"
            return None
        self.time_verified = True
        # The offset may be half a century: the delay is taken off in whole ns, never in a float of that size.
        return Start(round(self._config.delay_ns) - offset_ns, 0.0)
