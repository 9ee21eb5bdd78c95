"""What a receiver said last of everything, and what it has not said: for a status."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, Final, NamedTuple, TypeVar

from timecard.gnss.driver import Capability
from timecard.values import (
    AntennaPosition,
    CorruptData,
    GnssEvent,
    GnssFix,
    LeapInfo,
    PulseLabel,
    RfStatus,
    SatelliteView,
    SignalView,
    SurveyStatus,
)

E = TypeVar("E")
ONCE_S: Final = 2.5
"""What comes once a second has come by then."""
SLOW_S: Final = 7.0
"""Some messages of the set ``time-card`` come every 5 s."""


class Topic(NamedTuple):
    """Something that a status shows."""

    name: str
    wait_s: float
    """So long it is waited for."""
    capability: Capability | None
    """A receiver without it is not waited for; None: every receiver tells."""
    told: Callable[[ReceiverPicture], bool]


class ReceiverPicture:
    """The latest word of every kind. A field of ``RfStatus`` that a message does not tell stays."""

    def __init__(self) -> None:
        self.rf: RfStatus | None = None
        self.corrupt_bytes = 0
        self._latest: dict[type[Any], Any] = {}

    def take(self, event: GnssEvent) -> None:
        """Note one event."""
        if isinstance(event, CorruptData):
            self.corrupt_bytes += event.length
        elif isinstance(event, RfStatus):
            self.rf = event if self.rf is None else _merged(self.rf, event)
        else:
            self._latest[type(event)] = event

    def latest(self, kind: type[E]) -> E | None:
        """The newest event of a kind."""
        found: E | None = self._latest.get(kind)
        return found

    def has(self, *kinds: type[Any]) -> bool:
        """Whether one of these was heard."""
        return any(kind in self._latest for kind in kinds)

    def open_topics(self, capabilities: Collection[Capability] | None) -> list[Topic]:
        """What was not heard of all that this receiver tells; without ``capabilities``, of everything."""
        return [
            topic
            for topic in TOPICS
            if not topic.told(self)
            and (capabilities is None or topic.capability is None or topic.capability in capabilities)
        ]


def _merged(old: RfStatus, new: RfStatus) -> RfStatus:
    values = {field.name: getattr(new, field.name) for field in fields(RfStatus)}
    return RfStatus(
        **{name: getattr(old, name) if value is None else value for name, value in values.items()}
    )


def _heard(*kinds: type[Any]) -> Callable[[ReceiverPicture], bool]:
    return lambda picture: picture.has(*kinds)


def _rf(name: str) -> Callable[[ReceiverPicture], bool]:
    return lambda picture: picture.rf is not None and getattr(picture.rf, name) is not None


TOPICS: Final = (
    Topic("time", ONCE_S, None, _heard(GnssFix)),
    Topic("pulse", ONCE_S, Capability.SAWTOOTH, _heard(PulseLabel)),
    Topic("leap seconds", ONCE_S, Capability.LEAP_ANNOUNCED, _heard(LeapInfo)),
    Topic("position", ONCE_S, None, _heard(AntennaPosition)),
    Topic("survey", SLOW_S, Capability.SURVEY, _heard(SurveyStatus)),
    Topic("signals", SLOW_S, Capability.SIGNALS, _heard(SignalView, SatelliteView)),
    Topic("antenna", SLOW_S, Capability.ANTENNA, _rf("antenna")),
    Topic("jamming", SLOW_S, Capability.JAMMING, _rf("jamming")),
    Topic("spoofing", SLOW_S, Capability.SPOOFING, _rf("spoofing")),
)
