"""What every oscillator driver offers, and what describes one: a file in ``oscillators`` is a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from timecard.errors import RefusedError
from timecard.mac.wear import WearLedger
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.values import OscillatorIdentity, OscillatorStatus


class OscillatorCapability(StrEnum):
    """What a part may have. Calling a method that it has not raises ``UnsupportedError``."""

    STEER = "steer"
    PHASE_METER = "phase-meter"
    DISCIPLINE = "discipline"
    """It can follow a pulse by itself."""
    SYNC_PULSE = "sync-pulse"
    LATCH = "latch"
    """Fold the steering into the base frequency. A part that has ``STORE`` too forgets that without power
    unless ``store`` follows; any other keeps it.
    """
    STORE = "store"
    UPGRADE = "upgrade"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfDiscipline:
    """Settings of a part's own loop."""

    time_constant_s: int
    phase_limit_ns: int | None = None
    """Beyond it the part jumps; None: as the part has it."""
    lock_threshold_ns: int | None = None
    max_jump_ns: float | None = None
    """Refuse to begin when the part's pulse is further than this from its input, because it would jump so
    far; None: whatever it is."""


class Oscillator(Protocol):
    """An oscillator that was recognised; superset of ``AtomicClock`` of ``timecard.protocols``."""

    name: str
    capabilities: frozenset[OscillatorCapability]

    @property
    def max_frequency_ppb(self) -> float:
        """The largest steering magnitude; 0 for a part that cannot be steered."""
        ...

    @property
    def frequency_resolution_ppb(self) -> float:
        """The steering's step; 0 for a part that cannot be steered."""
        ...

    def identify(self) -> OscillatorIdentity:
        """Who is there; raises ``DeviceAbsentError`` when nobody answers."""
        ...

    def status(self, full: bool = False) -> OscillatorStatus:
        """One round of telemetry; ``full`` asks for everything at once."""
        ...

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Steer; positive makes 10 MHz faster. Returns what the part says is in force."""
        ...

    def begin_software_steering(self) -> None:
        """We steer: the part's own loop ends, the frequency in force stays; phase does not jump."""
        ...

    def begin_self_disciplining(self, settings: SelfDiscipline) -> None:
        """The part follows its input pulse. Whether its own pulse jumps at that moment: see the driver."""
        ...

    def sync_pulse(self) -> None:
        """Move the output pulse onto the next input pulse: a step. Returns when the part took the order."""
        ...

    def latch(self) -> None:
        """Fold the steering in force into the base (see ``LATCH``); the frequency stays. Counted as wear."""
        ...

    def store(self) -> None:
        """Keep the settings in force without power. Counted as wear."""
        ...


class AlarmBit(NamedTuple):
    """One bit of a part's alarm word."""

    words: str
    """The maker's meaning."""
    name: str
    """Of the table in ``timecard.mac.alarms``."""
    settles: bool = False
    """Healthy parts show it before their first lock, and for ``settling_s`` after any lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartLimits:
    """What is normal for a family; beyond it ``timecard.mac.alarms`` speaks."""

    warm_up_s: float
    """A cold part is locked by then."""
    settling_s: float = 0.0
    """So long after a lock bits with ``settles`` mean nothing."""
    temperature_mdegc: tuple[int, int]
    alarm_bits: Mapping[int, AlarmBit] = field(default_factory=lambda: MappingProxyType({}))
    max_frequency_ppb: float = 0.0
    """Steering range; 0 for a part that cannot be steered."""
    steps_phase: bool = False
    """Its phase meter tells; a phase that was small and grows beyond ``phase_runaway_ns`` is a fault."""
    phase_runaway_ns: float = 1_000.0
    phase_resolution_ns: float = 0.0
    """Step of its phase meter."""


class Opener(Protocol):
    """Makes a driver on a line that leads to its part."""

    def __call__(
        self, stream: ByteStream, timebase: Timebase, *, wear: WearLedger | None = None
    ) -> Oscillator:
        """Sends nothing yet."""
        ...


class I2cPort(Protocol):
    """An I2C bus, whatever carries it (``timecard.pcie.i2c`` has one)."""

    name: str

    def transfer(self, address: int, write: bytes, read: int) -> bytes:
        """Write bytes to a part, then read; raises ``DeviceAbsentError`` when nobody acknowledges."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OscillatorDriver:
    """A family: how it is recognised and opened."""

    family: str
    baud: int | None
    """None: it has no serial port."""
    order: int
    """Probes run in this order; each is harmless to the families after it, and to unknown ones."""
    probe: Callable[[ByteStream, Timebase], OscillatorIdentity | None] | None
    """Ask who is there at ``baud``, in at most 2 s; changes nothing in any known part."""
    open: Opener | None
    limits: PartLimits
    timescale_model: str | None = None
    """The appliance's model of its noise (``appliance.timescale.models``); None: nobody characterised it."""
    open_i2c: Callable[[I2cPort, Timebase], Oscillator] | None = None
    """For parts on the I2C bus instead of a serial port. The driver's ``identify`` is asked who is there: it
    speaks to the part's own addresses only, and sends nothing but the number of a register to read."""
    only_by_name: bool = False
    """Nothing on its bus tells it from another family: it is taken only where it is asked for by name."""


NO_PULSE_REASON: Final = "no input pulse, or no phase meter running: how far it would jump is not known"


def check_jump(device: str, settings: SelfDiscipline, phase_ns: float | None) -> None:
    """Raises ``RefusedError`` when the pulse would jump further than ``settings`` allow."""
    if settings.max_jump_ns is None:
        return
    operation = "begin self-disciplining"
    if phase_ns is None:
        raise RefusedError(device, operation, NO_PULSE_REASON)
    if abs(phase_ns) > settings.max_jump_ns:
        raise RefusedError(
            device,
            operation,
            f"the pulse would jump by {phase_ns:.1f} ns, at most {settings.max_jump_ns:g} ns are allowed: "
            "steer it closer first",
        )
