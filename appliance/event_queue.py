"""What the sources say, on its way to the main loop."""

from __future__ import annotations

import queue
from typing import Final

from appliance.events import Event, GnssEdge, OscillatorReport, OwnEdge
from timecard.values import (
    CorruptData,
    GnssFix,
    LeapInfo,
    PulseLabel,
    RfStatus,
    SatelliteView,
    SignalView,
    SurveyStatus,
)

PASSING: Final = (
    GnssEdge,
    OwnEdge,
    OscillatorReport,
    PulseLabel,
    GnssFix,
    LeapInfo,
    SurveyStatus,
    RfStatus,
    SatelliteView,
    SignalView,
    CorruptData,
)
"""What is said again by itself, within seconds. Anything else is said once: commands, faults, alarms."""


class EventQueue(queue.Queue[Event]):
    """Never holds up who puts. When it is full, the oldest passing event goes: a new sample is worth more."""

    def __init__(self, room: int) -> None:
        """``room``: it is full with so many."""
        super().__init__()
        self.room = room
        self.dropped = 0
        """Passing events that nobody took in time."""

    @property
    def crowded(self) -> bool:
        """Nobody has taken anything for a while."""
        return self.qsize() >= self.room

    def _put(self, item: Event) -> None:
        # Called by ``put`` with the lock held, as for the other queues of the standard library.
        waiting = self.queue
        if len(waiting) >= self.room:
            oldest = next((index for index, event in enumerate(waiting) if isinstance(event, PASSING)), None)
            if oldest is not None:
                del waiting[oldest]
                self.dropped += 1
        waiting.append(item)
