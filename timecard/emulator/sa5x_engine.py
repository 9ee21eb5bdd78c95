"""What an SA5X does apart from talking: atomic lock, steering, phase meter, its disciplining loop, alarms.

Behaviour follows the "MAC SA5X User's Guide", DS50002938; where it gives no figure (re-lock time, residue
of a jam-sync, the loop's inner structure) the constants here are plausible ones. All times are true TAI.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final, Protocol

from timecard.emulator.gnss_noise import GnssPulse
from timecard.emulator.sa5x_parameters import MAX_TUNING, SETTINGS
from timecard.timescale import NS_PER_S

UNITS_PER_PPB: Final = 1_000_000
MEASURED_AFTER_NS: Final = 50_000_000
"""The phase of a second is known this long after it."""
RELOCK_S: Final = 40
"""After a reset or a lost lock the cell is still warm."""
UNSTABLE_AFTER_LOCK_S: Final = 300
PPS_LOST_S: Final = 2
PHASE_STEP_NS: Final = 0.45
OUTPUT_STEP_NS: Final = 10
"""The output pulse lies on this grid of its own clock: what a jam-sync leaves is within half of it."""
ALARM_UNSTABLE: Final = 1 << 16
ALARM_NO_PULSE: Final = 1 << 17
ALARM_RANGE: Final = 1 << 18


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


class Engine:
    """State of the part; ``second`` is called once for each whole TAI second, in order."""

    def __init__(
        self,
        oscillator: Oscillator,
        pulses: InputPulses | None,
        start_tai_ns: int,
        warmup_s: float,
        unlocked_offset_ppb: float,
        rng: random.Random,
    ) -> None:
        self.values = {name: setting.factory for name, setting in SETTINGS.items()}
        """Settable parameters as they are in force."""
        self.phase_ns = 0.0
        self.locked = warmup_s <= 0.0
        self.discipline_locked = False
        self.jam_wanted = False
        """A jam-sync is due at the next input pulse."""
        self.correction = 0
        """Last change of the tuning made by the loop."""
        self.seconds_locked = 0
        self.base = 0
        """Tuning folded into the base frequency by ``latch``."""
        self._oscillator = oscillator
        self._pulses = pulses
        self._unlocked_ppb = unlocked_offset_ppb
        # Where the output pulse lies at first has nothing to do with time of day.
        self._output_ns = rng.randrange(-400_000_000, 400_000_000, OUTPUT_STEP_NS)
        self._without_pulse_s = PPS_LOST_S
        self._forced_unlock = False
        self._acquire_from_ns = start_tai_ns
        self._acquire_ns = round(warmup_s * NS_PER_S)
        self._unstable_until_ns = 0
        self._steer0 = 0
        self._phase_sum = 0.0
        self._within_s = 0
        self._saturated = False
        self._apply_lock(start_tai_ns)

    def load(self, stored: Mapping[str, int], t_ns: int) -> None:
        """Settings as stored, as after a start."""
        self.values = {name: stored.get(name, setting.factory) for name, setting in SETTINGS.items()}
        self._without_pulse_s = PPS_LOST_S
        self._start_loop()
        self.jam_wanted = bool(self.values["Disciplining"])
        self._steer(t_ns)

    def write(self, name: str, value: int, t_ns: int) -> bool:
        """Put a setting in force; False when it is out of range or excluded by another one."""
        setting, values = SETTINGS[name], self.values
        if not setting.low <= value <= setting.high or value % setting.step:
            return False
        if name == "AnalogTuningEnabled" and value and (values["Disciplining"] or values["DigitalTuning"]):
            return False
        was_disciplining = values["Disciplining"]
        values[name] = value
        if name == "Disciplining" and value:
            # It excludes plain phase metering, and begins with one jam-sync.
            values["PhaseMetering"] = 0
            if not was_disciplining:
                self._start_loop()
                self.jam_wanted = True
        elif name in ("Disciplining", "PhaseMetering"):
            if name == "PhaseMetering" and value:
                values["Disciplining"] = 0
            if not values["Disciplining"]:
                self.discipline_locked = self._saturated = False
        elif name == "DigitalTuning":
            self._steer0, self._phase_sum = value, 0.0
            self._steer(t_ns)
        return True

    def latch(self, t_ns: int) -> bool:
        """Fold the tuning into the base frequency; not while disciplining."""
        if self.values["Disciplining"]:
            return False
        self.base += self.values["DigitalTuning"]
        self.values["DigitalTuning"] = 0
        self._steer(t_ns)
        return True

    def sync(self) -> bool:
        """Ask for a jam-sync at the next input pulse."""
        self.jam_wanted = self.pps_detected
        return self.pps_detected

    def lose_lock(self, t_ns: int, forced: bool, acquire_s: float | None = None) -> None:
        """No atomic lock; ``forced``: acquisition does not begin before this is called again without.

        ``acquire_s``: how long it takes, when the cell is not warm.
        """
        self._forced_unlock = forced
        self.locked = self.discipline_locked = False
        self._acquire_from_ns = t_ns
        self._acquire_ns = round((acquire_s or RELOCK_S) * NS_PER_S)
        self._apply_lock(t_ns)

    @property
    def pps_detected(self) -> bool:
        """Pulses on the selected input."""
        return self._without_pulse_s < PPS_LOST_S

    @property
    def disciplining_tuning(self) -> int:
        """The part of the steering that the loop made."""
        return self.values["DigitalTuning"] - self._steer0 if self.values["Disciplining"] else 0

    def lock_progress_percent(self, t_ns: int) -> int:
        """Progress of the acquisition."""
        if self.locked:
            return 100
        if self._forced_unlock:
            return 0
        return min(99, 100 * (t_ns - self._acquire_from_ns) // max(1, self._acquire_ns))

    def alarms(self, t_ns: int) -> int:
        """Alarm bits that follow from the state."""
        alarms = ALARM_UNSTABLE if self.locked and t_ns < self._unstable_until_ns else 0
        if self.values["Disciplining"]:
            alarms |= 0 if self.pps_detected else ALARM_NO_PULSE
            alarms |= ALARM_RANGE if self._saturated else 0
        return alarms

    def ahead_ns(self, t_ns: int) -> float:
        """How early the output pulse is that lies nearest to ``t_ns``, which is near a whole second."""
        ahead = self._oscillator.phase_ns(t_ns) + self._output_ns
        return (ahead + NS_PER_S / 2) % NS_PER_S - NS_PER_S / 2

    def second(self, second: int) -> None:
        """The input pulse of a second, measured and acted upon."""
        at_ns = second * NS_PER_S + MEASURED_AFTER_NS
        self._follow_lock(at_ns)
        values = self.values
        pulse = None if self._pulses is None or values["PpsSource"] else self._pulses.edge(second)
        if pulse is None or not pulse.present:
            self._without_pulse_s += 1
            return
        self._without_pulse_s = 0
        qerr_ps, values["PpsQErr"] = values["PpsQErr"], 0
        late_ns = pulse.error_ns + qerr_ps / 1e3 - values["CableDelay"]
        phase_ns = self.ahead_ns(second * NS_PER_S + round(pulse.error_ns)) + late_ns + values["PpsOffset"]
        if self.jam_wanted:
            jump_ns = round(phase_ns / OUTPUT_STEP_NS) * OUTPUT_STEP_NS
            self._output_ns -= jump_ns
            phase_ns -= jump_ns
            self.jam_wanted = False
            self._within_s = 0
        if values["Disciplining"] or values["PhaseMetering"]:
            self.phase_ns = round(phase_ns / PHASE_STEP_NS) * PHASE_STEP_NS
        if values["Disciplining"] and self.locked:
            self._discipline(at_ns)

    def _discipline(self, t_ns: int) -> None:
        """One step of the loop, with poles at 1/Tau and 0.5/Tau."""
        values = self.values
        if abs(self.phase_ns) > abs(values["PhaseLimit"]):
            self.jam_wanted = True
            self.discipline_locked = False
            self.correction = 0
            return
        tau = values["TauPps0"]
        within = abs(self.phase_ns) < values["DisciplineThresholdPps0"]
        self._within_s = self._within_s + 1 if within else 0
        self.discipline_locked = within and (self.discipline_locked or self._within_s >= 2 * tau)
        wanted_sum = self._phase_sum + self.phase_ns
        steer = self._steer0 - UNITS_PER_PPB * (1.5 / tau * self.phase_ns + 0.5 / tau**2 * wanted_sum)
        tuning = round(max(-MAX_TUNING, min(MAX_TUNING, steer)))
        self._saturated = tuning != round(steer)
        if not self._saturated:
            self._phase_sum = wanted_sum
        self.correction = 0 if self._saturated else tuning - values["DigitalTuning"]
        values["DigitalTuning"] = tuning
        self._steer(t_ns)

    def _start_loop(self) -> None:
        self.discipline_locked = False
        self.correction = 0
        self._within_s = 0
        self._phase_sum = 0.0
        self._steer0 = self.values["DigitalTuning"]
        self._saturated = False

    def _follow_lock(self, t_ns: int) -> None:
        if self.locked:
            self.seconds_locked += 1
        elif not self._forced_unlock and t_ns - self._acquire_from_ns >= self._acquire_ns:
            self.locked = True
            self._unstable_until_ns = t_ns + UNSTABLE_AFTER_LOCK_S * NS_PER_S
            self._apply_lock(t_ns)

    def _apply_lock(self, t_ns: int) -> None:
        self._oscillator.set_disturbance_ppb(t_ns, 0.0 if self.locked else self._unlocked_ppb)

    def _steer(self, t_ns: int) -> None:
        self._oscillator.set_steering_ppb(t_ns, (self.base + self.values["DigitalTuning"]) / UNITS_PER_PPB)
