"""What a PTP hardware clock tells, as values."""

from __future__ import annotations

from dataclasses import dataclass

from timecard.kernel.ptp_abi import PinFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class PhcCapabilities:
    """What the driver claims. A claim is no proof: phase control may be claimed and refused."""

    max_frequency_ppb: int
    alarms: int
    extts_channels: int
    perout_channels: int
    pps: bool
    pins: int
    cross_timestamping: bool
    adjust_phase: bool


@dataclass(frozen=True, slots=True)
class Pin:
    """A pin as the PTP core remembers it; a routing made through sysfs is not known to it."""

    index: int
    name: str
    function: PinFunction | int
    channel: int


@dataclass(frozen=True, slots=True)
class ExttsEvent:
    """One edge."""

    channel: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class Bracket:
    """A reading of the clock between two of the host's."""

    before_ns: int
    clock_ns: int
    after_ns: int
