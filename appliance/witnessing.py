"""The other sources of time beside our reference: their newest readings, and once a second the verdict.

Threads that read the sources leave what they found here; everything else happens on the main thread.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from appliance.ensemble.values import Estimate, Reading, Source
from appliance.ensemble.witness import SchemeName, Witness
from appliance.events import WitnessVerdict
from appliance.snapshot import ClockState
from appliance.timescale.discipline import Discipline
from appliance.timescale.models import GnssModel

log = logging.getLogger(__name__)

REFERENCE: Final = "gnss"
FRESH_NS: Final = 5_000_000_000
"""An older reading is none."""
SETTLE_NS: Final = 1_050_000_000
"""After a step of the clock."""
WITHOUT_CLOCK: Final = frozenset({ClockState.FREE_RUN, ClockState.ACQUIRING})
FOLLOWING: Final = frozenset({ClockState.LOCKED, ClockState.RECOVERING})
UNSTEERED: Final = frozenset({ClockState.LOCKED, ClockState.HOLDOVER, ClockState.HOLDOVER_EXPIRED})
"""The clock's rate is that of its oscillator, or of a reference that its oscillator does not contradict."""
JUMPS: Final = 2.0
"""So many times the largest jump of the oscillator is what our own clock's rate may be wrong by unseen."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A reading and when it was made."""

    mono_ns: int
    reading: Reading


class Witnessing:
    """What the engine asks each second."""

    def __init__(
        self, discipline: Discipline, sources: Sequence[Source], *, scheme: SchemeName, act: bool
    ) -> None:
        """``act``: a verdict may cost the reference; else it is only reported."""
        self.scheme = scheme
        self.acts = act
        self.kinds: dict[str, str] = {}
        """Of each source, for the report."""
        self._discipline = discipline
        self._witness = Witness(_reference(discipline.pilot.gnss), sources, scheme)
        self._posted: dict[str, Posted] = {}
        self._ignore_before_ns = 0
        self._said: dict[str, str] = {}

    @property
    def estimate(self) -> Estimate | None:
        """The newest one; None while our own clock is not known."""
        return self._witness.estimate

    @property
    def against(self) -> str | None:
        """The case against the reference."""
        return self._witness.case.against

    def post(self, name: str, mono_ns: int, reading: Reading) -> None:
        """A source's newest reading; any thread."""
        self._posted[name] = Posted(mono_ns, reading)

    def forgive(self) -> None:
        """An operator accepts the reference."""
        self._witness.forgive()

    def to_record(self) -> dict[str, Any]:
        """For the runtime record; empty without a case against the reference."""
        return self._witness.to_record()

    def take_up(self, record: object) -> None:
        """What ``to_record`` gave before a restart."""
        self._witness.take_up(record)

    def stepped(self, delta_ns: int, mono_ns: int) -> None:
        """The card's clock was stepped: readings of before do not count any more."""
        self._witness.stepped(delta_ns)
        self._ignore_before_ns = mono_ns + SETTLE_NS

    def tick(self, mono_ns: int) -> list[WitnessVerdict]:
        """Compare all sources; the verdict when it changed."""
        pilot = self._discipline.pilot
        state = pilot.machine.state
        if self._discipline.resuming:  # the record's clock is known as soon as the card answers
            return []
        if state in WITHOUT_CLOCK or (self.acts and self._witness.told_against and state in FOLLOWING):
            # The second: the pilot has released a reference that was only disputed.
            self._witness.forgive()
        if state in WITHOUT_CLOCK:
            readings, steady_ppb = {}, None
        else:
            readings = self._readings(mono_ns)
            steady_ppb = JUMPS * pilot.oscillator.jump_ppb if state in UNSTEERED else None
        case = self._witness.tick(mono_ns, readings, steady_ppb=steady_ppb)
        self._tell()
        if case is None or not self.acts:
            return []
        doubt = case.doubt
        return [
            WitnessVerdict(
                against=case.against,
                doubt_ns=doubt.phase_ns,
                doubt_ppb=doubt.rate_ppb,
                mono_ns=mono_ns,
                disputed=case.disputed,
            )
        ]

    def _readings(self, mono_ns: int) -> dict[str, Reading]:
        pilot = self._discipline.pilot
        oldest_ns = max(mono_ns - FRESH_NS, self._ignore_before_ns)
        found = {n: p.reading for n, p in list(self._posted.items()) if p.mono_ns >= oldest_ns}
        heard = pilot.heard
        if heard is not None and heard.mono_ns >= oldest_ns:
            found[REFERENCE] = Reading(
                offset_ns=heard.sample_ns,
                sigma_ns=math.hypot(pilot.gnss.sigma_ns, heard.width_ns / math.sqrt(12.0)),
                bias_ns=pilot.judge.bias_ns,
            )
        return found

    def _tell(self) -> None:
        alarms = self._witness.estimate.alarms if self._witness.estimate else {}
        for name in sorted(alarms.keys() - self._said.keys()):
            log.warning("source %s is odd: %s", name, alarms[name])
        for name in sorted(self._said.keys() - alarms.keys()):
            log.warning("source %s agrees again", name)
        self._said = alarms


def _reference(gnss: GnssModel) -> Source:
    """Our GNSS pulse as a source among others."""
    slow_ns = [sigma_ns for sigma_ns, _ in gnss.gauss_markov]
    wander_ns = math.hypot(*slow_ns, gnss.daily_amplitude_ns / math.sqrt(2.0))
    return Source(name=REFERENCE, group=REFERENCE, wander_ns=wander_ns, trusted=True)
