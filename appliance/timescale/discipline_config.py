"""What the discipline needs to know about the card, and the promises it works to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from appliance.timescale.models import GNSS, OSCILLATORS

Topology = Literal["A", "B", "C", "D"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DisciplineConfig:
    """Frozen; ``ValueError`` names the field that cannot be."""

    topology: Topology
    """A: as B, but while all is well the module's own loop steers; B: the oscillator module is steered;
    C: the card's clock is; D: the card follows GNSS by itself."""
    oscillator_model: str
    """A name from ``models.OSCILLATORS``. Topology D uses ``fpga_servo`` whatever this says."""
    gnss_model: str = "f9t_dual"
    """A name from ``models.GNSS``."""
    delay_ns: float = 0.0
    """Antenna chain and whatever else makes the pulse late and is removed in software: subtracted."""
    delay_uncertainty_ns: float = 0.0
    """Of all constant delays up to the card, root-sum-square."""
    calibrated: bool = False
    """False counts at least 50 ns for the antenna chain."""
    lock_limit_ns: float = 250.0
    budget_ns: float = 1000.0
    p: float = 0.999
    """Probability of ``bound_ns``."""
    slew_ns_per_s: float = 1.0
    max_slew_ns_per_s: float = 100.0
    actuator_max_ppb: float = 20.0
    actuator_resolution_ppb: float = 0.0
    timestamper_resolution_ns: float = 5.0
    phase_resolution_ns: float = 0.45
    """Of the oscillator module's phase meter, where there is one."""
    position_sigma_m: float | None = None
    """Of the antenna's position, where it is given; None: the receiver tells."""
    temperature_swing_degc: float = 0.0
    """Amplitude of a daily wave of temperature that holdover allows for while nobody reports the
    oscillator's; 0: constant."""
    min_satellites: int = 1
    max_time_accuracy_ns: float = 1000.0
    coast_s: float = 10.0
    """Missing pulses with nothing else wrong are ridden through for this long."""
    step_limit_ns: float = 10_000.0
    """In recovery, with the budget spent, a larger error is stepped instead of slewed."""
    release_s: float = 600.0
    """After the budget is spent, a healthy reference outside the bound is followed after this long."""
    learn_s: float = 600.0
    """How long the oscillator must have been watched before holdover is called ready."""
    limits_ns: tuple[float, ...] = (100.0, 250.0, 400.0, 1000.0, 1500.0)
    """For the table of times to a limit."""

    def __post_init__(self) -> None:
        checks = (
            ("topology", self.topology in ("A", "B", "C", "D"), "A, B, C or D"),
            ("oscillator_model", self.oscillator_model in OSCILLATORS, f"one of {', '.join(OSCILLATORS)}"),
            ("gnss_model", self.gnss_model in GNSS, f"one of {', '.join(GNSS)}"),
            ("p", 0.5 <= self.p < 1.0, "between 0.5 and 1"),
            ("lock_limit_ns", 0.0 < self.lock_limit_ns <= self.budget_ns, "above 0, at most budget_ns"),
            ("slew_ns_per_s", 0.0 < self.slew_ns_per_s <= self.max_slew_ns_per_s, "up to max_slew_ns_per_s"),
            ("actuator_max_ppb", self.actuator_max_ppb > 0.0, "above 0"),
            ("actuator_resolution_ppb", self.actuator_resolution_ppb >= 0.0, "0 or more"),
            ("delay_ns", math.isfinite(self.delay_ns), "a number"),
            ("delay_uncertainty_ns", self.delay_uncertainty_ns >= 0.0, "0 or more"),
            ("timestamper_resolution_ns", self.timestamper_resolution_ns >= 0.0, "0 or more"),
            ("phase_resolution_ns", self.phase_resolution_ns >= 0.0, "0 or more"),
            ("position_sigma_m", (self.position_sigma_m or 0.0) >= 0.0, "0 or more"),
            ("temperature_swing_degc", self.temperature_swing_degc >= 0.0, "0 or more"),
            ("min_satellites", self.min_satellites >= 0, "0 or more"),
        )
        for field, passed, wants in checks:
            if not passed:
                raise ValueError(f"discipline: {field} is {getattr(self, field)!r}, wants {wants}")

    @property
    def uses_module(self) -> bool:
        """The actuator is the oscillator module, which has a phase meter too."""
        return self.topology in ("A", "B")

    @property
    def model_name(self) -> str:
        """The oscillator model in use."""
        return "fpga_servo" if self.topology == "D" else self.oscillator_model
