"""A made-up host and its NIC's clock, for tests of the map between them."""

from __future__ import annotations

import struct

from appliance.clock_map import MapState
from appliance.nic_clock import PTP_SYS_OFFSET_EXTENDED

S = 1_000_000_000
REAL_AHEAD_NS = 1_700_000_000 * S
TAI0 = 1_700_000_037 * S


class Host:
    """A host whose RAW clock is the truth, and a NIC whose clock is 5 ms and 7 ppm off."""

    def __init__(self) -> None:
        self.raw_ns = 0
        self.ahead_ns = REAL_AHEAD_NS
        self.step_during_read_ns = 0

    def clocks(self) -> tuple[int, int]:
        return self.ahead_ns, 20

    def phc_ns(self, raw_ns: int) -> int:
        return 123 * S + raw_ns + 5_000_000 + round(raw_ns * 7e-6)

    def ioctl(self, _fd: int, request: int, data: bytearray) -> None:
        assert request == PTP_SYS_OFFSET_EXTENDED
        assert len(data) == 1216
        (count,) = struct.unpack_from("=I", data)
        for k in range(count):
            width_ns = 400 + 300 * ((k + 2) % count)
            real_ns = self.raw_ns + self.ahead_ns
            phc_ns = self.phc_ns(self.raw_ns + width_ns // 2)
            words = (*divmod(real_ns, S), *divmod(phc_ns, S), *divmod(real_ns + width_ns, S))
            struct.pack_into("=qI4xqI4xqI4x", data, 16 + 48 * k, *words)
            self.raw_ns += width_ns
        self.ahead_ns += self.step_during_read_ns


def line(host: Host) -> MapState:
    return MapState(
        anchor_raw_ns=host.raw_ns,
        anchor_tai_ns=TAI0 + host.raw_ns,
        rate_ppb=0.0,
        error_ns=60.0,
        half_width_ns=40.0,
        method="ptm",
        valid_until_raw_ns=host.raw_ns + 3 * S,
    )
