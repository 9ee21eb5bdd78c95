"""The regulator: from an estimate to a frequency command, and the record of what was really in force.

By the separation principle the estimates are used as if they were true: ``u = -(y + x / Ts)``. The phase part
is limited to a slew rate; the frequency part is not touched by it, so a large phase error never spoils what
is known about frequency.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from timecard.timescale import NS_PER_S

RECOVERY_S: Final = 650.0
"""Planned length of a slew, so that with its exponential tail it ends within 15 minutes."""
HISTORY: Final = 256
MAX_ROUNDING_PPB: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServoLimits:
    """What the actuator can do and how fast phase may be moved."""

    max_ppb: float
    resolution_ppb: float
    """Step of the actuator; 0 when it is finer than anything that matters."""
    slew_ns_per_s: float = 1.0
    max_slew_ns_per_s: float = 100.0


class Servo:
    """Regulator with slew limit, actuator limit and first-order sigma-delta."""

    def __init__(self, steering_time_s: float, limits: ServoLimits) -> None:
        self._steering_time_s = steering_time_s
        self._limits = limits
        self._residue_ppb = 0.0
        self._commanded_ppb: float | None = None
        self._slew_ns_per_s = limits.slew_ns_per_s

    def set_steering_time(self, seconds: float) -> None:
        """Another time constant from now on."""
        self._steering_time_s = seconds

    def slew_ppb(self, phase_ns: float, *, fast: bool = False) -> float:
        """Rate that removes ``phase_ns``: exponential when small, at a constant slew rate when large.

        The slew rate is the default, more if the slew would take longer than planned, and with ``fast``
        (nobody is served yet) the largest. It is kept until the phase is small again.
        """
        limits = self._limits
        planned = max(self._slew_ns_per_s, abs(phase_ns) / RECOVERY_S)
        rate = min(limits.max_slew_ns_per_s if fast else planned, limits.max_slew_ns_per_s)
        slewing = abs(phase_ns) > limits.slew_ns_per_s * self._steering_time_s
        self._slew_ns_per_s = rate if slewing and not fast else limits.slew_ns_per_s
        # The only sign change of the loop: a clock that is ahead must run slower.
        return -max(-rate, min(rate, phase_ns / self._steering_time_s))

    def command(self, oscillator_ppb: float, phase_ns: float, *, fast: bool = False) -> float:
        """The command for the next second, in whole steps of the actuator.

        The rounding residue is added to the next command, also in holdover: a frozen rounded command would be
        wrong by up to half a step for ever.
        """
        wanted_ppb = self.slew_ppb(phase_ns, fast=fast) - oscillator_ppb
        step_ppb, limit_ppb = self._limits.resolution_ppb, self._limits.max_ppb
        carried_ppb = wanted_ppb + self._residue_ppb
        rounded_ppb = round(carried_ppb / step_ppb) * step_ppb if step_ppb > 0.0 else carried_ppb
        command_ppb = max(-limit_ppb, min(limit_ppb, rounded_ppb))
        # A saturated actuator must not wind the residue up.
        self._residue_ppb = 0.0 if command_ppb != rounded_ppb else carried_ppb - command_ppb
        self._commanded_ppb = command_ppb
        return command_ppb

    def applied(self, frequency_ppb: float) -> None:
        """Fold what the actuator did otherwise than told into the residue."""
        if self._commanded_ppb is None:
            return
        missing_ppb = self._commanded_ppb - frequency_ppb
        # More than a coarse actuator's step is a limit or another hand, not rounding.
        if abs(missing_ppb) <= max(self._limits.resolution_ppb, MAX_ROUNDING_PPB):
            self._residue_ppb += missing_ppb
        self._commanded_ppb = None

    @property
    def saturated(self) -> bool:
        """The last command stood at the actuator's limit."""
        return self._commanded_ppb is not None and abs(self._commanded_ppb) >= self._limits.max_ppb


class SteeringRecord:
    """Phase that steering has added, as a function of monotonic time."""

    def __init__(self, mono_ns: int, frequency_ppb: float = 0.0) -> None:
        self._pieces: deque[tuple[int, float, float]] = deque([(mono_ns, 0.0, frequency_ppb)], HISTORY)

    @property
    def frequency_ppb(self) -> float:
        """Steering in force."""
        return self._pieces[-1][2]

    def apply(self, frequency_ppb: float, mono_ns: int) -> None:
        """From ``mono_ns`` on this steering is in force."""
        if not math.isfinite(frequency_ppb):
            raise ValueError(f"steering: {frequency_ppb} ppb is not a frequency")
        at_ns = max(mono_ns, self._pieces[-1][0])
        self._pieces.append((at_ns, self.phase_ns(at_ns), frequency_ppb))

    def phase_ns(self, mono_ns: int) -> float:
        """Phase added from the start of the record to ``mono_ns``, ns."""
        for start_ns, phase_ns, frequency_ppb in reversed(self._pieces):
            if start_ns <= mono_ns:
                return phase_ns + frequency_ppb * ((mono_ns - start_ns) / NS_PER_S)
        start_ns, phase_ns, frequency_ppb = self._pieces[0]
        return phase_ns + frequency_ppb * ((mono_ns - start_ns) / NS_PER_S)

    def spread_ppb(self, mono_ns: int, window_s: float) -> float:
        """Largest minus smallest steering of the last ``window_s``: how far an unseen change may go."""
        since_ns = mono_ns - round(window_s * NS_PER_S)
        recent = [ppb for start_ns, _, ppb in self._pieces if start_ns >= since_ns]
        recent.append(self.frequency_ppb)
        return max(recent) - min(recent)
