"""A line to an emulated receiver, in virtual time, whose rate can be changed and counts."""

from __future__ import annotations

from timecard.emulator.gnss_noise import model_gnss
from timecard.emulator.models import GNSS_RECEIVERS
from timecard.emulator.rated_line import RatedLine
from timecard.emulator.receiver_kinds import RECEIVER_KINDS, make_receiver
from timecard.emulator.receiver_navigation import Start
from timecard.emulator.uart16550 import SerialDevice
from timecard.emulator.world import VirtualTime
from timecard.errors import RefusedError
from timecard.timescale import NS_PER_S

START_S = 1_800_000_000
STEP_S = 0.002


class RatedWire:
    """``ByteStream`` with ``baud`` and ``set_baud``."""

    name = "gnss"

    def __init__(self, device: SerialDevice, time: VirtualTime, baud: int = 115_200) -> None:
        self.device = device
        self.time = time
        self.line = RatedLine(device, baud)
        self.written = bytearray()
        self.rates: list[int] = []
        self.impossible: frozenset[int] = frozenset()
        self._ready = bytearray()

    @property
    def baud(self) -> int:
        return self.line.baud

    def set_baud(self, baud: int) -> None:
        if baud in self.impossible:
            raise RefusedError(self.name, "set baud", f"{baud}: not with this clock")
        self.rates.append(baud)
        self._ready.clear()
        self.line.baud = baud

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        deadline_ns = self.time.mono_ns() + round(timeout_s * NS_PER_S)
        while True:
            self._ready += self.line.to_host(self.time.true_tai_ns())
            if self._ready:
                data = bytes(self._ready[:max_bytes])
                del self._ready[:max_bytes]
                return data
            left_ns = deadline_ns - self.time.mono_ns()
            if left_ns <= 0:
                return b""
            self.time.sleep_s(min(STEP_S, left_ns / NS_PER_S))

    def write(self, data: bytes) -> None:
        self.written += data
        self.line.to_device(data, self.time.true_tai_ns())


def wire_to(
    kind: str, *, device_baud: int = 115_200, host_baud: int = 115_200, warm_s: float = 5.0
) -> RatedWire:
    """A line to one of ``timecard emulate --receiver``, some seconds after its start."""
    time = VirtualTime(START_S * NS_PER_S)
    pulses = model_gnss(GNSS_RECEIVERS[RECEIVER_KINDS[kind].pulse], 1, START_S)
    device = make_receiver(kind, pulses, START_S * NS_PER_S, seed=1, start=Start.HOT, baud=device_baud)
    wire = RatedWire(device, time, host_baud)
    time.sleep_s(warm_s)
    device.transmit(time.true_tai_ns())
    return wire
