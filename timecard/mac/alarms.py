"""Faults of an oscillator, found in what it says and in what it fails to say. Pure: no device, no clock.

One ``OscillatorMonitor`` per part is fed with every status, every error of a call, and the count of its
non-volatile writes; it returns alarms that begin or end. ``PartLimits`` say what is normal for a family.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from timecard.errors import (
    DeviceAbsentError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    TimeCardError,
    UnsupportedError,
)
from timecard.mac.driver import PartLimits
from timecard.mac.wear import WearUsage
from timecard.timescale import NS_PER_S
from timecard.values import Alarm, OscillatorStatus


class AlarmKind(NamedTuple):
    """What an alarm means."""

    words: str
    unusable: bool
    """While it lasts, the part's frequency must not be used."""


ALARMS: Final[Mapping[str, AlarmKind]] = MappingProxyType({
    # from what every part says
    "unlocked": AlarmKind("the atomic lock is lost", True),
    "warm-up-too-long": AlarmKind("no lock after the time that a cold part needs", True),
    "no-pulse": AlarmKind("its own loop has no input pulse: it holds its frequency over", False),
    "steering-limit": AlarmKind("the steering is at the end of its range", True),
    "temperature-out-of-range": AlarmKind("the part is hotter or colder than it may be", False),
    "thermometer-fault": AlarmKind("the thermometer gives no value any more", False),
    "phase-runaway": AlarmKind("the phase was under control and runs away", True),
    "reset": AlarmKind("the part started anew: what was not stored is lost", True),
    # from what it does not say, or not rightly
    "silent": AlarmKind("the part gives no whole answer", True),
    "lost": AlarmKind("the way to the part is gone", True),
    "damaged-answers": AlarmKind("answers come damaged: noise, or another program reads too", True),
    "refused": AlarmKind("the part does not take a request that it should take", False),
    # from its own alarm bits
    "fpga-fault": AlarmKind("FPGA fault", True),
    "pll-fault": AlarmKind("PLL fault", True),
    "flash-fault": AlarmKind("flash fault: settings may not survive a restart", False),
    "acquisition-failed": AlarmKind("the last acquisition of the lock failed", True),
    "reference-missing": AlarmKind("an external oscillator that it expects is missing", True),
    "heater-fault": AlarmKind("the cell's heater cannot hold its temperature", True),
    "firmware-fault": AlarmKind("its firmware failed, or does not fit its hardware", True),
    "temperature-unstable": AlarmKind("its inner temperature is not stable: worse than specified", False),
    "contrast-low": AlarmKind("the atomic signal is weak", True),
    "light-low": AlarmKind("too little light on the cell", True),
    "light-high": AlarmKind("too much light on the cell", True),
    "microwave-power-fault": AlarmKind("the microwave power is out of control", True),
    "crystal-voltage-fault": AlarmKind("the inner crystal is at the end of its tuning", True),
    "laser-current-low": AlarmKind("laser current too low", True),
    "laser-current-high": AlarmKind("laser current too high: the laser ages", True),
    "undocumented-alarm": AlarmKind("an alarm bit that no document names", False),
    # from the count of non-volatile writes
    "wear-limit-near": AlarmKind("most of the non-volatile writes of its life are used up", False),
    "wear-limit-reached": AlarmKind("nothing more can be stored in it", False),
})  # fmt: skip
"""Every alarm that there is. A driver's alarm bits may bring names of their own: those count as unusable."""
_OWN: Final = AlarmKind("", True)
RESET_SHOWN_S: Final = 10.0
NO_PULSE_GRACE_S: Final = 3.0
"""A loop that has just begun has not seen a pulse yet."""
DAMAGED: Final = 3
"""So many damaged answers within a minute are more than stray noise."""
DAMAGED_WINDOW_S: Final = 60.0
DAMAGED_QUIET_S: Final = 10.0
"""Without another one for this long the line is good again."""
_LIMIT_ON, _LIMIT_OFF = 0.98, 0.95
_HYSTERESIS_MDEGC: Final = 2_000
SETTLED_S: Final = 60.0
_SETTLED: Final = 0.2
"""Of the limit: when the phase stays within it for ``SETTLED_S``, it is under control."""
_BACK: Final = 0.5
Fed = OscillatorStatus | TimeCardError | WearUsage
_FROM_ERRORS: Final = frozenset({"silent", "lost", "refused"})
_FROM_WEAR: Final = frozenset({"wear-limit-near", "wear-limit-reached"})


class OscillatorMonitor:
    """The alarms of one part."""

    def __init__(self, limits: PartLimits) -> None:
        self.active: dict[str, Alarm] = {}
        self._limits = limits
        self._first_ns: int | None = None
        self._was_locked = False
        self._locked_ns: int | None = None
        self._disciplining_ns: int | None = None
        self._resets: int | None = None
        self._reset_until_ns: int | None = None
        self._dropped: int | None = None
        self._damage: deque[int] = deque(maxlen=DAMAGED)
        self._damage_ns: int | None = None
        self._phase_settled = False
        self._within_ns: int | None = None
        self._had_temperature = False

    @property
    def usable(self) -> bool:
        """No alarm says that the part's frequency must not be used."""
        return not any(alarm.unusable for alarm in self.active.values())

    def feed(self, item: Fed, now_mono_ns: int) -> tuple[Alarm, ...]:
        """What begins and what ends with this status, error or count."""
        if isinstance(item, OscillatorStatus):
            # It answers; what else it said before is replaced by what it says now.
            return self._replace(dict(self._from_status(item, now_mono_ns)), now_mono_ns, keep=_FROM_WEAR)
        if isinstance(item, WearUsage):
            found = dict(_from_wear(item))
            return self._replace(found, now_mono_ns, keep=self.active.keys() - _FROM_WEAR)
        name, evidence = _from_error(item)
        if name == "damaged-answers":
            self._damage_ns = now_mono_ns
        others = self.active.keys() - {name}
        if name in _FROM_ERRORS:
            others -= _FROM_ERRORS
        return self._replace({name: evidence}, now_mono_ns, keep=others)

    # --- internals ---

    def _replace(
        self, found: Mapping[str, str], now_ns: int, *, keep: set[str] | frozenset[str]
    ) -> tuple[Alarm, ...]:
        """Begin what was found, end what was not, except what is kept."""
        events = []
        for name in [name for name in self.active if name not in found and name not in keep]:
            del self.active[name]
            events.append(self._alarm(name, active=False, evidence="not seen any more", now_ns=now_ns))
        for name, evidence in found.items():
            if name not in self.active:
                alarm = self._alarm(name, active=True, evidence=evidence, now_ns=now_ns)
                self.active[name] = alarm
                events.append(alarm)
        return tuple(events)

    def _alarm(self, name: str, *, active: bool, evidence: str, now_ns: int) -> Alarm:
        unusable = active and ALARMS.get(name, _OWN).unusable
        return Alarm(name=name, active=active, unusable=unusable, evidence=evidence, read_mono_ns=now_ns)

    def _from_status(self, status: OscillatorStatus, now_ns: int) -> Iterator[tuple[str, str]]:
        if self._first_ns is None:
            self._first_ns = now_ns
        yield from self._reset(status, now_ns)
        yield from self._lock(status, now_ns)
        yield from self._bits(status, now_ns)
        yield from self._pulse(status, now_ns)
        yield from self._steering(status)
        yield from self._temperature(status)
        yield from self._phase(status, now_ns)
        yield from self._damaged(status, now_ns)

    def _lock(self, status: OscillatorStatus, now_ns: int) -> Iterator[tuple[str, str]]:
        if status.locked:
            if not self._was_locked or self._locked_ns is None:
                self._locked_ns = now_ns
            self._was_locked = True
            return
        self._locked_ns = None
        progress = f"not locked, {status.lock_progress_percent} % of the way"
        if self._was_locked:
            yield "unlocked", progress
        elif self._first_ns is not None and now_ns - self._first_ns > _ns(self._limits.warm_up_s):
            yield "warm-up-too-long", f"{progress}, after {(now_ns - self._first_ns) // NS_PER_S} s"

    def _bits(self, status: OscillatorStatus, now_ns: int) -> Iterator[tuple[str, str]]:
        settling = self._locked_ns is not None and now_ns - self._locked_ns < _ns(self._limits.settling_s)
        for bit in range(status.alarms.bit_length()):
            if not status.alarms >> bit & 1:
                continue
            known = self._limits.alarm_bits.get(bit)
            if known is None:
                yield "undocumented-alarm", f"alarms 0x{status.alarms:x}: bit {bit}"
            elif not known.settles or (self._was_locked and not settling):
                yield known.name, f"alarms 0x{status.alarms:x}: {known.words}"

    def _pulse(self, status: OscillatorStatus, now_ns: int) -> Iterator[tuple[str, str]]:
        if not status.disciplining:
            self._disciplining_ns = None
            return
        if self._disciplining_ns is None:
            self._disciplining_ns = now_ns
        begun = now_ns - self._disciplining_ns < _ns(NO_PULSE_GRACE_S)
        if not status.pps_detected and ("no-pulse" in self.active or not begun):
            yield "no-pulse", "disciplining is on, no pulse is seen"

    def _steering(self, status: OscillatorStatus) -> Iterator[tuple[str, str]]:
        limit_ppb = self._limits.max_frequency_ppb
        level = _LIMIT_OFF if "steering-limit" in self.active else _LIMIT_ON
        if limit_ppb > 0 and abs(status.frequency_ppb) >= level * limit_ppb:
            yield "steering-limit", f"steered by {status.frequency_ppb:+.6f} ppb of +-{limit_ppb:g} ppb"

    def _temperature(self, status: OscillatorStatus) -> Iterator[tuple[str, str]]:
        mdegc = status.temperature_mdegc
        if mdegc is None:
            if self._had_temperature:
                yield "thermometer-fault", "the thermometer's word is at the end of its range"
            return
        self._had_temperature = True
        low, high = self._limits.temperature_mdegc
        slack = _HYSTERESIS_MDEGC if "temperature-out-of-range" in self.active else 0
        if not low + slack <= mdegc <= high - slack:
            yield (
                "temperature-out-of-range",
                f"{mdegc / 1000:.1f} degC, allowed {low / 1000:g} to {high / 1000:g} degC",
            )

    def _phase(self, status: OscillatorStatus, now_ns: int) -> Iterator[tuple[str, str]]:
        """A pulse that was brought near its input and drifts far away."""
        limit_ns = self._limits.phase_runaway_ns
        active = "phase-runaway" in self.active
        if not self._limits.steps_phase:
            return
        if not status.locked:
            self._phase_settled, self._within_ns = False, None  # it has to be brought back first
            return
        if status.phase_ns is None:
            if active:
                yield "phase-runaway", "no phase"
            return
        size_ns = abs(status.phase_ns)
        if size_ns > _SETTLED * limit_ns:
            self._within_ns = None
        elif self._within_ns is None:
            self._within_ns = now_ns
        elif now_ns - self._within_ns >= _ns(SETTLED_S):
            self._phase_settled = True
        if self._phase_settled and size_ns > (_BACK if active else 1.0) * limit_ns:
            yield (
                "phase-runaway",
                f"phase {status.phase_ns:+.1f} ns, it was within {_SETTLED * limit_ns:g} ns",
            )

    def _reset(self, status: OscillatorStatus, now_ns: int) -> Iterator[tuple[str, str]]:
        if self._resets is not None and status.resets > self._resets:
            self._reset_until_ns = now_ns + _ns(RESET_SHOWN_S)
            self._phase_settled, self._within_ns = False, None  # its pulse lies anywhere now
        self._resets = status.resets
        if self._reset_until_ns is not None and now_ns < self._reset_until_ns:
            yield "reset", f"{status.resets} starts of the part seen"

    def _damaged(self, status: OscillatorStatus, now_ns: int) -> Iterator[tuple[str, str]]:
        if self._dropped is not None:
            for _ in range(min(DAMAGED, status.dropped - self._dropped)):
                self._damage.append(now_ns)
                if "damaged-answers" in self.active:
                    self._damage_ns = now_ns
        self._dropped = status.dropped
        many = len(self._damage) == DAMAGED and now_ns - self._damage[0] < _ns(DAMAGED_WINDOW_S)
        if many and self._damage[-1] == now_ns:
            self._damage_ns = now_ns
        if self._damage_ns is not None and now_ns - self._damage_ns < _ns(DAMAGED_QUIET_S):
            yield "damaged-answers", f"{status.dropped} damaged or late answers so far"


def _from_error(error: TimeCardError) -> tuple[str, str]:
    if isinstance(error, DeviceTimeoutError | DeviceAbsentError):
        name = "silent"
    elif isinstance(error, ProtocolError):
        name = "damaged-answers"
    elif isinstance(error, RefusedError | UnsupportedError):
        name = "refused"
    else:
        name = "lost"
    return name, f"{error.operation}: {error.reason}"


def _from_wear(usage: WearUsage) -> Iterator[tuple[str, str]]:
    text = f"{usage.life} of {usage.limit.per_life} non-volatile writes of its life"
    if usage.near:
        yield "wear-limit-near", text
    if usage.reached:
        yield "wear-limit-reached", text


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
