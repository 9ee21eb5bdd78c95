"""A byte stream straight to an emulated device, in virtual time; and what tests build devices from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from timecard.emulator.gnss_noise import GnssPulse
from timecard.emulator.world import VirtualTime
from timecard.timescale import NS_PER_S

START_S = 1_800_000_000
"""2027-01-15: TAI second at which virtual time begins."""
START_NS = START_S * NS_PER_S
STEP_NS = 1_000_000


class Device(Protocol):
    """The device's end."""

    def receive(self, data: bytes, t_ns: int) -> None: ...

    def transmit(self, t_ns: int) -> bytes: ...


class Wire:
    """``ByteStream`` to a device; noise can be put in by hand."""

    name = "wire"

    def __init__(self, device: Device, time: VirtualTime) -> None:
        self.device = device
        self.time = time
        self.written = bytearray()
        self.cut = False
        self.to_host = bytearray()

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        deadline_ns = self.time.mono_ns() + round(timeout_s * NS_PER_S)
        while True:
            data = bytes(self.to_host) + self.device.transmit(self.time.true_tai_ns())
            self.to_host.clear()
            if data and not self.cut:
                self.to_host += data[max_bytes:]
                return data[:max_bytes]
            left_ns = deadline_ns - self.time.mono_ns()
            if left_ns <= 0:
                return b""
            self.time.sleep_s(min(STEP_NS, left_ns) / NS_PER_S)

    def write(self, data: bytes) -> None:
        self.written += data
        if not self.cut:
            self.device.receive(data, self.time.true_tai_ns())


class SteadyPulses:
    """Pulses with a known error and quantisation error for each second."""

    def __init__(self, error_ns: float = 0.0, qerr_valid: bool = True) -> None:
        self.error_ns = error_ns
        self.qerr_valid = qerr_valid
        self.present = True

    def edge(self, second_tai_s: int) -> GnssPulse:
        qerr_ns = qerr_of(second_tai_s)
        return GnssPulse(self.error_ns - qerr_ns, qerr_ns, self.present, qerr_valid=self.qerr_valid)


def qerr_of(second_tai_s: int) -> float:
    """A different one in each second."""
    return (second_tai_s * 2957 % 8000 - 4000) / 1000


def half_past(time: VirtualTime, count: int) -> Iterator[int]:
    """Sleeps to the middle of each of the next ``count`` seconds and says which one it is."""
    for _ in range(count):
        into_ns = time.true_tai_ns() % NS_PER_S
        time.sleep_s((NS_PER_S - into_ns + NS_PER_S // 2) / NS_PER_S)
        yield time.true_tai_ns() // NS_PER_S
