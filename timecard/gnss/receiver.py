"""A u-blox receiver on a byte stream: identify, configure, then everything it says as events.

What the receiver already has is not written again, so that a survey that has been done stays done.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from timecard.errors import DeviceTimeoutError, RefusedError, UnsupportedError
from timecard.gnss import ublox_profile as profile
from timecard.gnss.driver import Capability
from timecard.gnss.intent import GnssIntent, InForce, Plan, Store, Survey
from timecard.gnss.receivers.ublox_timing import UbloxDecoder
from timecard.gnss.ublox_fields import BAUD, DEFAULT_BAUD, FIXED, TIME_MODE, message_key
from timecard.gnss.ublox_keys import KeySettings, without
from timecard.gnss.ublox_legacy import LegacySettings
from timecard.gnss.ublox_line import UbloxLine
from timecard.gnss.ublox_planner import SettingsRefusedError
from timecard.gnss.ublox_profile import PROBE_KEY, UbloxOptions
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.values import GnssEvent, ReceiverIdentity

_LOG: Final = logging.getLogger(__name__)
_NEEDS: Final = "1 Hz TIM-TP, NAV-STATUS, NAV-TIMEUTC and NAV-TIMELS are needed"
_TOLD_BY_KEYS: Final = {
    TIME_MODE: frozenset({Capability.SURVEY, Capability.FIXED_POSITION}),
    message_key("NAV_SIG"): frozenset({Capability.SIGNALS}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverHealth:
    """What the line and the receiver are like, apart from what the receiver says about GNSS."""

    last_frame_mono_ns: int | None
    """When the last good frame was read; None before the first. Silence shows here."""
    uptime_ms: int | None
    """Since the receiver's start (NAV-STATUS msss)."""
    restarts: int
    """Restarts seen since this object was made; after one, call ``start`` again: RAM settings are gone."""
    frames: int
    corrupt_bytes: int
    warnings: tuple[str, ...]
    """What could not be configured, and why times are refused, in plain words."""


class _Settings(Protocol):
    """One of the two ways of u-blox receivers to be configured: keys, or messages of generation 8."""

    def in_force(self) -> InForce: ...

    def plan(self, intent: GnssIntent) -> Plan: ...

    def plan_survey(self, survey: Survey, store: Store) -> Plan: ...

    def apply(self, plan: Plan) -> None: ...

    def undo(self, plan: Plan) -> None: ...

    def survey_again(self, survey: Survey, store: Store) -> None: ...


class UbloxReceiver:
    """``Receiver`` for u-blox: F9T, F10T, M9N and kin by keys, M8T by messages."""

    def __init__(
        self,
        stream: ByteStream,
        timebase: Timebase,
        options: UbloxOptions | None = None,
        *,
        intent: GnssIntent | None = None,
    ) -> None:
        """``intent``: what ``start`` makes of the receiver, in place of what the options say."""
        self.name = stream.name
        self.identity: ReceiverIdentity | None = None
        """Who answered; None before ``start``."""
        self.capabilities: frozenset[Capability] = frozenset()
        """Known when it was identified."""
        self._options = options or UbloxOptions()
        self._intent = intent
        self._decoder = UbloxDecoder(self._options)
        self._line = UbloxLine(stream, timebase, self._decoder)
        self._settings: _Settings | None = None
        self._warnings: list[str] = []
        self._problem: str | None = None
        self.changed: Mapping[str, tuple[int, int]] = {}
        """What the last ``start`` wrote: key to the value before and the value wanted."""

    def health(self) -> ReceiverHealth:
        """The state of the line."""
        problem = self._decoder.problem
        return ReceiverHealth(
            last_frame_mono_ns=self._line.last_frame_mono_ns,
            uptime_ms=self._decoder.uptime_ms,
            restarts=self.restarts,
            frames=self._line.frames,
            corrupt_bytes=self._line.corrupt_bytes,
            warnings=(*self._warnings, problem) if problem else tuple(self._warnings),
        )

    @property
    def restarts(self) -> int:
        """How often the receiver was seen to begin anew by itself."""
        return self._decoder.restarts

    def start(self) -> None:
        """Identify and configure; what arrives meanwhile is given out by ``poll``.

        Raises ``DeviceAbsentError`` when nobody answers MON-VER, saying what was heard instead. A receiver
        that refuses to be configured is used as it is, with a warning (``health``).
        """
        self._warnings.clear()
        self.changed = {}
        identity = self._identify()
        _LOG.info("%s: found model=%s firmware=%s", self.name, identity.model, identity.firmware)
        if self._intent is not None or self._options.configure:
            self._configure()
        for warning in self._warnings:
            _LOG.warning("%s: %s", self.name, warning)

    def compare(self) -> Mapping[str, tuple[int, int]]:
        """Identify and read only: key to the value in force and the value that ``start`` would write.

        Raises as ``start``; what cannot be asked for is a warning (``health``).
        """
        self._warnings.clear()
        self._identify()
        plan = self._start_plan()
        return {} if plan is None else _differences(plan)

    def poll(self, timeout_s: float) -> Sequence[GnssEvent]:
        """Events decoded from what has arrived; waits at most ``timeout_s`` for the first byte."""
        events = self._line.poll(timeout_s)
        problem = self._decoder.problem
        if problem != self._problem:
            self._problem = problem
            if problem:
                _LOG.warning("%s: %s", self.name, problem)
        return events

    # --- settings -------------------------------------------------------------------------------------------

    def settings(self) -> InForce:
        """Settings in force, in neutral words. Raises ``UnsupportedError``, ``DeviceTimeoutError``."""
        return self._way().in_force()

    def plan(self, intent: GnssIntent) -> Plan:
        """Read the settings and say what differs. Writes nothing.

        Raises ``RefusedError`` for an intent that would take from the FPGA's time-of-day slave what it
        hears, and ``UnsupportedError`` for a receiver that cannot be configured.
        """
        return self._way().plan(intent)

    def apply(self, plan: Plan) -> None:
        """Write the changes and nothing else, all or nothing, without a reset; verify; store."""
        self._way().apply(plan)
        self._note_position()

    def undo(self, plan: Plan) -> None:
        """Write the values that a plan found."""
        self._way().undo(plan)
        self._note_position()

    def plan_survey(self, survey: Survey, store: Store = "battery") -> Plan:
        """What ``survey_again`` writes over, to be kept for an undo."""
        return self._way().plan_survey(survey, store)

    def survey_again(self, survey: Survey, store: Store = "battery") -> None:
        """Throw away the position that the receiver has, and find it anew."""
        self._way().survey_again(survey, store)
        self._note_position()

    def _identify(self) -> ReceiverIdentity:
        identity = self._line.identify(self._options.identify_tries, self._options.identify_timeout_s)
        identity = replace(identity, serial=self._line.chip_id())
        known = self.identity
        if known is None or (known.model, known.firmware) != (identity.model, identity.firmware):
            self._settings = None
        elif isinstance(self._settings, KeySettings):
            self._settings.store.forget()
        self.identity = identity
        if self._settings is None:
            self.capabilities = profile.family_of(identity.model).capabilities
        return identity

    def _way(self) -> _Settings:
        """How this receiver is configured, found out once."""
        if self.identity is None:
            self._identify()
        if self._settings is None:
            keys, legacy = KeySettings(self._line), LegacySettings(self._line)
            if known := keys.read([PROBE_KEY, BAUD, *_TOLD_BY_KEYS]):
                self._settings = keys
                self._refine(known)
            elif legacy.answers():
                self._settings = legacy
            else:
                self.capabilities -= {Capability.CONFIGURE}
                raise UnsupportedError(
                    self.name, "configure GNSS receiver", "takes neither keys nor CFG messages"
                )
        return self._settings

    def _refine(self, known: Collection[str]) -> None:
        """A receiver's keys tell better than its name what it has."""
        for key, capabilities in _TOLD_BY_KEYS.items():
            if key in known:
                self.capabilities |= capabilities
            else:
                self.capabilities -= capabilities

    # --- start ----------------------------------------------------------------------------------------------

    def _configure(self) -> None:
        plan = self._start_plan()
        if plan is None:
            return
        try:
            self._apply_start(plan)
            self.changed = _differences(plan)
        except SettingsRefusedError as error:
            rest = without(plan, error.keys)
            refused = [change.key for change in plan.changes if change not in rest.changes]
            try:
                self._apply_start(rest)
                self.changed = _differences(rest)
            except SettingsRefusedError as again:
                refused += [change.key for change in rest.changes]
                error = again
            self._warnings.append(f"could not be set: {', '.join(refused)} ({error.reason})")
        self._note_position()

    def _start_plan(self) -> Plan | None:
        """What ``start`` has to write; None for a receiver that is used as it is."""
        try:
            way = self._way()
        except (UnsupportedError, DeviceTimeoutError) as error:
            why = "refused" if isinstance(error, UnsupportedError) else "not answered"
            self._warnings.append(
                f"does not take configuration by keys (CFG-VALGET {why}) or by CFG messages: used as it is "
                f"configured; {_NEEDS}"
            )
            return None
        try:
            if isinstance(way, KeySettings):
                plan = self._plan_options(way)
            else:
                plan = way.plan(self._intent or profile.intent_of_options(self._options))
        except RefusedError as error:
            self._warnings.append(f"used as it is configured: {error.reason}; {_NEEDS}")
            return None
        self._warnings += [text.partition(": ")[2] for text in plan.unsupported]
        return plan

    def _plan_options(self, keys: KeySettings) -> Plan:
        if self._intent is not None:
            return keys.plan(self._intent)
        return keys.plan_keys(
            profile.wanted_by_field(self._options, keys.store.last.get(BAUD, DEFAULT_BAUD)),
            self._options.layers,
        )

    def _apply_start(self, plan: Plan) -> None:
        way = self._way()
        if not plan.changes:
            return
        if self._intent is None and isinstance(way, KeySettings):
            way.apply(plan, self._options.layers)
        else:
            way.apply(plan)

    def _note_position(self) -> None:
        way = self._settings
        if isinstance(way, KeySettings):
            self._decoder.fixed_position = way.store.last.get(TIME_MODE) == FIXED


def _differences(plan: Plan) -> dict[str, tuple[int, int]]:
    """Key to what is there, or what would be there after a restart, and what is wanted."""
    return {
        change.key: (int(change.before if change.stored is None else change.stored), int(change.after))
        for change in plan.changes
    }
