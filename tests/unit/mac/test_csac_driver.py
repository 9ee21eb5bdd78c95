"""The CSAC driver on the emulated part."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.mac.part_bench import PartBench
from timecard.emulator.csac_engine import CHECKSUM, DISCIPLINE, METER, CsacSettings
from timecard.errors import (
    DeviceAbsentError,
    DeviceTimeoutError,
    ProtocolError,
    RefusedError,
    UnsupportedError,
)
from timecard.mac.alarm_names import names_of
from timecard.mac.driver import OscillatorCapability, SelfDiscipline
from timecard.mac.oscillators.csac import ALARMS, checksum
from timecard.mac.oscillators.csac_telemetry import TelemetryError, parse_telemetry

SAMPLE = "0,0x0000,1209CS00909,0x0010,4381,0.86,1.573,17.62,0.99,28.26,-24,---,-1,1,586969,586757,1.0"


@pytest.mark.parametrize(("text", "expected"), [("MA", 0x0C), ("0x0041", 0x4D), ("Mc", 0x2E), ("^", 0x5E)])
def test_checksums_of_the_guide(text: str, expected: int) -> None:
    assert checksum(text) == expected


@pytest.mark.parametrize("part", ["csac", "sa65"])
@pytest.mark.parametrize("mode", [METER, METER | CHECKSUM])
def test_identity_and_telemetry_with_and_without_checksums(part: str, mode: int) -> None:
    bench = PartBench(part, settings=CsacSettings(mode=mode))
    identity = bench.part.identify()
    assert identity.family == "csac"
    assert identity.serial == bench.device.kind.serial
    bench.run(3)
    status = bench.part.status()
    assert (status.locked, status.lock_progress_percent, status.alarms) == (True, 100, 0)
    assert (status.pps_detected, status.disciplining) == (True, False)
    readings = {reading.name: reading for reading in status.readings}
    assert readings["Status"].value == "0 locked"
    assert (readings["LaserI"].value, readings["LaserI"].unit) == (0.86, "mA")
    assert readings["ATune"].value is None
    assert bench.device.nonvolatile_writes == 0


def test_the_checksum_mode_may_change_under_us() -> None:
    bench = PartBench("csac", settings=CsacSettings(mode=METER))
    assert bench.part.status().locked
    bench.device._engine.set_mode(CHECKSUM, True, bench.time.true_tai_ns())
    assert bench.part.set_frequency_ppb(1.0) == pytest.approx(1.0)
    assert bench.part.status().locked
    bench.device._engine.set_mode(CHECKSUM, False, bench.time.true_tai_ns())
    assert bench.part.set_frequency_ppb(2.0) == pytest.approx(2.0)
    assert bench.part.status().frequency_ppb == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("wanted_ppb", "in_force_ppb"),
    [(1.2344, 1.234), (-0.0004, 0.0), (0.0006, 0.001), (1e9, 2000.0), (-1e9, -2000.0)],
)
def test_steering_returns_what_is_applied(wanted_ppb: float, in_force_ppb: float) -> None:
    bench = PartBench("csac")
    assert bench.part.set_frequency_ppb(wanted_ppb) == pytest.approx(in_force_ppb, abs=1e-12)
    assert bench.steering_ppb == pytest.approx(in_force_ppb, abs=1e-9)
    assert bench.part.status().frequency_ppb == pytest.approx(in_force_ppb, abs=1e-12)
    assert bench.part.frequency_resolution_ppb == 0.001
    assert bench.device.nonvolatile_writes == 0


def test_the_phase_has_the_sign_of_a_clock_offset() -> None:
    bench = PartBench("csac", settings=CsacSettings(mode=METER))
    bench.part.sync_pulse()
    bench.part.set_frequency_ppb(10.0)
    bench.run(3)
    first = bench.part.status().phase_ns
    bench.run(100)
    second = bench.part.status().phase_ns
    assert second - first == pytest.approx(1000.0, abs=40.0)


def test_software_steering_keeps_the_steering_and_writes_once() -> None:
    bench = PartBench("csac", offset_ppb=5.0, settings=CsacSettings(mode=DISCIPLINE, tau_s=50))
    bench.run(600)
    before = bench.part.status()
    assert before.disciplining
    assert before.frequency_ppb == pytest.approx(-5.0, abs=0.5)
    with pytest.raises(RefusedError, match="begin_software_steering"):
        bench.part.set_frequency_ppb(0.0)
    bench.part.begin_software_steering()
    after = bench.part.status()
    assert after.frequency_ppb == pytest.approx(before.frequency_ppb, abs=0.05)
    assert not after.disciplining
    assert bench.device.nonvolatile_writes == 1
    for _ in range(5):
        bench.part.begin_software_steering()
    assert bench.device.nonvolatile_writes == 1
    assert bench.wear.usage("csac", "1209CS00909").life == 1
    bench.run(3)
    assert bench.part.status().phase_ns is not None


def test_disciplining_writes_only_what_differs() -> None:
    bench = PartBench("csac", settings=CsacSettings(mode=METER, tau_s=100))
    bench.part.sync_pulse()
    bench.run(2)
    wanted = SelfDiscipline(time_constant_s=300, lock_threshold_ns=20)
    bench.part.begin_self_disciplining(wanted)
    assert bench.device.nonvolatile_writes == 2  # tau and mode
    assert bench.device.settings.tau_s == 300
    bench.part.begin_self_disciplining(wanted)
    assert bench.device.nonvolatile_writes == 2
    assert bench.part.status().disciplining


def test_what_the_loop_cannot_have_is_refused() -> None:
    bench = PartBench("sa65", settings=CsacSettings(mode=METER))
    with pytest.raises(RefusedError, match="D30"):
        bench.part.begin_self_disciplining(SelfDiscipline(time_constant_s=30))
    with pytest.raises(UnsupportedError, match="phase_limit"):
        bench.part.begin_self_disciplining(SelfDiscipline(time_constant_s=300, phase_limit_ns=1000))
    for seconds in (5, 10_001):
        with pytest.raises(RefusedError, match=f"{seconds} s: it takes 10 to 10000 s"):
            bench.part.begin_self_disciplining(SelfDiscipline(time_constant_s=seconds))
    assert bench.wear.usage("csac", bench.device.kind.serial).life == 1  # that of D30
    bench.part.sync_pulse()
    bench.part.set_frequency_ppb(100.0)
    bench.run(20)
    with pytest.raises(RefusedError, match="would jump by"):
        bench.part.begin_self_disciplining(SelfDiscipline(time_constant_s=300, max_jump_ns=50))
    assert not bench.part.status().disciplining


def test_sync_and_latch() -> None:
    bench = PartBench("csac", settings=CsacSettings(mode=METER))
    bench.part.sync_pulse()
    bench.run(2)
    assert abs(bench.part.status().phase_ns) <= 60
    bench.part.set_frequency_ppb(3.0)
    bench.part.latch()
    assert bench.part.status().frequency_ppb == 0.0
    assert bench.steering_ppb == pytest.approx(3.0)
    assert bench.wear.usage("csac", "1209CS00909").life == 1
    bench.pulses.present = False
    bench.run(4)
    with pytest.raises(RefusedError, match="no input pulse"):
        bench.part.sync_pulse()
    assert bench.part.status().phase_ns is None
    with pytest.raises(UnsupportedError, match="latch"):
        bench.part.store()


def test_warm_up_is_followed_and_a_restart_is_seen() -> None:
    bench = PartBench("csac", warmup_s=150.0)
    progress = []
    while not (status := bench.part.status()).locked:
        progress.append(status.lock_progress_percent)
        bench.run(3)
        assert len(progress) < 100
    assert progress == sorted(progress)
    bench.run(60)
    bench.part.status()
    bench.device.restart(bench.time.true_tai_ns())
    bench.run(2)
    assert bench.part.status().resets == 1


def test_silence_and_noise() -> None:
    bench = PartBench("csac")
    bench.part.status()
    bench.device.silent = True
    with pytest.raises(DeviceTimeoutError):
        bench.part.status()
    with pytest.raises(DeviceAbsentError, match="57600"):
        bench.part.identify()
    bench.device.silent = False
    assert bench.part.status().locked
    bench.device.garbage_bytes = 12
    with pytest.raises((ProtocolError, DeviceTimeoutError)):
        bench.part.status()
    bench.device.garbage_bytes = 0
    assert bench.part.status().dropped >= 1


def test_the_words_of_alarms() -> None:
    assert names_of(0, ALARMS) == ()
    assert names_of(0x4801, ALARMS) == ("signal contrast low", "TCXO control voltage high", "stack overflow")
    assert names_of(0x8008, ALARMS) == ("alarm bit 3", "alarm bit 15")
    assert OscillatorCapability.STORE not in PartBench("csac").part.capabilities


def test_the_guides_telemetry_and_the_words_instead_of_numbers() -> None:
    telemetry = parse_telemetry(SAMPLE)
    assert (telemetry.serial, telemetry.mode, telemetry.steer) == ("1209CS00909", 0x10, -24)
    assert (telemetry.phase_ns, telemetry.tod_s, telemetry.lock_s) == (-1, 586969, 586757)
    assert {reading.name: reading.value for reading in telemetry.readings()}["DiscOK"] == "1 locked"
    no_loop = parse_telemetry(SAMPLE.replace("0x0010", "0x0004"))
    assert {reading.name: reading.value for reading in no_loop.readings()}["DiscOK"] == "off"
    no_pulse = parse_telemetry(SAMPLE.replace(",-1,1,", ",NEEDREFPPS,---,"))
    assert no_pulse.phase_ns is None
    assert {reading.name: reading.value for reading in no_pulse.readings()}["Phase"] == "NEEDREFPPS"


@pytest.mark.parametrize("at", range(0, len(SAMPLE), 3))
def test_damaged_telemetry_is_never_half_believed(at: int) -> None:
    with pytest.raises(TelemetryError):
        parse_telemetry(SAMPLE[:at])
    with pytest.raises(TelemetryError):
        parse_telemetry(SAMPLE[:at] + "\xf7" + SAMPLE[at + 1 :])


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_line_is_telemetry_or_a_telemetry_error(line: str) -> None:
    with contextlib.suppress(TelemetryError):
        parse_telemetry(line)
