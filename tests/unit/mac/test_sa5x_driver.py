"""The SA5X driver on the emulated part."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulator_devices.wire import START_NS, SteadyPulses, Wire
from timecard.emulator.models import OSCILLATORS
from timecard.emulator.oscillator import model_oscillator
from timecard.emulator.sa5x import EmulatedSa5x
from timecard.emulator.world import VirtualTime
from timecard.errors import (
    DeviceAbsentError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
from timecard.mac.oscillators.sa5x import Sa5x, alarm_names
from timecard.timescale import NS_PER_S


class Bench:
    """A part, its driver, and the time that both live in."""

    def __init__(self, offset_ppb: float = 0.0, **options: Any) -> None:
        self.time = VirtualTime(START_NS)
        self.oscillator = model_oscillator(OSCILLATORS["sa53"], 1, START_NS, offset_ppb=offset_ppb)
        self.pulses = SteadyPulses()
        self.device = EmulatedSa5x(self.oscillator, self.pulses, START_NS, **options)
        self.wire = Wire(self.device, self.time)
        self.driver = Sa5x(self.wire, self.time)
        self.time.sleep_s(3.5)

    def exchanges(self) -> int:
        """Requests since the last call."""
        count = self.wire.written.count(b"{")
        self.wire.written.clear()
        return count


def test_it_says_who_it_is() -> None:
    identity = Bench().driver.identify()
    assert (identity.family, identity.serial) == ("sa5x", "1209CS00909")
    assert identity.firmware == "V1.1.30.0.635AC64C,V1.0"
    assert identity.model


def test_the_probe_changes_nothing_on_other_parts() -> None:
    bench = Bench()
    bench.driver.identify()
    assert bench.wire.written.startswith(b"{device?}{pn?#")


def test_nobody_there() -> None:
    bench = Bench()
    bench.wire.cut = True
    with pytest.raises(DeviceAbsentError, match="57600"):
        bench.driver.identify()


class Parrot:
    """Another device, which says always the same."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.pending = b""

    def receive(self, data: bytes, t_ns: int) -> None:
        self.pending += self.text

    def transmit(self, t_ns: int) -> bytes:
        data, self.pending = self.pending, b""
        return data


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        (b"[=sa3x]\r\n", UnsupportedError, "sa3x"),
        (b"?\r\n?\r\nStatus,Alarm,SN\r\n", DeviceAbsentError, "no SA5X"),
        (b"\xf0\x0f\n", DeviceAbsentError, "no SA5X"),
    ],
)
def test_somebody_else_there(text: bytes, error: type[Exception], reason: str) -> None:
    time = VirtualTime(START_NS)
    with pytest.raises(error, match=reason):
        Sa5x(Wire(Parrot(text), time), time).identify()


def test_a_part_that_is_still_starting_is_waited_for() -> None:
    bench = Bench()
    bench.device.receive(b"{reset}", bench.time.true_tai_ns())
    bench.time.sleep_s(1.5)
    assert bench.driver.identify().family == "sa5x"
    assert bench.driver.status().resets == 1


def test_the_whole_status_and_then_two_or_three_exchanges_a_second() -> None:
    bench = Bench(offset_ppb=0.5)
    bench.driver.begin_software_steering()
    bench.driver.sync_pulse()
    bench.time.sleep_s(2)
    bench.exchanges()
    status = bench.driver.status()
    assert bench.exchanges() == 7
    assert (status.locked, status.lock_progress_percent, status.pps_detected) == (True, 100, True)
    assert status.alarms == 0
    assert status.temperature_mdegc is not None
    assert 10_000 < status.temperature_mdegc < 70_000
    assert status.phase_ns is not None
    total = 0
    for _ in range(60):
        bench.time.sleep_s(1 - bench.time.mono_ns() % NS_PER_S / NS_PER_S)
        assert bench.driver.status().phase_ns is not None
        number = bench.exchanges()
        assert number <= 3
        total += number
    assert total <= 60 * 2.4
    bench.driver.status(full=True)
    assert bench.exchanges() == 7


def test_the_phase_has_the_sign_of_a_clock_offset() -> None:
    bench = Bench(offset_ppb=0.0)
    bench.driver.begin_software_steering()
    bench.driver.sync_pulse()
    bench.time.sleep_s(2)
    bench.driver.set_frequency_ppb(10.0)
    first = bench.driver.status().phase_ns
    bench.time.sleep_s(100)
    second = bench.driver.status().phase_ns
    assert first is not None
    assert second is not None
    assert second - first == pytest.approx(1000.0, abs=20.0)
    # The pulse comes early, as that of a clock that is ahead.
    assert bench.device.edge(bench.time.true_tai_ns() // NS_PER_S + 1).error_ns == pytest.approx(
        -second, abs=20.0
    )


@pytest.mark.parametrize(
    ("wanted_ppb", "in_force_ppb"),
    [(1.234567, 1.234567), (-0.0000014, -0.000001), (0.0, 0.0), (35.0, 20.0), (-35.0, -20.0)],
)
def test_steering_returns_what_is_in_force(wanted_ppb: float, in_force_ppb: float) -> None:
    bench = Bench()
    assert bench.driver.set_frequency_ppb(wanted_ppb) == pytest.approx(in_force_ppb, abs=1e-12)
    assert bench.oscillator.steering_ppb == pytest.approx(in_force_ppb, abs=1e-12)
    assert bench.driver.status(full=True).frequency_ppb == pytest.approx(in_force_ppb, abs=1e-12)
    assert bench.driver.max_frequency_ppb == 20.0


def test_software_steering_switches_the_parts_own_loop_off() -> None:
    bench = Bench(offset_ppb=1.0)
    bench.driver.begin_self_disciplining(50, 1000)
    bench.time.sleep_s(300)
    tuning = bench.driver.status(full=True).frequency_ppb
    assert tuning == pytest.approx(-1.0, abs=0.2)
    bench.driver.begin_software_steering()
    bench.time.sleep_s(60)
    assert bench.driver.status(full=True).frequency_ppb == pytest.approx(tuning, abs=0.2)
    assert bench.driver.status().phase_ns is not None


def test_sync_without_pulses_is_refused() -> None:
    bench = Bench()
    bench.pulses.present = False
    bench.time.sleep_s(4)
    with pytest.raises(RefusedError, match="input pulse"):
        bench.driver.sync_pulse()


def test_lost_pulses_take_the_phase_away() -> None:
    bench = Bench()
    bench.driver.begin_software_steering()
    bench.driver.status()
    bench.pulses.present = False
    seen = []
    for _ in range(8):
        bench.time.sleep_s(1)
        seen.append(bench.driver.status())
    assert not seen[-1].pps_detected
    assert seen[-1].phase_ns is None
    assert sum(status.phase_ns is not None for status in seen) <= 4
    bench.pulses.present = True
    bench.time.sleep_s(3)
    assert bench.driver.status(full=True).phase_ns is not None


def test_warm_up_is_followed() -> None:
    bench = Bench(warmup_s=300.0)
    progress = []
    while not (status := bench.driver.status()).locked:
        progress.append(status.lock_progress_percent)
        bench.time.sleep_s(5)
        assert len(progress) < 80
    assert progress == sorted(progress)
    assert progress[0] < 5
    assert progress[-1] > 80
    assert bench.driver.status(full=True).alarm_names == ("internal temperature not stable",)


def test_a_lost_lock_is_seen_within_a_few_seconds() -> None:
    bench = Bench()
    bench.driver.status()
    bench.device.unlock(bench.time.true_tai_ns())
    for _ in range(3):
        bench.time.sleep_s(1)
        status = bench.driver.status()
    assert not status.locked


def test_alarms_have_names() -> None:
    assert alarm_names(0) == ()
    assert alarm_names(0x60001 | 1 << 20) == (
        "FPGA fault",
        "disciplining without input pulse",
        "tuning at its limit",
        "alarm bit 20",
    )
    bench = Bench()
    bench.device.fault_alarms = 0x22
    status = bench.driver.status()
    assert (status.alarms, status.alarm_names) == (0x22, ("PLL fault", "cell heater fault"))


def test_silence_is_a_timeout() -> None:
    bench = Bench()
    bench.driver.status()
    bench.device.silent = True
    with pytest.raises(DeviceTimeoutError):
        bench.driver.status()


def test_garbage_on_the_line_never_makes_a_wrong_value() -> None:
    bench = Bench(seed=3)
    bench.driver.begin_software_steering()
    bench.driver.sync_pulse()
    bench.time.sleep_s(2)
    bench.driver.set_frequency_ppb(0.5)
    reference = bench.driver.status(full=True)
    bench.device.garbage_bytes = 8
    good = 0
    for _ in range(60):
        try:
            status = bench.driver.status(full=True)
        except (ProtocolError, DeviceTimeoutError):
            continue
        good += 1
        assert status.frequency_ppb == 0.5
        assert (status.locked, status.pps_detected, status.alarms) == (True, True, 0)
        assert status.phase_ns is not None
        assert reference.phase_ns is not None
        assert abs(status.phase_ns - reference.phase_ns) < 1_000
    assert good > 5
    bench.device.garbage_bytes = 0
    assert bench.driver.status().dropped > 20


def test_a_reset_of_the_part_is_noticed() -> None:
    bench = Bench()
    assert bench.driver.status().resets == 0
    bench.device.receive(b"{reset}", bench.time.true_tai_ns())
    bench.time.sleep_s(5)
    assert bench.driver.status().resets == 1


def test_a_phase_that_stands_still_is_not_told() -> None:
    bench = Bench()
    assert bench.driver.status(full=True).phase_ns is None, "neither meter nor loop is on"
    bench.driver.begin_software_steering()
    bench.time.sleep_s(3)
    status = bench.driver.status(full=True)
    assert status.pps_detected
    assert status.phase_ns is not None
