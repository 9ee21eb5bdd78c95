"""An emulated Microchip SA5X on its serial port: the commands of the "MAC SA5X User's Guide", DS50002938.

Its 10 MHz is an ``OscillatorPhysics`` that the rest of the card counts as well; ``DigitalTuning`` steers
that. Not emulated: the boot loader and firmware upload.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final

from timecard.emulator.gnss_noise import GnssPulse
from timecard.emulator.sa5x_engine import MEASURED_AFTER_NS, Engine, InputPulses, Oscillator
from timecard.emulator.sa5x_parameters import NUMBERS, READ_ONLY_FROM_1_5, SETTINGS
from timecard.emulator.sa5x_protocol import (
    BAD_SYNTAX,
    NOT_ACCEPTABLE,
    READ_ONLY,
    TOO_FEW,
    UNKNOWN_NAME,
    Command,
    CommandReader,
    notice,
)
from timecard.emulator.serial_line import SerialLine
from timecard.timescale import NS_PER_S

BAUD: Final = 57_600
DEFAULT_FIRMWARE: Final = "V1.1.30.0.635AC64C"
_LATENCY_NS: Final = (2_000_000, 10_000_000)
_BOOT_NS: Final = 3 * NS_PER_S

_Handler = Callable[[Command, int], bytes]


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
        baud: int = BAUD,
    ) -> None:
        """``warmup_s`` until the atomic lock after a cold start (5 to 8 min); 0 for a part that is warm.

        ``baud``: as the card's maker had it set.
        """
        if len(serial_number) != 11:
            raise ValueError(f"SA5X serial number {serial_number!r}: must be exactly 11 characters")
        if not re.fullmatch(r"V\d+\.\d+\.\d+\.0\.[0-9A-F]{8}", firmware):
            raise ValueError(f"SA5X firmware {firmware!r}: must look like {DEFAULT_FIRMWARE}")
        self.silent = False
        """The UART is dead; the oscillator goes on."""
        self.garbage_bytes = 0
        """So many random bytes come before each answer, and one byte of it may be damaged."""
        self.fault_alarms = 0
        """Alarm bits that are on for a reason of their own."""
        self._random = random.Random(seed)
        self._engine = Engine(oscillator, pulses, start_tai_ns, warmup_s, unlocked_offset_ppb, self._random)
        self._oscillator = oscillator
        self._firmware = firmware
        self._version = tuple(int(part) for part in firmware[1:].split(".")[:2])
        self._serial = serial_number
        self._reader = CommandReader()
        self.baud = baud
        self._line = SerialLine(baud)
        self._stored = {name: setting.factory for name, setting in SETTINGS.items() if setting.stored}
        self._started_ns = start_tai_ns
        self._tod_set_ns = start_tai_ns
        self._boot_until_ns: int | None = None
        self._next_second = start_tai_ns // NS_PER_S + 1
        self._commands: dict[str, _Handler] = {
            "get": self._on_get,
            "set": self._on_set,
            "add": self._on_add,
            "store": self._on_store,
            "load": self._on_load,
            "latch": lambda command, t_ns: command.reply(str(int(self._engine.latch(t_ns)))),
            "sync": lambda command, t_ns: command.reply(str(int(self._engine.sync()))),
            "ackalm": lambda command, t_ns: command.reply("1"),
            "reset": self._on_reset,
            "device?": lambda command, t_ns: command.reply("sa5x"),
            "pn?": lambda command, t_ns: command.reply("090-03240-003"),
            "serial?": lambda command, t_ns: command.reply(self._serial),
            "swrev?": lambda command, t_ns: command.reply(f"{self._firmware},V1.0"),
            "hwrev?": lambda command, t_ns: command.reply("2.0"),
        }
        engine = self._engine
        self._readings: dict[str, Callable[[int], int | str]] = {
            "Locked": lambda t_ns: int(engine.locked),
            "LockProgress": engine.lock_progress_percent,
            "Alarms": lambda t_ns: engine.alarms(t_ns) | self.fault_alarms,
            "PpsInDetected": lambda t_ns: int(engine.pps_detected),
            "DisciplineLocked": lambda t_ns: int(engine.discipline_locked),
            "Phase": lambda t_ns: f"{engine.phase_ns:.2f}",
            "JamSyncing": lambda t_ns: int(engine.jam_wanted),
            "DisciplineTuning": lambda t_ns: engine.disciplining_tuning,
            "EffectiveTuning": lambda t_ns: engine.values["DigitalTuning"],
            "LastCorrection": lambda t_ns: engine.correction,
            "Temperature": lambda t_ns: round(1000 * self._oscillator.temperature_c(t_ns)),
            "PowerSupply": lambda t_ns: 4998,
            "TotalRuntime": lambda t_ns: (t_ns - self._started_ns) // NS_PER_S,
            "TotalLocktime": lambda t_ns: engine.seconds_locked,
            "serial": lambda t_ns: self._serial,
        }

    # --- the card's side ------------------------------------------------------------------------------------

    @property
    def locked(self) -> bool:
        """Whether the atomic lock is there."""
        return self._engine.locked

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host; while the part starts up they are lost."""
        self.advance(t_ns)
        if self.silent or self._boot_until_ns is not None:
            return
        for command in self._reader.feed(data):
            at_ns = max(t_ns, self._line.free_ns) + self._random.randint(*_LATENCY_NS)
            self._line.put(self._damaged(self._execute(command, t_ns)), at_ns)
            if self._boot_until_ns is not None:
                break

    def transmit(self, t_ns: int) -> bytes:
        """Bytes that have come out of the UART since the last call."""
        self.advance(t_ns)
        return self._line.take(t_ns)

    def next_byte_ns(self) -> int | None:
        """When ``transmit`` will have something new; None until something is asked."""
        waiting = self._line.next_ns()
        return self._boot_until_ns if waiting is None else waiting

    def edge(self, second_tai_s: int) -> GnssPulse:
        """The output pulse nearest to a whole TAI second; asked for when that second begins."""
        t_ns = second_tai_s * NS_PER_S
        self.advance(t_ns)
        return GnssPulse(-self._engine.ahead_ns(t_ns), 0.0, self._boot_until_ns is None, qerr_valid=False)

    def advance(self, t_ns: int) -> None:
        """Let everything happen up to ``t_ns``."""
        while self._next_second * NS_PER_S + MEASURED_AFTER_NS <= t_ns:
            self._engine.second(self._next_second)
            self._next_second += 1
        if self._boot_until_ns is not None and t_ns >= self._boot_until_ns:
            booted_ns, self._boot_until_ns = self._boot_until_ns, None
            self._engine.load(self._stored, booted_ns)
            if not self.silent:
                self._line.put(notice("Microchip SA5X"), booted_ns)

    def unlock(self, t_ns: int) -> None:
        """The atomic lock is lost and does not come back before ``relock``."""
        self.advance(t_ns)
        self._engine.lose_lock(t_ns, forced=True)

    def relock(self, t_ns: int) -> None:
        """Let acquisition begin again."""
        self.advance(t_ns)
        self._engine.lose_lock(t_ns, forced=False)

    # --- commands -------------------------------------------------------------------------------------------

    def _execute(self, command: Command, t_ns: int) -> bytes:
        if command.error:
            return command.refuse(command.error)
        handler = self._commands.get(command.name)
        return command.refuse(BAD_SYNTAX) if handler is None else handler(command, t_ns)

    def _damaged(self, answer: bytes) -> bytes:
        if not self.garbage_bytes:
            return answer
        noise = self._random.randbytes(self.garbage_bytes)
        if self._random.random() < 0.3:
            at = self._random.randrange(len(answer))
            answer = answer[:at] + bytes((self._random.randrange(256),)) + answer[at + 1 :]
        return noise + answer

    def _read(self, name: str, t_ns: int) -> str | None:
        if name == "TimeOfDay":
            return str(self._engine.values[name] + (t_ns - self._tod_set_ns) // NS_PER_S)
        if name in SETTINGS:
            return str(self._engine.values[name])
        reading = self._readings.get(name)
        if reading is not None:
            return str(reading(t_ns))
        return READ_ONLY_FROM_1_5.get(name) if self._version >= (1, 5) else None

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
            return command.refuse(UNKNOWN_NAME if self._read(name, t_ns) is None else READ_ONLY)
        return self._write(command, name, 0, t_ns)

    def _on_add(self, command: Command, t_ns: int) -> bytes:
        if len(command.arguments) < 2:
            return command.refuse(TOO_FEW)
        name = command.arguments[0]
        if name != "DigitalTuning":
            return command.refuse(UNKNOWN_NAME)
        return self._write(command, name, self._engine.values[name], t_ns)

    def _write(self, command: Command, name: str, onto: int, t_ns: int) -> bytes:
        number = re.fullmatch(r"[+-]?\d{1,12}", command.arguments[1])
        if number is None or not self._engine.write(name, onto + int(number.group()), t_ns):
            return command.refuse(NOT_ACCEPTABLE)
        if name == "TimeOfDay":
            self._tod_set_ns = t_ns
        return command.reply(str(self._engine.values[name]))

    def _on_store(self, command: Command, t_ns: int) -> bytes:
        values = self._engine.values
        self._stored = {name: value for name, value in values.items() if SETTINGS[name].stored}
        return command.reply("1")

    def _on_load(self, command: Command, t_ns: int) -> bytes:
        self._engine.load(self._stored, t_ns)
        return command.reply("1")

    def _on_reset(self, command: Command, t_ns: int) -> bytes:
        self._boot_until_ns = t_ns + _BOOT_NS
        self._reader.clear()
        self._engine.lose_lock(t_ns, forced=False)
        return notice("Loading...")
