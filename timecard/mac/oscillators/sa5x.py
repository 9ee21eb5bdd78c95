"""Microchip MAC SA5X (SA53, SA55): a rubidium oscillator steered by a digital word, with its own phase meter.

Parameter names and units: Microchip "MAC SA5X User's Guide", DS50002938. Tunings count 1e-15: the one in
force is ``EffectiveTuning``, of which ``DisciplineTuning`` comes from the part's loop. Whether the latter
ends with the loop, or is part of ``DigitalTuning``, no source says: taking over works either way. ``Phase``
is taken as the part's output pulse against its input pulse with the sign of a clock offset: it grows while
the part runs fast.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from timecard.errors import (
    DeviceAbsentError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
from timecard.mac.client import LineClient
from timecard.mac.driver import (
    OscillatorCapability,
    OscillatorDriver,
    PartLimits,
    SelfDiscipline,
    check_jump,
)
from timecard.mac.oscillators.sa5x_parameters import DIGITAL, EFFECTIVE, Parameters
from timecard.mac.oscillators.sa5x_tables import ALARM_BITS, ALARMS, READINGS, alarm_names
from timecard.mac.wear import WearLedger
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import OscillatorIdentity, OscillatorStatus, Reading

UNITS_PER_PPB: Final = 1_000_000
"""``DigitalTuning`` is in 1e-15."""
MAX_TUNING: Final = 20_000_000
FAMILY: Final = "sa5x"
BAUD: Final = 57_600
DAMAGED_FIRMWARE: Final = "unreadable: damaged image"
"""What ``{swrev?}`` refused means."""
_SETTLE_S: Final = 0.05
_QUIET_S: Final = 0.25
_PROBE_S: Final = 0.3
_PROBE_TRIES: Final = 3
_RETRY_S: Final = 1.0
_DEVICE: Final = re.compile(r"\[=(?P<family>[^\]|]*)(?:\|..)?\]")
_ALTERNATING: Final = ("PpsInDetected", "Locked")
_LOOP: Final = "Disciplining"
_METER: Final = "PhaseMetering"
"""``Phase`` stands still unless one of the two is on."""
_ALL: Final = ("Alarms", EFFECTIVE, "Temperature", "LockProgress")
_ROTATING: Final = ("Alarms", EFFECTIVE, "Alarms", "Temperature", "Alarms", _LOOP)
"""While locked, one with every third status: alarms are at most 6 calls old, the rest 18."""
_ACQUIRING: Final = ("LockProgress", "Alarms", "Temperature", EFFECTIVE, _LOOP)
_ROTATE_EVERY: Final = 3
_ONE_RESET_S: Final = 15.0
"""Notices nearer to one another come from one start."""


@dataclass(slots=True)
class _Known:
    locked: bool = False
    progress: int = 0
    tuning: int = 0
    pps_detected: bool = False
    temperature_mdegc: int | None = None
    alarms: int = 0
    disciplining: bool | None = None
    metering: bool | None = None


class Sa5x:
    """``Oscillator`` for the SA5X on a byte stream of 57600 baud, 8N1.

    Every call raises ``DeviceTimeoutError`` when the part does not answer in time and ``ProtocolError``
    when only damaged answers come.
    """

    capabilities = frozenset(OscillatorCapability)

    def __init__(self, stream: ByteStream, timebase: Timebase, *, wear: WearLedger | None = None) -> None:
        self.name = stream.name
        self.wear = wear or WearLedger()
        self._client = LineClient(stream, timebase)
        self._values = Parameters(self._client)
        self._timebase = timebase
        self._known = _Known()
        self._complete = False
        self._round = 0
        self._serial: str | None = None
        self._notices = 0
        self._resets = 0
        self._reset_ns = 0
        self._residue = 0
        """``EffectiveTuning`` minus ``DigitalTuning`` while software steers: what the part's loop left."""
        self._keep: int | None = None
        """The tuning to be kept, while a hand-over to software is not complete."""

    @property
    def max_frequency_ppb(self) -> float:
        """Range of ``DigitalTuning``: 2e-8."""
        return MAX_TUNING / UNITS_PER_PPB

    @property
    def frequency_resolution_ppb(self) -> float:
        """One unit of ``DigitalTuning``: 1e-15."""
        return 1 / UNITS_PER_PPB

    def identify(self) -> OscillatorIdentity:
        """Ask who is there, with nothing that could change another part's state.

        Raises ``DeviceAbsentError`` when nobody answers, ``UnsupportedError`` when something else does.
        """
        self._timebase.sleep_s(_SETTLE_S)
        for attempt in range(_PROBE_TRIES):
            if attempt:
                self._timebase.sleep_s(_RETRY_S)
            if self._is_there():
                return self._identity()
        raise DeviceAbsentError(
            self.name,
            "identify oscillator",
            "no answer to {device?}: no SA5X, a baud rate other than 57600, or the MAC pins are on I2C",
        )

    def status(self, full: bool = False) -> OscillatorStatus:
        """One round: the phase each time, the rest in turn (two to three exchanges), or everything."""
        known = self._known
        for name in self._due(full):
            self._note(name)
        self._complete = True
        phase_ns = None
        if known.pps_detected and (known.disciplining or known.metering):
            phase_ns = self._values.number("Phase")
        elif not full:
            self._note("Alarms")  # without a phase that is what matters
        self._note_resets()
        if known.disciplining is None and known.metering is None:
            phase_ns = None  # started anew meanwhile
        return OscillatorStatus(
            locked=known.locked,
            lock_progress_percent=100 if known.locked else known.progress,
            frequency_ppb=known.tuning / UNITS_PER_PPB,
            phase_ns=phase_ns,
            pps_detected=known.pps_detected,
            temperature_mdegc=known.temperature_mdegc,
            alarms=known.alarms,
            alarm_names=alarm_names(known.alarms),
            disciplining=known.disciplining,
            resets=self._resets,
            dropped=self._client.dropped,
            read_mono_ns=self._timebase.mono_ns(),
        )

    def readings(self) -> tuple[Reading, ...]:
        """Everything that this firmware has to read, one exchange each (about half a second in all)."""
        found = []
        for name, unit in READINGS.items():
            if name not in self._values.absent:
                try:
                    found.append(Reading(name=name, value=self._values.number(name), unit=unit))
                except UnsupportedError:
                    self._values.absent.add(name)
        return tuple(found)

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Steer (clamped to +-20 ppb); returns what the part says is in force."""
        if self._known.disciplining is None:
            self._note(_LOOP)
        if self._known.disciplining:
            raise RefusedError(
                self.name, "steer", "its own loop steers: begin_software_steering ends that first"
            )
        wanted = round(frequency_ppb * UNITS_PER_PPB) - self._residue
        wanted = max(-MAX_TUNING, min(MAX_TUNING, wanted))
        self._known.tuning = round(self._values.set(DIGITAL, wanted)) + self._residue
        return self._known.tuning / UNITS_PER_PPB

    def begin_software_steering(self) -> None:
        """Let the part measure phase but not steer itself; the tuning in force stays.

        ``Disciplining`` and ``PhaseMetering`` exclude each other, so the order matters. When it fails half
        way and is called again, it still keeps the tuning that was in force at first.
        """
        if self._keep is None and self._values.number(_LOOP):
            self._keep = self._values.effective()
        self._values.set_checked(_LOOP, 0)
        self._known.disciplining = False
        if self._keep is not None:
            lost = self._keep - self._values.effective()
            if lost:
                digital = round(self._values.number(DIGITAL)) + lost
                self._values.set_checked(DIGITAL, max(-MAX_TUNING, min(MAX_TUNING, digital)))
        effective = self._values.effective()
        self._residue = effective - round(self._values.number(DIGITAL))
        self._values.set_checked(_METER, 1)
        self._known.tuning, self._known.metering = effective, True
        self._keep = None

    def begin_self_disciplining(
        self, settings: SelfDiscipline | int, phase_limit_ns: int | None = None
    ) -> None:
        """Let the part follow its input pulse; enabling moves its output pulse at once (jam-sync).

        It jumps onto a grid of about 10 ns; ``settings.max_jump_ns`` refuses when it is too far away. The
        loop begins at the tuning in force. ``settings`` may be the time constant alone, in seconds.
        """
        if not isinstance(settings, SelfDiscipline):
            settings = SelfDiscipline(time_constant_s=settings, phase_limit_ns=phase_limit_ns)
        enabled = bool(self._values.number(_LOOP))
        if settings.max_jump_ns is not None and not enabled:
            seen = self._values.number("PpsInDetected") and self._values.number(_METER)
            check_jump(self.name, settings, self._values.number("Phase") if seen else None)
        pulse = f"Pps{round(self._values.number('PpsSource'))}"
        self._values.set_checked(f"Tau{pulse}", settings.time_constant_s)
        if settings.phase_limit_ns is not None:
            self._values.set_checked("PhaseLimit", settings.phase_limit_ns)
        if settings.lock_threshold_ns is not None:
            self._values.set_checked(f"DisciplineThreshold{pulse}", settings.lock_threshold_ns)
        if not enabled:
            self._values.set_checked(_METER, 0)
            self._values.set_checked(_LOOP, 1)
            self._known.metering = False
        self._known.disciplining, self._residue, self._keep = True, 0, None

    def set_pulse_qerr_ns(self, qerr_ns: float) -> None:
        """Tell the part the sawtooth correction of its next input pulse (``PpsQErr``, ps)."""
        self._values.set("PpsQErr", round(qerr_ns * 1000))

    def sync_pulse(self) -> None:
        """Move the output pulse onto the next input pulse: a step, complete within about a second."""
        if self._client.request("sync", repeatable=False) == "0":
            raise RefusedError(self.name, "sync", "the part could not move its pulse: no input pulse?")

    def latch(self) -> None:
        """Fold the tuning into the base frequency, ``DigitalTuning`` becomes 0; not while its loop steers.

        Like every setting it is lost without power unless ``store`` follows. The guide does not say whether
        it wears the memory by itself, so it is counted as a write.
        """
        self._charge("latch")
        if self._client.request("latch", repeatable=False) != "1":
            raise RefusedError(self.name, "latch", "the part refuses; its own loop must be off")
        self._known.tuning, self._residue = self._values.effective(), 0

    def store(self) -> None:
        """Keep the settings in force in flash memory; one counted write."""
        self._charge("store")
        if self._client.request("store", repeatable=False) != "1":
            raise RefusedError(self.name, "store", "the part did not store its settings")

    # --- internals ------------------------------------------------------------------------------------------

    def _is_there(self) -> bool:
        line = self._client.probe(b"{device?}", _PROBE_S)
        if line is None:
            return False
        found = _DEVICE.search(line)
        if found is None:
            # A CSAC reads the probe letter by letter; let it finish.
            self._client.drain(_QUIET_S)
            return False
        if found["family"] != FAMILY:
            raise UnsupportedError(
                self.name, "identify oscillator", f"answers {found['family'][:40]!r}, not {FAMILY!r}"
            )
        return True

    def _identity(self) -> OscillatorIdentity:
        model = self._client.request("pn?")
        self._serial = self._client.request("serial?")
        try:
            firmware = self._client.request("swrev?")
        except UnsupportedError:
            firmware = DAMAGED_FIRMWARE
        return OscillatorIdentity(family=FAMILY, model=model, serial=self._serial, firmware=firmware)

    def _due(self, full: bool) -> Sequence[str]:
        """What this round asks for besides the phase."""
        self._round += 1
        if full or not self._complete:
            unknown = (_LOOP, self._known.disciplining), (_METER, self._known.metering)
            return (*_ALTERNATING, *_ALL, *(name for name, value in unknown if value is None))
        names: tuple[str, ...] = (_ALTERNATING[self._round % 2],)
        if self._round % _ROTATE_EVERY == 0:
            turn = _ROTATING if self._known.locked else _ACQUIRING
            names = (*names, turn[self._round // _ROTATE_EVERY % len(turn)])
        return names

    def _note(self, name: str) -> None:
        known = self._known
        if name == EFFECTIVE:
            known.tuning = self._values.effective()
            return
        if name in self._values.absent:
            return
        try:
            value = round(self._values.number(name))
        except UnsupportedError:
            if name != "LockProgress":
                raise
            self._values.absent.add(name)  # firmware before 1.1
            return
        match name:
            case "PpsInDetected":
                known.pps_detected = value != 0
            case "Locked":
                known.locked = value != 0
            case "Alarms":
                known.alarms = value
            case "Temperature":
                known.temperature_mdegc = value
            case "LockProgress":
                known.progress = max(0, min(100, value))
            case "PhaseMetering":
                known.metering = value != 0
            case _:
                known.disciplining = value != 0

    def _note_resets(self) -> None:
        """After a start, settings are the stored ones, and nothing that was known holds."""
        if self._client.notices == self._notices:
            return
        self._notices = self._client.notices
        now_ns = self._timebase.mono_ns()
        if not self._resets or now_ns - self._reset_ns > round(_ONE_RESET_S * NS_PER_S):
            self._resets += 1
        self._reset_ns = now_ns
        self._known.locked, self._known.disciplining, self._known.metering = False, None, None
        self._complete, self._residue, self._keep = False, 0, None

    def _charge(self, what: str) -> None:
        if self._serial is None:
            self._serial = self._client.request("serial?")
        self.wear.charge(self.name, FAMILY, self._serial, what)


def probe(stream: ByteStream, timebase: Timebase) -> OscillatorIdentity | None:
    """Ask once for the device's family: harmless to every known part."""
    part = Sa5x(stream, timebase)
    try:
        return part._identity() if part._is_there() else None
    except (DeviceTimeoutError, ProtocolError, RefusedError, UnsupportedError):
        return None  # another part, or one that says nothing more


DRIVER: Final = OscillatorDriver(
    family=FAMILY,
    baud=BAUD,
    order=10,
    probe=probe,
    open=Sa5x,
    timescale_model="sa53",
    limits=PartLimits(
        warm_up_s=900.0,
        settling_s=900.0,
        temperature_mdegc=(-40_000, 75_000),
        alarm_bits=ALARM_BITS,
        max_frequency_ppb=MAX_TUNING / UNITS_PER_PPB,
        steps_phase=True,
        phase_resolution_ns=0.45,
    ),
)
__all__ = ["ALARMS", "ALARM_BITS", "DRIVER", "FAMILY", "READINGS", "Sa5x", "alarm_names", "probe"]
