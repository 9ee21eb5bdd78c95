"""Emulated oscillators on a wire, with our drivers, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.unit.emulator_devices.wire import START_NS, SteadyPulses, Wire
from timecard.emulator.csac import SA65, EmulatedCsac
from timecard.emulator.models import OSCILLATORS as MODELS
from timecard.emulator.mro50 import EmulatedMro50
from timecard.emulator.oscillator import model_oscillator
from timecard.emulator.sa3xm import EmulatedSa3xm
from timecard.emulator.sa5x import EmulatedSa5x
from timecard.emulator.serial_part import SerialPart
from timecard.emulator.world import VirtualTime
from timecard.errors import DeviceAbsentError
from timecard.mac.driver import Oscillator, OscillatorDriver
from timecard.mac.oscillators import OSCILLATORS
from timecard.mac.wear import WearLedger
from timecard.timescale import NS_PER_S

MODEL = {"sa5x": "sa53", "csac": "csac", "sa65": "csac", "sa3xm": "sa53", "mro50": "mro50"}


class Thermal:
    """An oscillator whose thermometer can be set by hand."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.celsius: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def temperature_c(self, t_ns: int) -> float:
        own: float = self.inner.temperature_c(t_ns)
        return own if self.celsius is None else self.celsius


class PortStream(Wire):
    """A wire that jumps straight to the next byte: virtual days pass in seconds."""

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        device: Any = self.device
        deadline_ns = self.time.mono_ns() + round(timeout_s * NS_PER_S)
        while True:
            data = b"" if self.cut else bytes(device.transmit(self.time.true_tai_ns()))
            if data:
                assert len(data) <= max_bytes
                return data
            left_ns = deadline_ns - self.time.mono_ns()
            if left_ns <= 0:
                return b""
            next_ns = device.next_byte_ns()
            wait_ns = left_ns if next_ns is None else max(1000, next_ns - self.time.true_tai_ns())
            self.time.sleep_s(min(left_ns, wait_ns) / NS_PER_S)


class PartBench:
    """A part, its driver, and the time that both live in."""

    def __init__(self, part: str, *, offset_ppb: float = 0.0, **options: Any) -> None:
        self.time = VirtualTime(START_NS)
        self.thermal = Thermal(model_oscillator(MODELS[MODEL[part]], 1, START_NS, offset_ppb=offset_ppb))
        self.pulses = SteadyPulses()
        self.device: Any = _make(part, self.thermal, self.pulses, options)
        self.wire = PortStream(self.device, self.time)
        self.wear = WearLedger()
        self.driver: OscillatorDriver = OSCILLATORS["csac" if part == "sa65" else part]
        assert self.driver.open is not None
        self.part: Any = self.driver.open(self.wire, self.time, wear=self.wear)
        self.time.sleep_s(3.5)

    def open_line(self, baud: int) -> Wire:
        """As a card's port: noise at any rate but the part's."""
        self.device.wrong_speed = baud != self.device.baud
        return self.wire

    def next_second(self, part: float = 0.5) -> None:
        into_ns = self.time.true_tai_ns() % NS_PER_S
        self.time.sleep_s((NS_PER_S - into_ns) / NS_PER_S + part)

    def run(self, seconds: int) -> None:
        self.time.sleep_s(seconds)
        self.device.advance(self.time.true_tai_ns())

    @property
    def steering_ppb(self) -> float:
        value: float = self.thermal.inner.steering_ppb
        return value


def _make(part: str, oscillator: Thermal, pulses: SteadyPulses, options: dict[str, Any]) -> SerialPart:
    makers: dict[str, Callable[[], SerialPart]] = {
        "sa5x": lambda: EmulatedSa5x(oscillator, pulses, START_NS, **options),
        "csac": lambda: EmulatedCsac(oscillator, pulses, START_NS, **options),
        "sa65": lambda: EmulatedCsac(oscillator, pulses, START_NS, kind=SA65, **options),
        "sa3xm": lambda: EmulatedSa3xm(oscillator, START_NS, **options),
        "mro50": lambda: EmulatedMro50(oscillator, START_NS, **options),
    }
    return makers[part]()


class FakeI2c:
    """An I2C bus with a PCT2075."""

    name = "i2c"

    def __init__(self, celsius: float = 41.0, address: int = 0x48) -> None:
        self.celsius = celsius
        self.address = address
        self.gone = False

    def transfer(self, address: int, write: bytes, read: int) -> bytes:
        if self.gone or address != self.address:
            raise DeviceAbsentError(self.name, "transfer", f"nobody acknowledges {address:#04x}")
        words = {0: round(self.celsius * 8) << 5 & 0xFFFF, 2: 0x4B00, 3: 0x5000}
        return words[write[0]].to_bytes(2, "big")[:read]


class I2cBench:
    """A quartz daughter card."""

    def __init__(self, family: str) -> None:
        self.time = VirtualTime(START_NS)
        self.bus = FakeI2c()
        self.driver = OSCILLATORS[family]
        assert self.driver.open_i2c is not None
        self.part: Oscillator = self.driver.open_i2c(self.bus, self.time)
        self.device: Any = self.bus

    def run(self, seconds: int) -> None:
        self.time.sleep_s(seconds)
