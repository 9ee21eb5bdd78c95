"""What a time receiver shall be like, in words that hold for every maker. ``None`` leaves a setting alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

Store = Literal["ram", "battery", "flash"]
Grid = Literal["GPS", "UTC", "GAL", "BDS", "GLO"]
Dynamics = Literal[
    "portable", "stationary", "pedestrian", "automotive", "sea", "airborne-1g", "airborne-2g", "airborne-4g"
]
UtcStandard = Literal["auto", "USNO", "EU", "SU", "NTSC", "NPLI", "NICT"]

SIGNAL_NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "GPS": ("L1C/A", "L2C", "L5"),
    "GAL": ("E1", "E5a", "E5b", "E6"),
    "BDS": ("B1I", "B1C", "B2I", "B2a", "B3I"),
    "GLO": ("L1", "L2"),
    "QZSS": ("L1C/A", "L1S", "L2C", "L5"),
    "SBAS": ("L1C/A",),
    "NavIC": ("L5",),
})  # fmt: skip
"""Every system and signal that an intent may name."""
MAX_RATE_HZ: Final = 25
MAX_SURVEY_S: Final = 604_800


def _check(name: str, value: float, low: float, high: float, unit: str = "") -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}={value}: must be {low:g} to {high:g}{unit}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPosition:
    """A surveyed antenna position, ECEF (WGS 84)."""

    x_m: float
    y_m: float
    z_m: float
    sigma_m: float = 0.1

    def __post_init__(self) -> None:
        radius_km = math.hypot(self.x_m, self.y_m, self.z_m) / 1e3
        if not 6_300 <= radius_km <= 6_400:
            raise ValueError(
                f"fixed position: ({self.x_m}, {self.y_m}, {self.z_m}) m is {radius_km:.0f} km from the "
                "earth's centre; give ECEF coordinates of the antenna in metres"
            )
        if not 0.0 < self.sigma_m <= 100.0:
            raise ValueError(f"fixed position: sigma_m={self.sigma_m} must be above 0 and at most 100")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Find the position by averaging, once: a survey that is done, or a position that is set, is kept.

    It ends when both limits are reached. A limit of 0 is what some receivers have stored; with
    ``sigma_m`` 0 a survey never ends.
    """

    min_s: int = 1_200
    sigma_m: float = 5.0

    def __post_init__(self) -> None:
        _check("survey: min_s", self.min_s, 0, MAX_SURVEY_S, " s")
        _check("survey: sigma_m", self.sigma_m, 0.0, 1_000.0, " m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """The time pulse, once a second."""

    locked_only: bool = True
    """No pulse unless it is locked to GNSS."""
    width_us: int = 100_000
    rising: bool = True
    """The rising edge is the second."""
    grid: Grid = "GPS"

    def __post_init__(self) -> None:
        _check("pulse: width_us", self.width_us, 1, 999_999, " us")
        _one_of("pulse: grid", self.grid, get_args(Grid))


@dataclass(frozen=True, slots=True, kw_only=True)
class GnssIntent:
    """Settings of a receiver. A value out of its range is a ``ValueError`` that names the field."""

    signals: Mapping[str, tuple[str, ...]] | None = None
    """System to signals: ``{"GPS": ("L1C/A", "L5"), "GAL": ("E1",)}``. A system that is not named is off."""
    position: Survey | FixedPosition | None = None
    cable_delay_ns: int | None = None
    """What the receiver compensates; each delay is compensated in exactly one place."""
    pulse: Pulse | None = None
    rate_hz: int | None = None
    elevation_mask_deg: int | None = None
    antenna_supply: bool | None = None
    antenna_watch: bool | None = None
    """Detect short and open."""
    jamming_watch: bool | None = None
    """Detect interference; most receivers do not until they are told to."""
    dynamics: Dynamics | None = None
    """How the antenna may move."""
    utc_standard: UtcStandard | None = None
    """Whose UTC the receiver tells, as far as it has a choice."""
    messages: Literal["time-card"] | None = None
    """``time-card``: what this product and the FPGA's time-of-day slave need; messages beside it are left."""
    baud: int | None = None
    """Never changed unless asked: the FPGA listens on the same line."""
    store: Store = "battery"

    def __post_init__(self) -> None:
        for system, signals in (self.signals or {}).items():
            _one_of("signals", system, tuple(SIGNAL_NAMES))
            for signal in signals:
                _one_of(f"signals.{system}", signal, SIGNAL_NAMES[system])
        if self.signals is not None and not self.signals:
            raise ValueError("signals: names no system; without any there is no time")
        ranges: tuple[tuple[str, int | None, int, int], ...] = (
            ("cable_delay_ns", self.cable_delay_ns, -32_768, 32_767),
            ("rate_hz", self.rate_hz, 1, MAX_RATE_HZ),
            ("elevation_mask_deg", self.elevation_mask_deg, -90, 90),
            ("baud", self.baud, 1_200, 3_000_000),
        )
        for name, value, low, high in ranges:
            if value is not None:
                _check(name, value, low, high)
        if self.rate_hz is not None and 1_000 % self.rate_hz:
            raise ValueError(f"rate_hz={self.rate_hz}: the period must be a whole number of milliseconds")
        for name, choice, choices in (
            ("dynamics", self.dynamics, get_args(Dynamics)),
            ("utc_standard", self.utc_standard, get_args(UtcStandard)),
            ("messages", self.messages, ("time-card",)),
            ("store", self.store, get_args(Store)),
        ):
            if choice is not None:
                _one_of(name, choice, choices)


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(choices)}")


TIME_CARD: Final = GnssIntent(
    position=Survey(), cable_delay_ns=0, pulse=Pulse(), rate_hz=1, antenna_supply=True, antenna_watch=True,
    jamming_watch=True, dynamics="stationary", utc_standard="auto", messages="time-card",
)  # fmt: skip
"""What a Time Card's receiver is asked to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting that differs."""

    setting: str
    """Field of ``GnssIntent`` that wants it."""
    key: str
    """The maker's own name: ``CFG_TP_ANT_CABLEDELAY``, or a command."""
    before: int | float | str
    """The value in force."""
    after: int | float | str
    stored: int | float | str | None = None
    """What the receiver would start with, where only that differs and ``before`` is ``after`` already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be written to make a receiver as intended."""

    changes: tuple[Change, ...]
    unsupported: tuple[str, ...] = ()
    """What this receiver cannot do, in words that name the setting."""
    store: Store = "battery"
    stored: Mapping[str, Mapping[str, int]] | None = None
    """What its lasting memories (``battery``, ``flash``) held of these keys, for an exact undo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotModelled:
    """Something that a receiver or a file sets and an intent does not say."""

    key: str
    """The maker's own name."""
    value: int | float | str
    reason: str
    """``not modelled``, or why the value does not fit the setting that it belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """Settings as they are, in neutral words, and what such words do not cover."""

    intent: GnssIntent
    left_over: tuple[NotModelled, ...] = ()
