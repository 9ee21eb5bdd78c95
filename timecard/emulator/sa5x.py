"""An emulated Microchip SA5X on its serial port: steering, phase meter, own disciplining loop, alarms, faults.

Its 10 MHz is an ``OscillatorPhysics`` that the rest of the card counts as well; ``DigitalTuning`` steers that.
The loop and the behaviour follow the "MAC SA5X User's Guide", DS50002938; where it gives no figure (re-lock
time, reply latency, jam-sync residue) the constants here are plausible ones. Not emulated: the boot loader.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final, Protocol

from timecard.emulator.gnss_noise import GnssPulse
from timecard.emulator.sa5x_parameters import (
    MAX_TUNING,
    NUMBERS,
    READ_ONLY,
    READ_ONLY_FROM_1_5,
    SETTINGS,
)
from timecard.emulator.sa5x_protocol import (
    BAD_SYNTAX,
    NOT_ACCEPTABLE,
    TOO_FEW,
    UNKNOWN_NAME,
    Command,
    CommandReader,
    notice,
)
from timecard.emulator.sa5x_protocol import READ_ONLY as READ_ONLY_ERROR
from timecard.emulator.serial_line import SerialLine
from timecard.timescale import NS_PER_S

BAUD: Final = 57_600
DEFAULT_FIRMWARE: Final = "V1.1.30.0.635AC64C"
UNITS_PER_PPB: Final = 1_000_000
_LATENCY_NS: Final = (2_000_000, 10_000_000)
_BOOT_NS: Final = 3 * NS_PER_S
_RELOCK_S: Final = 40
"""After a reset or a lost lock the cell is still warm."""
_UNSTABLE_AFTER_LOCK_S: Final = 300
_PPS_LOST_S: Final = 2
_MEASURED_AFTER_NS: Final = 50_000_000
"""The phase of a second is known this long after it."""
_PHASE_STEP_NS: Final = 0.45
_OUTPUT_STEP_NS: Final = 10
"""The output pulse lies on this grid of its own clock: what a jam-sync leaves is within half of it."""
_ALARM_UNSTABLE: Final = 1 << 16
_ALARM_NO_PULSE: Final = 1 << 17
_ALARM_RANGE: Final = 1 << 18


class Oscillator(Protocol):
    """The 10 MHz."""

    def phase_ns(self, t_ns: int) -> float:
        """Phase error since the start."""
        ...

    def set_steering_ppb(self, t_ns: int, ppb: float) -> None:
        """Steer from ``t_ns`` on."""
        ...

    def set_disturbance_ppb(self, t_ns: int, ppb: float) -> None:
        """Add a frequency error from ``t_ns`` on."""
        ...

    def temperature_c(self, t_ns: int) -> float:
        """Case temperature."""
        ...


class InputPulses(Protocol):
    """The pulses on the part's input PPS0."""

    def edge(self, second_tai_s: int) -> GnssPulse:
        """The pulse of a whole TAI second."""
        ...


class EmulatedSa5x:
    """A ``SerialDevice``, and a source of pulses. All times are true TAI."""

    def __init__(
        self,
        oscillator: Oscillator,
        pulses: InputPulses | None,
        start_tai_ns: int,
        *,
        seed: int = 0,
        warmup_s: float = 0.0,
        unlocked_offset_ppb: float = 40.0,
        firmware: str = DEFAULT_FIRMWARE,
        serial_number: str = "1209CS00909",
    ) -> None:
        """``warmup_s`` until the atomic lock after a cold start (5 to 8 min), 0 for a part that is already warm."""
        if len(serial_number) != 11:
            raise ValueError(f"SA5X serial number {serial_number!r}: must be exactly 11 characters")
        if not re.fullmatch(r"V\d+\.\d+\.\d+\.0\.[0-9A-F]{8}", firmware):
            raise ValueError(f"SA5X firmware {firmware!r}: must look like {DEFAULT_FIRMWARE}")
        self.silent = False
        """The UART is dead; the oscillator goes on."""
        self.garbage_bytes = 0
        """So many random bytes come before each answer."""
        self.fault_alarms = 0
        """Alarm bits that are on for a reason of their own."""
        self._oscillator = oscillator
        self._pulses = pulses
        self._random = random.Random(seed)
        self._unlocked_ppb = unlocked_offset_ppb
        self._firmware = firmware
        self._serial = serial_number
        self._reader = CommandReader()
        self._line = SerialLine(BAUD)
        self._stored = {name: setting.factory for name, setting in SETTINGS.items() if setting.stored}
        self._base = 0
        self._started_ns = start_tai_ns
        self._boot_until_ns: int | None = None
        self._next_second = start_tai_ns // NS_PER_S + 1
        # Where the output pulse lies at first has nothing to do with time of day.
        self._output_ns = self._random.randrange(-400_000_000, 400_000_000, _OUTPUT_STEP_NS)
        self._seconds_locked = 0
        self._unlock_until_ns: int | None = None
        self._forced_unlock = False
        self._load(start_tai_ns)
        self._locked = warmup_s <= 0.0
        self._acquire_from_ns = start_tai_ns
        self._acquire_ns = round(warmup_s * NS_PER_S)
        self._unstable_until_ns = 0
        self._apply_disturbance(start_tai_ns)
        self._commands: dict[str, Callable[[Command, int], bytes]] = {
            "get": self._on_get,
            "set": self._on_set,
            "add": self._on_add,
            "store": self._on_store,
            "load": self._on_load,
            "latch": self._on_latch,
            "sync": self._on_sync,
            "ackalm": lambda command, t_ns: command.reply("1"),
            "reset": self._on_reset,
            "device?": lambda command, t_ns: command.reply("sa5x"),
            "pn?": lambda command, t_ns: command.reply("090-03240-003"),
            "serial?": lambda command, t_ns: command.reply(self._serial),
            "swrev?": lambda command, t_ns: command.reply(f"{self._firmware},V1.0"),
            "hwrev?": lambda command, t_ns: command.reply("2.0"),
        }

    # --- the card's side ------------------------------------------------------------------------------------

    @property
    def baud(self) -> int:
        """Fixed."""
        return BAUD

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host; while the part starts up they are lost."""
        self.advance(t_ns)
        if self.silent or self._boot_until_ns is not None:
            return
        for command in self._reader.feed(data):
            at_ns = max(t_ns, self._line.free_ns) + self._random.randint(*_LATENCY_NS)
            answer = self._execute(command, t_ns)
            if self.garbage_bytes:
                self._line.put(self._random.randbytes(self.garbage_bytes), at_ns)
            self._line.put(answer, at_ns)
            if self._boot_until_ns is not None:
                break

    def transmit(self, t_ns: int) -> bytes:
        """Bytes that have come out of the UART since the last call."""
        self.advance(t_ns)
        return self._line.take(t_ns)

    def next_byte_ns(self) -> int | None:
        """When ``transmit`` will have something new; None until something is asked."""
        return self._line.next_ns() if self._boot_until_ns is None else self._boot_until_ns

    def edge(self, second_tai_s: int) -> GnssPulse:
        """The output pulse nearest to a whole TAI second."""
        t_ns = second_tai_s * NS_PER_S
        self.advance(t_ns)
        return GnssPulse(-self._ahead_ns(t_ns), 0.0, self._boot_until_ns is None, qerr_valid=False)

    def advance(self, t_ns: int) -> None:
        """Let everything happen up to ``t_ns``."""
        if self._boot_until_ns is not None and t_ns >= self._boot_until_ns:
            booted_ns, self._boot_until_ns = self._boot_until_ns, None
            self._load(booted_ns)
            self._say(notice("Microchip SA5X"), booted_ns)
        while self._next_second * NS_PER_S + _MEASURED_AFTER_NS <= t_ns:
            self._second(self._next_second)
            self._next_second += 1

    def unlock(self, t_ns: int) -> None:
        """The atomic lock is lost and does not come back before ``relock``."""
        self.advance(t_ns)
        self._forced_unlock = True
        self._lose_lock(t_ns)

    def relock(self, t_ns: int) -> None:
        """Let acquisition begin again."""
        self.advance(t_ns)
        if self._forced_unlock:
            self._forced_unlock = False
            self._lose_lock(t_ns)

    # --- one second -----------------------------------------------------------------------------------------

    def _second(self, second: int) -> None:
        at_ns = second * NS_PER_S + _MEASURED_AFTER_NS
        self._follow_lock(at_ns)
        if self._boot_until_ns is not None:
            return
        pulse = (
            self._pulses.edge(second) if self._pulses is not None and not self._values["PpsSource"] else None
        )
        qerr_ps, self._values["PpsQErr"] = self._values["PpsQErr"], 0
        if pulse is None or not pulse.present:
            self._seconds_without_pulse += 1
            return
        self._seconds_without_pulse = 0
        values = self._values
        late_ns = pulse.error_ns + qerr_ps / 1e3 - values["CableDelay"]
        wanted_ns = late_ns + values["PpsOffset"]
        raw_ns = self._ahead_ns(second * NS_PER_S + round(pulse.error_ns)) + wanted_ns
        if self._jam_wanted:
            self._output_ns -= round(raw_ns / _OUTPUT_STEP_NS) * _OUTPUT_STEP_NS
            self._jam_wanted = False
            raw_ns -= round(raw_ns / _OUTPUT_STEP_NS) * _OUTPUT_STEP_NS
            self._within_s = 0
        if values["Disciplining"] or values["PhaseMetering"]:
            self._phase_ns = round(raw_ns / _PHASE_STEP_NS) * _PHASE_STEP_NS
        if values["Disciplining"] and self._locked:
            self._discipline(at_ns)

    def _ahead_ns(self, t_ns: int) -> float:
        """How early the output pulse is that lies nearest to ``t_ns``, which is near a whole second."""
        ahead = self._oscillator.phase_ns(t_ns) + self._output_ns
        return (ahead + NS_PER_S / 2) % NS_PER_S - NS_PER_S / 2

    def _discipline(self, t_ns: int) -> None:
        """One step of the loop, with poles at 1/Tau and 0.5/Tau."""
        values = self._values
        if abs(self._phase_ns) > abs(values["PhaseLimit"]):
            self._jam_wanted = True
            self._discipline_locked = False
            self._correction = 0
            return
        tau = values["TauPps0"]
        threshold = values["DisciplineThresholdPps0"]
        self._within_s = self._within_s + 1 if abs(self._phase_ns) < threshold else 0
        self._discipline_locked = self._within_s >= 2 * tau or (
            self._discipline_locked and self._within_s > 0
        )
        wanted_sum = self._phase_sum + self._phase_ns
        steer = self._steer0 - UNITS_PER_PPB * (1.5 / tau * self._phase_ns + 0.5 / tau**2 * wanted_sum)
        tuning = round(max(-MAX_TUNING, min(MAX_TUNING, steer)))
        self._saturated = tuning != round(steer)
        if not self._saturated:
            self._phase_sum = wanted_sum
        self._correction = 0 if self._saturated else tuning - values["DigitalTuning"]
        values["DigitalTuning"] = tuning
        self._steer(t_ns)

    def _start_loop(self) -> None:
        self._jam_wanted = True
        self._discipline_locked = False
        self._within_s = 0
        self._phase_sum = 0.0
        self._steer0 = self._values["DigitalTuning"]
        self._saturated = False
        self._correction = 0

    def _follow_lock(self, t_ns: int) -> None:
        if self._locked:
            self._seconds_locked += 1
        elif not self._forced_unlock and t_ns - self._acquire_from_ns >= self._acquire_ns:
            self._locked = True
            self._unstable_until_ns = t_ns + _UNSTABLE_AFTER_LOCK_S * NS_PER_S
            self._apply_disturbance(t_ns)

    def _lose_lock(self, t_ns: int) -> None:
        self._locked = False
        self._discipline_locked = False
        self._acquire_from_ns = t_ns
        self._acquire_ns = _RELOCK_S * NS_PER_S
        self._apply_disturbance(t_ns)

    def _apply_disturbance(self, t_ns: int) -> None:
        self._oscillator.set_disturbance_ppb(t_ns, 0.0 if self._locked else self._unlocked_ppb)

    def _steer(self, t_ns: int) -> None:
        self._oscillator.set_steering_ppb(t_ns, (self._base + self._values["DigitalTuning"]) / UNITS_PER_PPB)

    def _load(self, t_ns: int) -> None:
        """Settings as stored."""
        self._values = {name: self._stored.get(name, setting.factory) for name, setting in SETTINGS.items()}
        self._phase_ns = 0.0
        self._seconds_without_pulse = _PPS_LOST_S
        self._jam_wanted = False
        self._start_loop()
        self._jam_wanted = bool(self._values["Disciplining"])
        self._steer(t_ns)

    # --- commands -------------------------------------------------------------------------------------------

    def _execute(self, command: Command, t_ns: int) -> bytes:
        if command.error:
            return command.refuse(command.error)
        handler = self._commands.get(command.name)
        return command.refuse(BAD_SYNTAX) if handler is None else handler(command, t_ns)

    def _on_get(self, command: Command, t_ns: int) -> bytes:
        if not command.arguments:
            return command.refuse(TOO_FEW)
        value = self._read(NUMBERS.get(command.arguments[0], command.arguments[0]), t_ns)
        return command.refuse(UNKNOWN_NAME) if value is None else command.reply(value)

    def _on_set(self, command: Command, t_ns: int) -> bytes:
        if len(command.arguments) < 2:
            return command.refuse(TOO_FEW)
        name = NUMBERS.get(command.arguments[0], command.arguments[0])
        if name not in SETTINGS:
            known = self._read(name, t_ns) is not None
            return command.refuse(READ_ONLY_ERROR if known else UNKNOWN_NAME)
        try:
            value = int(command.arguments[1])
        except ValueError:
            return command.refuse(NOT_ACCEPTABLE)
        return self._write(command, name, value, t_ns)

    def _on_add(self, command: Command, t_ns: int) -> bytes:
        if len(command.arguments) < 2:
            return command.refuse(TOO_FEW)
        if command.arguments[0] != "DigitalTuning":
            return command.refuse(UNKNOWN_NAME)
        try:
            value = self._values["DigitalTuning"] + int(command.arguments[1])
        except ValueError:
            return command.refuse(NOT_ACCEPTABLE)
        return self._write(command, "DigitalTuning", value, t_ns)

    def _write(self, command: Command, name: str, value: int, t_ns: int) -> bytes:
        setting, values = SETTINGS[name], self._values
        if not setting.low <= value <= setting.high or value % setting.step:
            return command.refuse(NOT_ACCEPTABLE)
        if name == "AnalogTuningEnabled" and value and (values["Disciplining"] or values["DigitalTuning"]):
            return command.refuse(NOT_ACCEPTABLE)
        began = name == "Disciplining" and value and not values["Disciplining"]
        values[name] = value
        if name == "Disciplining":
            if began:
                values["PhaseMetering"] = 0
                self._start_loop()
            elif not value:
                self._discipline_locked = self._saturated = self._jam_wanted = False
        elif name == "PhaseMetering" and value:
            values["Disciplining"] = 0
            self._discipline_locked = False
        elif name == "DigitalTuning":
            self._steer0, self._phase_sum = value, 0.0
            self._steer(t_ns)
        return command.reply(str(value))

    def _on_store(self, command: Command, t_ns: int) -> bytes:
        self._stored = {name: value for name, value in self._values.items() if SETTINGS[name].stored}
        return command.reply("1")

    def _on_load(self, command: Command, t_ns: int) -> bytes:
        self._load(t_ns)
        return command.reply("1")

    def _on_latch(self, command: Command, t_ns: int) -> bytes:
        if self._values["Disciplining"]:
            return command.reply("0")
        self._base += self._values["DigitalTuning"]
        self._values["DigitalTuning"] = 0
        self._steer(t_ns)
        return command.reply("1")

    def _on_sync(self, command: Command, t_ns: int) -> bytes:
        if self._seconds_without_pulse >= _PPS_LOST_S:
            return command.reply("0")
        self._jam_wanted = True
        return command.reply("1")

    def _on_reset(self, command: Command, t_ns: int) -> bytes:
        self._boot_until_ns = t_ns + _BOOT_NS
        self._reader.clear()
        self._lose_lock(t_ns)
        return notice("Loading...")

    def _say(self, text: bytes, t_ns: int) -> None:
        if not self.silent:
            self._line.put(text, t_ns)

    def _read(self, name: str, t_ns: int) -> str | None:
        if name == "TimeOfDay":
            return str(self._values[name] + (t_ns - self._started_ns) // NS_PER_S)
        if name in self._values:
            return str(self._values[name])
        if name in READ_ONLY:
            return self._read_only(name, t_ns)
        major, minor = (int(part) for part in self._firmware[1:].split(".")[:2])
        return READ_ONLY_FROM_1_5.get(name) if (major, minor) >= (1, 5) else None

    def _read_only(self, name: str, t_ns: int) -> str:
        values = self._values
        progress = (
            100
            if self._locked or not self._acquire_ns
            else (
                0
                if self._forced_unlock
                else min(99, 100 * (t_ns - self._acquire_from_ns) // self._acquire_ns)
            )
        )
        readings: dict[str, Callable[[], int | float | str]] = {
            "Locked": lambda: int(self._locked),
            "LockProgress": lambda: progress,
            "Alarms": lambda: self._alarms(t_ns),
            "PpsInDetected": lambda: int(self._seconds_without_pulse < _PPS_LOST_S),
            "DisciplineLocked": lambda: int(self._discipline_locked),
            "Phase": lambda: f"{self._phase_ns:.2f}",
            "JamSyncing": lambda: int(self._jam_wanted),
            "DisciplineTuning": lambda: (
                values["DigitalTuning"] - self._steer0 if values["Disciplining"] else 0
            ),
            "EffectiveTuning": lambda: self._base + values["DigitalTuning"],
            "LastCorrection": lambda: self._correction,
            "Temperature": lambda: round(1000 * self._oscillator.temperature_c(t_ns)),
            "PowerSupply": lambda: 4998,
            "TotalRuntime": lambda: (t_ns - self._started_ns) // NS_PER_S,
            "TotalLocktime": lambda: self._seconds_locked,
            "serial": lambda: self._serial,
        }
        return str(readings[name]())

    def _alarms(self, t_ns: int) -> int:
        alarms = self.fault_alarms
        if self._locked and t_ns < self._unstable_until_ns:
            alarms |= _ALARM_UNSTABLE
        if self._values["Disciplining"]:
            alarms |= _ALARM_NO_PULSE if self._seconds_without_pulse >= _PPS_LOST_S else 0
            alarms |= _ALARM_RANGE if self._saturated else 0
        return alarms
