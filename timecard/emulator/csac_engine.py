"""What a CSAC does apart from talking: acquisition, steering, phase meter, disciplining, low-power cycles.

Behaviour follows the "SA.45s CSAC User Guide" (990-00123) and the "LN-CSAC User's Guide" (DS50003805); where
they give no figure (how long each step of an acquisition takes, the loop's inner structure) the constants are
plausible ones. All times are true TAI.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Final

from timecard.emulator.sa5x_engine import MEASURED_AFTER_NS, InputPulses, Oscillator
from timecard.timescale import NS_PER_S

UNITS_PER_PPB: Final = 1_000_000
"""Steering is in 1e-15."""
STEP_UNITS: Final = 1_000
"""The synthesiser resolves 1e-12."""
MAX_STEER: Final = 2_000_000_000
ANALOG, METER, AUTO_SYNC, DISCIPLINE, LOW_POWER, CHECKSUM = 0x01, 0x04, 0x08, 0x10, 0x20, 0x40
EXCLUSIVE: Final = AUTO_SYNC | DISCIPLINE | METER
ASLEEP: Final = 9
SYNC_GRID_NS: Final = 100
PPS_LOST_S: Final = 2
RELOCK_S: Final = 60
ALARM_CONTRAST: Final = 0x0001
ALARM_SYNTHESISER: Final = 0x0002
OWN_WRITE_NS: Final = 30 * 86_400 * NS_PER_S
"""The unit writes its set points by itself this often."""
_STEPS: Final = ((8, 0.55), (7, 0.65), (6, 0.72), (5, 0.78), (4, 0.84), (3, 0.92), (2, 0.97), (1, 1.0))
"""Status of an acquisition, and the part of its time at which each step ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsacSettings:
    """What a CSAC keeps without power."""

    mode: int = 0
    tau_s: int = 100
    cable_100ps: int = 0
    base: int = 0
    """Steering folded into the calibration."""
    sleep_s: int = 3300
    wake_s: int = 300
    threshold_ns: int = 20
    pulse_width: int = 1


class CsacEngine:
    """State of the part; ``second`` is called once for each whole TAI second, in order."""

    def __init__(
        self,
        oscillator: Oscillator,
        pulses: InputPulses | None,
        start_tai_ns: int,
        warmup_s: float,
        unlocked_offset_ppb: float,
        rng: random.Random,
        settings: CsacSettings,
    ) -> None:
        """``settings`` are those that the part had stored when it was switched on."""
        self.settings = settings
        self.nonvolatile_writes = 0
        """The maker allows fewer than 20,000 in a unit's life."""
        self.cable_100ps = settings.cable_100ps
        """Cable compensation in force."""
        self.steer = 0
        """Volatile steering in 1e-15."""
        self.phase_ns: float | None = None
        """Output pulse minus input pulse, as times: positive is a late output. None without pulse."""
        self.disc_ok = 0
        self.saturated = False
        self.sync_wanted = False
        self.locked = warmup_s <= 0.0
        self._oscillator = oscillator
        self._pulses = pulses
        self._unlocked_ppb = unlocked_offset_ppb
        self._warm_s = warmup_s
        self._output_ns = rng.randrange(-400_000_000, 400_000_000, 10)
        self._locked_since_ns = start_tai_ns
        self._acquire_from_ns = start_tai_ns
        self._acquire_ns = round(warmup_s * NS_PER_S)
        self._forced_unlock = False
        self._asleep_until_ns: int | None = None
        self._sleep_at_ns: int | None = None
        self._own_write_ns = start_tai_ns + OWN_WRITE_NS
        self._without_pulse_s = PPS_LOST_S
        self._steer0 = 0
        self._sum_ns = 0.0
        self._within_s = 0
        self._was_ok = False
        self._apply_lock(start_tai_ns)
        self._begin_mode(start_tai_ns)

    # --- commands -------------------------------------------------------------------------------------------

    def store(self, **changes: int) -> None:
        """Put settings in force that are kept without power: a write to the part's memory."""
        self.settings = replace(self.settings, **changes)
        self.nonvolatile_writes += 1

    def set_mode(self, bit: int, on: bool, t_ns: int) -> None:
        """Set or clear a mode bit; sync, discipline and phase meter exclude one another."""
        mode = self.settings.mode & ~bit
        if on:
            mode = (mode & ~EXCLUSIVE if bit & EXCLUSIVE else mode) | bit
        changed = mode ^ self.settings.mode
        self.store(mode=mode)
        if changed & (EXCLUSIVE | LOW_POWER):
            self._begin_mode(t_ns)

    def set_steer(self, units: int, t_ns: int) -> bool:
        """Steer absolutely; False when it is out of range."""
        if not -MAX_STEER <= units <= MAX_STEER:
            return False
        self.steer = self._steer0 = units
        self._sum_ns = 0.0
        self._steer(t_ns)
        return True

    def latch_steer(self, t_ns: int) -> None:
        """Fold the steering into the calibration; the frequency stays."""
        self.store(base=self.settings.base + self.steer)
        self.set_steer(0, t_ns)

    def lose_lock(self, t_ns: int, forced: bool, acquire_s: float = RELOCK_S) -> None:
        """No atomic lock; ``forced``: acquisition does not begin before this is called again without."""
        self._forced_unlock = forced
        self.locked = False
        self._acquire_from_ns = t_ns
        self._acquire_ns = round(acquire_s * NS_PER_S)
        self._apply_lock(t_ns)

    # --- readings -------------------------------------------------------------------------------------------

    def status(self, t_ns: int) -> int:
        """0 locked, 8 down to 1 while acquiring, 9 asleep."""
        if self._asleep_until_ns is not None:
            return ASLEEP
        if self.locked:
            return 0
        done = 0.0 if self._forced_unlock else (t_ns - self._acquire_from_ns) / max(1, self._acquire_ns)
        return next((status for status, end in _STEPS if done < end), 1)

    @property
    def pps_detected(self) -> bool:
        """Pulses come in."""
        return self._without_pulse_s < PPS_LOST_S

    @property
    def meters(self) -> bool:
        """The phase meter is on."""
        return bool(self.settings.mode & (METER | DISCIPLINE))

    def seconds_locked(self, t_ns: int) -> int:
        """Since the lock."""
        return (t_ns - self._locked_since_ns) // NS_PER_S if self.locked else 0

    def ahead_ns(self, t_ns: int) -> float:
        """How early the output pulse is that lies nearest to ``t_ns``, which is near a whole second."""
        ahead = self._oscillator.phase_ns(t_ns) + self._output_ns
        return (ahead + NS_PER_S / 2) % NS_PER_S - NS_PER_S / 2

    # --- time -----------------------------------------------------------------------------------------------

    def second(self, second: int) -> None:
        """The input pulse of a second, measured and acted upon."""
        at_ns = second * NS_PER_S + MEASURED_AFTER_NS
        if at_ns >= self._own_write_ns:
            self._own_write_ns += OWN_WRITE_NS
            self.nonvolatile_writes += 1
        self._follow_lock(at_ns)
        pulse = None if self._pulses is None else self._pulses.edge(second)
        if pulse is None or not pulse.present or self._asleep_until_ns is not None:
            self._without_pulse_s += 1
            if not self.pps_detected:
                self.phase_ns = None
                if self.settings.mode & DISCIPLINE and self.disc_ok != 2:
                    self._was_ok, self.disc_ok = self.disc_ok == 1, 2
            return
        self._without_pulse_s = 0
        phase_ns = -self.ahead_ns(second * NS_PER_S + round(pulse.error_ns)) - pulse.error_ns
        auto = bool(self.settings.mode & AUTO_SYNC) and abs(phase_ns) > SYNC_GRID_NS
        if self.sync_wanted or auto:
            jump_ns = round(phase_ns / SYNC_GRID_NS) * SYNC_GRID_NS
            self._output_ns += jump_ns
            phase_ns -= jump_ns
            self.sync_wanted = False
        self.phase_ns = phase_ns
        if self.settings.mode & DISCIPLINE and self.locked:
            self._discipline(phase_ns + self.cable_100ps / 10, at_ns)

    def _discipline(self, error_ns: float, t_ns: int) -> None:
        """One step of the loop, with poles at 1/tau and 0.5/tau; a late output needs a higher frequency."""
        tau = self.settings.tau_s
        within = abs(error_ns) < self.settings.threshold_ns
        self._within_s = self._within_s + 1 if within else 0
        held = self.disc_ok == 1 or (self.disc_ok == 2 and self._was_ok)
        self.disc_ok = int(within and (held or self._within_s >= 2 * tau))
        wanted_sum = self._sum_ns + error_ns
        steer = self._steer0 + UNITS_PER_PPB * (1.5 / tau * error_ns + 0.5 / tau**2 * wanted_sum)
        self.steer = round(max(-MAX_STEER, min(MAX_STEER, steer)))
        self.saturated = self.steer != round(steer)
        if not self.saturated:
            self._sum_ns = wanted_sum
        self._steer(t_ns)

    def _begin_mode(self, t_ns: int) -> None:
        mode = self.settings.mode
        self.disc_ok, self._within_s, self._was_ok, self.saturated = 0, 0, False, False
        self._steer0, self._sum_ns = self.steer, 0.0
        # Disciplining pulls into +-100 ns by a sync first.
        self.sync_wanted = bool(mode & DISCIPLINE)
        if not mode & LOW_POWER:
            if self._asleep_until_ns is not None:
                self._asleep_until_ns = None
                self.lose_lock(t_ns, forced=False, acquire_s=self._warm_s or RELOCK_S)
            self._sleep_at_ns = None
        elif self._sleep_at_ns is None and self._asleep_until_ns is None:
            self._sleep_at_ns = t_ns + self.settings.wake_s * NS_PER_S if self.locked else None

    def _follow_lock(self, t_ns: int) -> None:
        if self._asleep_until_ns is not None:
            if t_ns >= self._asleep_until_ns:
                self._asleep_until_ns = None
                self.nonvolatile_writes += 1
                self.lose_lock(t_ns, forced=False)
        elif not self.locked:
            if not self._forced_unlock and t_ns - self._acquire_from_ns >= self._acquire_ns:
                self.locked, self._locked_since_ns = True, t_ns
                self._apply_lock(t_ns)
                if self.settings.mode & LOW_POWER:
                    self._sleep_at_ns = t_ns + self.settings.wake_s * NS_PER_S
        elif self._sleep_at_ns is not None and t_ns >= self._sleep_at_ns:
            self._sleep_at_ns = None
            self._asleep_until_ns = t_ns + self.settings.sleep_s * NS_PER_S
            self.lose_lock(t_ns, forced=False)

    def _apply_lock(self, t_ns: int) -> None:
        self._oscillator.set_disturbance_ppb(t_ns, 0.0 if self.locked else self._unlocked_ppb)
        self._steer(t_ns)

    def _steer(self, t_ns: int) -> None:
        applied = round((self.settings.base + self.steer) / STEP_UNITS) * STEP_UNITS
        self._oscillator.set_steering_ppb(t_ns, applied / UNITS_PER_PPB)
