"""Microchip MAC SA5X (SA53, SA55): a rubidium oscillator steered by a digital word, with its own phase meter.

Parameter names and units: Microchip "MAC SA5X User's Guide", DS50002938. ``DigitalTuning`` counts 1e-15;
``Phase`` is taken as the part's output pulse against its input pulse with the sign of a clock offset: it
grows while the part runs fast.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from timecard.errors import DeviceAbsentError, ProtocolError, RefusedError, UnsupportedError
from timecard.mac.client import LineClient
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.values import OscillatorIdentity, OscillatorStatus

UNITS_PER_PPB: Final = 1_000_000
"""``DigitalTuning`` is in 1e-15."""
MAX_TUNING: Final = 20_000_000
FAMILY: Final = "sa5x"
ALARMS: Final = {
    0: "FPGA fault",
    1: "PLL fault",
    2: "flash fault",
    3: "last lock acquisition failed",
    4: "expected external oscillator missing",
    5: "cell heater fault",
    6: "firmware does not fit the hardware",
    16: "internal temperature not stable",
    17: "disciplining without input pulse",
    18: "tuning at its limit",
}
"""Bits of ``Alarms``."""
_SETTLE_S: Final = 0.05
_QUIET_S: Final = 0.25
_PROBE_S: Final = 0.3
_PROBE_TRIES: Final = 3
_RETRY_S: Final = 1.0
_DEVICE: Final = re.compile(r"\[=(?P<family>[^\]|]*)(?:\|..)?\]")
_ALTERNATING: Final = ("PpsInDetected", "Locked")
_ROTATING: Final = ("Alarms", "DigitalTuning", "Temperature", "LockProgress")
_ROTATE_EVERY: Final = 3
"""One of the rotating ones with every third status: each is at most 12 calls old."""


@dataclass(slots=True)
class _Known:
    locked: bool = False
    progress: int = 0
    tuning: int = 0
    pps_detected: bool = False
    temperature_mdegc: int | None = None
    alarms: int = 0


class Sa5x:
    """``AtomicClock`` for the SA5X on a byte stream of 57600 baud, 8N1.

    Every call raises ``DeviceTimeoutError`` when the part does not answer in time and ``ProtocolError``
    when only damaged answers come.
    """

    def __init__(self, stream: ByteStream, timebase: Timebase) -> None:
        self.name = stream.name
        self._client = LineClient(stream, timebase)
        self._timebase = timebase
        self._known = _Known()
        self._complete = False
        self._round = 0

    @property
    def max_frequency_ppb(self) -> float:
        """Range of ``DigitalTuning``: 2e-8."""
        return MAX_TUNING / UNITS_PER_PPB

    @property
    def resets(self) -> int:
        """Start-up notices seen so far; after one, settings are those that were stored."""
        return self._client.notices

    @property
    def dropped_lines(self) -> int:
        """Damaged or late answers so far."""
        return self._client.dropped

    def identify(self) -> OscillatorIdentity:
        """Ask who is there, with nothing that could change another part's state.

        Raises ``DeviceAbsentError`` when nobody answers, ``UnsupportedError`` when something else does.
        """
        self._timebase.sleep_s(_SETTLE_S)
        for attempt in range(_PROBE_TRIES):
            if attempt:
                self._timebase.sleep_s(_RETRY_S)
            line = self._client.probe(b"{device?}", _PROBE_S)
            if line is None:
                continue
            found = _DEVICE.search(line)
            if found is None:
                # A CSAC reads the probe letter by letter; let it finish.
                self._client.drain(_QUIET_S)
                continue
            if found["family"] != FAMILY:
                raise UnsupportedError(
                    self.name, "identify oscillator", f"answers {found['family'][:40]!r}, not {FAMILY!r}"
                )
            return OscillatorIdentity(
                family=FAMILY,
                model=self._client.request("pn?"),
                serial=self._client.request("serial?"),
                firmware=self._client.request("swrev?"),
            )
        raise DeviceAbsentError(
            self.name,
            "identify oscillator",
            "no answer to {device?}: no SA5X, a baud rate other than 57600, or the MAC pins are on I2C",
        )

    def status(self, full: bool = False) -> OscillatorStatus:
        """One round: the phase each time, the rest in turn (two to three exchanges), or everything."""
        known = self._known
        self._round += 1
        names: Sequence[str] = (*_ALTERNATING, *_ROTATING)
        if self._complete and not full:
            names = (_ALTERNATING[self._round % 2],)
            if self._round % _ROTATE_EVERY == 0:
                names = (*names, _ROTATING[self._round // _ROTATE_EVERY % len(_ROTATING)])
        for name in names:
            value = round(self._number(name))
            match name:
                case "PpsInDetected":
                    known.pps_detected = value != 0
                case "Locked":
                    known.locked = value != 0
                case "Alarms":
                    known.alarms = value
                case "DigitalTuning":
                    known.tuning = value
                case "Temperature":
                    known.temperature_mdegc = value
                case "LockProgress":
                    known.progress = value
        self._complete = True
        phase_ns = self._number("Phase") if known.pps_detected else None
        return OscillatorStatus(
            locked=known.locked,
            lock_progress_percent=100 if known.locked else known.progress,
            frequency_ppb=known.tuning / UNITS_PER_PPB,
            phase_ns=phase_ns,
            pps_detected=known.pps_detected,
            temperature_mdegc=known.temperature_mdegc,
            alarms=known.alarms,
            alarm_names=alarm_names(known.alarms),
            read_mono_ns=self._timebase.mono_ns(),
        )

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Steer (clamped to +-20 ppb); returns what the part says is in force."""
        wanted = round(max(-MAX_TUNING, min(MAX_TUNING, frequency_ppb * UNITS_PER_PPB)))
        self._known.tuning = round(self._set("DigitalTuning", wanted))
        return self._known.tuning / UNITS_PER_PPB

    def begin_software_steering(self) -> None:
        """Let the part measure phase but not steer itself; the tuning in force stays.

        ``Disciplining`` and ``PhaseMetering`` exclude each other, so the order matters.
        """
        self._set_checked("Disciplining", 0)
        self._set_checked("PhaseMetering", 1)

    def begin_self_disciplining(self, time_constant_s: int, phase_limit_ns: int) -> None:
        """Let the part follow its input pulse; enabling moves its output pulse at once (jam-sync)."""
        self._set_checked("TauPps0", time_constant_s)
        self._set_checked("PhaseLimit", phase_limit_ns)
        self._set_checked("PhaseMetering", 0)
        self._set_checked("Disciplining", 1)

    def set_pulse_qerr_ns(self, qerr_ns: float) -> None:
        """Tell the part the sawtooth correction of its next input pulse (``PpsQErr``, ps)."""
        self._set("PpsQErr", round(qerr_ns * 1000))

    def sync_pulse(self) -> None:
        """Move the output pulse onto the next input pulse: a step, complete within about a second."""
        if self._client.request("sync", repeatable=False) == "0":
            raise RefusedError(self.name, "sync", "the part could not move its pulse: no input pulse?")

    def _number(self, name: str) -> float:
        return self._as_number(f"get,{name}", self._client.request("get", name))

    def _set(self, name: str, value: int) -> float:
        return self._as_number(f"set,{name},{value}", self._client.request("set", name, str(value)))

    def _as_number(self, operation: str, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ProtocolError(self.name, operation, f"answers {text[:40]!r}, which is no number")
        return number

    def _set_checked(self, name: str, value: int) -> None:
        """A write that must be taken as it is."""
        in_force = self._set(name, value)
        if in_force != value:
            raise ProtocolError(self.name, f"set,{name},{value}", f"{in_force:g} is in force instead")


def alarm_names(alarms: int) -> tuple[str, ...]:
    """Names of the bits that are set; an undocumented one is named by its number."""
    return tuple(
        ALARMS.get(bit, f"alarm bit {bit}") for bit in range(alarms.bit_length()) if alarms >> bit & 1
    )
