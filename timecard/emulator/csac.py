"""An emulated SA.45s CSAC or LN-CSAC SA65 on its serial port.

Shortcuts act as soon as they arrive, ``!`` commands at the end of their line, ESC forgets one that has begun.
Source: "SA.45s CSAC User Guide" (990-00123) and "LN-CSAC User's Guide" (DS50003805). Not emulated: what the
microwave servo does inside, only what it shows.
"""

from __future__ import annotations

import random
from functools import reduce
from operator import xor
from typing import Final

from timecard.emulator.csac_commands import HEADER, SA45S, SA65, UNKNOWN, CsacCommands, CsacKind
from timecard.emulator.csac_engine import (
    ALARM_CONTRAST,
    ALARM_SYNTHESISER,
    ANALOG,
    CHECKSUM,
    RELOCK_S,
    CsacEngine,
    CsacSettings,
)
from timecard.emulator.gnss_noise import GnssPulse
from timecard.emulator.sa5x_engine import MEASURED_AFTER_NS, InputPulses, Oscillator
from timecard.emulator.serial_part import SerialPart, seconds_ns
from timecard.timescale import NS_PER_S

BAUD: Final = 57_600
BAD_SUM: Final = "*"
MAX_COMMAND: Final = 40
BOOT_NS: Final = NS_PER_S // 2
_ESC, _CR, _LF = 0x1B, 0x0D, 0x0A
_LATENCY_NS: Final = (2_000_000, 10_000_000)


class EmulatedCsac(SerialPart):
    """A ``SerialDevice``, and a source of pulses. All times are true TAI."""

    def __init__(
        self,
        oscillator: Oscillator,
        pulses: InputPulses | None,
        start_tai_ns: int,
        *,
        seed: int = 0,
        warmup_s: float = 0.0,
        unlocked_offset_ppb: float = 200.0,
        kind: CsacKind = SA45S,
        firmware: str | None = None,
        settings: CsacSettings | None = None,
        baud: int = BAUD,
    ) -> None:
        """``warmup_s`` until the lock after a cold start (130 to 180 s); 0 for a part that is warm."""
        super().__init__(baud, random.Random(seed), _LATENCY_NS)
        self.fault_alarms = 0
        """Alarm bits that are on for a reason of their own."""
        self.contrast = 4_381
        """While locked; below 1000 is an alarm."""
        self.kind = kind
        self._firmware = firmware or kind.firmware
        self._oscillator = oscillator
        self._pulses = pulses
        self._cold_s = warmup_s
        self._unlocked_ppb = unlocked_offset_ppb
        settings = settings or CsacSettings(tau_s=max(100, kind.tau_s[0]))
        self._engine = self._new_engine(start_tai_ns, warmup_s, settings)
        self._commands = CsacCommands(
            self._engine, kind, self._firmware, self.telemetry, self._random, start_tai_ns
        )
        self._next_second = start_tai_ns // NS_PER_S + 1
        self._typed: bytearray | None = None
        """A ``!`` command that has begun."""

    # --- readings -------------------------------------------------------------------------------------------

    @property
    def locked(self) -> bool:
        """Whether the atomic lock is there."""
        return self._engine.locked

    @property
    def nonvolatile_writes(self) -> int:
        """Writes to the part's memory so far."""
        return self._engine.nonvolatile_writes

    @property
    def settings(self) -> CsacSettings:
        """What the part has stored."""
        return self._engine.settings

    def edge(self, second_tai_s: int) -> GnssPulse:
        """The output pulse nearest to a whole TAI second; asked for when that second begins."""
        t_ns = second_tai_s * NS_PER_S
        self.advance(t_ns)
        present = self._down_until_ns is None
        return GnssPulse(-self._engine.ahead_ns(t_ns), 0.0, present, qerr_valid=False)

    def telemetry(self, t_ns: int) -> str:
        """The line that answers ``^``."""
        engine = self._engine
        status = engine.status(t_ns)
        locked = status == 0
        contrast = self.contrast + self._random.randint(-30, 30) if locked else self._random.randint(0, 40)
        alarms = self.fault_alarms | (ALARM_CONTRAST if locked and contrast < 1_000 else 0)
        alarms |= ALARM_SYNTHESISER if engine.saturated else 0
        phase = "---"
        if engine.meters:
            phase = "NEEDREFPPS" if engine.phase_ns is None else str(round(engine.phase_ns))
        laser, heater, signal = (
            (0.86, 17.62, 0.996) if status <= 4 else (0.0, 95.0 if status == 8 else 40.0, 0.0)
        )
        mode = engine.settings.mode
        fields = (
            str(status),
            f"0x{alarms:04X}",
            self.kind.serial,
            f"0x{mode:04X}",
            str(contrast),
            f"{laser:.2f}",
            "1.573",
            f"{heater:.2f}",
            f"{signal:.3f}",
            f"{self._oscillator.temperature_c(t_ns):.2f}",
            str(round(engine.steer / 1_000)),
            "1.250" if mode & ANALOG else "---",
            phase,
            str(engine.disc_ok),
            str(self._commands.time_of_day(t_ns)),
            str(engine.seconds_locked(t_ns)),
            self._firmware,
        )
        return ",".join(fields)

    # --- the card's side ------------------------------------------------------------------------------------

    def _hear(self, data: bytes, t_ns: int) -> None:
        for byte in data:
            if self._down_until_ns is not None:
                return
            if byte == _ESC:
                self._typed = None
            elif self._typed is not None:
                if byte in (_CR, _LF):
                    text, self._typed = self._typed.decode("latin-1"), None
                    self._reply(self._command(text, t_ns), t_ns)
                elif len(self._typed) <= MAX_COMMAND:  # what is too long is unknown, however long it gets
                    self._typed.append(byte)
            elif byte == 0x21:
                self._typed = bytearray()
            elif byte in (_CR, _LF) or self._checks:
                continue  # with checksums on, shortcuts do not work
            elif byte in self._commands.shortcuts:
                self._reply(self._commands.execute(chr(byte), t_ns), t_ns)
            else:
                self._reply(UNKNOWN, t_ns)

    def _pass_time(self, t_ns: int) -> None:
        while True:
            second_ns = self._next_second * NS_PER_S + MEASURED_AFTER_NS
            later = min(self._commands.later, default=None)
            if later is not None and later[0] <= min(t_ns, second_ns):
                self._commands.later.remove(later)
                self._reply(self._commands.at_pulse(later[1], later[0]), later[0])
            elif second_ns <= t_ns:
                self._engine.second(self._next_second)
                self._next_second += 1
                self._reply(self._commands.sync_result(second_ns), second_ns)
            else:
                return

    def _booted(self, at_ns: int) -> None:
        pass

    def restart(self, t_ns: int) -> None:
        """An automatic restart; the part writes its memory once for it."""
        self._begin_anew(t_ns, t_ns + BOOT_NS, RELOCK_S)
        self._engine.nonvolatile_writes += 1

    def power_cycle(self, t_ns: int, off_s: float = 1.0) -> None:
        """The supply fails, and comes back after ``off_s``: steering and unlatched compensation are lost."""
        self.advance(t_ns)
        self._begin_anew(t_ns, t_ns + seconds_ns(off_s) + BOOT_NS, self._cold_s or RELOCK_S)

    def unlock(self, t_ns: int) -> None:
        """The atomic lock is lost and does not come back before ``relock``."""
        self.advance(t_ns)
        self._engine.lose_lock(t_ns, forced=True)

    def relock(self, t_ns: int) -> None:
        """Let acquisition begin again."""
        self.advance(t_ns)
        self._engine.lose_lock(t_ns, forced=False)

    # --- commands -------------------------------------------------------------------------------------------

    @property
    def _checks(self) -> bool:
        return bool(self._engine.settings.mode & CHECKSUM)

    def _command(self, text: str, t_ns: int) -> str | None:
        if self._checks:
            text, star, given = text.rpartition("*")
            if not star or given != f"{_checksum(text):02X}":
                return BAD_SUM
        return self._commands.execute(text, t_ns)

    def _reply(self, text: str | None, t_ns: int) -> None:
        if text is None or self.silent:
            return
        # The reply carries a checksum by the mode as it is after the command.
        tail = f"*{_checksum(text):02X}" if self._checks and text != BAD_SUM else ""
        self._answer(f"{text}{tail}\r\n".encode("latin-1"), t_ns)

    # --- internals ------------------------------------------------------------------------------------------

    def _new_engine(self, t_ns: int, acquire_s: float, settings: CsacSettings) -> CsacEngine:
        return CsacEngine(
            self._oscillator, self._pulses, t_ns, acquire_s, self._unlocked_ppb, self._random, settings
        )

    def _begin_anew(self, t_ns: int, until_ns: int, acquire_s: float) -> None:
        self._go_down(t_ns, until_ns)
        self._typed = None
        writes = self._engine.nonvolatile_writes
        self._engine = self._new_engine(t_ns, (until_ns - t_ns) / NS_PER_S + acquire_s, self._engine.settings)
        self._engine.nonvolatile_writes = writes
        self._commands.begin_anew(self._engine, until_ns)


def _checksum(text: str) -> int:
    """XOR of the characters between ``!`` and ``*``."""
    return reduce(xor, text.encode("latin-1"), 0)


__all__ = ["BAUD", "HEADER", "SA45S", "SA65", "CsacKind", "EmulatedCsac"]
