"""Frozen values about a card as a whole: what its FPGA, connectors, generators and memories say.

Units and signs as in ``timecard.values``. Both ways to a card, through the kernel driver and through its
registers, return these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Access(Enum):
    """The way to a card."""

    KERNEL = "kernel"
    """The ``ptp_ocp`` driver: sysfs, PHC, ttys."""
    RESOURCE0 = "resource0"
    """BAR0 mapped through sysfs, no driver bound."""
    VFIO = "vfio"
    """BAR0 and interrupts through ``vfio-pci``."""
    VFIO_USER = "vfio-user"
    """A socket: an emulated card."""


class PpsSource(Enum):
    """Inputs of the PPS selector, in its order of preference."""

    SMA = 1
    MAC = 2
    GNSS = 3


@dataclass(frozen=True, slots=True)
class ImageVersion:
    """Which FPGA image runs."""

    loader: bool
    """The golden image runs: an update failed, or there is none."""
    tag: int
    """0 SOM card, 1 Production card."""
    number: int

    def __str__(self) -> str:
        return f"{'loader' if self.loader else 'fw'} {self.tag}.{self.number}"


@dataclass(frozen=True, slots=True)
class ClockStatus:
    """The clock's own account of itself."""

    version: tuple[int, int, int] | None
    """None where this access path does not show it; so for all the others."""
    source: str
    in_sync: bool | None
    in_holdover: bool | None
    offset_ns: int | None
    """Last correction that the clock was asked for, ns."""
    drift_ppb: int | None
    """Accumulated correction of the frequency."""


@dataclass(frozen=True, slots=True)
class SelectorStatus:
    """PPS and 10 MHz inputs."""

    present: frozenset[PpsSource]
    forced: PpsSource | None
    selected: PpsSource | None
    """What the clock's servo gets; None when no pulse is present."""
    clock_10mhz: str
    """``sma``, ``mac`` or ``onboard``, as closed images report it; ``unknown`` where nobody tells."""


@dataclass(frozen=True, slots=True)
class PpsSlaveStatus:
    """The supervisor of the selected pulse."""

    enabled: bool | None
    """None where this access path does not show it; so for all the others."""
    filter_error: bool | None
    """A period was not 1 s within 100 ms. Sticky until ``clear_pps_errors``."""
    lost: bool
    """Pulses are missing. Sticky."""
    pulse_width_ms: int | None
    cable_delay_ns: int | None


@dataclass(frozen=True, slots=True)
class TodStatus:
    """What the time-of-day slave parsed from the receiver's messages."""

    enabled: bool
    protocol: str
    errors: tuple[str, ...]
    tai_minus_utc_s: int | None
    leap_59: bool
    leap_61: bool
    seconds_to_leap: int | None
    correction_s: int
    fix_ok: bool | None
    fix: int | None
    """0 none, 2 2D, 3 3D, 5 time only; None where image or receiver does not tell."""
    antenna: int | None
    """0 init, 1 unknown, 2 ok, 3 short, 4 open."""
    jamming: int | None
    satellites_seen: int | None
    satellites_used: int | None


@dataclass(frozen=True, slots=True)
class SmaConnector:
    """What one SMA connector does."""

    number: int
    direction: str
    """``in``, ``out`` or ``off``."""
    functions: tuple[str, ...]
    """``10MHz`` where no function bit is set."""

    def __str__(self) -> str:
        return f"sma{self.number} {self.direction} {' '.join(self.functions)}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSettings:
    """What a signal generator shall do: pulses of ``pulse_ns`` every ``period_ns``."""

    period_ns: int
    pulse_ns: int
    start_tai_ns: int | None = None
    """First rising edge; None: the next whole multiple of the period, plus ``phase_ns``."""
    phase_ns: int = 0
    active_high: bool = True
    repeat_count: int = 0
    """Number of pulses; 0 is endless."""
    cable_delay_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorState:
    """What a signal generator does."""

    running: bool
    period_ns: int
    pulse_ns: int
    start_tai_ns: int
    active_high: bool
    error: str | None
    """``start in the past or impossible`` or ``clock jumped``; None without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterReading:
    """What a frequency counter says."""

    gate_s: int
    """Gate time; 0 when it is off."""
    frequency_hz: int | None
    """None while there is no result, or with an error."""
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardIdentity:
    """What the EEPROM says, as far as it could be read."""

    serial: str | None
    """EUI-48 as ``xx:xx:xx:xx:xx:xx``, or a serial text (ART)."""
    board_id: str | None
    fields: Mapping[str, str]
    """Manufacturing record, where the board has one."""
    problems: tuple[str, ...] = ()
    """What is wrong with the contents: bad magic, bad checksum, blank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What the card says of itself, in words. A field is None where this access path cannot show it."""

    image_version: str | None
    clock_core_version: str | None
    clock_source: str
    pps_source: str | None
    in_sync: bool | None
    sma: Mapping[str, str]
