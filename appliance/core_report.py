"""What core publishes about itself over ``core.sock``: everything a client may show, with an expiry.

How nulls and instants are written stands in ``appliance.reported``.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, model_validator

from appliance.ensemble_report import EnsembleReport
from appliance.leap.report import LeapReport
from appliance.learnt_report import NOTHING_LEARNT, LearntReport
from appliance.rehearsal_report import RehearsalReport, rehearsal_report
from appliance.reported import InstantNs, Reported
from appliance.snapshot import ClockState
from timecard.timescale import NS_PER_S

__all__ = [
    "Announced",
    "Bounds",
    "CardReport",
    "ClockMapReport",
    "ClockReport",
    "CoreReport",
    "EnsembleReport",
    "GnssReport",
    "GrowthReport",
    "HoldoverReport",
    "InstantNs",
    "LeapReport",
    "LearntReport",
    "LimitForecast",
    "OscillatorReport",
    "ProcessReport",
    "PtpReport",
    "RehearsalReport",
    "Reported",
]

REPORT_VERSION: Final = 1
"""Core and api of different versions must not misread one another: a different number is refused."""


class Bounds(Reported):
    """Bounds of |clock - TAI| at three reference planes, in ns."""

    card_ns: float | None
    """The card's clock and its SMA outputs."""
    host_ns: float | None
    """The host's system clock, read through the clock map."""
    port: dict[str, float | None]
    """The PTP event plane of each interface, timestamping error included."""


class ClockReport(Reported):
    """The disciplined clock."""

    state: ClockState
    since_mono_ns: InstantNs
    """When this state was entered."""
    reasons: tuple[str, ...]
    """Why the state is what it is, most important first."""
    alarms: tuple[str, ...]
    epoch: int
    """Counts the steps of the served clock."""
    offset_ns: float | None
    """Estimated clock minus TAI."""
    offset_sigma_ns: float | None
    last_sample_ns: float | None
    """Last accepted phase sample, sawtooth and delays removed."""
    frequency_ppb: float
    """Steering in force; positive makes the clock faster."""
    oscillator_ppb: float | None
    """Estimated frequency error of the oscillator without steering."""
    oscillator_sigma_ppb: float | None
    bias_ns: float
    """The part of the bound that no averaging removes."""
    p: float
    """Probability of the bound."""
    drift_ppb: float
    """Growth of the bounds until they expire, in ns per second."""
    topology: str
    """Who closes the loop: A, B, C or D."""
    tai_minus_utc_s: int | None
    """As the sources of leap seconds agree (``leap``)."""
    leap_change_s: int
    """Announced leap second: +1, -1 or 0."""
    counters: dict[str, int]


class LimitForecast(Reported):
    """When the bound passes a limit, were the reference lost now (or since it was lost)."""

    limit_ns: float
    p: float
    kind: str
    """``at``: probability at that time; ``up_to``: of never having passed it until then."""
    seconds: float | None
    """From the report's instant; 0 when already passed."""
    crosses_at_tai_ns: InstantNs | None


Positive = Annotated[float, Field(gt=0)]


class GrowthReport(Reported):
    """The bound of the card's clock without a reference: ``base_ns + k * sigma_ns``.

    With a probability p *at* a time, k is the two-sided normal quantile of p; for never having passed it *up
    to* that time, that of (1 + p) / 2. Between two points sigma is nearly a power of time.
    """

    base_ns: float
    """Biases and the error to be slewed out."""
    now_ns: float
    """Sigma now."""
    seconds: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=1000)]
    """From the report's instant."""
    sigma_ns: tuple[Positive, ...]
    """By then; never falling."""

    @model_validator(mode="after")
    def _pairs(self) -> GrowthReport:
        if len(self.seconds) != len(self.sigma_ns):
            raise ValueError("seconds and sigma_ns differ in length")
        return self


class HoldoverReport(Reported):
    """Readiness for holdover, and the forecast of it."""

    ready: bool
    not_ready_reasons: tuple[str, ...]
    forced: bool
    """An operator has asked for it, or for a rehearsal: no reference is followed until that ends."""
    entered_mono_ns: InstantNs | None
    """When the present holdover began."""
    budget_ns: float
    """Holdover ends when the card's bound passes this."""
    limits: tuple[LimitForecast, ...]
    growth: GrowthReport | None
    """For any other limit and probability."""
    temperature_assumption: str | None
    """What the forecast takes the temperature to do."""
    excluded_events: tuple[str, ...]
    """What the forecast does not cover."""


class Announced(Reported):
    """What PTP announces (IEEE 1588-2019, 7.6.2 and 8.2.4)."""

    clock_class: int | None
    clock_accuracy: int | None
    """Enumeration value: 0x21 (33) is 100 ns."""
    offset_scaled_log_variance: int | None
    priority1: int | None
    priority2: int | None
    time_source: int | None
    time_traceable: bool | None
    frequency_traceable: bool | None
    current_utc_offset_s: int | None
    current_utc_offset_valid: bool | None
    leap59: bool | None
    leap61: bool | None


class GnssReport(Reported):
    """The receiver."""

    model: str | None
    firmware: str | None
    protocol: str | None
    fix: str | None
    """none, dead-reckoning, fix-2d, fix-3d, gnss-dr, time-only."""
    fix_ok: bool | None
    time_valid: bool | None
    time_accuracy_ns: float | None
    pulse_locked: bool | None
    """The receiver says that its pulse follows GNSS."""
    satellites_used: int | None
    satellites_seen: int | None
    satellites_by_system: dict[str, int] | None
    median_cno_dbhz: float | None
    antenna: str | None
    """init, unknown, ok, short, open."""
    antenna_powered: bool | None
    jamming: str | None
    """unknown, ok, warning, critical."""
    jamming_indicator: int | None
    spoofing: str | None
    """unknown, none, indicated, multiple."""
    tai_minus_utc_s: int | None
    leap_change_s: int | None
    seconds_to_leap: int | None
    leap_source: str | None
    survey_active: bool | None
    survey_valid: bool | None
    survey_s: int | None
    position_sigma_m: float | None
    last_message_age_s: float | None
    faults: tuple[str, ...]
    """Why the receiver or its pulse does not work; empty when it works."""
    counters: dict[str, int]


class OscillatorReport(Reported):
    """The oscillator module that drives the card."""

    family: str | None
    model: str | None
    serial: str | None
    firmware: str | None
    locked: bool | None
    """The atomic resonance (or the oven) has settled."""
    lock_progress_percent: int | None
    steering_ppb: float | None
    """Digital steering in force; positive makes it faster."""
    phase_ns: float | None
    """The part's own phase meter, as clock offset."""
    pps_detected: bool | None
    temperature_c: float | None
    alarms: tuple[str, ...] | None
    age_s: float | None
    """Age of this telemetry."""
    faults: tuple[str, ...]
    """Why the module does not answer; empty when it does."""


class PtpReport(Reported):
    """The PTP and SPTP server."""

    enabled: bool
    profile: str | None
    domain: int | None
    grandmaster_identity: str | None
    """clockIdentity, 16 hexadecimal digits."""
    ports: tuple[int, ...] | None
    """UDP ports of event and of general messages."""
    addresses: tuple[str, ...]
    interfaces: tuple[str, ...]
    timestamping: dict[str, str]
    """Per interface: hardware or software."""
    contracts: int | None
    """Unicast grants in force."""
    counters: dict[str, int]


class CardReport(Reported):
    """The card and how it is reached."""

    id: str | None
    """Identity as in ``/dev/timecard/<id>``."""
    access_path: str | None
    """vfio-user socket, PCI address or device file."""
    image_version: str | None
    """FPGA image."""
    core_version: str | None
    """FPGA clock core."""
    clock_source: str | None
    """What the FPGA clock follows (REGS, PPS, ...)."""
    pps_selector: str | None
    """Which PPS the selector has chosen: SMA, MAC or GNSS."""
    sma: dict[str, str] | None
    """Routing of each connector."""
    faults: tuple[str, ...]
    """Why the card does not answer; empty when it does."""


class ClockMapReport(Reported):
    """How card time is carried to another clock of the host."""

    method: str | None
    """ptm, bracket, pps."""
    half_width_ns: float | None
    """A bias: averaging does not remove it."""
    error_ns: float | None
    """Bound on the translation error."""
    rate_ppb: float | None
    """Card clock against the mapped clock."""
    age_s: float | None
    """Age of the newest comparison."""


class ProcessReport(Reported):
    """The core process."""

    pid: int
    version: str
    started_mono_ns: InstantNs


class CoreReport(Reported):
    """Everything core says, as of one instant, until another."""

    report_version: int = REPORT_VERSION
    as_of_mono_ns: InstantNs
    valid_until_mono_ns: InstantNs
    """After this the report says nothing: core is stopped or stalled."""
    as_of_tai_ns: InstantNs | None
    """The card's clock at ``as_of_mono_ns``."""
    clock: ClockReport
    bounds: Bounds
    """With probability ``clock.p``."""
    bounds_wide: Bounds
    """With k = 5 plus biases: what the announced accuracy is taken from."""
    announced: Announced
    holdover: HoldoverReport
    rehearsal: RehearsalReport = rehearsal_report(None)
    """The newest rehearsal of holdover."""
    learnt: LearntReport = NOTHING_LEARNT
    """What the clock has learnt of its own oscillator and of the pulse."""
    leap: LeapReport
    gnss: GnssReport
    oscillator: OscillatorReport
    ensemble: EnsembleReport
    ptp: PtpReport
    card: CardReport
    clock_maps: dict[str, ClockMapReport]
    """``host``, and one per interface whose clock is mapped."""
    process: ProcessReport

    def expired(self, mono_ns: int) -> bool:
        """The report says nothing any more at ``mono_ns``."""
        return mono_ns > self.valid_until_mono_ns

    def tai_at(self, mono_ns: int) -> int | None:
        """TAI of a monotonic instant near ``as_of``; None while the card's clock is not known."""
        return None if self.as_of_tai_ns is None else self.as_of_tai_ns + mono_ns - self.as_of_mono_ns

    def card_bound_at_ns(self, mono_ns: int) -> float | None:
        """The card's bound grown to ``mono_ns``; None when nothing is claimed or the report has expired."""
        if self.bounds.card_ns is None or self.expired(mono_ns):
            return None
        return self.bounds.card_ns + self.clock.drift_ppb * max(0, mono_ns - self.as_of_mono_ns) / NS_PER_S
