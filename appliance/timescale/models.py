"""The product's own figures for oscillators and GNSS receivers.

They are model values chosen to agree with published data sheets and measurements (Microchip SA5X and SA.45s,
Safran mRO-50, SiTime SiT5357, u-blox ZED-F9T), not vendor guarantees. Noise figures belong to constant
temperature after warm-up. ``unknown`` is what is assumed when nobody says which part is fitted: wide enough
to be honest, never used to claim anything good.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

OscillatorKind = Literal["rubidium", "ocxo", "crystal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OscillatorModel:
    """Noise, ageing and habits of one kind of oscillator. Fractional figures are dimensionless."""

    name: str
    kind: OscillatorKind
    white_fm_1s: float
    """Allan deviation at 1 s of the white frequency noise."""
    flicker_floor: float
    """Allan deviation of the flicker floor."""
    random_walk_1day: float
    """Allan deviation at one day of the random walk of frequency."""
    aging_per_day: float
    """Frequency drift, one sigma, before anything has been learnt."""
    aging_walk_30d: float
    """How far the drift itself wanders in 30 days."""
    tempco_per_degc: float
    """Slope against temperature, one sigma, before anything has been learnt."""
    thermal_tau_s: float
    """Time constant with which the resonator follows the temperature that the part reports."""
    initial_ppb: float
    """One sigma of the frequency error at the first start: setting tolerance and retrace."""
    retrace_ppb: float
    """One sigma of the frequency's change over a time without power."""
    warmup_ppb: float
    """One sigma of the extra error of a cold part, which decays with ``warmup_tau_s``."""
    warmup_tau_s: float
    cold_unless_told: bool
    """Quartz says nothing about being cold; a rubidium that was seen without lock was."""
    jump_ppb: float
    """Largest sudden change of frequency that the part may make by itself. A faster ramp between clock and
    GNSS is blamed on GNSS."""
    runaway_ppb: float
    """One sigma of the error when the part loses its own lock, or the loop that held it."""
    steering_time_s: float
    """Time constant with which the regulator removes an estimated phase error."""
    settled_ppb: float
    """Frequency uncertainty (one sigma) after a long lock; readiness for holdover is judged by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GnssModel:
    """Errors of one kind of receiver's pulse after constant delays have been removed."""

    name: str
    white_ns: float
    gauss_markov: tuple[tuple[float, float], ...]
    """Coloured errors: (sigma in ns, correlation time in s)."""
    daily_amplitude_ns: float
    """Amplitude of the daily ionospheric wave."""
    sawtooth_pp_ns: float
    """Width of the pulse's quantisation, uniformly distributed; removed by qErr."""
    slow_bias_ns: float
    """What no filter can remove: enters the bound linearly."""
    steps_are_coloured: bool = False
    """Rounding, of the pulse and of its stamps, is the last of the coloured errors: so it is once learnt."""

    @property
    def sigma_ns(self) -> float:
        """Standard deviation of a pulse without sawtooth."""
        coloured_ns2 = sum(sigma * sigma for sigma, _ in self.gauss_markov)
        return math.sqrt(self.white_ns**2 + coloured_ns2 + self.daily_amplitude_ns**2 / 2.0)


_OSCILLATOR_ROWS: Final = (
    OscillatorModel(
        name="sa53", kind="rubidium", white_fm_1s=3.0e-11, flicker_floor=8e-13, random_walk_1day=1.2e-12,
        aging_per_day=3.3e-12, aging_walk_30d=7e-13, tempco_per_degc=1.2e-12, thermal_tau_s=60.0,
        initial_ppb=10.0, retrace_ppb=0.1, warmup_ppb=0.1, warmup_tau_s=600.0, cold_unless_told=False,
        jump_ppb=0.05, runaway_ppb=100.0, steering_time_s=20.0, settled_ppb=2.0e-3,
    ),
    OscillatorModel(
        name="sa55", kind="rubidium", white_fm_1s=1.5e-11, flicker_floor=5e-13, random_walk_1day=8.0e-13,
        aging_per_day=1.7e-12, aging_walk_30d=3.5e-13, tempco_per_degc=6.0e-13, thermal_tau_s=60.0,
        initial_ppb=10.0, retrace_ppb=0.1, warmup_ppb=0.1, warmup_tau_s=600.0, cold_unless_told=False,
        jump_ppb=0.05, runaway_ppb=100.0, steering_time_s=30.0, settled_ppb=1.25e-3,
    ),
    OscillatorModel(
        name="mro50", kind="rubidium", white_fm_1s=1.0e-10, flicker_floor=2e-12, random_walk_1day=3.0e-12,
        aging_per_day=3.3e-12, aging_walk_30d=7e-13, tempco_per_degc=5.0e-12, thermal_tau_s=60.0,
        initial_ppb=10.0, retrace_ppb=0.1, warmup_ppb=0.2, warmup_tau_s=600.0, cold_unless_told=False,
        jump_ppb=0.1, runaway_ppb=100.0, steering_time_s=10.0, settled_ppb=4.9e-3,
    ),
    OscillatorModel(
        name="csac", kind="rubidium", white_fm_1s=3.0e-10, flicker_floor=5e-12, random_walk_1day=1.0e-11,
        aging_per_day=2.0e-11, aging_walk_30d=4e-12, tempco_per_degc=1.0e-11, thermal_tau_s=30.0,
        initial_ppb=10.0, retrace_ppb=0.3, warmup_ppb=1.0, warmup_tau_s=300.0, cold_unless_told=False,
        jump_ppb=0.3, runaway_ppb=300.0, steering_time_s=2.0, settled_ppb=1.26e-2,
    ),
    OscillatorModel(
        name="ocxo", kind="ocxo", white_fm_1s=5.0e-12, flicker_floor=3e-12, random_walk_1day=3.0e-11,
        aging_per_day=2.0e-10, aging_walk_30d=4e-11, tempco_per_degc=2.0e-11, thermal_tau_s=300.0,
        initial_ppb=100.0, retrace_ppb=10.0, warmup_ppb=200.0, warmup_tau_s=180.0, cold_unless_told=True,
        jump_ppb=0.5, runaway_ppb=1.0, steering_time_s=10.0, settled_ppb=6.9e-3,
    ),
    OscillatorModel(
        name="tcxo", kind="crystal", white_fm_1s=5.0e-11, flicker_floor=2e-11, random_walk_1day=1.0e-9,
        aging_per_day=1.0e-9, aging_walk_30d=2e-10, tempco_per_degc=1.0e-9, thermal_tau_s=30.0,
        initial_ppb=2000.0, retrace_ppb=50.0, warmup_ppb=50.0, warmup_tau_s=60.0, cold_unless_told=True,
        jump_ppb=50.0, runaway_ppb=50.0, steering_time_s=2.0, settled_ppb=4.3e-2,
    ),
    # A clock that the FPGA's own servo keeps on the GNSS pulse: noisy while held, a bare crystal when not.
    OscillatorModel(
        name="fpga_servo", kind="crystal", white_fm_1s=3.0e-9, flicker_floor=1e-9, random_walk_1day=1.0e-8,
        aging_per_day=1.0e-8, aging_walk_30d=2e-9, tempco_per_degc=1.0e-8, thermal_tau_s=30.0,
        initial_ppb=100.0, retrace_ppb=100.0, warmup_ppb=0.0, warmup_tau_s=60.0, cold_unless_told=False,
        jump_ppb=1000.0, runaway_ppb=10_000.0, steering_time_s=2.0, settled_ppb=2.0,
    ),
    OscillatorModel(
        name="unknown", kind="crystal", white_fm_1s=1.0e-9, flicker_floor=5e-10, random_walk_1day=5.0e-9,
        aging_per_day=1.0e-8, aging_walk_30d=2e-9, tempco_per_degc=1.0e-8, thermal_tau_s=30.0,
        initial_ppb=20_000.0, retrace_ppb=1000.0, warmup_ppb=200.0, warmup_tau_s=180.0, cold_unless_told=True,
        jump_ppb=1000.0, runaway_ppb=1000.0, steering_time_s=2.0, settled_ppb=1.0,
    ),
)  # fmt: skip

_GNSS_ROWS: Final = (
    GnssModel(
        name="f9t_dual", white_ns=0.30, gauss_markov=((0.8, 60.0), (0.45, 4000.0)),
        daily_amplitude_ns=0.4, sawtooth_pp_ns=8.0, slow_bias_ns=2.0,
    ),
    GnssModel(
        name="f9t_single", white_ns=0.40, gauss_markov=((1.2, 60.0), (1.5, 4000.0)),
        daily_amplitude_ns=7.0, sawtooth_pp_ns=8.0, slow_bias_ns=10.0,
    ),
    # A single-band timing receiver of the 2010s without usable qErr: some 3 ns of white noise and sawtooth,
    # 5 ns that live for a quarter of a minute, and as much again that lives for minutes to an hour.
    GnssModel(
        name="single_legacy", white_ns=2.0, gauss_markov=((4.8, 15.0), (3.0, 300.0), (5.5, 3000.0)),
        daily_amplitude_ns=7.0, sawtooth_pp_ns=10.0, slow_bias_ns=15.0,
    ),
)  # fmt: skip

OSCILLATORS: Final[Mapping[str, OscillatorModel]] = MappingProxyType({r.name: r for r in _OSCILLATOR_ROWS})
GNSS: Final[Mapping[str, GnssModel]] = MappingProxyType({row.name: row for row in _GNSS_ROWS})


def oscillator_model(name: str) -> OscillatorModel:
    """The row of that name; ``ValueError`` lists the known ones."""
    try:
        return OSCILLATORS[name]
    except KeyError:
        raise ValueError(
            f"oscillator model {name!r} is unknown, wants one of {', '.join(OSCILLATORS)}"
        ) from None


def gnss_model(name: str) -> GnssModel:
    """The row of that name; ``ValueError`` lists the known ones."""
    try:
        return GNSS[name]
    except KeyError:
        raise ValueError(f"GNSS model {name!r} is unknown, wants one of {', '.join(GNSS)}") from None
