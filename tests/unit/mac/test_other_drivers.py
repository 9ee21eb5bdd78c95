"""SA.3Xm, mRO-50 on its three ways, and quartz cards."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.mac.part_bench import FakeI2c, I2cBench, PartBench
from timecard.emulator.mro50 import MID_FINE, EmulatedMro50
from timecard.emulator.world import VirtualTime
from timecard.errors import (
    DeviceAbsentError,
    DeviceLostError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
from timecard.mac import mro50_device
from timecard.mac.driver import OscillatorCapability, SelfDiscipline
from timecard.mac.mro50_device import DeviceWords
from timecard.mac.oscillators.mro50 import Mro50, temperature_c
from timecard.mac.oscillators.sa3xm import parse
from timecard.mac.wear import WearLedger

START_NS = 10**18


# --- SA.3Xm ---


def test_the_bite_digit_is_a_digit() -> None:
    bench = PartBench("sa3xm")
    assert bench.part.identify().serial == "1311R30127"
    status = bench.part.status()
    assert status.locked
    assert status.temperature_mdegc is not None
    assert 10_000 < status.temperature_mdegc < 80_000
    units = {reading.name: reading.unit for reading in status.readings}
    assert units["cell heater current"] == "mA"
    bench.device.unlock(bench.time.true_tai_ns())
    assert not bench.part.status().locked


@pytest.mark.parametrize(
    "line",
    [
        "",
        "2,1.22,123,1,2,3,4,5,6",
        "0,1.22,123,1,2,3,4,5",
        "0,1.22,123,1,2,3,4,5,x",
        "0," * 13,
        "\xff0,1,2,3,4,5,6,7,8",
        "0,1.22,123,1,2,3,4,5,6" + "7" * 200,
    ],
)
def test_other_lines_are_no_telemetry(line: str) -> None:
    assert parse(line) is None


@pytest.mark.parametrize("part", ["sa3xm", "rod2522", "quartz"])
def test_what_can_only_be_watched_takes_no_orders(part: str) -> None:
    oscillator: Any = PartBench(part).part if part == "sa3xm" else I2cBench(part).part
    assert oscillator.capabilities == frozenset()
    assert (oscillator.max_frequency_ppb, oscillator.frequency_resolution_ppb) == (0.0, 0.0)
    for call in (
        lambda: oscillator.set_frequency_ppb(1.0),
        oscillator.begin_software_steering,
        lambda: oscillator.begin_self_disciplining(SelfDiscipline(time_constant_s=100)),
        oscillator.sync_pulse,
        oscillator.latch,
        oscillator.store,
    ):
        with pytest.raises(UnsupportedError):
            call()


def test_a_silent_sa3xm() -> None:
    bench = PartBench("sa3xm")
    bench.device.silent = True
    with pytest.raises(DeviceTimeoutError):
        bench.part.status()
    with pytest.raises(DeviceAbsentError):
        bench.part.identify()


# --- mRO-50 ---


@pytest.mark.parametrize(
    ("raw", "celsius"),
    [(1000, 72.37), (1500, 56.22), (2000, 43.46), (2400, 34.11), (2785, 25.03), (3000, 19.63), (0x0AE2, 25.0),
     (0x093A, 35.0), (0x0790, 45.0), (0x0608, 55.0)],
)  # fmt: skip
def test_the_thermistor(raw: int, celsius: float) -> None:
    assert temperature_c(raw) == pytest.approx(celsius, abs=0.03)


def test_the_ends_of_the_converter_are_no_temperature() -> None:
    assert temperature_c(0) is None
    assert temperature_c(4095) is None


class EmulatedRegisters:
    """``Mro50Words`` that reach the emulated part as its bridge does."""

    name = "bridge"
    can_save = True

    def __init__(self, device: EmulatedMro50, time: VirtualTime) -> None:
        self.device = device
        self.time = time

    def fine(self) -> int:
        return self.device.fine

    def coarse(self) -> int:
        return self.device.coarse

    def set_fine(self, value: int) -> None:
        assert self.device.set_fine(value, self.time.true_tai_ns())

    def set_coarse(self, value: int) -> None:
        assert self.device.set_coarse(value, self.time.true_tai_ns())

    def save_coarse(self) -> None:
        self.device.save_coarse()

    def temperature_raw(self) -> int:
        return self.device.temperature_word(self.time.true_tai_ns())

    def locked(self) -> bool:
        return self.device.locked


class FakeIoctl:
    """The vendor driver's ioctls."""

    def __init__(self, words: EmulatedRegisters) -> None:
        self.words = words
        self.codes: list[int] = []
        self.error = 0

    def __call__(self, descriptor: int, code: int, data: bytearray) -> int:
        self.codes.append(code)
        if self.error:
            raise OSError(self.error, "as the test wants it")
        value = struct.unpack_from("=I", data)[0]
        words = self.words
        reads: dict[int, Callable[[], int]] = {
            0x80084D01: words.fine,
            0x80084D02: words.coarse,
            0x80084D05: words.temperature_raw,
            0x80084D06: lambda: 1 | words.locked() << 1,
        }
        if code in reads:
            struct.pack_into("=I", data, 0, reads[code]())
        elif code == 0x40044D03:
            words.set_fine(value)
        elif code == 0x40044D04:
            words.set_coarse(value)
        elif code == 0x00004D07:
            words.save_coarse()
        else:
            assert code == 0x40084D0A
        return 0


class Mro50Bench(PartBench):
    """The part by its serial line, by registers, or by ioctl."""

    def __init__(self, way: str) -> None:
        super().__init__("mro50")
        registers = EmulatedRegisters(self.device, self.time)
        self.ioctl = FakeIoctl(registers)
        if way == "registers":
            self.part = Mro50(registers, self.time, wear=self.wear)
        elif way == "device":
            words = DeviceWords(Path("/dev/null"), self.ioctl)
            self.part = Mro50(words, self.time, wear=self.wear)


@pytest.fixture(params=["serial", "registers", "device"])
def bench(request: pytest.FixtureRequest) -> Mro50Bench:
    return Mro50Bench(request.param)


def test_more_fine_is_a_lower_frequency(bench: Mro50Bench) -> None:
    assert bench.part.identify().family == "mro50"
    assert bench.part.set_frequency_ppb(0.3) == pytest.approx(0.3)
    assert bench.device.fine == MID_FINE - 100
    assert bench.steering_ppb == pytest.approx(0.3)
    assert bench.part.set_frequency_ppb(-0.0301) == pytest.approx(-0.03)
    assert bench.part.set_frequency_ppb(50.0) == pytest.approx(2.4)
    assert bench.part.max_frequency_ppb == pytest.approx(2.4)
    assert bench.part.frequency_resolution_ppb == 0.003
    status = bench.part.status()
    assert (status.locked, status.frequency_ppb) == (True, pytest.approx(2.4))
    assert status.temperature_mdegc == pytest.approx(
        1000 * bench.thermal.temperature_c(bench.time.true_tai_ns()), abs=60
    )


def test_coarse_steps_are_limited(bench: Mro50Bench) -> None:
    coarse = bench.device.coarse
    assert bench.part.adjust_coarse(2) == coarse + 2
    assert bench.steering_ppb == pytest.approx(2.48)
    with pytest.raises(RefusedError, match="at most 20"):
        bench.part.adjust_coarse(21)
    assert bench.device.coarse == coarse + 2


def test_another_fine_word_than_ours_is_a_restart(bench: Mro50Bench) -> None:
    bench.part.set_frequency_ppb(1.0)
    assert bench.part.status().resets == 0
    bench.device.fine = MID_FINE
    assert bench.part.status().resets == 1
    assert bench.part.status().resets == 1


@pytest.mark.parametrize("way", ["registers", "device"])
def test_latching_keeps_the_frequency_and_is_counted(way: str) -> None:
    bench = Mro50Bench(way)
    assert OscillatorCapability.LATCH in bench.part.capabilities
    bench.part.set_frequency_ppb(2.1)
    bench.part.latch()
    assert bench.device.stored_coarse == bench.device.coarse
    assert bench.steering_ppb == pytest.approx(2.1, abs=0.003)
    assert bench.part.status().frequency_ppb == pytest.approx(2.1 - 2 * 1.24, abs=0.003)
    assert bench.wear.usage("mro50", "").life == 1


def test_the_serial_line_cannot_store_and_says_so_before_anything_moves() -> None:
    serial = Mro50Bench("serial")
    assert set(serial.part.capabilities) == {OscillatorCapability.STEER}
    serial.part.set_frequency_ppb(2.1)
    before = serial.device.fine, serial.device.coarse
    with pytest.raises(UnsupportedError, match="bridge"):
        serial.part.latch()
    assert (serial.device.fine, serial.device.coarse) == before
    assert serial.wear.usage("mro50", "").life == 0


def test_it_has_no_loop_and_no_pulse(bench: Mro50Bench) -> None:
    bench.part.begin_software_steering()
    for call in (
        lambda: bench.part.begin_self_disciplining(SelfDiscipline(time_constant_s=100)),
        bench.part.sync_pulse,
        bench.part.store,
    ):
        with pytest.raises(UnsupportedError):
            call()


def test_serial_noise_and_silence() -> None:
    bench = Mro50Bench("serial")
    bench.part.status()
    bench.device.truncated = True
    with pytest.raises((ProtocolError, DeviceTimeoutError)):
        bench.part.status()
    bench.device.truncated = False
    bench.device.silent = True
    with pytest.raises(DeviceTimeoutError):
        bench.part.set_frequency_ppb(0.1)
    bench.device.silent = False
    assert bench.part.status().locked
    bench.device.garbage_bytes = 4
    for _ in range(20):
        try:
            status = bench.part.status()
        except (ProtocolError, DeviceTimeoutError, RefusedError):
            continue
        assert status.frequency_ppb == 0.0
        assert status.locked


def test_request_codes_are_those_of_the_header() -> None:
    codes = {name: getattr(mro50_device, name) for name in vars(mro50_device) if name.startswith("READ_")}
    assert codes == {
        "READ_FINE": 0x80084D01,
        "READ_COARSE": 0x80084D02,
        "READ_TEMPERATURE": 0x80084D05,
        "READ_CONTROL": 0x80084D06,
    }


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOTTY, DeviceAbsentError),
        (errno.ETIMEDOUT, DeviceTimeoutError),
        (errno.ENODEV, DeviceAbsentError),
        (errno.EIO, DeviceLostError),
    ],
)
def test_a_failing_ioctl(code: int, expected: type[Exception]) -> None:
    bench = Mro50Bench("device")
    bench.ioctl.error = code
    with pytest.raises(expected):
        bench.part.status()


def test_no_device_and_a_device_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(DeviceAbsentError):
        DeviceWords(tmp_path / "mro50.0")
    with pytest.raises(DeviceAbsentError, match="no mRO-50 device"):
        DeviceWords(Path("/dev/null"))


# --- quartz ---


@pytest.mark.parametrize("celsius", [41.125, -12.5, 0.0, 124.875])
@pytest.mark.parametrize("family", ["rod2522", "quartz"])
def test_a_quartz_card_has_a_thermometer(family: str, celsius: float) -> None:
    bench = I2cBench(family)
    bench.bus.celsius, bench.bus.address = celsius, 0x4B
    assert bench.part.identify().family == family
    status = bench.part.status()
    assert (status.locked, status.temperature_mdegc) == (True, round(celsius * 1000))
    bench.bus.gone = True
    with pytest.raises(DeviceAbsentError):
        bench.part.status()


def test_another_part_at_its_address_is_no_thermometer() -> None:
    class Other(FakeI2c):
        def transfer(self, address: int, write: bytes, read: int) -> bytes:
            return b"\x12\x34"

    bench = I2cBench("quartz")
    bench.part._port = Other()  # type: ignore[attr-defined]  # the bench hides the class
    with pytest.raises(DeviceAbsentError, match="mac_i2c"):
        bench.part.identify()


def test_wear_is_not_charged_by_reading() -> None:
    bench = PartBench("csac")
    bench.part.status()
    assert isinstance(bench.wear, WearLedger)
    assert bench.wear.usage("csac", "1209CS00909").life == 0
