"""Frozen values that cross the hardware boundary. Signs, units and timescales are said here, once.

* An absolute time is an ``int`` of nanoseconds with its timescale in the name (``_tai_ns``), or a monotonic
  reading (``_mono_ns``, CLOCK_MONOTONIC_RAW on a host). A double near 1.8e18 steps in 256 ns.
* A difference of near times is a ``float`` of nanoseconds. ``offset_ns`` is *clock minus reference*: positive
  means the clock reads ahead.
* A frequency is ``_ppb`` (1 ppb = 1 ns/s); positive makes the clock faster.
* ``sigma`` is one standard deviation (k = 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class FixType(Enum):
    """UBX-NAV-PVT fixType."""

    NONE = 0
    DEAD_RECKONING = 1
    FIX_2D = 2
    FIX_3D = 3
    GNSS_DR = 4
    TIME_ONLY = 5


class AntennaStatus(Enum):
    """UBX-MON-RF antStatus."""

    INIT = 0
    UNKNOWN = 1
    OK = 2
    SHORT = 3
    OPEN = 4


class JammingState(Enum):
    """UBX-MON-RF jammingState."""

    UNKNOWN = 0
    OK = 1
    WARNING = 2
    CRITICAL = 3


class SpoofingState(Enum):
    """UBX-NAV-STATUS spoofDetState."""

    UNKNOWN = 0
    NONE = 1
    INDICATED = 2
    MULTIPLE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeStamp:
    """One edge latched by a timestamper against the card's clock."""

    channel: str
    """``ts0`` (GNSS PPS) ... ``ts5`` (the card clock's own PPS)."""
    card_tai_ns: int
    """What the card's clock read at the edge; 5 ns steps on an FB card."""
    event_count: int
    """All edges since the timestamper was enabled."""
    dropped: bool
    """An earlier edge found the latch still occupied and was lost."""
    read_mono_ns: int
    """When the host read the latch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossTimestamp:
    """The card's clock and the host's CLOCK_MONOTONIC_RAW at one instant."""

    card_tai_ns: int
    mono_raw_ns: int
    half_width_ns: float
    """Half the bracket, or the link's residual: a bound on the error, a bias and not a noise."""
    method: str
    """``ptm`` or ``bracket``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseLabel:
    """Which second the *next* pulse names, and its quantisation error (UBX-TIM-TP).

    If ``emitted``, the pulse just past (SBF xPPSOffset).
    """

    edge_tai_ns: int | None
    """TAI of the pulse, a whole second; None when the message's time base cannot be turned into TAI yet."""
    qerr_ns: float | None
    """Add to (edge minus second) to remove the sawtooth; None when the receiver declares it unusable."""
    pulse_locked: bool
    """False when the receiver says the pulse is not locked to GNSS."""
    emitted: bool = False
    """The pulse is past: it must not be taken for the name of the next edge."""
    read_mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GnssFix:
    """One navigation epoch."""

    epoch_tai_ns: int | None
    """TAI of the epoch (the pulse just *past*); None when not resolvable."""
    fix: FixType
    fix_ok: bool
    time_valid: bool
    utc_resolved: bool
    """The receiver has leap data of its own."""
    time_accuracy_ns: float | None
    satellites_used: int | None
    time_confirmed: bool | None = None
    """Date and time confirmed from an independent source; None when the receiver does not tell."""
    refused_tai_ns: int | None = None
    """What the receiver says, where its driver refuses to believe the date; ``epoch_tai_ns`` is None then."""
    read_mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeapInfo:
    """Leap data (UBX-NAV-TIMELS)."""

    tai_minus_utc_s: int | None
    """None until the receiver learnt it from a satellite system: a compiled-in value does not count."""
    change_s: int
    """Announced change: +1, -1 or 0."""
    seconds_to_event: int | None
    source: str
    read_mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyStatus:
    """Survey-in, or a fixed position (UBX-TIM-SVIN)."""

    active: bool
    valid: bool
    duration_s: int
    position_sigma_m: float
    read_mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RfStatus:
    """Antenna, interference, spoofing. A field is None when this message does not tell it."""

    antenna: AntennaStatus | None = None
    antenna_powered: bool | None = None
    jamming: JammingState | None = None
    jamming_indicator: int | None = None
    spoofing: SpoofingState | None = None
    read_mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SatelliteView:
    """Satellites in view (UBX-NAV-SAT), summed up."""

    seen: int
    used: int
    median_cno_dbhz: float
    by_system: dict[str, int] = field(default_factory=dict)
    read_mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverIdentity:
    """UBX-MON-VER."""

    model: str
    firmware: str
    protocol: str
    serial: str | None = None
    """None: not asked, or the receiver has none."""
    read_mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptData:
    """Bytes that were no valid frame."""

    length: int
    reason: str
    read_mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One signal of one satellite."""

    system: str
    """``GPS``, ``GAL``, ``BDS``, ``GLO``, ``QZSS``, ``SBAS``, ``NavIC``."""
    satellite: int
    signal: str
    """RINEX band and attribute where the receiver tells (``L1C/A``, ``L5``, ``E1``, ``E5a``); else ``""``."""
    cno_dbhz: float
    used: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalView:
    """Strength of every signal, at most once a second."""

    signals: tuple[Signal, ...]
    read_mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AntennaPosition:
    """Where the receiver finds its antenna (WGS 84)."""

    latitude_deg: float
    longitude_deg: float
    height_m: float
    """Above the ellipsoid."""
    sigma_m: float | None
    """Horizontal accuracy estimate; None when the receiver gives none."""
    read_mono_ns: int


GnssEvent = (
    PulseLabel
    | GnssFix
    | LeapInfo
    | SurveyStatus
    | RfStatus
    | SatelliteView
    | SignalView
    | AntennaPosition
    | ReceiverIdentity
    | CorruptData
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A fault of receiver or oscillator begins or ends."""

    name: str
    """Of the tables in ``timecard.gnss.integrity`` and ``timecard.mac.alarms``, such as ``antenna-open``."""
    active: bool
    unusable: bool
    """While it lasts, time (or frequency) of this source must not be used."""
    evidence: str
    """What was said on the wire, in words and numbers."""
    read_mono_ns: int
    """When the message that shows it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OscillatorIdentity:
    """Who answers on the MAC port."""

    family: str
    """``sa5x``."""
    model: str
    serial: str
    firmware: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One telemetry value; ``unit`` is ``""`` where the maker gives none."""

    name: str
    value: float | str | None
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OscillatorStatus:
    """One round of telemetry of an oscillator module."""

    locked: bool
    lock_progress_percent: int
    frequency_ppb: float
    """Digital steering in force."""
    phase_ns: float | None
    """The part's own phase meter: its output pulse minus its input pulse *as clock offset*, so positive means
    that the part's pulse comes early (the clock is ahead). None without pulses or meter."""
    pps_detected: bool
    temperature_mdegc: int | None
    alarms: int
    alarm_names: tuple[str, ...]
    readings: tuple[Reading, ...] = ()
    """What else the part measures, by the part's own names."""
    disciplining: bool | None = None
    """Its own loop follows its input pulse; None: not told."""
    resets: int = 0
    """How often the part was seen to start anew: what was not stored is lost."""
    dropped: int = 0
    """Damaged or late answers so far."""
    read_mono_ns: int
