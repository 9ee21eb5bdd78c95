"""A NIC's PTP hardware clock, compared with the card's TAI: what hardware packet stamps are translated by.

The kernel brackets a reading of the PHC by two of CLOCK_REALTIME (PTP_SYS_OFFSET_EXTENDED of
linux/ptp_clock.h). CLOCK_REALTIME becomes CLOCK_MONOTONIC_RAW by a bracket of our own, before and after: a
step in between spoils the sample. The host's clock map then gives TAI, and a second map, with the PHC on its
axis, the line. Where the card's pulse leads into a pin of the NIC, that gives a better line.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from appliance.clock_map import ClockMap, MapState
from appliance.nic_pulse import NicPulse
from timecard.errors import ProtocolError, from_oserror
from timecard.timescale import NS_PER_S
from timecard.values import CrossTimestamp

PTP_SYS_OFFSET_EXTENDED: Final = 0xC4C03D09
"""_IOWR('=', 9, struct ptp_sys_offset_extended): 1216 bytes."""
_SIZE: Final = 1216
_HEADER: Final = struct.Struct("=I12x")
_SAMPLE: Final = struct.Struct("=qI4xqI4xqI4x")
"""System time, PHC, system time: seconds, nanoseconds, reserved."""
SAMPLES: Final = 5
STEP_NS: Final = 2_000
"""CLOCK_REALTIME against CLOCK_MONOTONIC_RAW may move this much within one comparison: reading noise."""

Ioctl = Callable[[int, int, bytearray], object]
Clocks = Callable[[], tuple[int, int]]


def _host_clocks() -> tuple[int, int]:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC_RAW, and half the width of that reading; the narrowest of four."""
    readings = []
    for _ in range(4):
        before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        real_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        readings.append(((after_ns - before_ns + 1) // 2, real_ns - (before_ns + after_ns) // 2))
    half_ns, ahead_ns = min(readings)
    return ahead_ns, half_ns


class NicClock:
    """One ``/dev/ptpN``; written to only where a pin has to be set up."""

    def __init__(
        self,
        index: int,
        *,
        pulse: NicPulse | None = None,
        ioctl: Ioctl | None = None,
        clocks: Clocks = _host_clocks,
    ) -> None:
        """Raises ``TimeCardError`` when it cannot be opened; tests replace ``ioctl`` and ``clocks``."""
        self.name = f"/dev/ptp{index}"
        self._ioctl: Ioctl = ioctl or fcntl.ioctl
        self._clocks = clocks
        self._map = ClockMap()
        self._pulse = pulse
        self.state: MapState | None = None
        """The newest line from PHC to TAI; ``raw`` in it means the PHC."""
        self._fd = -1
        if ioctl is None:
            try:
                self._fd = os.open(Path(self.name), os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise from_oserror(self.name, "open", error) from error

    def sample(self, host: MapState) -> MapState | None:
        """Compare once and return the line from PHC to TAI; None when the host's clock was stepped meanwhile.

        In the result ``raw`` means the PHC. The line is that of the pulses while they come, else that of the
        brackets. Raises ``TimeCardError`` when the PHC cannot be read.
        """
        ahead_ns, half_ns = self._clocks()
        before_ns, phc_ns, after_ns = self._narrowest()
        ahead_after_ns, _ = self._clocks()
        if abs(ahead_after_ns - ahead_ns) > STEP_NS:
            return None
        raw_ns = (before_ns + after_ns) // 2 - ahead_ns
        brackets = self._map.add(
            CrossTimestamp(
                card_tai_ns=host.tai_ns(raw_ns),
                mono_raw_ns=phc_ns,
                half_width_ns=(after_ns - before_ns) / 2 + half_ns + host.error_ns,
                method="bracket",
            )
        )
        self.state = (self._pulse.sample(brackets) if self._pulse is not None else None) or brackets
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
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _narrowest(self) -> tuple[int, int, int]:
        request = bytearray(_SIZE)
        _HEADER.pack_into(request, 0, SAMPLES)
        try:
            self._ioctl(self._fd, PTP_SYS_OFFSET_EXTENDED, request)
        except OSError as error:
            raise from_oserror(self.name, "compare with the host's clock", error) from error
        found = []
        for k in range(SAMPLES):
            words = _SAMPLE.unpack_from(request, _HEADER.size + k * _SAMPLE.size)
            before_ns, phc_ns, after_ns = (words[i] * NS_PER_S + words[i + 1] for i in (0, 2, 4))
            if after_ns >= before_ns:
                found.append((after_ns - before_ns, before_ns, phc_ns, after_ns))
        if not found:
            raise ProtocolError(
                self.name, "compare with the host's clock", "every bracket ends before it begins"
            )
        return min(found)[1:]
