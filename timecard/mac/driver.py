"""What every oscillator driver offers, and what describes one: a file in ``oscillators`` is a family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

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
    """Fold the steering into the base frequency, non-volatile."""
    STORE = "store"
    UPGRADE = "upgrade"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfDiscipline:
    """Settings of a part's own loop."""

    time_constant_s: int
    phase_limit_ns: int | None = None
    """Beyond it the part jumps; None: as the part has it."""
    lock_threshold_ns: int | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class OscillatorDriver:
    """A family: how it is recognised and opened."""

    family: str
    baud: int
    order: int
    """Probes run in this order; each is harmless to the families after it, and to unknown ones."""
    probe: Callable[[ByteStream, Timebase], OscillatorIdentity | None]
    """Ask who is there at ``baud``, in at most 2 s; changes nothing in any known part."""
    open: Callable[[ByteStream, Timebase], Oscillator]
