"""A made-up host and its NIC's clock, for tests of the map between them."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

from appliance.clock_map import MapState
from appliance.nic_clock import NicClock
from appliance.nic_pulse import NicPulse
from timecard.kernel.phc import Phc

S = 1_000_000_000
REAL_AHEAD_NS = 1_700_000_000 * S
TAI0 = 1_700_000_037 * S
PTP_CLOCK_GETCAPS = 0x80503D01
PTP_SYS_OFFSET_PRECISE = 0xC0403D08
PTP_SYS_OFFSET_EXTENDED = 0xC4C03D09
CLOCK_MONOTONIC_RAW = 4

Answer = Callable[[int, bytearray], None]
"""Fills in what the kernel answers a request; raises ``OSError`` where it refuses."""


class PlayedPhc(Phc):
    """An open clock whose requests are answered here; the node behind it is another."""

    def __init__(self, path: Path, answer: Answer) -> None:
        super().__init__(Path(os.devnull))
        self.name = str(path)
        self._answer = answer

    def _ioctl(self, operation: str, request: int, data: bytearray) -> None:
        try:
            self._answer(request, data)
        except OSError as error:
            raise self._failed(operation, error) from error

    def __del__(self) -> None:
        self.close()


class Host:
    """A host whose RAW clock is the truth, and a NIC whose clock is 5 ms and 7 ppm off."""

    def __init__(self, *, raw_brackets: bool = False, ptm: bool = False) -> None:
        """``raw_brackets``: the kernel is 6.12 or later. ``ptm``: the NIC and its driver have it."""
        self.raw_ns = 0
        self.ahead_ns = REAL_AHEAD_NS
        self.step_during_read_ns = 0
        self.raw_brackets = raw_brackets
        self.ptm = ptm

    def clocks(self) -> tuple[int, int]:
        return self.ahead_ns, 20

    def phc_ns(self, raw_ns: int) -> int:
        return 123 * S + raw_ns + 5_000_000 + round(raw_ns * 7e-6)

    def answer(self, request: int, data: bytearray) -> None:
        if request == PTP_CLOCK_GETCAPS:
            data[:] = struct.pack("=8i48x", 62_499_999, 0, 2, 2, 0, 4, int(self.ptm), 0)
        elif request == PTP_SYS_OFFSET_PRECISE:
            assert self.ptm
            times_ns = (self.phc_ns(self.raw_ns), self.raw_ns + self.ahead_ns, self.raw_ns)
            data[:] = b"".join(_time(time_ns) for time_ns in times_ns) + bytes(16)
        else:
            assert request == PTP_SYS_OFFSET_EXTENDED
            self._brackets(data)
        self.ahead_ns += self.step_during_read_ns

    def _brackets(self, data: bytearray) -> None:
        assert len(data) == 1216
        count, clock = struct.unpack_from("=Ii", data)
        if clock and not self.raw_brackets:
            raise OSError(errno.EINVAL, "Invalid argument")
        assert clock in (0, CLOCK_MONOTONIC_RAW)
        ahead_ns = 0 if clock else self.ahead_ns
        for k in range(count):
            width_ns = 400 + 300 * ((k + 2) % count)
            host_ns = self.raw_ns + ahead_ns
            times_ns = (host_ns, self.phc_ns(self.raw_ns + width_ns // 2), host_ns + width_ns)
            data[16 + 48 * k : 64 + 48 * k] = b"".join(_time(time_ns) for time_ns in times_ns)
            self.raw_ns += width_ns


def _time(time_ns: int) -> bytes:
    return struct.pack("=qI4x", *divmod(time_ns, S))


def nic_of(host: Host, *, pulse: NicPulse | None = None, answer: Answer | None = None) -> NicClock:
    """The clock ``/dev/ptp0`` of this host; ``answer`` replaces what its kernel answers."""
    return NicClock(
        0, pulse=pulse, open_phc=lambda path: PlayedPhc(path, answer or host.answer), clocks=host.clocks
    )


def line(host: Host) -> MapState:
    return MapState(
        anchor_raw_ns=host.raw_ns,
        anchor_tai_ns=TAI0 + host.raw_ns,
        rate_ppb=0.0,
        error_ns=60.0,
        rate_error_ppb=0.0,
        half_width_ns=40.0,
        method="ptm",
        valid_until_raw_ns=host.raw_ns + 3 * S,
    )
