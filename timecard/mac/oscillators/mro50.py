"""Safran mRO-50: a rubidium oscillator with two tuning words, over its serial line, ioctls or registers.

The words are the same on all three ways (``Mro50Words``): its serial line (``timecard.mac.mro50_serial``),
``/dev/mro50.N`` of the vendor's kernel driver (``timecard.mac.mro50_device``), and the bridge in the ART
card's FPGA (``timecard.pcie.mro50_bridge``). Steps, ranges and thermistor as oscillatord
(``src/oscillators/mRo50_oscillator.c``) uses them.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

from timecard.errors import (
    DeviceAbsentError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
from timecard.mac.driver import OscillatorCapability, OscillatorDriver, PartLimits, SelfDiscipline
from timecard.mac.mro50_serial import HEX, MAX_COARSE, SerialWords
from timecard.mac.text_line import TextLine
from timecard.mac.wear import WearLedger
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.values import OscillatorIdentity, OscillatorStatus, Reading

FAMILY: Final = "mro50"
BAUD: Final = 9_600
FINE_STEP_PPB: Final = -0.003
"""More fine is a lower frequency."""
COARSE_STEP_PPB: Final = 1.24
MID_FINE: Final = 2_400
FINE_SPAN: Final = (1_600, 3_200)
"""Where steps are calibrated; the word itself goes from 0 to 4800."""
MAX_COARSE_STEPS: Final = 20
"""At once, as oscillatord limits it."""
_PROBE_S: Final = 0.3
# The thermistor: 4100 K, 100 kOhm at 25 degC, with 47 kOhm in a divider read to 12 bits.
_BETA_K: Final = 4_100.0
_T25_K: Final = 298.15
_ZERO_C_K: Final = 273.14
_SERIES_OHM: Final = 47_000.0
_FULL_SCALE: Final = 4_095


class Mro50Words(Protocol):
    """The part as words. Setting returns when the part has taken it."""

    name: str
    can_save: bool
    """Whether ``save_coarse`` is possible this way."""

    def fine(self) -> int:
        """The fine word."""
        ...

    def coarse(self) -> int:
        """The coarse word."""
        ...

    def set_fine(self, value: int) -> None:
        """Set it; lost without power."""
        ...

    def set_coarse(self, value: int) -> None:
        """Set it; lost without power unless saved."""
        ...

    def save_coarse(self) -> None:
        """Store the coarse word in the part, which wears its memory."""
        ...

    def temperature_raw(self) -> int:
        """The thermometer's 12-bit word."""
        ...

    def locked(self) -> bool:
        """Whether the atomic lock is there."""
        ...


class Mro50:
    """``Oscillator`` for an mRO-50. It has no phase meter and no loop of its own: software steers."""

    def __init__(
        self, words: Mro50Words, timebase: Timebase, *, wear: WearLedger | None = None, serial: str = ""
    ) -> None:
        """``serial``: what to count wear under, such as the card's; the part has no number to ask for."""
        self.name = words.name
        self.capabilities = frozenset({OscillatorCapability.STEER})
        if words.can_save:
            self.capabilities |= {OscillatorCapability.LATCH}
        self.wear = wear or WearLedger()
        self.resets = 0
        """How often the fine word was found to be another than the one that was set."""
        self._words = words
        self._timebase = timebase
        self._serial = serial
        self._set: int | None = None
        self._coarse: int | None = None

    @property
    def max_frequency_ppb(self) -> float:
        """The calibrated span of the fine word: 2.4 ppb."""
        return (FINE_SPAN[1] - MID_FINE) * -FINE_STEP_PPB

    @property
    def frequency_resolution_ppb(self) -> float:
        """One fine step: 3e-12."""
        return -FINE_STEP_PPB

    @property
    def dropped_lines(self) -> int:
        """Damaged answers so far; registers and ioctls have none."""
        dropped: int = getattr(self._words, "dropped", 0)
        return dropped

    def identify(self) -> OscillatorIdentity:
        """The part has no name to ask for: who has a coarse word is one."""
        try:
            self._coarse = self._words.coarse()
        except (DeviceTimeoutError, ProtocolError, RefusedError) as error:
            raise DeviceAbsentError(self.name, "identify oscillator", f"no mRO-50: {error.reason}") from error
        return OscillatorIdentity(family=FAMILY, model="mRO-50", serial=self._serial, firmware="")

    def status(self, full: bool = False) -> OscillatorStatus:
        """Fine word, lock and temperature; the coarse word the first time and with ``full``."""
        words = self._words
        fine = words.fine()
        locked = words.locked()
        raw = words.temperature_raw()
        if full or self._coarse is None:
            self._coarse = words.coarse()
        if self._set is not None and fine != self._set:
            # The word is volatile, so the part has started anew (or another program steers).
            self.resets += 1
            self._set, self._coarse = fine, None
        celsius = temperature_c(raw)
        return OscillatorStatus(
            locked=locked,
            lock_progress_percent=100 if locked else 0,
            frequency_ppb=(fine - MID_FINE) * FINE_STEP_PPB,
            phase_ns=None,
            pps_detected=False,
            temperature_mdegc=None if celsius is None else round(celsius * 1000),
            alarms=0,
            alarm_names=(),
            readings=(
                Reading(name="fine", value=float(fine), unit="3e-12"),
                Reading(
                    name="coarse", value=None if self._coarse is None else float(self._coarse), unit="1.24e-9"
                ),
                Reading(name="temperature register", value=float(raw), unit=""),
            ),
            resets=self.resets,
            dropped=self.dropped_lines,
            read_mono_ns=self._timebase.mono_ns(),
        )

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Steer by the fine word (clamped to its calibrated span); returns what was read back."""
        wanted = round(MID_FINE + frequency_ppb / FINE_STEP_PPB)
        wanted = max(FINE_SPAN[0], min(FINE_SPAN[1], wanted))
        self._words.set_fine(wanted)
        self._set = wanted
        in_force = self._words.fine()
        if in_force != wanted:
            raise ProtocolError(
                self.name,
                f"set fine {wanted}",
                f"{in_force} is in force instead: try again",
            )
        return (in_force - MID_FINE) * FINE_STEP_PPB

    def adjust_coarse(self, steps: int) -> int:
        """Move the coarse word (1.24 ppb a step; not stored) by at most 20; returns the word in force."""
        if abs(steps) > MAX_COARSE_STEPS:
            raise RefusedError(
                self.name, "adjust coarse", f"{steps} steps at once, at most {MAX_COARSE_STEPS} are allowed"
            )
        wanted = self._words.coarse() + steps
        if not 0 <= wanted <= MAX_COARSE:
            raise RefusedError(self.name, "adjust coarse", f"{wanted} is outside 0 to {MAX_COARSE}")
        self._words.set_coarse(wanted)
        self._coarse = self._words.coarse()
        if self._coarse != wanted:
            raise ProtocolError(
                self.name, f"set coarse {wanted}", f"{self._coarse} is in force instead: try again"
            )
        return wanted

    def latch(self) -> None:
        """Move whole coarse steps from the fine word to the coarse word and store that; one counted write.

        The frequency stays within one fine step, but for the tenths of a second between the two words. Raises
        ``UnsupportedError``, with nothing moved, on the serial line.
        """
        if not self._words.can_save:
            reason = "the coarse word cannot be stored over the serial line: use the card's bridge"
            raise UnsupportedError(self.name, "latch", reason)
        fine = self._words.fine()
        steps = round((fine - MID_FINE) * FINE_STEP_PPB / COARSE_STEP_PPB)
        self.wear.charge(self.name, FAMILY, self._serial, "store the coarse word")
        if steps:
            self.adjust_coarse(steps)
            self.set_frequency_ppb((fine - MID_FINE) * FINE_STEP_PPB - steps * COARSE_STEP_PPB)
        self._words.save_coarse()

    def begin_software_steering(self) -> None:
        """Nothing to do: it has no loop of its own. Raises when it does not answer."""
        self._words.fine()

    def begin_self_disciplining(self, settings: SelfDiscipline) -> None:
        """Not possible."""
        raise UnsupportedError(
            self.name, "begin self-disciplining", "an mRO-50 has no loop of its own: software steers it"
        )

    def sync_pulse(self) -> None:
        """Not possible: the card makes the pulse from its 10 MHz."""
        raise UnsupportedError(self.name, "sync", "an mRO-50 has no pulse to move")

    def store(self) -> None:
        """Not possible."""
        raise UnsupportedError(self.name, "store", "only the coarse word can be stored: use latch")


def temperature_c(raw: int) -> float | None:
    """The thermometer's word in degC; None at the ends of the converter's range (thermistor open or shorted).

    x = word / 4095 is the voltage of a divider of 47 kOhm and an NTC thermistor of 100 kOhm at 25 degC.
    """
    if not 0 < raw < _FULL_SCALE:
        return None
    x = raw / _FULL_SCALE
    ohm = _SERIES_OHM * x / (1 - x)
    return _BETA_K * _T25_K / (_T25_K * math.log(1e-5 * ohm) + _BETA_K) - _ZERO_C_K


def open_serial(stream: ByteStream, timebase: Timebase, *, wear: WearLedger | None = None) -> Mro50:
    """A driver on the serial line."""
    return Mro50(SerialWords(stream, timebase), timebase, wear=wear)


def probe(stream: ByteStream, timebase: Timebase) -> OscillatorIdentity | None:
    """End whatever other probes left in the part's command buffer, then ask for the coarse word."""
    line = TextLine(stream, timebase, end=b"\n\n", max_bytes=256)
    line.send(b"\r\n")
    line.drain(_PROBE_S)
    text = line.ask(b"FD\r", _PROBE_S)
    found = HEX.fullmatch(text.strip()) if text is not None else None
    if found is None or int(found[1], 16) > MAX_COARSE:
        return None
    try:
        return open_serial(stream, timebase).identify()
    except DeviceAbsentError:
        return None


DRIVER: Final = OscillatorDriver(
    family=FAMILY,
    baud=BAUD,
    order=40,
    probe=probe,
    open=open_serial,
    timescale_model="mro50",
    limits=PartLimits(
        warm_up_s=900.0,
        temperature_mdegc=(-40_000, 85_000),
        max_frequency_ppb=(FINE_SPAN[1] - MID_FINE) * -FINE_STEP_PPB,
    ),
)
