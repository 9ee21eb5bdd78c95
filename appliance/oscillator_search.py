"""An oscillator module that did not answer at the start is asked for again, once a minute.

It may have been starting itself: an mRO-50's bridge needs half a minute from power-on, new firmware some
minutes. What is found is not taken into a loop that keeps time already: that would be a new start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from appliance.events import Event
from appliance.sources import SourceRunner
from appliance.topology import Control, ask_oscillator, steered_module
from timecard.boards import Role
from timecard.card_protocols import Card
from timecard.mac.wear import WearLedger
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import Alarm

SEARCH_S: Final = 60.0
FOUND: Final = "oscillator-found"


class OscillatorSearch:
    """Runs beside the loop, on a thread of its own: one round of questions takes seconds."""

    def __init__(self, card: Card, timebase: Timebase, wear: WearLedger | None = None) -> None:
        self.found = False
        """A module answers that can be steered."""
        self._over = False
        self.runner = SourceRunner(FOUND, self._poll, timebase, period_s=SEARCH_S)
        self._card, self._timebase, self._wear = card, timebase, wear
        self._due_ns = timebase.mono_ns() + round(SEARCH_S * NS_PER_S)

    def _poll(self) -> Iterable[Event]:
        now_ns = self._timebase.mono_ns()
        if self._over or now_ns < self._due_ns:
            return ()
        self._due_ns = now_ns + round(SEARCH_S * NS_PER_S)
        found = ask_oscillator(self._card, self._timebase, self._wear)
        self._over = found is not None
        if found is None or steered_module(self._card, found) is None:
            return ()
        self.found = True
        identity = found[1]
        text = f"{identity.family} {identity.serial}".strip()
        return (
            Alarm(
                name=FOUND,
                active=True,
                unusable=False,
                evidence=f"{text} did not answer at the start and does now: restart core to steer it",
                read_mono_ns=self._timebase.mono_ns(),
            ),
        )


def worth_searching(card: Card, control: Control) -> bool:
    """A module was asked for in vain, and the board has a place for one."""
    return control.module_missed and (card.board.has("osc") or Role.MAC in card.board.serial_ports)
