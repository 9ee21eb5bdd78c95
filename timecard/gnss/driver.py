"""What every receiver driver offers, and the table of drivers: one file in ``receivers`` is one family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from timecard.gnss.intent import GnssIntent, Plan
from timecard.protocols import ByteStream
from timecard.timebase import Timebase
from timecard.values import GnssEvent, ReceiverIdentity


class Capability(StrEnum):
    """What a receiver may have."""

    CONFIGURE = "configure"
    SURVEY = "survey"
    FIXED_POSITION = "fixed-position"
    SAWTOOTH = "sawtooth"
    LEAP_ANNOUNCED = "leap-announced"
    SIGNALS = "signals"
    ANTENNA = "antenna"
    JAMMING = "jamming"
    SPOOFING = "spoofing"
    TIME_ACCURACY = "time-accuracy"


class Receiver(Protocol):
    """A receiver that was recognised. ``GnssReceiver`` of ``timecard.protocols`` is the part core needs."""

    name: str
    identity: ReceiverIdentity | None
    capabilities: frozenset[Capability]

    @property
    def restarts(self) -> int:
        """How often the receiver was seen to begin anew by itself: its settings may be gone."""
        ...

    def start(self) -> None:
        """Identify and make it as its intent says; raises when it does not answer."""
        ...

    def poll(self, timeout_s: float) -> Sequence[GnssEvent]:
        """Events decoded from the bytes that have arrived."""
        ...

    def plan(self, intent: GnssIntent) -> Plan:
        """Read the settings and say what differs. Writes nothing."""
        ...

    def apply(self, plan: Plan) -> None:
        """Write the changes and nothing else, without a reset; verify; keep them as ``plan.store`` says.

        All or nothing: when one is refused, or reads back otherwise, those already written are taken back and
        ``RefusedError`` names the key. After ``DeviceTimeoutError`` the state was read again and restored as
        far as the receiver answers, which the error says.
        """
        ...

    def undo(self, plan: Plan) -> None:
        """Write the values that a plan found."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverDriver:
    """A family: how it is recognised and opened."""

    name: str
    """``ublox``, ``ublox-legacy``, ``septentrio``, ``nmea``."""
    bauds: tuple[int, ...]
    """Usual rates, likeliest first."""
    probe: Callable[[ByteStream, Timebase], ReceiverIdentity | None]
    """Ask who is there at the present rate, in at most 3 s; nothing that is sent changes a setting."""
    open: Callable[[ByteStream, Timebase, GnssIntent | None], Receiver]
    """``None``: use the receiver as it is configured."""
    poll_messages: Mapping[str, Sequence[bytes]] = field(default_factory=lambda: MappingProxyType({}))
    """What asks for a topic of a status (its name in ``timecard.gnss.picture.TOPICS``) that does not come by
    itself: whole frames, which change no setting. The answers come with ``poll``. Left out: it is only
    listened to."""
