"""What a time receiver shall be like, in words that hold for every maker. ``None`` leaves a setting alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from timecard.gnss.ublox_profile import FixedPosition as FixedPosition

Store = Literal["ram", "battery", "flash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Find the position by averaging, once: a survey that is done, or a position that is set, is kept."""

    min_s: int = 1_200
    sigma_m: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """The time pulse."""

    locked_only: bool = True
    """No pulse unless it is locked to GNSS."""
    width_us: int = 100_000
    rising: bool = True
    """The rising edge is the second."""
    grid: Literal["GPS", "UTC", "GAL", "BDS", "GLO"] = "GPS"


@dataclass(frozen=True, slots=True, kw_only=True)
class GnssIntent:
    """Settings of a receiver."""

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
    messages: Literal["time-card"] | None = None
    """``time-card``: what this product and the FPGA's time-of-day slave need; messages beside it are left."""
    baud: int | None = None
    """Never changed unless asked: the FPGA listens on the same line."""
    store: Store = "battery"


TIME_CARD: Final = GnssIntent(
    position=Survey(), cable_delay_ns=0, pulse=Pulse(), rate_hz=1, antenna_supply=True, antenna_watch=True,
    messages="time-card",
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
    after: int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be written to make a receiver as intended."""

    changes: tuple[Change, ...]
    unsupported: tuple[str, ...] = ()
    """What this receiver cannot do, in words that name the setting."""
    store: Store = "battery"
