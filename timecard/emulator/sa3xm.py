"""An emulated SA.33m or SA.35m rubidium oscillator: one line of telemetry for each ``^``, nothing else.

Fields as oscillatord (``src/oscillators/sa3x_oscillator.c``) reads them; the part's other commands are not
published, and what it does not know it ignores here. All times are true TAI.
"""

from __future__ import annotations

import random
from typing import Final

from timecard.emulator.gnss_noise import GnssPulse
from timecard.emulator.sa5x_engine import Oscillator
from timecard.emulator.serial_part import SerialPart, seconds_ns
from timecard.timescale import NS_PER_S

BAUD: Final = 57_600
RELOCK_S: Final = 60
BOOT_NS: Final = NS_PER_S
_ASK: Final = 0x5E
_LATENCY_NS: Final = (5_000_000, 40_000_000)


class EmulatedSa3xm(SerialPart):
    """A ``SerialDevice``, and a source of pulses."""

    def __init__(
        self,
        oscillator: Oscillator,
        start_tai_ns: int,
        *,
        seed: int = 0,
        warmup_s: float = 0.0,
        unlocked_offset_ppb: float = 40.0,
        firmware: str = "1.22",
        serial_number: str = "1311R30127",
        baud: int = BAUD,
    ) -> None:
        """``warmup_s`` until the lock after a cold start (5 to 15 min); 0 for a part that is warm."""
        super().__init__(baud, random.Random(seed), _LATENCY_NS)
        self.locked = warmup_s <= 0.0
        self._oscillator = oscillator
        self._unlocked_ppb = unlocked_offset_ppb
        self._cold_s = warmup_s
        self._firmware = firmware
        self._serial = serial_number
        self._output_ns = self._random.randrange(-400_000_000, 400_000_000, 10)
        self._lock_at_ns: int | None = None if self.locked else start_tai_ns + seconds_ns(warmup_s)
        self._apply_lock(start_tai_ns)

    def edge(self, second_tai_s: int) -> GnssPulse:
        """The output pulse nearest to a whole TAI second; asked for when that second begins."""
        t_ns = second_tai_s * NS_PER_S
        self.advance(t_ns)
        ahead = self._oscillator.phase_ns(t_ns) + self._output_ns
        ahead = (ahead + NS_PER_S / 2) % NS_PER_S - NS_PER_S / 2
        return GnssPulse(-ahead, 0.0, self._down_until_ns is None, qerr_valid=False)

    def telemetry(self, t_ns: int) -> str:
        """The line that answers ``^``."""
        case_mdegc = round(1000 * self._oscillator.temperature_c(t_ns))
        heater_ma, signal_mv = (212, 812) if self.locked else (495, 37)
        fields = (
            0 if self.locked else 1,
            self._firmware,
            self._serial,
            45_002,
            15_870,
            -318,
            heater_ma,
            signal_mv,
            case_mdegc,
            0,
            0,
            2_500,
        )
        return ",".join(str(field) for field in fields)

    def unlock(self, t_ns: int) -> None:
        """The lock is lost and does not come back before ``relock``."""
        self.advance(t_ns)
        self.locked, self._lock_at_ns = False, None
        self._apply_lock(t_ns)

    def relock(self, t_ns: int) -> None:
        """Let acquisition begin again."""
        self.advance(t_ns)
        if not self.locked:
            self._lock_at_ns = t_ns + seconds_ns(RELOCK_S)

    def restart(self, t_ns: int) -> None:
        """A reset from inside: the cell is still warm."""
        self._begin_anew(t_ns, t_ns + BOOT_NS, RELOCK_S)

    def power_cycle(self, t_ns: int, off_s: float = 1.0) -> None:
        """The supply fails, and comes back after ``off_s``."""
        self.advance(t_ns)
        self._begin_anew(t_ns, t_ns + seconds_ns(off_s) + BOOT_NS, self._cold_s or RELOCK_S)

    # --- internals ------------------------------------------------------------------------------------------

    def _hear(self, data: bytes, t_ns: int) -> None:
        for _ in range(data.count(_ASK)):
            if self._down_until_ns is None:
                self._answer(f"{self.telemetry(t_ns)}\r\n".encode("ascii"), t_ns)

    def _pass_time(self, t_ns: int) -> None:
        if self._lock_at_ns is not None and t_ns >= self._lock_at_ns:
            at_ns, self._lock_at_ns = self._lock_at_ns, None
            self.locked = True
            self._apply_lock(at_ns)

    def _booted(self, at_ns: int) -> None:
        pass

    def _begin_anew(self, t_ns: int, until_ns: int, acquire_s: float) -> None:
        self._go_down(t_ns, until_ns)
        self.locked = False
        self._lock_at_ns = until_ns + seconds_ns(acquire_s)
        self._apply_lock(t_ns)

    def _apply_lock(self, t_ns: int) -> None:
        self._oscillator.set_disturbance_ppb(t_ns, 0.0 if self.locked else self._unlocked_ppb)
