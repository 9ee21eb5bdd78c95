"""From edges and meter readings to phase samples: one per second, from the finer instrument to be trusted.

Topologies C and D have the timestamper alone. In topology B the oscillator module measures the same pulse in
finer steps and tells of it within the second; until its constant is known, and whenever it disagrees, the
timestamper's own value is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appliance.timescale.phase_meter import PhaseMeter
from timecard.timescale import NS_PER_S

WAIT_NS: Final = 600_000_000
"""How long an edge waits for the module's word."""
EARLIEST_NS: Final = 20_000_000
"""A report read sooner after the edge speaks of the pulse before."""


@dataclass(frozen=True, slots=True)
class PulseSample:
    """Clock minus the pulse's second, delays and sawtooth not yet removed."""

    mono_ns: int
    raw_ns: float
    qerr_ns: float | None
    resolution_ns: float
    from_meter: bool = False


class PulseSamples:
    """Combines timestamper and phase meter."""

    def __init__(self, resolution_ns: float, *, with_meter: bool, meter_resolution_ns: float = 0.0) -> None:
        self._resolution_ns, self._meter_resolution_ns = resolution_ns, meter_resolution_ns
        self.meter = PhaseMeter() if with_meter else None
        self._waiting: PulseSample | None = None
        self._used = False

    def forget(self) -> None:
        """The clock was moved or the reference is gone: nothing seen before counts."""
        self._waiting = None
        if self.meter is not None:
            self.meter.forget()

    def mute(self) -> None:
        """The meter's readings have something else in them: its constant is learnt anew afterwards.

        An edge that waits for a reading is used without it.
        """
        if self.meter is not None:
            self.meter.forget()

    def edge(self, mono_ns: int, raw_ns: float, qerr_ns: float | None) -> list[PulseSample]:
        """An edge: the samples that can be used now, an earlier one that still waited included."""
        ready = self._release()
        sample = PulseSample(mono_ns, raw_ns, qerr_ns, self._resolution_ns)
        if self.meter is None:
            return [*ready, sample]
        self._waiting, self._used = sample, not self.meter.usable
        return [*ready, sample] if self._used else ready

    def overdue(self, mono_ns: int) -> list[PulseSample]:
        """The edge whose meter reading did not come."""
        waiting = self._waiting
        return self._release() if waiting is not None and mono_ns - waiting.mono_ns >= WAIT_NS else []

    def reading(self, read_mono_ns: int, phase_ns: float) -> list[PulseSample]:
        """A meter reading: the refined sample of the waiting edge, if it is of that edge."""
        waiting = self._waiting
        if self.meter is None or waiting is None:
            return []
        if not EARLIEST_NS <= read_mono_ns - waiting.mono_ns < NS_PER_S:
            return []
        refined_ns = self.meter.refine(waiting.raw_ns, phase_ns)
        if self._used or refined_ns is None:
            return self._release()
        self._waiting = None
        step_ns = self._meter_resolution_ns
        return [PulseSample(waiting.mono_ns, refined_ns, waiting.qerr_ns, step_ns, from_meter=True)]

    def _release(self) -> list[PulseSample]:
        waiting, self._waiting = self._waiting, None
        return [] if waiting is None or self._used else [waiting]
