"""Is the reference to be believed? Evidence from the receiver's words, and corroboration.

One odd word is no loss: evidence counts as corroborated when two independent kinds of it agree, when one
persists, or when the source itself has gone. Antenna open alone is an alarm (splitters with a DC block look
like that).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from timecard.timescale import NS_PER_S
from timecard.values import (
    Alarm,
    AntennaPosition,
    AntennaStatus,
    FixType,
    GnssEvent,
    GnssFix,
    JammingState,
    PulseLabel,
    RfStatus,
    SatelliteView,
    SpoofingState,
    SurveyStatus,
)

PERSISTS_NS: Final = 1_200_000_000
"""Evidence of one kind that lasts this long is believed: it was said twice at one message a second."""
SILENT_NS: Final = 10 * NS_PER_S
"""A receiver that reports no navigation epoch for this long is not believed, even if its pulses go on."""
STALE_NS: Final = 5 * NS_PER_S
"""A word older than this is no evidence either way."""
POSITION_NS_PER_M: Final = 3.0
"""Time error of a timing receiver per metre of height error, at most."""
POSITION_K: Final = 3.0
WORST_M: Final = 10_000.0
"""A receiver that says more of its position, or no number, knows nothing of it."""
NO_FIX: Final = frozenset({FixType.NONE, FixType.DEAD_RECKONING})
AT_ONCE: Final = frozenset({"receiver silent", "receiver lost", "pulse input lost"})
CORROBORATED: Final = frozenset({
    "time-jump", "label-mismatch", "leap-mismatch", "position-jump", "signal-drop", "antenna-short",
})  # fmt: skip
"""Integrity alarms that cost the reference at once. The other unusable ones keep samples out, and cost it
when they last: a late message passes by itself, and most words are judged here as well."""
SAID_ANYWAY: Final = frozenset({
    "antenna-open", "antenna-short", "antenna-unpowered", "jamming-warning", "jamming-critical", "spoofing",
    "fix-lost", "time-invalid", "pulse-unlocked",
})  # fmt: skip
"""Those that this module says in its own words."""
_LOST_SOURCES: Final = {"gnss": "receiver lost", "pps": "pulse input lost"}


class ReferenceHealth:
    """Collects what the receiver says about itself."""

    def __init__(
        self, *, min_satellites: int, max_time_accuracy_ns: float, fixed_sigma_m: float | None = None
    ) -> None:
        """``fixed_sigma_m``: of the antenna's position, where an administrator has given it."""
        self._min_satellites = min_satellites
        self._fixed_sigma_m = fixed_sigma_m
        self._reported_sigma_m = 0.0
        self._max_time_accuracy_ns = max_time_accuracy_ns
        self._fix: GnssFix | None = None
        self._label: PulseLabel | None = None
        self._rf: dict[str, tuple[object, int]] = {}
        self._survey: SurveyStatus | None = None
        self._lost: dict[str, str] = {}
        self._integrity: dict[str, Alarm] = {}
        self._witnesses: str | None = None
        self._disputed = False
        self._since: dict[str, int] = {}
        self._clean_since_ns: int | None = None

    # ------------------------------------------------------------------ words in

    def note(self, event: GnssEvent) -> None:
        """Take one word of the receiver."""
        match event:
            case GnssFix():
                self._fix = event
            case PulseLabel():
                self._label = event
            case RfStatus():
                for name in ("antenna", "antenna_powered", "jamming", "spoofing"):
                    value = getattr(event, name)
                    if value is not None:
                        self._rf[name] = (value, event.read_mono_ns)
                return
            case SurveyStatus():
                self._survey = event
                return
            case AntennaPosition():
                # Without a fix it says how far the antenna may be by now, which is no error of its time.
                if event.sigma_m is not None and self._fix is not None and self._fix.fix_ok:
                    self._reported_sigma_m = event.sigma_m
                return
            case SatelliteView():
                return
            case _:
                return
        self._review(event.read_mono_ns)

    def note_alarm(self, alarm: Alarm) -> None:
        """A fault of the receiver begins or ends (``timecard.gnss.integrity``)."""
        if alarm.active:
            self._integrity[alarm.name] = alarm
        else:
            self._integrity.pop(alarm.name, None)
        self._review(alarm.read_mono_ns)

    def note_witnesses(self, against: str | None, mono_ns: int, *, disputed: bool = False) -> None:
        """Other sources of time contradict the reference, or do not any more (None).

        ``disputed``: not a majority of them.
        """
        self._witnesses = None if against is None else f"contradicted by other sources: {against}"
        self._disputed = disputed
        self._review(mono_ns)

    def overrule_dispute(self, mono_ns: int) -> None:
        """What is only disputed does not count any more; a majority's verdict stands."""
        if self._disputed:
            self.note_witnesses(None, mono_ns)

    def source_lost(self, source: str, mono_ns: int) -> None:
        """A source of the reference stopped working (``gnss`` or ``pps``)."""
        if source in _LOST_SOURCES:
            self._lost[source] = _LOST_SOURCES[source]
            self._review(mono_ns)

    def source_restored(self, source: str, mono_ns: int) -> None:
        """It works again."""
        self._lost.pop(source, None)
        self._review(mono_ns)

    # ------------------------------------------------------------------ judgement out

    @property
    def fix(self) -> GnssFix | None:
        """The newest navigation epoch."""
        return self._fix

    def evidence(self, mono_ns: int) -> tuple[str, ...]:
        """What speaks against the reference now, in plain words."""
        self._review(mono_ns)
        return tuple(self._since)

    def loss(self, mono_ns: int) -> str | None:
        """The corroborated loss in plain words, or None."""
        found = self.evidence(mono_ns)
        if (
            len(found) >= 2
            or self._witnesses is not None
            or any(name in AT_ONCE for name in found)
            or any(mono_ns - since_ns >= PERSISTS_NS for since_ns in self._since.values())
        ):
            return ", ".join(found)
        return None

    def usable(self, mono_ns: int) -> bool:
        """A pulse seen now may be used: a valid fix was reported and nothing speaks against it."""
        distrusted = any(alarm.unusable for alarm in self._integrity.values())
        return not self.evidence(mono_ns) and self._fix is not None and not distrusted

    def speaks(self, mono_ns: int) -> bool:
        """The receiver itself calls its pulse good, whatever other sources say."""
        return set(self.evidence(mono_ns)) <= {self._witnesses} and self._fix is not None

    def clean_for_ns(self, mono_ns: int) -> int:
        """For how long nothing has spoken against the reference."""
        if not self.usable(mono_ns) or self._clean_since_ns is None:
            return 0
        return mono_ns - self._clean_since_ns

    def alarms(self, mono_ns: int) -> tuple[str, ...]:
        """What an operator should look at, whether or not it costs the reference."""
        found = [f"reference: {name}" for name in self.evidence(mono_ns)]
        antenna = self._rf_value("antenna", mono_ns)
        if antenna in (AntennaStatus.OPEN, AntennaStatus.SHORT):
            found.append(f"antenna {antenna.name.lower()}")
        if self._rf_value("antenna_powered", mono_ns) is False:
            found.append("antenna not powered")
        if self._rf_value("jamming", mono_ns) is JammingState.WARNING:
            found.append("jamming warning")
        if self._survey is not None and not self._survey.valid and self._survey.active:
            found.append("survey-in not finished")
        found += [
            f"{name}: {alarm.evidence}" for name, alarm in self._integrity.items() if name not in SAID_ANYWAY
        ]
        return tuple(found)

    @property
    def position_bias_ns(self) -> float:
        """What the antenna's position adds to the bound: a wrong height is a slowly varying time error.

        It is as good as the survey that runs, as an administrator says, as the survey has ended with, or as
        the receiver itself believes.
        """
        survey = self._survey
        surveying = survey is not None and survey.active and not survey.valid
        known_m = None if surveying else self._fixed_sigma_m
        if known_m is None and survey is not None and (survey.active or survey.valid):
            known_m = survey.position_sigma_m
        sigma_m = known_m or self._reported_sigma_m
        return POSITION_NS_PER_M * POSITION_K * (sigma_m if sigma_m <= WORST_M else WORST_M)

    # ------------------------------------------------------------------ inside

    def _rf_value(self, name: str, mono_ns: int) -> object:
        value, read_ns = self._rf.get(name, (None, 0))
        return value if mono_ns - read_ns <= STALE_NS else None

    def _review(self, mono_ns: int) -> None:
        now = self._found(mono_ns)
        for name in [name for name in self._since if name not in now]:
            del self._since[name]
        for name in now:
            self._since.setdefault(name, mono_ns)
        if now or self._fix is None:
            self._clean_since_ns = None
        elif self._clean_since_ns is None:
            self._clean_since_ns = mono_ns

    def _found(self, mono_ns: int) -> list[str]:
        found = list(self._lost.values())
        if self._witnesses is not None:
            found.append(self._witnesses)
        fix = self._fix
        if fix is not None and mono_ns - fix.read_mono_ns > SILENT_NS:
            return [*found, "receiver silent"]
        if fix is not None and mono_ns - fix.read_mono_ns <= STALE_NS:
            found.extend(name for name, test in _FIX_TESTS if test(fix))
            if fix.satellites_used is not None and fix.satellites_used < self._min_satellites:
                found.append("too few satellites")
            if fix.time_accuracy_ns is not None and fix.time_accuracy_ns > self._max_time_accuracy_ns:
                found.append("receiver's time accuracy poor")
        label = self._label
        if label is not None and mono_ns - label.read_mono_ns <= STALE_NS and not label.pulse_locked:
            found.append("pulse not locked")
        if self._rf_value("jamming", mono_ns) is JammingState.CRITICAL:
            found.append("jamming critical")
        if self._rf_value("spoofing", mono_ns) in (SpoofingState.INDICATED, SpoofingState.MULTIPLE):
            found.append("spoofing indicated")
        if any(
            alarm.unusable and (name in CORROBORATED or mono_ns - alarm.read_mono_ns > SILENT_NS)
            for name, alarm in self._integrity.items()
        ):
            found.append("integrity alarm")
        return found


_FIX_TESTS: Final[tuple[tuple[str, Callable[[GnssFix], bool]], ...]] = (
    ("no fix", lambda fix: not fix.fix_ok or fix.fix in NO_FIX),
    ("time not valid", lambda fix: not fix.time_valid),
    ("receiver's date not credible", lambda fix: fix.time_valid and fix.epoch_tai_ns is None),
)
