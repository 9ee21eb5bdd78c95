"""What an examination found, as frozen values that survive JSON: a recorded set can be diagnosed elsewhere.

Nothing here judges. A field is None where it could not be found out; why, if there is a reason, stands in
``failures`` or ``missing`` of the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from timecard.card_values import (
    Access,
    BoardIdentity,
    ClockStatus,
    ImageVersion,
    PpsSlaveStatus,
    SelectorStatus,
    SmaConnector,
    TodStatus,
)
from timecard.kernel.holders import Holder


class ModuleState(Enum):
    """How a kernel module stands on this host."""

    LOADED = "loaded"
    BUILT_IN = "built in"
    AVAILABLE = "available"
    """Installed for the running kernel, not loaded."""
    ABSENT = "absent"
    """Not built for the running kernel, or not installed."""
    UNKNOWN = "unknown"
    """The list of the kernel's modules cannot be read."""


class FailureKind(Enum):
    """How a probe failed."""

    ABSENT = "absent"
    LOST = "lost"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"
    PERMISSION = "permission"
    STUCK = "stuck"
    """The call did not return within its time; what it waits for is unknown."""
    SKIPPED = "skipped"
    """Not tried, because of something else."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a probe has no result."""

    kind: FailureKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """A device node, and what this user may do with it."""

    role: str
    """``phc``, ``pps``, ``gnss``, ``gnss2``, ``mac``, ``nmea``, ``vfio``, ``resource0``."""
    path: str
    mode: int
    owner: str
    group: str
    readable: bool
    writable: bool
    holders: tuple[Holder, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFacts:
    """One side of a PCIe link: speeds in GT/s, widths in lanes."""

    speed_gts: float | None = None
    width: int | None = None
    max_speed_gts: float | None = None
    max_width: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PciFacts:
    """The PCI function as sysfs shows it."""

    address: str
    vendor: int
    device: int
    revision: int | None = None
    config_all_ones: bool | None = None
    """Configuration space reads all ones: nobody answers."""
    bar0_start: int | None = None
    """0 when no address was assigned."""
    bar0_size: int | None = None
    enabled: bool | None = None
    """Somebody enabled the device: a driver, or its file ``enable``."""
    decoding: bool | None = None
    """Memory decoding, from the command register."""
    bus_master: bool | None = None
    power_state: str | None = None
    link: LinkFacts = field(default_factory=LinkFacts)
    port: LinkFacts = field(default_factory=LinkFacts)
    """The other side: slot or switch."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """Totals of AER: ``correctable``, ``nonfatal``, ``fatal``."""
    iommu_group: str | None = None
    group_others: Mapping[str, str] = field(default_factory=dict)
    """Other devices of the group, with the driver of each (empty without)."""
    vectors: int | None = None
    """Interrupt messages in use; None while no driver asked for any."""
    driver: str | None = None
    driver_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverFacts:
    """What ``ptp_ocp`` made of the card."""

    class_device: str | None = None
    """``ocp0``."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    phc: str | None = None
    pps: str | None = None
    i2c: str | None = None
    mtd: str | None = None
    eeproms: tuple[int, ...] = ()
    """I2C addresses of the memories that have a file."""
    ttys: Mapping[str, str] = field(default_factory=dict)
    """Serial port by role (``gnss`` ...)."""
    tty_form: str | None = None
    """How the ports were found: ``directory``, ``links``, or ``address`` where the driver shows none."""
    by_id: bool | None = None
    """Whether ``/dev/timecard/<id>`` exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """The machine and who asks."""

    kernel: str
    user: str
    root: bool
    groups: tuple[str, ...] = ()
    lockdown: str | None = None
    modules: Mapping[str, ModuleState] = field(default_factory=dict)
    kernel_log: tuple[str, ...] | None = None
    """Lines about the cards; None when the log cannot be read."""
    tai_offset_s: int | None = None
    """TAI minus UTC as the kernel has it; 0 until somebody tells it."""
    clock_synchronised: bool | None = None
    """A time daemon tells the kernel that it keeps the host's clock."""
    uart_limit: int | None = None
    """Ports that the 8250 driver may have (``8250.nr_uarts``)."""
    uarts: int | None = None
    """Ports that it has, whatever they belong to."""
    strangers: tuple[str, ...] = ()
    """PCI devices that look like an FPGA without a Time Card's image: ``0000:3b:00.0 10ee:7011``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFacts:
    """Two readings of the card's clock."""

    first_tai_ns: int
    last_tai_ns: int
    elapsed_ns: int
    """Between the two by the host's raw monotonic clock."""
    host_tai_ns: int
    """The host's CLOCK_REALTIME as TAI at the last reading."""
    half_width_ns: float
    """Half the bracket of the last reading: by how much it may be off against the host."""
    elapsed_half_width_ns: float = 0.0
    """By how much ``elapsed_ns`` may be off."""
    cross_minus_bracket_ns: float | None = None
    """The card's own cross timestamp (PTM, driver) minus the plain bracket; None when it has none."""
    cross_method: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterWords:
    """Words that only a way through the registers shows."""

    tod_baud: int | None = None
    selector_forces: int | None = None
    """Upper bits of the selector's second word: 0x10 the SMA's, 0x20 the MAC's 10 MHz is forced."""
    mac_alarm: bool | None = None
    sma_levels: int | None = None
    """``sma_status``: bits 0, 4, 8, 12 an input is valid, the bit above its level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverFacts:
    """Who answers on the GNSS port, and what it says."""

    baud: int
    """Rate of the port."""
    answers_at: int | None
    """Rate at which valid messages were found; None when at none."""
    bytes_heard: int
    protocol: str | None = None
    """``UBX``, ``NMEA`` or a foreign one's name."""
    model: str | None = None
    firmware: str | None = None
    complaint: str | None = None
    """What is wrong, in the driver's words."""
    fix_ok: bool | None = None
    fix: str | None = None
    time_valid: bool | None = None
    antenna: str | None = None
    jamming: str | None = None
    satellites_used: int | None = None
    corrupt_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OscillatorFacts:
    """Who answers on the MAC port, and what it says."""

    baud: int
    family: str | None
    """None when nobody answers."""
    model: str | None = None
    serial: str | None = None
    locked: bool | None = None
    alarms: tuple[str, ...] = ()
    pps_detected: bool | None = None
    complaint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErratumFacts:
    """A known fault of the kernel's driver that this card has (``timecard.kernel.errata``)."""

    id: str
    title: str
    evidence: str
    action: str
    handled: bool
    """This toolkit works around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardExamination:
    """Everything about one card."""

    id: str
    board: str | None
    """Name in ``timecard.boards``."""
    pci: PciFacts | None = None
    """None for a card behind a socket."""
    kernel: DriverFacts | None = None
    """None without ``ptp_ocp``."""
    nodes: tuple[NodeFacts, ...] = ()
    access: Access | None = None
    """None when the card could not be opened."""
    access_path: str | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    """What this way to the card cannot show, with the reason."""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """By probe: ``open``, ``clock``, ``image`` ..."""
    clock: ClockFacts | None = None
    clock_status: ClockStatus | None = None
    image: ImageVersion | None = None
    selector: SelectorStatus | None = None
    pps_slave: PpsSlaveStatus | None = None
    time_of_day: TodStatus | None = None
    sma: tuple[SmaConnector, ...] | None = None
    words: RegisterWords | None = None
    identity: BoardIdentity | None = None
    flash_bytes: int | None = None
    """Size of the flash; asked for only where no kernel driver has it."""
    generators: Mapping[str, str] | None = None
    """Generators in error: number to what is wrong."""
    counters: Mapping[str, str] | None = None
    """Frequency counters in error."""
    receiver: ReceiverFacts | None = None
    oscillator: OscillatorFacts | None = None
    errata: tuple[ErratumFacts, ...] = ()
    delays_ns: Mapping[str, float] = field(default_factory=dict)
    """Delays that are compensated now, ns, by place: ``receiver``, ``timestamper``, ``pps-slave``,
    ``oscillator``. Places that compensate nothing are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemFacts:
    """The host and its cards."""

    host: HostFacts
    cards: tuple[CardExamination, ...] = ()
    seconds: float = 0.0
    """How long the examination took."""
