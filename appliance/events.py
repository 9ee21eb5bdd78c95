"""What the discipline takes and what it asks for.

Everything that happens to the clock arrives as one of these values, in order, in one thread; everything the
discipline wants done leaves as an ``Action``. ``mono_ns`` is the timebase's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from appliance.leap.words import LeapWord
from timecard.values import Alarm, EdgeStamp, GnssEvent, OscillatorStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class GnssEdge:
    """The GNSS 1PPS, latched by TS0 against the card's clock."""

    stamp: EdgeStamp


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnEdge:
    """The card clock's own 1PPS, latched by TS5: shows that the clock counts."""

    stamp: EdgeStamp


@dataclass(frozen=True, slots=True, kw_only=True)
class OscillatorReport:
    """Telemetry of the oscillator module."""

    status: OscillatorStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeringApplied:
    """The actuator took a command; ``frequency_ppb`` is what is really in force after rounding."""

    frequency_ppb: float
    mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStepped:
    """The card's clock was stepped."""

    delta_ns: int
    mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockMoved:
    """Against the host's clock the card's clock has jumped by this, and no step of ours explains it."""

    delta_ns: int
    mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFault:
    """A source stopped working: ``gnss``, ``pps``, ``oscillator``, ``card``, ``actuator``."""

    source: str
    reason: str
    mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRestored:
    """The source works again."""

    source: str
    mono_ns: int


class CommandKind(Enum):
    """What an operator may ask of the discipline."""

    ENTER_HOLDOVER = "enter-holdover"
    LEAVE_HOLDOVER = "leave-holdover"
    END_REHEARSAL = "end-rehearsal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An operator's request."""

    kind: CommandKind
    mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearseHoldover:
    """An operator wants to know what a holdover would be like; the reference stays as a witness."""

    limit_ns: float
    """Ends when the clock is further off than this."""
    duration_s: float
    mono_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessVerdict:
    """What the other sources of time say of the reference; comes when it changes.

    ``against`` is why it must not be followed, None when nothing speaks against it any more. By at most
    ``doubt_ns`` and ``doubt_ppb`` it may have led the clock astray already. ``disputed``: no majority speaks
    against it, there is only none for it.
    """

    against: str | None
    doubt_ns: float
    doubt_ppb: float
    mono_ns: int
    disputed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Once a second, whatever else happens: silence is seen here.

    ``card_tai_ns`` is the card's clock read at ``mono_ns``; None when it could not be read.
    """

    mono_ns: int
    card_tai_ns: int | None


Event = (
    GnssEdge
    | OwnEdge
    | GnssEvent
    | Alarm
    | LeapWord
    | OscillatorReport
    | SteeringApplied
    | ClockStepped
    | ClockMoved
    | SourceFault
    | SourceRestored
    | Command
    | RehearseHoldover
    | WitnessVerdict
    | Tick
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepClock:
    """Add ``delta_ns`` to the card's clock at once. A step is a new epoch."""

    delta_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Steer:
    """Put this frequency correction in force; positive makes the clock faster."""

    frequency_ppb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOscillatorPulse:
    """Move the oscillator module's own pulse onto the GNSS pulse, so that its phase meter can be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectPulse:
    """Tell the oscillator module what to add to the phase that it sees at the next pulse."""

    correction_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowPulse:
    """Let the oscillator module follow the GNSS pulse by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver:
    """End the oscillator module's own loop; the tuning in force stays, and is ours from now on."""


Action = StepClock | Steer | SyncOscillatorPulse | CorrectPulse | FollowPulse | TakeOver
