"""Topology D: the card's own servo is observed, which is worth something only while it follows GNSS.

Which pulse the servo gets is the selector's business (SMA before MAC before GNSS, unless one is forced), so
it is asked before the topology is taken, and ever after: a cable that is plugged in brings another pulse.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from appliance.events import Event
from appliance.sources import SourceRunner
from timecard.card_protocols import Card
from timecard.card_values import PpsSource
from timecard.errors import DeviceLostError, TimeCardError
from timecard.timebase import Timebase
from timecard.values import Alarm

ALARM: Final = "servo-source"
LOOK_S: Final = 5.0


class Astray(NamedTuple):
    """Why the clock is no follower of GNSS."""

    reason: str
    may_pass: bool
    """Only the pulse is missing, as it is until the receiver has a fix."""


def astray(card: Card) -> Astray | None:
    """Ask clock and selector; None while the servo follows the GNSS pulse.

    Raises ``TimeCardError`` only when the card has gone.
    """
    try:
        source = card.clock.source_name()
        if source != "PPS":
            return Astray(f"the clock follows {source}, not a pulse", may_pass=False)
        selected = card.selector().selected
        if selected not in (PpsSource.GNSS, None):
            return Astray(
                f"the selector shows {selected.name}, not GNSS: unplug that pulse, or force GNSS where the "
                'way to the card can (`timecard bringup` with [selection] pps = "gnss")',
                may_pass=False,
            )
    except DeviceLostError:
        raise
    except TimeCardError as error:
        return Astray(f"which pulse is selected is not known: {error.reason}", may_pass=False)
    return Astray("no pulse reaches the servo", may_pass=True) if selected is None else None


class ServoWatch:
    """An alarm while the servo follows something else."""

    def __init__(self, card: Card, timebase: Timebase) -> None:
        self.runner = SourceRunner("servo", self._poll, timebase, period_s=LOOK_S)
        self._card, self._timebase = card, timebase
        self._told: str | None = None

    def _poll(self) -> Iterable[Event]:
        found = astray(self._card)
        reason = found.reason if found else None
        if reason == self._told:
            return ()
        self._told = reason
        return (
            Alarm(
                name=ALARM,
                active=reason is not None,
                unusable=False,
                evidence=reason or "the servo follows GNSS",
                read_mono_ns=self._timebase.mono_ns(),
            ),
        )
