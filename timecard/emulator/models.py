"""What the emulated oscillators and receivers are like: one table each.

Every figure is a *model value*, chosen to agree with public data sheets and measurements (Microchip SA5X and
SA.45s sheets, Safran mRO-50, SiTime SiT5357, u-blox ZED-F9T and public counter measurements of its pulse);
none is a vendor's guarantee. Fractional frequencies are dimensionless: 1e-9 is 1 ppb is 1 ns/s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class OscillatorModel:
    """One oscillator type; all figures fractional unless the name has a unit."""

    white_fm_adev_1s: float
    """Allan deviation at 1 s that white FM alone would give."""
    flicker_fm_floor: float
    """Allan deviation of the flicker FM floor."""
    random_walk_adev_1day: float
    """Allan deviation at one day that random walk FM alone would give."""
    ageing_per_day: float
    """Typical magnitude of the linear ageing."""
    ageing_wander_30d: float
    """How far the ageing itself wanders in 30 days, one sigma."""
    tempco_per_degc: float
    """Frequency per degree of the oscillator's own (lagged) temperature."""
    initial_offset: float
    """Frequency error when the card starts warm, unsteered."""
    thermal_lag_s: float
    """Time constant with which the oscillator follows the board's temperature."""
    warmup_offset: float
    """Extra frequency error at a cold start, before it decays."""
    warmup_tau_s: float
    """Time constant of that decay."""
    warmup_lock_s: float
    """An atomic oscillator locks this long after a cold start; 0 for quartz."""
    unlocked_offset: float
    """Frequency error of an atomic oscillator whose resonance is not locked; 0 for quartz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GnssModel:
    """Error of a timing receiver's pulse, in ns; sawtooth on top."""

    white_ns: float
    markov_ns_s: tuple[tuple[float, float], ...]
    """Gauss-Markov terms: sigma in ns, time constant in s."""
    diurnal_amplitude_ns: float
    granule_ns: float
    """Step of the receiver's clock that the pulse is tied to: peak-to-peak of the sawtooth."""


OSCILLATORS: Final[Mapping[str, OscillatorModel]] = MappingProxyType({
    "sa53": OscillatorModel(
        white_fm_adev_1s=3.0e-11, flicker_fm_floor=8e-13, random_walk_adev_1day=1.2e-12,
        ageing_per_day=3.3e-12, ageing_wander_30d=7e-13, tempco_per_degc=1.2e-12,
        initial_offset=2.0e-11,
        thermal_lag_s=900.0, warmup_offset=5e-11, warmup_tau_s=600.0, warmup_lock_s=300.0,
        unlocked_offset=4e-8,
    ),
    "sa55": OscillatorModel(
        white_fm_adev_1s=1.5e-11, flicker_fm_floor=5e-13, random_walk_adev_1day=8.0e-13,
        ageing_per_day=1.7e-12, ageing_wander_30d=3.5e-13, tempco_per_degc=6.0e-13,
        initial_offset=-1.0e-11,
        thermal_lag_s=900.0, warmup_offset=5e-11, warmup_tau_s=600.0, warmup_lock_s=300.0,
        unlocked_offset=-4e-8,
    ),
    "mro50": OscillatorModel(
        white_fm_adev_1s=1.0e-10, flicker_fm_floor=2e-12, random_walk_adev_1day=3.0e-12,
        ageing_per_day=3.3e-12, ageing_wander_30d=7e-13, tempco_per_degc=5.0e-12,
        initial_offset=4.0e-11,
        thermal_lag_s=600.0, warmup_offset=1e-10, warmup_tau_s=600.0, warmup_lock_s=240.0,
        unlocked_offset=5e-8,
    ),
    "csac": OscillatorModel(
        white_fm_adev_1s=3.0e-10, flicker_fm_floor=5e-12, random_walk_adev_1day=1.0e-11,
        ageing_per_day=2.0e-11, ageing_wander_30d=4e-12, tempco_per_degc=1.0e-11,
        initial_offset=-5.0e-11,
        thermal_lag_s=300.0, warmup_offset=5e-10, warmup_tau_s=300.0, warmup_lock_s=150.0,
        unlocked_offset=2e-7,
    ),
    "ocxo": OscillatorModel(
        white_fm_adev_1s=5.0e-12, flicker_fm_floor=3e-12, random_walk_adev_1day=3.0e-11,
        ageing_per_day=2.0e-10, ageing_wander_30d=4e-11, tempco_per_degc=2.0e-11,
        initial_offset=3.0e-10,
        thermal_lag_s=1200.0, warmup_offset=-2e-7, warmup_tau_s=180.0, warmup_lock_s=0.0,
        unlocked_offset=0.0,
    ),
    "tcxo": OscillatorModel(
        white_fm_adev_1s=5.0e-11, flicker_fm_floor=2e-11, random_walk_adev_1day=1.0e-9,
        ageing_per_day=1.0e-9, ageing_wander_30d=2e-10, tempco_per_degc=1.0e-9,
        initial_offset=-1.0e-9,
        thermal_lag_s=120.0, warmup_offset=5e-8, warmup_tau_s=60.0, warmup_lock_s=0.0,
        unlocked_offset=0.0,
    ),
})  # fmt: skip

GNSS_RECEIVERS: Final[Mapping[str, GnssModel]] = MappingProxyType(
    {
        "f9t_dual": GnssModel(
            white_ns=0.30, markov_ns_s=((0.8, 60.0), (0.45, 4000.0)), diurnal_amplitude_ns=0.4, granule_ns=8.0
        ),
        "f9t_single": GnssModel(
            white_ns=0.40, markov_ns_s=((1.2, 60.0), (1.5, 4000.0)), diurnal_amplitude_ns=7.0, granule_ns=8.0
        ),
        "m9n": GnssModel(
            white_ns=1.5, markov_ns_s=((2.5, 60.0), (2.5, 4000.0)), diurnal_amplitude_ns=8.0, granule_ns=15.6
        ),
        # 48 MHz: a recorded M8T spans -10158..+10086 ps.
        "m8t": GnssModel(
            white_ns=0.8,
            markov_ns_s=((1.5, 60.0), (1.8, 4000.0)),
            diurnal_amplitude_ns=8.0,
            granule_ns=20.833,
        ),
        "mosaic": GnssModel(
            white_ns=0.25, markov_ns_s=((0.6, 60.0), (0.4, 4000.0)), diurnal_amplitude_ns=0.4, granule_ns=5.0
        ),
    }
)
