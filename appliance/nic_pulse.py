"""The card's pulse into a pin of the NIC: its clock stamps each second of the card (EXTTS).

The best source of the clock map: no bus, no software is on the way. Which second a stamp belongs to is told
by the map that the brackets make, and a pulse that contradicts the brackets is not the card's.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from appliance.clock_map import VALID_S, ClockMap, MapState
from appliance.config_models import PulseConfig
from timecard.errors import TimeCardError
from timecard.kernel.phc import Phc
from timecard.kernel.phc_values import ExttsEvent
from timecard.kernel.ptp_abi import PinFunction
from timecard.timescale import NS_PER_S, nearest_second_ns
from timecard.values import CrossTimestamp

log = logging.getLogger(__name__)

STAMP_NS: Final = 4.0
"""Half the granularity of a NIC that stamps with 125 MHz."""
WANDER_PPB: Final = 5.0
"""What both clocks may change against one another from one pulse to the next: temperature is slower."""
WINDOW_S: Final = 16.0
"""The stamps are so sharp that a longer window would rather see the crystals wander."""
TOLERANCE_NS: Final = 6.0
MAX_BRACKET_ERROR_NS: Final = 100_000_000.0
"""Beyond this the brackets cannot tell which second it is."""


class PulseEvents(Protocol):
    """What is needed of the NIC's clock: ``timecard.kernel.phc.Phc``."""

    name: str

    def read_events(self, timeout_s: float) -> Sequence[ExttsEvent]:
        """Stamps that have arrived."""
        ...

    def disable_extts(self, channel: int) -> None:
        """Timestamp no more."""
        ...

    def close(self) -> None:
        """Close the device."""
        ...


class NicPulse:
    """Turns stamps of the pulse into a line from the NIC's clock to TAI."""

    def __init__(self, events: PulseEvents, channel: int, *, delay_ns: float, uncertainty_ns: float) -> None:
        """``delay_ns``: how late the pulse is at the pin, known to ``uncertainty_ns``."""
        self._events = events
        self._channel = channel
        self._delay_ns = delay_ns
        self._half_ns = STAMP_NS + uncertainty_ns
        self._map = pulse_map()
        self.rejected = 0
        """Stamps that were not the card's second."""
        self.state: MapState | None = None
        """The newest line; ``raw`` in it means the NIC's clock."""

    def reset(self) -> None:
        """Forget the line: one of the clocks was stepped."""
        self._map.reset()
        self.state = None

    def sample(self, brackets: MapState) -> MapState | None:
        """Take what has arrived; the line while pulses come and agree, else None.

        ``brackets`` is the line of the same two clocks that brackets gave. Raises ``TimeCardError``.
        """
        for event in self._events.read_events(0.0):
            if event.channel == self._channel:
                self._take(event.time_ns, brackets)
        state = self.state
        if state is None or brackets.anchor_raw_ns - state.anchor_raw_ns > VALID_S * NS_PER_S:
            return None
        return state

    def close(self) -> None:
        """Let go of the NIC's clock."""
        with contextlib.suppress(TimeCardError):  # it may be gone
            self._events.disable_extts(self._channel)
        self._events.close()

    def _take(self, stamp_ns: int, brackets: MapState) -> None:
        sent_ns = stamp_ns - round(self._delay_ns)
        tai_ns = brackets.tai_ns(sent_ns)
        second_ns = nearest_second_ns(tai_ns)
        allowed_ns = brackets.error_ns + self._half_ns
        if brackets.error_ns > MAX_BRACKET_ERROR_NS or abs(tai_ns - second_ns) > allowed_ns:
            self.rejected += 1
            if self.rejected == 1:
                log.warning(
                    "%s: a pulse came %d ns from the card's second: not the card's, or its delay is wrong",
                    self._events.name,
                    tai_ns - second_ns,
                )
            return
        self.state = self._map.add(
            CrossTimestamp(
                card_tai_ns=second_ns, mono_raw_ns=sent_ns, half_width_ns=self._half_ns, method="pps"
            )
        )


def open_pulse(index: int, config: PulseConfig) -> NicPulse:
    """Set up the pin and the channel of ``/dev/ptpN``; raises ``TimeCardError``."""
    phc = Phc(Path(f"/dev/ptp{index}"))
    try:
        if config.pin is not None:
            phc.set_pin(config.pin, PinFunction.EXTTS, config.channel)
        phc.enable_extts(config.channel)
    except TimeCardError:
        phc.close()
        raise
    return NicPulse(phc, config.channel, delay_ns=config.delay_ns, uncertainty_ns=config.uncertainty_ns)


def pulse_map() -> ClockMap:
    """A map for pulses: one sample a second, sharp to some ns."""
    return ClockMap(wander_ppb=WANDER_PPB, window_s=WINDOW_S, tolerance_ns=TOLERANCE_NS)
