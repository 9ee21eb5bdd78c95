"""An emulated mRO-50 rubidium oscillator: two tuning words, a lock, a thermometer, and its serial line.

Commands, replies and step sizes as oscillatord (``src/oscillators/mRo50_oscillator.c``) uses them; where no
source gives a figure (latency of an answer, re-lock time) a plausible one is used. All times are true TAI.
"""

from __future__ import annotations

import math
import random
import re
import struct
from collections.abc import Callable
from typing import Final

from timecard.emulator.sa5x_engine import Oscillator
from timecard.emulator.serial_part import SerialPart, seconds_ns
from timecard.timescale import NS_PER_S

BAUD: Final = 9_600
MAX_COARSE: Final = 4_194_303
MAX_FINE: Final = 4_800
MID_FINE: Final = 2_400
DEFAULT_COARSE: Final = 4_186_407
COARSE_STEP_PPB: Final = 1.24
FINE_STEP_PPB: Final = -0.003
"""More fine is a lower frequency."""
RELOCK_S: Final = 60
MAX_COMMAND: Final = 64
DEFAULT_BOOT_S: Final = 5.0
MAX_BOOT_S: Final = 300.0
"""How long a host has to wait for ``Start done>``."""
_BOOT_TEXT: Final = (b"mRO-50\r\n", b"Self test ok\r\n", b"Start done>")
_LATENCY_NS: Final = (4_000_000, 12_000_000)
_END: Final = b"\n\n"
_REFUSED: Final = b"?" + _END
_FINE: Final = r"MON_tpcb PIL_cfield C"
# Thermistor of the sheet: 4100 K, 100 kOhm at 25 degC, 47 kOhm in series, 12 bits.
_BETA_K: Final = 4100.0
_T25_K: Final = 298.15
_ZERO_C_K: Final = 273.14
_SERIES_OHM: Final = 47_000.0


class EmulatedMro50(SerialPart):
    """A ``SerialDevice``, and the oscillator behind the FPGA's bridge."""

    def __init__(
        self,
        oscillator: Oscillator,
        start_tai_ns: int,
        *,
        seed: int = 0,
        warmup_s: float = 0.0,
        unlocked_offset_ppb: float = 50.0,
        coarse: int = DEFAULT_COARSE,
        boot_s: float = DEFAULT_BOOT_S,
        baud: int = BAUD,
    ) -> None:
        """``warmup_s`` until the lock after a cold start; 0 for a part that is warm.

        ``boot_s``: from ``reset`` to ``Start done>``, up to 300 s.
        """
        super().__init__(baud, random.Random(seed), _LATENCY_NS)
        self.coarse = self.stored_coarse = coarse
        self.fine = MID_FINE
        self.locked = warmup_s <= 0.0
        self._oscillator = oscillator
        self._nominal = coarse
        self._unlocked_ppb = unlocked_offset_ppb
        self._command = bytearray()
        self._boot_ns = seconds_ns(min(MAX_BOOT_S, boot_s))
        self._cold_s = warmup_s
        self._lock_at_ns: int | None = None if self.locked else start_tai_ns + round(warmup_s * NS_PER_S)
        # The part compensates its own temperature; both coefficients are a unit's own.
        self.fields = {
            name: struct.unpack(">I", struct.pack(">f", self._random.uniform(low, high)))[0]
            for name, low, high in (("A", -2.0e-3, 2.0e-3), ("B", 1.60e3, 1.70e3))
        }
        self._patterns: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], int], bytes]], ...] = (
            (re.compile(r"FD"), lambda match, t_ns: _hex(self.coarse, 8)),
            (re.compile(r"FD ([0-9A-Fa-f]{8})"), self._on_coarse),
            (re.compile(_FINE), lambda match, t_ns: _hex(self.fine, 4)),
            (re.compile(_FINE + r" ([0-9A-Fa-f]{4})"), self._on_fine),
            (
                re.compile(r"MON_tpcb PIL_cfield ([AB])"),
                lambda match, t_ns: _hex(self.fields[match.group(1)], 8),
            ),
            (re.compile(r"MONITOR1"), self._on_monitor),
            (re.compile(r"reset"), self._on_reset),
        )
        self._apply_lock(start_tai_ns)
        self._steer(start_tai_ns)

    # --- the bridge's side ----------------------------------------------------------------------------------

    def set_coarse(self, value: int, t_ns: int) -> bool:
        """Put a coarse word in force; False when it is out of range."""
        return self._set("coarse", value, MAX_COARSE, t_ns)

    def set_fine(self, value: int, t_ns: int) -> bool:
        """Put a fine word in force; it is lost without power."""
        return self._set("fine", value, MAX_FINE, t_ns)

    def save_coarse(self) -> None:
        """Keep the coarse word without power."""
        self.stored_coarse = self.coarse

    def temperature_word(self, t_ns: int) -> int:
        """The thermometer's 12-bit word."""
        kelvin = self._oscillator.temperature_c(t_ns) + _ZERO_C_K
        ohm = 1e5 * math.exp(_BETA_K / kelvin - _BETA_K / _T25_K)
        return round(4095 * ohm / (_SERIES_OHM + ohm))

    def power_cycle(self, t_ns: int, off_s: float = 0.0) -> None:
        """The supply fails, and comes back after ``off_s``: volatile words are lost, acquisition begins."""
        self.advance(t_ns)
        self._go_down(t_ns, t_ns + seconds_ns(off_s))
        self._command.clear()
        self._restart(t_ns, off_s + (self._cold_s or RELOCK_S))

    def restart(self, t_ns: int) -> None:
        """What ``reset`` does: a slow start, with a text that ends in ``Start done>``."""
        self._go_down(t_ns, t_ns + self._boot_ns)
        self._command.clear()
        for number, text in enumerate(_BOOT_TEXT, start=1):
            self._notice(text, t_ns + self._boot_ns * (number + 1) // (len(_BOOT_TEXT) + 1))
        self._restart(t_ns, self._boot_ns / NS_PER_S + RELOCK_S)

    # --- the card's side ------------------------------------------------------------------------------------

    def _hear(self, data: bytes, t_ns: int) -> None:
        for byte in data:
            if self._down_until_ns is not None:
                return
            if byte == 0x0A:
                continue
            if byte != 0x0D:
                self._command.append(byte)
                del self._command[: max(0, len(self._command) - MAX_COMMAND)]
                continue
            text = self._command.decode("latin-1")
            self._command.clear()
            self._answer(self._execute(text, t_ns), t_ns)

    def _pass_time(self, t_ns: int) -> None:
        if self._lock_at_ns is not None and t_ns >= self._lock_at_ns:
            at_ns, self._lock_at_ns = self._lock_at_ns, None
            self.locked = True
            self._apply_lock(at_ns)

    def _booted(self, at_ns: int) -> None:
        pass

    def unlock(self, t_ns: int) -> None:
        """The lock is lost and does not come back before ``relock``."""
        self.advance(t_ns)
        self.locked, self._lock_at_ns = False, None
        self._apply_lock(t_ns)

    def relock(self, t_ns: int) -> None:
        """Let acquisition begin again."""
        self.advance(t_ns)
        if not self.locked:
            self._lock_at_ns = t_ns + RELOCK_S * NS_PER_S

    # --- commands -------------------------------------------------------------------------------------------

    def _execute(self, text: str, t_ns: int) -> bytes:
        for pattern, handler in self._patterns:
            match = pattern.fullmatch(text)
            if match is not None:
                return handler(match, t_ns)
        return _REFUSED

    def _on_coarse(self, match: re.Match[str], t_ns: int) -> bytes:
        return _END if self.set_coarse(int(match.group(1), 16), t_ns) else _REFUSED

    def _on_fine(self, match: re.Match[str], t_ns: int) -> bytes:
        return _END if self.set_fine(int(match.group(1), 16), t_ns) else _REFUSED

    def _on_monitor(self, match: re.Match[str], t_ns: int) -> bytes:
        lock = "4" if self.locked else "0"
        return f"{'0' * 52}{self.temperature_word(t_ns):04X}{lock}000".encode() + _END

    def _on_reset(self, match: re.Match[str], t_ns: int) -> bytes:
        self.restart(t_ns)
        return b""

    # --- internals ------------------------------------------------------------------------------------------

    def _restart(self, t_ns: int, lock_after_s: float) -> None:
        self.coarse, self.fine = self.stored_coarse, MID_FINE
        self.locked = False
        self._lock_at_ns = t_ns + round(lock_after_s * NS_PER_S)
        self._apply_lock(t_ns)
        self._steer(t_ns)

    def _set(self, name: str, value: int, maximum: int, t_ns: int) -> bool:
        if not 0 <= value <= maximum:
            return False
        setattr(self, name, value)
        self._steer(t_ns)
        return True

    def _steer(self, t_ns: int) -> None:
        coarse_ppb = (self.coarse - self._nominal) * COARSE_STEP_PPB
        self._oscillator.set_steering_ppb(t_ns, coarse_ppb + (self.fine - MID_FINE) * FINE_STEP_PPB)

    def _apply_lock(self, t_ns: int) -> None:
        self._oscillator.set_disturbance_ppb(t_ns, 0.0 if self.locked else self._unlocked_ppb)


def _hex(value: int, digits: int) -> bytes:
    return f"{value:0{digits}X}".encode() + _END
