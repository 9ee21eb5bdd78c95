"""Topology A: when the oscillator module follows the pulse by itself, and when we steer it.

The module's own loop is trusted only while the reference is. At the first second in which it is not, we take
over with the tuning in force; once it is good again and the clock is back where it belongs, the module may
go on. Neither direction moves the served time: the card's clock counts the module's 10 MHz and never its
pulse, and the module's phase error is made zero, by a correction told with each pulse, before its loop may
begin, so that there is nothing to jump to or to pull in.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Final

from appliance.events import Action, CorrectPulse, FollowPulse, SyncOscillatorPulse, TakeOver
from timecard.timescale import NS_PER_S

NEAR_NS: Final = 1.0
"""The clock is this close to TAI before the module's loop takes it."""
OFF_NS: Final = 8.0
"""A loop that lets the clock go further off than this, with the estimate's uncertainty, does not hold it."""
GOOD_RUN: Final = 60
"""Pulses in a row that were used, before the module may follow them."""
SILENT_S: Final = 2.2
"""A pulse without a usable sample is ridden through, a second one is not."""
TOLD_FOR_S: Final = 3.0
"""Corrections go out for so long before the loop begins: it is to see corrected pulses only."""
LABEL_OVERDUE_S: Final = 1.2
ANSWER_S: Final = 15.0
"""Within this the module's report must show what it was asked for."""
MUTE_S: Final = 3.0
"""After the last correction the module's phase still may be that of a corrected pulse."""
BACK_OFF_S: Final = (60.0, 600.0, 3600.0)
MAX_TRIM_NS: Final = 20.0
"""A module's pulse further than this from where the clock has its second is moved there first: nobody is
served from it, and the module does less harm should it one day not be told."""


class Mode(Enum):
    """Who closes the loop."""

    OURS = "software steers"
    PREPARING = "software steers, the module is told its corrections"
    ASKED = "the module was told to follow the pulse"
    PART = "the module follows the pulse"
    TAKING = "software takes over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one second's decision is made from."""

    locked: bool
    """The clock's state is locked."""
    believed: bool
    """Nothing at all speaks against the reference."""
    module_locked: bool
    ready: bool
    """The oscillator is known well enough to carry the clock."""
    accepted_run: int
    silent_s: float
    """Since the last sample that was used."""
    phase_ns: float
    phase_sigma_ns: float
    trim_ns: float | None
    """What the module's phase lacks to be the clock's offset; None while not known."""


NO_CLOCK: Final = Facts(
    locked=False, believed=False, module_locked=False, ready=False, accepted_run=0, silent_s=0.0,
    phase_ns=0.0, phase_sigma_ns=0.0, trim_ns=None,
)  # fmt: skip
"""Nothing is known about the clock."""


class HandOver:
    """Who closes the loop; asks for the change, and believes the module's report that it happened."""

    def __init__(self, counters: Counter[str]) -> None:
        self.mode = Mode.OURS
        self.reason = "start"
        """Why software steers, or why it did last."""
        self._counters = counters
        self._since_ns = 0
        self._trim_ns = 0.0
        self._label_ns: int | None = None
        self._told_ns: int | None = None
        self._not_before_ns = 0
        self._failures = 0

    # ------------------------------------------------------------------ what others ask

    @property
    def hands_off(self) -> bool:
        """The module's loop steers, or is about to: no steering of ours."""
        return self.mode in (Mode.ASKED, Mode.PART)

    @property
    def telling(self) -> bool:
        """Corrections go to the module."""
        return self.mode in (Mode.PREPARING, Mode.ASKED, Mode.PART)

    @property
    def untold_ns(self) -> float:
        """How far the module's loop would move the clock if nobody told it the corrections any more."""
        return abs(self._trim_ns) if self.hands_off else 0.0

    def meter_is_shifted(self, mono_ns: int) -> bool:
        """The module's phase has our corrections in it, or may have."""
        return self._told_ns is not None and mono_ns - self._told_ns < round(MUTE_S * NS_PER_S)

    # ------------------------------------------------------------------ what happens

    def label(self, mono_ns: int, qerr_ns: float | None) -> list[Action]:
        """The receiver announced its next pulse; ``qerr_ns`` is that pulse's sawtooth, if usable."""
        self._label_ns = mono_ns
        return self._tell(mono_ns, qerr_ns or 0.0) if self.telling else []

    def report(self, disciplining: bool | None, mono_ns: int) -> list[Action]:
        """The module's own word on its loop."""
        if disciplining is True:
            if self.mode is Mode.ASKED:
                self._change(Mode.PART, mono_ns)
                self._counters["hand_overs"] += 1
            elif self.mode in (Mode.OURS, Mode.PREPARING):
                return self._take_over("the module followed the pulse without being asked", mono_ns)
        elif disciplining is False:
            if self.mode is Mode.PART:
                self._change(Mode.OURS, mono_ns)
                self._back_off("the module's loop has ended", mono_ns)
            elif self.mode is Mode.TAKING:
                self._change(Mode.OURS, mono_ns)
        return []

    def tick(self, mono_ns: int, facts: Facts) -> list[Action]:
        """Once a second."""
        for_s = (mono_ns - self._since_ns) / NS_PER_S
        if self.mode is Mode.TAKING:
            return self._take_over(self.reason, mono_ns) if for_s > ANSWER_S else []
        if self.mode is Mode.OURS:
            return self._consider(mono_ns, facts)
        problem = _problem(facts)
        if problem is not None:
            return self._give_back(problem, mono_ns)
        if self._runs_off(facts):
            self._back_off(f"the module's loop lets the clock go {facts.phase_ns:.1f} ns off", mono_ns)
            return self._give_back(self.reason, mono_ns)
        if self.mode is Mode.ASKED and for_s > ANSWER_S:
            self._back_off("the module did not begin to follow the pulse", mono_ns)
            return self._give_back(self.reason, mono_ns)
        if self.mode is Mode.PART and for_s > BACK_OFF_S[-1]:
            self._failures = 0
        overdue = self._label_ns is None or mono_ns - self._label_ns > round(LABEL_OVERDUE_S * NS_PER_S)
        actions = self._tell(mono_ns, 0.0) if overdue else []
        if self.mode is Mode.PREPARING and for_s >= TOLD_FOR_S:
            self._change(Mode.ASKED, mono_ns)
            actions.append(FollowPulse())
        return actions

    # ------------------------------------------------------------------ inside

    def _consider(self, mono_ns: int, facts: Facts) -> list[Action]:
        trim_ns = facts.trim_ns
        if mono_ns < self._not_before_ns or _problem(facts) is not None or trim_ns is None:
            return []
        if facts.accepted_run < GOOD_RUN or not facts.ready or abs(facts.phase_ns) > NEAR_NS:
            return []
        if abs(trim_ns) > MAX_TRIM_NS:
            self._back_off(f"the module's pulse was {trim_ns:.0f} ns from where it belongs", mono_ns)
            return [SyncOscillatorPulse()]
        self._trim_ns = trim_ns
        self._change(Mode.PREPARING, mono_ns)
        return []

    def _runs_off(self, facts: Facts) -> bool:
        return self.mode is Mode.PART and abs(facts.phase_ns) > OFF_NS + 3.0 * facts.phase_sigma_ns

    def _tell(self, mono_ns: int, qerr_ns: float) -> list[Action]:
        self._told_ns = mono_ns
        return [CorrectPulse(correction_ns=self._trim_ns + qerr_ns)]

    def _give_back(self, reason: str, mono_ns: int) -> list[Action]:
        if self.mode is Mode.PREPARING:
            self.reason = reason
            self._change(Mode.OURS, mono_ns)
            return []
        return self._take_over(reason, mono_ns)

    def _take_over(self, reason: str, mono_ns: int) -> list[Action]:
        self.reason = reason
        self._counters["take_overs"] += 1
        self._change(Mode.TAKING, mono_ns)
        return [TakeOver()]

    def _back_off(self, reason: str, mono_ns: int) -> None:
        self.reason = reason
        pause_s = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        self._failures += 1
        self._not_before_ns = mono_ns + round(pause_s * NS_PER_S)

    def _change(self, mode: Mode, mono_ns: int) -> None:
        self.mode, self._since_ns = mode, mono_ns


def _problem(facts: Facts) -> str | None:
    """Why the module must not follow the pulse now."""
    table = (
        (facts.locked, "the clock is not locked"),
        (facts.believed, "something speaks against the reference"),
        (facts.module_locked, "the module is not locked"),
        (facts.silent_s <= SILENT_S, "no usable pulse"),
    )
    return next((text for holds, text in table if not holds), None)
