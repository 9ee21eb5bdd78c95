"""A NIC's PTP hardware clock, compared with the card's TAI: what hardware packet stamps are translated by.

The kernel compares the PHC with CLOCK_MONOTONIC_RAW, by PTM or by brackets (``kernel.cross_timestamp``). The
host's clock map then gives TAI, and a second map, with the PHC on its axis, the line. Where the card's pulse
leads into a pin of the NIC, that gives a better line.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from appliance.clock_map import ClockMap, MapState
from appliance.nic_pulse import NicPulse
from timecard.kernel.cross_timestamp import CrossComparer, HostClocks, HostSteppedError, host_clocks
from timecard.kernel.phc import Phc
from timecard.values import CrossTimestamp


class NicClock:
    """One ``/dev/ptpN``; nothing is written to it here, and a right to read it is enough."""

    def __init__(
        self,
        index: int,
        *,
        pulse: NicPulse | None = None,
        open_phc: Callable[[Path], Phc] = Phc,
        clocks: HostClocks = host_clocks,
    ) -> None:
        """Raises ``TimeCardError`` when it cannot be opened; tests replace ``open_phc`` and ``clocks``."""
        self._phc = open_phc(Path(f"/dev/ptp{index}"))
        # No driver of a NIC moves the end of a bracket. How a NIC rounds it does not tell: its few ns are
        # small beside a bracket, and part of what PTM leaves open.
        self._comparer = CrossComparer(self._phc, window_adjust=lambda: 0, tick_ns=0, clocks=clocks)
        self._map = ClockMap()
        self._pulse = pulse
        self.state: MapState | None = None
        """The newest line from PHC to TAI; ``raw`` in it means the PHC."""

    def sample(self, host: MapState) -> MapState | None:
        """Compare once and return the line from PHC to TAI; None when the host's clock was stepped meanwhile.

        In the result ``raw`` means the PHC. The line is that of the pulses while they come, else that of the
        kernel's comparisons. Raises ``TimeCardError`` when the PHC cannot be read.
        """
        try:
            seen = self._comparer.cross_timestamp()
        except HostSteppedError:
            return None
        compared = self._map.add(
            CrossTimestamp(
                card_tai_ns=host.tai_ns(seen.mono_raw_ns),
                mono_raw_ns=seen.card_tai_ns,
                half_width_ns=seen.half_width_ns + host.error_ns,
                method=seen.method,
            )
        )
        self.state = (self._pulse.sample(compared) if self._pulse is not None else None) or compared
        return self.state

    def reset(self) -> None:
        """Forget the line: the card's clock was stepped."""
        self._map.reset()
        self.state = None
        if self._pulse is not None:
            self._pulse.reset()

    def close(self) -> None:
        """Close the device."""
        if self._pulse is not None:
            self._pulse.close()
        self._phc.close()
