"""What the steps of a bring-up share: the card, the intent, and the parts that are opened once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, cast

from timecard.boards.board import Role
from timecard.bringup.card_settings import delay_register, stamps_now
from timecard.bringup.intent import Intent, ReceiverIntent
from timecard.card_protocols import Card, EdgeChannel
from timecard.errors import UnsupportedError
from timecard.gnss.detect import detect
from timecard.gnss.driver import Receiver
from timecard.gnss.geodesy import ecef_m
from timecard.gnss.intent import FixedPosition, GnssIntent, Store, Survey
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S, TAI_MINUS_UTC_2017_S
from timecard.values import GnssEvent

RECEIVER_S: Final = 20.0
"""For finding the receiver: the port's own rate and the likeliest others."""
_FLUSH: Final = 4
"""A latch holds one old edge; the kernel's queue more, which are too old to matter."""


def host_tai_ns() -> int:
    """The host's CLOCK_REALTIME as TAI."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME) + TAI_MINUS_UTC_2017_S * NS_PER_S


@dataclass
class Bench:
    """One bring-up's card and its parts."""

    card: Card
    intent: Intent
    timebase: Timebase
    host_tai_ns: Callable[[], int] = host_tai_ns
    _receiver: Receiver | None = None
    _channels: dict[str, EdgeChannel] = field(default_factory=dict)

    def receiver(self) -> Receiver:
        """The receiver on the GNSS port, found and identified; its settings are not touched.

        Raises ``DeviceAbsentError`` and ``UnsupportedError`` that say what was heard.
        """
        if self._receiver is None:
            stream = self.card.serial(Role.GNSS)
            found = detect(stream, self.timebase, limit_s=RECEIVER_S)
            receiver = found.driver.open(stream, self.timebase, None)
            receiver.start()
            self._receiver = receiver
        return self._receiver

    def events(self, wait_s: float) -> Iterator[GnssEvent]:
        """What the receiver says, for ``wait_s``; finds it first."""
        receiver = self.receiver()
        deadline_ns = self.timebase.mono_ns() + round(wait_s * NS_PER_S)
        while self.timebase.mono_ns() < deadline_ns:
            yield from receiver.poll(0.05)

    def stamping(self, channel: str) -> bool:
        """Whether a timestamper can be read without switching it on."""
        return channel in self._channels or stamps_now(self.card, channel) is True

    def timestamper(self, channel: str) -> EdgeChannel:
        """A timestamper that is on, without old edges; one that was on already is not written."""
        edges = self._channels.get(channel)
        if edges is None:
            edges = self.card.timestamper(channel)
            if not self.stamping(channel):
                edges.enable(cable_delay_ns=self._delay_ns(channel))
            self._channels[channel] = edges
        for _ in range(_FLUSH):
            if edges.poll() is None:
                break
        return edges

    def card_tai_ns(self, mono_raw_ns: int) -> int:
        """What the card's clock read at an instant that is just past."""
        cross = self.card.clock.cross_timestamp()
        return cross.card_tai_ns + mono_raw_ns - cross.mono_raw_ns

    def _delay_ns(self, channel: str) -> int:
        """The delay that the channel removes already: switching on would set it to 0."""
        if channel != "ts0":
            return 0
        try:
            return delay_register(self.card, "timestamper").cable_delay_ns()
        except UnsupportedError:
            return 0


def receiver_intent(wanted: ReceiverIntent, intent: Intent) -> GnssIntent:
    """What ``[receiver]`` asks for in words for every maker, its part of the delay ledger included."""
    position: Survey | FixedPosition = Survey(min_s=wanted.survey_s, sigma_m=wanted.survey_accuracy_m)
    if wanted.position is not None:
        x_m, y_m, z_m = ecef_m(*wanted.position)
        position = FixedPosition(x_m=x_m, y_m=y_m, z_m=z_m, sigma_m=wanted.position_accuracy_m)
    return replace(
        wanted.settings,
        position=position,
        cable_delay_ns=None if intent.delays is None else intent.ledger.register_ns("receiver"),
        store=cast(Store, wanted.store),
    )
