"""An emulated Microchip SA5X on its serial port: the commands of the "MAC SA5X User's Guide", DS50002938.

Its 10 MHz is an ``OscillatorPhysics`` that the rest of the card counts as well; ``DigitalTuning`` steers
that. Its boot loader is in ``sa5x_loader``; a part without working firmware stays in it, and its 10 MHz is
then that of an unlocked part. A part in the loader answers ``[!1]`` to what only firmware knows.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final

from timecard.emulator.gnss_noise import GnssPulse
from timecard.emulator.sa5x_engine import MEASURED_AFTER_NS, Engine, InputPulses, Oscillator
from timecard.emulator.sa5x_loader import FirmwareFlash, XmodemReceiver
from timecard.emulator.sa5x_parameters import NOT_BEFORE_1_1, NUMBERS, READ_ONLY_FROM_1_5, SETTINGS
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
from timecard.emulator.serial_part import SerialPart, seconds_ns
from timecard.timescale import NS_PER_S

BAUD: Final = 57_600
DEFAULT_FIRMWARE: Final = "V1.1.30.0.635AC64C"
_LATENCY_NS: Final = (2_000_000, 10_000_000)
_BOOT_NS: Final = 3 * NS_PER_S
_LOADER_COMMANDS: Final = frozenset({"bsl", "reset", "upload"})

_Handler = Callable[[Command, int], bytes]


class EmulatedSa5x(SerialPart):
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
        firmware: str | None = DEFAULT_FIRMWARE,
        serial_number: str = "1209CS00909",
        baud: int = BAUD,
    ) -> None:
        """``warmup_s`` until the atomic lock after a cold start (5 to 8 min); 0 for a part that is warm.

        ``baud``: as the card's maker had it set. ``firmware`` of None: a broken image, as after a power cut
        during an upload.
        """
        if len(serial_number) != 11:
            raise ValueError(f"SA5X serial number {serial_number!r}: must be exactly 11 characters")
        if firmware is not None and not re.fullmatch(r"V\d+\.\d+\.\d+\.0\.[0-9A-F]{8}", firmware):
            raise ValueError(f"SA5X firmware {firmware!r}: must look like {DEFAULT_FIRMWARE}")
        super().__init__(baud, random.Random(seed), _LATENCY_NS)
        self.fault_alarms = 0
        """Alarm bits that are on for a reason of their own."""
        self.flash = FirmwareFlash(firmware or DEFAULT_FIRMWARE)
        if firmware is None:
            self.flash.version = None
        self.upload: XmodemReceiver | None = None
        """A firmware upload under way."""
        self._cold_s = warmup_s
        self._engine = Engine(oscillator, pulses, start_tai_ns, warmup_s, unlocked_offset_ppb, self._random)
        self._oscillator = oscillator
        self._loading = firmware is None
        """The boot loader runs, and stays."""
        self._serial = serial_number
        self._reader = CommandReader()
        self._stored = {name: setting.factory for name, setting in SETTINGS.items() if setting.stored}
        self._started_ns = start_tai_ns
        self._tod_set_ns = start_tai_ns
        self._next_second = start_tai_ns // NS_PER_S + 1
        self._dark_until_ns = start_tai_ns
        """Without power until then."""
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
            "bsl": self._on_loader,
            "upload": self._on_upload,
            "device?": lambda command, t_ns: command.reply("sa5x"),
            "pn?": lambda command, t_ns: command.reply("090-03240-003"),
            "serial?": lambda command, t_ns: command.reply(self._serial),
            "swrev?": lambda command, t_ns: command.reply(f"{self.flash.version},V1.0"),
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

    def edge(self, second_tai_s: int) -> GnssPulse:
        """The output pulse nearest to a whole TAI second; asked for when that second begins."""
        t_ns = second_tai_s * NS_PER_S
        self.advance(t_ns)
        return GnssPulse(-self._engine.ahead_ns(t_ns), 0.0, self._down_until_ns is None, qerr_valid=False)

    def restart(self, t_ns: int) -> None:
        """What ``{reset}`` does; the boot loader listens until start-up is over."""
        self._begin_anew(t_ns, t_ns, _BOOT_NS)
        self._engine.lose_lock(t_ns, forced=False)

    def power_cycle(self, t_ns: int, off_s: float = 1.0) -> None:
        """The supply fails, and comes back after ``off_s``; an upload is lost, with what it overwrote."""
        self.advance(t_ns)
        self._begin_anew(t_ns, t_ns + seconds_ns(off_s), _BOOT_NS)
        self._dark_until_ns = t_ns + seconds_ns(off_s)
        self._engine.lose_lock(t_ns, forced=False, acquire_s=self._cold_s or None)

    def unlock(self, t_ns: int) -> None:
        """The atomic lock is lost and does not come back before ``relock``."""
        self.advance(t_ns)
        self._engine.lose_lock(t_ns, forced=True)

    def relock(self, t_ns: int) -> None:
        """Let acquisition begin again."""
        self.advance(t_ns)
        self._engine.lose_lock(t_ns, forced=False)

    # --- commands -------------------------------------------------------------------------------------------

    def _listens(self) -> bool:
        return True  # the boot loader does, even during start-up

    def _hear(self, data: bytes, t_ns: int) -> None:
        if t_ns < self._dark_until_ns:
            return
        if self.upload is not None:
            self.upload.feed(data, t_ns)
            return
        for command in self._reader.feed(data):
            starting = self._down_until_ns is not None
            if starting and command.name != "bsl":
                continue
            self._answer(self._execute(command, t_ns), t_ns)
            if self.upload is not None or (self._down_until_ns is not None and not starting):
                break

    def _pass_time(self, t_ns: int) -> None:
        if self.upload is not None:
            self.upload.advance(t_ns)
        while self._next_second * NS_PER_S + MEASURED_AFTER_NS <= t_ns:
            self._engine.second(self._next_second)
            self._next_second += 1

    def _booted(self, at_ns: int) -> None:
        if self.flash.version is None:
            self._loading = True
            self._engine.lose_lock(at_ns, forced=True)
        if self._loading:
            return
        self._engine.load(self._stored, at_ns)
        self._notice(notice("Microchip SA5X"), at_ns)

    def _begin_anew(self, t_ns: int, on_ns: int, boot_ns: int) -> None:
        self._go_down(t_ns, on_ns + boot_ns)
        self._notice(notice("Loading..."), on_ns + _LATENCY_NS[0])
        self._reader.clear()
        self.upload, self._loading = None, False

    def _execute(self, command: Command, t_ns: int) -> bytes:
        if command.error:
            return command.refuse(command.error)
        if self._loading and command.name not in _LOADER_COMMANDS:
            return command.refuse(BAD_SYNTAX)
        handler = self._commands.get(command.name)
        return command.refuse(BAD_SYNTAX) if handler is None else handler(command, t_ns)

    def _read(self, name: str, t_ns: int) -> str | None:
        if name == "TimeOfDay":
            return str(self._engine.values[name] + (t_ns - self._tod_set_ns) // NS_PER_S)
        if name in SETTINGS:
            return str(self._engine.values[name])
        reading = self._readings.get(name)
        if reading is not None and (name not in NOT_BEFORE_1_1 or self._firmware_at_least(1, 1)):
            return str(reading(t_ns))
        return READ_ONLY_FROM_1_5.get(name) if self._firmware_at_least(1, 5) else None

    def _firmware_at_least(self, major: int, minor: int) -> bool:
        version = (self.flash.version or "V0.0")[1:].split(".")
        return (int(version[0]), int(version[1])) >= (major, minor)

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
        self.restart(t_ns)
        return b""

    def _on_loader(self, command: Command, t_ns: int) -> bytes:
        if self._down_until_ns is None and not self._loading:
            return command.refuse(BAD_SYNTAX)  # it is taken directly after a reset only
        self._down_until_ns, self._loading = None, True
        self._engine.lose_lock(t_ns, forced=True)
        return command.reply("BSL")

    def _on_upload(self, command: Command, t_ns: int) -> bytes:
        if not self._loading:
            return command.refuse(BAD_SYNTAX)
        if command.arguments != ("cpu",):
            return command.refuse(NOT_ACCEPTABLE if command.arguments else TOO_FEW)

        def say(data: bytes, at_ns: int) -> None:
            self._answer(data, at_ns)

        def end(code: int, at_ns: int) -> None:
            self.upload = None
            self._answer(b"[!%d]\r\n" % code if code else b"[=1]\r\n", at_ns)

        self.upload = XmodemReceiver(self.flash, t_ns + _BOOT_NS // 10, say, end)
        return b""
