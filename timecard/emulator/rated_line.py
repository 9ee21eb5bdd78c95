"""A serial line whose ends may run at different rates: then each side sees noise, as on a wire."""

from __future__ import annotations

import random
from typing import Final

from timecard.emulator.uart16550 import MAX_RATE_MISMATCH, SerialDevice

_MAX_STRETCH: Final = 16


class RatedLine:
    """The host's end of the line to an emulated device. Times are true TAI, as the device's."""

    def __init__(self, device: SerialDevice, baud: int, seed: int = 0) -> None:
        self.device = device
        self.baud = baud
        """The host's rate, which it may change at any time."""
        self._random = random.Random(seed)

    def to_host(self, t_ns: int) -> bytes:
        """What the host's UART makes of what the device has sent since the last call."""
        return self._through(self.device.transmit(t_ns), host_reads=True)

    def to_device(self, data: bytes, t_ns: int) -> None:
        """The host sends."""
        arriving = self._through(data, host_reads=False)
        if arriving:
            self.device.receive(arriving, t_ns)

    def _through(self, data: bytes, *, host_reads: bool) -> bytes:
        rate = getattr(self.device, "baud", self.baud)
        if not data or abs(self.baud / rate - 1) <= MAX_RATE_MISMATCH:
            return data
        # Whoever reads faster sees each bit several times, and with it more bytes.
        stretch = self.baud / rate if host_reads else rate / self.baud
        return self._random.randbytes(max(1, round(len(data) * min(_MAX_STRETCH, stretch))))
