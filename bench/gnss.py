"""``make bench-gnss``: what listening to a receiver costs of one core, whole path from bytes to alarms.

Two loads: a second of the product's message set as it comes, and the same messages back to back until a line
of 115200 baud is full. The bytes are those of the emulated receivers as this product configures them, with as
many signals as a good antenna gives (``FULL_SKY``) and estimates that change from second to second, as real
ones do. Pieces are as large as a card's UART gives them.
"""

from __future__ import annotations

import random
import struct
import sys
import time
from collections.abc import Sequence
from itertools import cycle, islice

from bench.result import write
from timecard.emulator.gnss_noise import model_gnss
from timecard.emulator.models import GNSS_RECEIVERS
from timecard.emulator.receiver_core import ReceiverCore
from timecard.emulator.receiver_kinds import RECEIVER_KINDS, make_receiver
from timecard.emulator.receiver_navigation import Start
from timecard.emulator.world import VirtualTime
from timecard.gnss.checksums import fletcher8
from timecard.gnss.framing import Framer, UbxFrame
from timecard.gnss.integrity import IntegrityMonitor
from timecard.gnss.intent import TIME_CARD
from timecard.gnss.receivers import RECEIVERS
from timecard.timescale import NS_PER_S

BAUD = 115_200
BYTES_PER_S = BAUD // 10
START_S = 1_800_000_000
RECORD_S = 60
SECONDS = 300
WARM_UP_S = 10
POLLS_PER_S = 20
"""As the daemon does."""
PIECE_BYTES = 128
FULL_SKY = 40
SIGNALS_PER_SATELLITE = 2
ESTIMATES = {0x0107: 12, 0x0121: 4}
"""Where NAV-PVT and NAV-TIMEUTC have their estimate of time accuracy."""
LIMIT_PERCENT = 2.0
DRIVERS = {"f9t": "ublox", "m8t": "ublox-legacy", "mosaic": "septentrio", "nmea": "nmea"}


class Line:
    """A stream to an emulated receiver in virtual time."""

    name = "gnss"
    baud = BAUD

    def __init__(self, device: ReceiverCore, clock: VirtualTime) -> None:
        self._device = device
        self._clock = clock

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        deadline_ns = self._clock.mono_ns() + round(timeout_s * NS_PER_S)
        while True:
            data = self._device.transmit(self._clock.true_tai_ns())
            left_ns = deadline_ns - self._clock.mono_ns()
            if data or left_ns <= 0:
                return data
            self._clock.sleep_s(min(0.005, left_ns / NS_PER_S))

    def write(self, data: bytes) -> None:
        self._device.receive(data, self._clock.true_tai_ns())

    def set_baud(self, baud: int) -> None:
        """The rate stays."""


class Tape:
    """Plays bytes as they arrive at the rate of the line, in pieces as from a UART."""

    name = "gnss"
    baud = BAUD

    def __init__(self, seconds: Sequence[bytes]) -> None:
        self._seconds = cycle(seconds)
        self._waiting = b""
        self._arrived = b""

    def begin_second(self) -> None:
        """The receiver begins to send the messages of a second."""
        self._waiting += next(self._seconds)

    def carry(self, part_s: float) -> None:
        """So long the line is busy."""
        count = round(BYTES_PER_S * part_s)
        self._arrived += self._waiting[:count]
        self._waiting = self._waiting[count:]

    @property
    def has_more(self) -> bool:
        """Whether there is something to read."""
        return bool(self._arrived)

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        data, self._arrived = self._arrived[:PIECE_BYTES], self._arrived[PIECE_BYTES:]
        return data

    def write(self, data: bytes) -> None:
        """Nobody hears it."""


def recorded(kind: str) -> list[bytes]:
    """What a receiver sends in each of some seconds, configured as a Time Card's."""
    clock = VirtualTime(START_S * NS_PER_S)
    pulses = model_gnss(GNSS_RECEIVERS[RECEIVER_KINDS[kind].pulse], 1, START_S)
    device = make_receiver(kind, pulses, START_S * NS_PER_S, seed=1, start=Start.HOT, baud=BAUD)
    line = Line(device, clock)
    clock.sleep_s(3.0)
    receiver = RECEIVERS[DRIVERS[kind]].open(line, clock, None)
    receiver.start()
    receiver.apply(receiver.plan(TIME_CARD))
    clock.sleep_s(10.0)
    device.transmit(clock.true_tai_ns())
    seconds, rng = [], random.Random(1)
    for _ in range(RECORD_S):
        clock.sleep_s(1.0)
        seconds.append(crowded(device.transmit(clock.true_tai_ns()), rng))
    return seconds


def crowded(second: bytes, rng: random.Random) -> bytes:
    """NAV-SAT and NAV-SIG with a whole sky in them, and estimates of time accuracy that change."""
    out = b""
    for item in Framer().feed(second, 0):
        raw = getattr(item, "raw", b"")
        if isinstance(item, UbxFrame) and item.key in (0x0135, 0x0143) and item.payload[5]:
            size, count = (12, FULL_SKY) if item.key == 0x0135 else (16, FULL_SKY * SIGNALS_PER_SATELLITE)
            groups = [item.payload[at : at + size] for at in range(8, len(item.payload), size)]
            payload = (
                item.payload[:5]
                + bytes((count,))
                + item.payload[6:8]
                + b"".join(islice(cycle(groups), count))
            )
            body = raw[2:4] + struct.pack("<H", len(payload)) + payload
            raw = b"\xb5\x62" + body + bytes(fletcher8(body))
        elif isinstance(item, UbxFrame) and item.key in ESTIMATES:
            at = 6 + ESTIMATES[item.key]
            body = raw[2:at] + struct.pack("<I", rng.randint(3, 12)) + raw[at + 4 : -2]
            raw = b"\xb5\x62" + body + bytes(fletcher8(body))
        out += raw
    return out


def filled(seconds: Sequence[bytes]) -> list[bytes]:
    """As many of the messages as a second of the line carries."""
    endless = cycle(frame for second in seconds for frame in _frames(second))
    full = []
    for _ in range(RECORD_S):
        piece = b""
        while len(piece) < BYTES_PER_S:
            piece += next(endless)
        full.append(piece[:BYTES_PER_S])
    return full


def _frames(second: bytes) -> list[bytes]:
    return [raw for item in Framer().feed(second, 0) if (raw := getattr(item, "raw", b""))]


def share_percent(kind: str, seconds: Sequence[bytes]) -> tuple[float, set[type]]:
    """CPU time of a second, in percent; the kinds of events that came."""
    clock = VirtualTime((START_S + 100) * NS_PER_S)
    tape = Tape(seconds)
    receiver = RECEIVERS[DRIVERS[kind]].open(tape, clock, None)
    monitor = IntegrityMonitor()
    kinds: set[type] = set()
    begun = 0.0
    for second in range(SECONDS + WARM_UP_S):
        if second == WARM_UP_S:  # what is loaded once is loaded
            begun = time.process_time()
        tape.begin_second()
        for _ in range(POLLS_PER_S):
            clock.sleep_s(1 / POLLS_PER_S)
            tape.carry(1 / POLLS_PER_S)
            while True:
                for event in receiver.poll(0.0):
                    kinds.add(type(event))
                    monitor.feed(event, event.read_mono_ns)
                if not tape.has_more:
                    break
            monitor.look(clock.mono_ns())
    return (time.process_time() - begun) / SECONDS * 100, kinds


def main() -> int:
    metrics: dict[str, float] = {}
    for kind in DRIVERS:
        seconds = recorded(kind)
        metrics[f"{kind}_bytes_per_s"] = sum(map(len, seconds)) / len(seconds)
        metrics[f"{kind}_as_it_comes_percent"], kinds = share_percent(kind, seconds)
        metrics[f"{kind}_full_line_percent"], _ = share_percent(kind, filled(seconds))
        metrics[f"{kind}_event_kinds"] = len(kinds)
    limits = {f"{kind}_as_it_comes_percent": ("<=", LIMIT_PERCENT) for kind in DRIVERS}
    limits |= {f"{kind}_full_line_percent": ("<=", LIMIT_PERCENT) for kind in ("f9t", "m8t")}
    write("gnss", metrics, limits)
    for kind in DRIVERS:
        now, full = metrics[f"{kind}_as_it_comes_percent"], metrics[f"{kind}_full_line_percent"]
        rate = metrics[f"{kind}_bytes_per_s"]
        print(f"{kind:7} {now:5.2f} % of a core at {rate:.0f} bytes/s, {full:5.2f} % with a full line")
    return 0


if __name__ == "__main__":
    sys.exit(main())
