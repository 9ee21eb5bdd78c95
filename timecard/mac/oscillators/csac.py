"""Microchip SA.45s CSAC and low-noise CSAC SA65: small caesium oscillators, steered by a digital word.

Nothing that can be asked without a write tells the two apart, so both are a ``csac``.

Commands and telemetry: "SA.45s CSAC User Guide" (990-00123) and "LN-CSAC User's Guide" (DS50003805). Mode and
time constant live in memory that wears: they are written only when they differ, and each write is counted.
``Phase`` is the output pulse minus the input pulse as times: a cable compensation of +50 ns settles at -50.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from timecard.errors import (
    DeviceAbsentError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
from timecard.mac.alarm_names import names_of
from timecard.mac.driver import (
    AlarmBit,
    OscillatorCapability,
    OscillatorDriver,
    PartLimits,
    SelfDiscipline,
    check_jump,
)
from timecard.mac.oscillators.csac_line import ESCAPE, MAX_LINE, QUIET_S, CsacLine, checksum
from timecard.mac.oscillators.csac_telemetry import (
    DISCIPLINE,
    LOCKED,
    METER_OFF,
    Telemetry,
    TelemetryError,
    parse_telemetry,
)
from timecard.mac.text_line import TextLine
from timecard.mac.wear import WearLedger
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.values import OscillatorIdentity, OscillatorStatus

FAMILY: Final = "csac"
BAUD: Final = 57_600
UNITS_PER_PPB: Final = 1_000_000
"""``!FA`` counts 1e-15."""
STEP_UNITS: Final = 1_000
"""The synthesiser resolves 1e-12, which ``Steer`` is in."""
MAX_UNITS: Final = 2_000_000_000
METER, AUTO_SYNC, CHECKSUM = 0x04, 0x08, 0x40
TIME_CONSTANT_S: Final = (10, 10_000)
"""Of its own loop; an SA65 refuses less than 60 s."""
ALARMS: Final[Mapping[int, AlarmBit]] = MappingProxyType({
    0: AlarmBit("signal contrast low", "contrast-low", settles=True),
    1: AlarmBit("synthesiser tuning at its limit", "steering-limit", settles=True),
    2: AlarmBit("temperature bridge unbalanced", "heater-fault", settles=True),
    4: AlarmBit("DC light level low", "light-low", settles=True),
    5: AlarmBit("DC light level high", "light-high", settles=True),
    6: AlarmBit("heater voltage low", "heater-fault", settles=True),
    7: AlarmBit("heater voltage high", "heater-fault", settles=True),
    8: AlarmBit("microwave power control low", "microwave-power-fault", settles=True),
    9: AlarmBit("microwave power control high", "microwave-power-fault", settles=True),
    10: AlarmBit("TCXO control voltage low", "crystal-voltage-fault", settles=True),
    11: AlarmBit("TCXO control voltage high", "crystal-voltage-fault", settles=True),
    12: AlarmBit("laser current low", "laser-current-low", settles=True),
    13: AlarmBit("laser current high", "laser-current-high", settles=True),
    14: AlarmBit("stack overflow", "firmware-fault"),
})  # fmt: skip
_SYNC_S: Final = 4.5
"""The part waits 3 s for a pulse."""
_HEADER: Final = "Status,Alarm,SN,"
_PROBE_S: Final = 0.3
_STEER: Final = re.compile(r"Steer ?= ?([+-]?\d{1,7})")
_MODE: Final = re.compile(r"0x([0-9A-Fa-f]{4})")
_NUMBER: Final = re.compile(r"([+-]?\d{1,10})")
_ANY: Final = re.compile(r"(.*)")
_NO_LIMIT: Final = "it has no settable phase limit; leave phase_limit_ns out"


class Csac:
    """``Oscillator`` for a CSAC on a byte stream of 57600 baud, 8N1."""

    capabilities = frozenset(
        {
            OscillatorCapability.STEER,
            OscillatorCapability.PHASE_METER,
            OscillatorCapability.DISCIPLINE,
            OscillatorCapability.SYNC_PULSE,
            OscillatorCapability.LATCH,
        }
    )

    def __init__(self, stream: ByteStream, timebase: Timebase, *, wear: WearLedger | None = None) -> None:
        self.name = stream.name
        self.wear = wear or WearLedger()
        self.resets = 0
        """How often its time of day was seen to begin anew."""
        self._line = CsacLine(stream, timebase)
        self._timebase = timebase
        self._latest: Telemetry | None = None

    @property
    def max_frequency_ppb(self) -> float:
        """Range of ``!FA``: 2e-6."""
        return MAX_UNITS / UNITS_PER_PPB

    @property
    def frequency_resolution_ppb(self) -> float:
        """1e-12, though the command counts 1e-15."""
        return STEP_UNITS / UNITS_PER_PPB

    def identify(self) -> OscillatorIdentity:
        """Ask for telemetry, which has serial number and firmware."""
        try:
            telemetry = self._telemetry()
        except (DeviceTimeoutError, ProtocolError) as error:
            raise DeviceAbsentError(
                self.name, "identify oscillator", f"no CSAC telemetry at {BAUD} baud: {error.reason}"
            ) from error
        return _identity(telemetry)

    def status(self, full: bool = False) -> OscillatorStatus:
        """One line of telemetry has everything."""
        telemetry = self._telemetry()
        alarms = telemetry.alarms
        return OscillatorStatus(
            locked=telemetry.status == LOCKED,
            lock_progress_percent=telemetry.progress_percent,
            frequency_ppb=telemetry.steer * STEP_UNITS / UNITS_PER_PPB,
            phase_ns=None if telemetry.phase_ns is None else -telemetry.phase_ns,
            pps_detected=telemetry.phase_ns is not None,
            temperature_mdegc=round(telemetry.temperature_c * 1000),
            alarms=alarms,
            alarm_names=names_of(alarms, ALARMS),
            readings=telemetry.readings(),
            disciplining=bool(telemetry.mode & DISCIPLINE),
            resets=self.resets,
            dropped=self._line.dropped,
            read_mono_ns=self._timebase.mono_ns(),
        )

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Steer (clamped to +-2000 ppb); returns what the part says is in force, to 0.001 ppb."""
        if self._known().mode & DISCIPLINE:
            raise RefusedError(
                self.name, "steer", "its own loop steers: begin_software_steering ends that first"
            )
        steps = MAX_UNITS // STEP_UNITS
        wanted = round(max(-steps, min(steps, frequency_ppb * UNITS_PER_PPB / STEP_UNITS)))
        in_force = self._steer(f"FA{wanted * STEP_UNITS}")
        if in_force != wanted:  # a second opinion: one of two answers may have been damaged
            in_force = self._steer("F?")
        return in_force * STEP_UNITS / UNITS_PER_PPB

    def begin_software_steering(self) -> None:
        """The phase meter is on and its loop off; the steering in force stays.

        Mode bits for meter, automatic sync and discipline exclude one another, so setting the meter's ends
        the others: one non-volatile write, and none when it is so already.
        """
        before = self._telemetry()
        if before.mode & METER:
            return
        self._set_mode("M", METER)
        if before.mode & DISCIPLINE:
            after = self._telemetry()
            if after.steer != before.steer:
                self._steer(f"FA{before.steer * STEP_UNITS}")
        self._latest = None

    def begin_self_disciplining(self, settings: SelfDiscipline) -> None:
        """The part follows its input pulse; it begins with a sync that brings its pulse within 100 ns.

        Time constant, threshold and mode are non-volatile: what is so already is not written. Raises
        ``RefusedError`` for a time constant outside 10 to 10000 s (SA65: 60 to 10000 s).
        """
        if settings.phase_limit_ns is not None:
            raise UnsupportedError(self.name, "begin self-disciplining", _NO_LIMIT)
        least_s, most_s = TIME_CONSTANT_S
        if not least_s <= settings.time_constant_s <= most_s:
            raise RefusedError(
                self.name,
                "begin self-disciplining",
                f"a time constant of {settings.time_constant_s} s: it takes {least_s} to {most_s} s",
            )
        before = self._telemetry()
        if before.mode & DISCIPLINE == 0:
            check_jump(self.name, settings, before.phase_ns)
        self._set_stored("D", settings.time_constant_s)
        if settings.lock_threshold_ns is not None:
            self._set_stored("m", settings.lock_threshold_ns)
        if not before.mode & DISCIPLINE:
            self._set_mode("D", DISCIPLINE)

    def sync_pulse(self) -> None:
        """Move the output pulse to within 100 ns of the next input pulse: a step; takes up to 3 s."""
        text = self._line.exchange("S", _ANY, timeout_s=_SYNC_S, repeatable=False)
        if text != "S":
            raise RefusedError(
                self.name, "sync", "no input pulse within 3 s" if text == "E" else f"answers {text[:20]!r}"
            )

    def latch(self) -> None:
        """Fold the steering into the calibration, where it stays without power; one non-volatile write."""
        self._charge("latch the steering")
        self._line.exchange("FL", _ANY, repeatable=False)

    def store(self) -> None:
        """Settings store themselves."""
        raise UnsupportedError(self.name, "store", "its settings are stored with each write; use latch")

    # --- internals ---

    def _known(self) -> Telemetry:
        return self._latest or self._telemetry()

    def _telemetry(self) -> Telemetry:
        text = self._line.exchange("^", _ANY, shortcut=b"^")
        try:
            telemetry = parse_telemetry(text)
        except TelemetryError as first:
            # Without checksum mode damage shows only here; once is noise.
            self._line.dropped += 1
            self._line.drain(QUIET_S)
            try:
                telemetry = parse_telemetry(self._line.exchange("^", _ANY, shortcut=b"^"))
            except TelemetryError as error:
                self._line.dropped += 1
                raise ProtocolError(self.name, "read telemetry", str(error)) from first
        if self._latest is not None and telemetry.restarted_since(self._latest):
            self.resets += 1
        self._latest = telemetry
        return telemetry

    def _steer(self, command: str) -> int:
        """In steps of 1e-12."""
        return int(self._line.exchange(command, _STEER))

    def _set_mode(self, letter: str, bit: int) -> None:
        self._charge(f"set mode {letter}")
        in_force = int(self._line.exchange(f"M{letter}", _MODE), 16)
        self._latest = None
        if not in_force & bit:
            raise ProtocolError(self.name, f"M{letter}", f"mode 0x{in_force:04X} is in force instead")

    def _set_stored(self, command: str, value: int) -> None:
        """A non-volatile number, written if it differs."""
        if int(self._line.exchange(f"{command}?", _NUMBER)) == value:
            return
        self._charge(f"set {command}{value}")
        in_force = int(self._line.exchange(f"{command}{value}", _NUMBER))
        if in_force != value:
            raise RefusedError(self.name, f"{command}{value}", f"{in_force} is in force instead")

    def _charge(self, what: str) -> None:
        self.wear.charge(self.name, FAMILY, self._known().serial, what)


def probe(stream: ByteStream, timebase: Timebase) -> OscillatorIdentity | None:
    """Ask for the telemetry's header, which has no state; then for telemetry with a checksum."""
    line = TextLine(stream, timebase, end=b"\r\n", max_bytes=MAX_LINE)
    header = line.ask(b"6", _PROBE_S)
    if header is None or not header.startswith(_HEADER):
        line.drain(QUIET_S)
        guarded = line.ask(b"%s!^*%02X\r\n" % (ESCAPE, checksum("^")), _PROBE_S)
        body, _, given = (guarded or "").rpartition("*")
        if given != f"{checksum(body):02X}":
            return None
    try:
        return Csac(stream, timebase).identify()
    except DeviceAbsentError:
        return None


def _identity(telemetry: Telemetry) -> OscillatorIdentity:
    return OscillatorIdentity(
        family=FAMILY, model="CSAC", serial=telemetry.serial, firmware=telemetry.firmware
    )


DRIVER: Final = OscillatorDriver(
    family=FAMILY,
    baud=BAUD,
    order=20,
    probe=probe,
    open=Csac,
    timescale_model="csac",
    limits=PartLimits(
        warm_up_s=600.0,
        temperature_mdegc=(-12_000, 75_000),
        alarm_bits=ALARMS,
        max_frequency_ppb=MAX_UNITS / UNITS_PER_PPB,
        steps_phase=True,
        phase_resolution_ns=1.0,
    ),
)
__all__ = ["ALARMS", "DRIVER", "FAMILY", "METER_OFF", "Csac", "checksum", "probe"]
