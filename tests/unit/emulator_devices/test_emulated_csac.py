"""The emulated CSAC: shortcuts, commands, checksums, telemetry, warm-up, disciplining, memory."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.emulator_devices.part import Bench
from tests.unit.emulator_devices.wire import START_NS
from timecard.emulator import csac_engine
from timecard.emulator.csac import HEADER, SA65, EmulatedCsac
from timecard.emulator.csac_engine import CsacSettings
from timecard.emulator.taitien import EmulatedTaitien
from timecard.timescale import NS_PER_S


class Csac(Bench):
    """A CSAC and somebody at its port."""

    part: EmulatedCsac

    def __init__(self, offset_ppb: float = 0.0, **options: Any) -> None:
        super().__init__(
            lambda oscillator, pulses: EmulatedCsac(oscillator, pulses, START_NS, seed=5, **options),
            offset_ppb,
        )

    def field(self, name: str) -> str:
        values = self.send("^").strip().split(",")
        assert len(values) == 17
        return values[HEADER.split(",").index(name)]


# --- protocol ---


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ("6", HEADER + "\r\n"),
        ("!6\r\n", HEADER + "\r\n"),
        ("F", "Steer = 0\r\n"),
        ("!F?\r\n", "Steer = 0\r\n"),
        ("!FA-24000\r\n", "Steer = -24\r\n"),
        ("!FA2000000000\r\n", "Steer = 2000000\r\n"),
        ("!FA2000000001\r\n", "?\r\n"),
        ("!FD20000001\r\n", "?\r\n"),
        ("M", "0x0000\r\n"),
        ("!MA\r\n", "0x0001\r\n"),
        ("!MX\r\n", "?\r\n"),
        ("D", "100\r\n"),
        ("!D600\r\n", "600\r\n"),
        ("!D9\r\n", "?\r\n"),
        ("!D10001\r\n", "?\r\n"),
        ("!DC500\r\n", "500\r\n"),
        ("!DC1001\r\n", "?\r\n"),
        ("!DC?\r\n", "0\r\n"),
        ("!DCL\r\n", "Phase comp latched\r\n"),
        ("U", "3300,300\r\n"),
        ("!U1800,10\r\n", "1800,10\r\n"),
        ("!U1799,10\r\n", "?\r\n"),
        ("!TA1234\r\n", "TimeOfDay = 1234\r\n"),
        ("!m?\r\n", "20\r\n"),
        ("!m50\r\n", "50\r\n"),
        ("!m0\r\n", "?\r\n"),
        ("!>3\r\n", "3\r\n"),
        ("!\r\n", "?\r\n"),
        ("!nonsense\r\n", "?\r\n"),
        ("!" + "F" * 500 + "\r\n", "?\r\n"),
        ("!F\x1bM", "0x0000\r\n"),
        ("\x1b\r\n\r\n", ""),
        ("x", "?\r\n"),
        ("FM", "Steer = 0\r\n0x0000\r\n"),
    ],
)
def test_exchanges(sent: str, answered: str) -> None:
    assert Csac().send(sent) == answered


def test_the_sa5x_probe_is_read_letter_by_letter_and_changes_nothing() -> None:
    csac = Csac()
    answer = csac.send("{device?}", wait_s=1.0)
    assert answer.count("?\r\n") >= 8
    assert "shortcuts" in answer
    assert csac.part.nonvolatile_writes == 0
    assert csac.field("Steer") == "0"


def test_an_sa5x_parameter_name_would_move_the_pulse() -> None:
    """Why nothing may be asked by name before a part is known: the S of ``PpsSource`` synchronises."""
    csac = Csac()
    before = csac.part.edge(csac.t_ns // NS_PER_S + 1).error_ns
    csac.send("{get,PpsSource}", wait_s=2.5)
    assert abs(before) > 1_000
    assert abs(csac.part.edge(csac.t_ns // NS_PER_S + 1).error_ns) <= 100


def test_checksums() -> None:
    csac = Csac()
    assert csac.send("!MC\r\n") == "0x0040*4C\r\n"
    assert csac.send("!MA*0C\r\n") == "0x0041*4D\r\n"
    assert csac.send("^6M") == ""  # no shortcuts
    assert csac.send("!MA\r\n") == "*\r\n"
    assert csac.send("!Ma*0C\r\n") == "*\r\n"
    assert csac.send("!Ma*2C\r\n") == "0x0040*4C\r\n"
    assert re.fullmatch(r"0,0x0000,.*\*[0-9A-F]{2}\r\n", csac.send("!^*5E\r\n"))
    assert csac.send("!Mc*2E\r\n") == "0x0000\r\n"
    assert csac.field("Mode") == "0x0000"


def test_telemetry_is_one_line_of_17_fields() -> None:
    csac = Csac()
    line = csac.send("^").strip()
    assert len(line) <= 135
    assert re.fullmatch(
        r"0,0x0000,1209CS00909,0x0000,4\d{3},0\.86,1\.573,17\.62,0\.996,35\.00,0,---,---,0,\d+,\d+,1\.09",
        line,
    )
    csac.part.contrast = 900
    assert csac.field("Alarm") == "0x0001"
    csac.part.fault_alarms = 0x2000
    assert csac.field("Alarm") == "0x2001"


def test_time_of_day_comes_after_the_pulse_only() -> None:
    csac = Csac()
    csac.send("S", wait_s=1.5)  # the pulse now lies on whole seconds
    csac.t_ns = csac.t_ns // NS_PER_S * NS_PER_S + 300_000_000
    csac.send("!TA5000\r\n")
    assert csac.send("T", wait_s=0.55) == ""
    assert csac.wait(0.1) == "5000\r\n"
    assert csac.send("!T?\r\n", wait_s=1.2) == "5001\r\n"


def test_old_firmware_lacks_the_newer_commands() -> None:
    csac = Csac(firmware="1.07")
    assert csac.send("!m?\r\n!>?\r\n") == "?\r\n?\r\n"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_input_disturbs_it_for_good(pieces: list[bytes]) -> None:
    csac = Csac()
    for piece in pieces:
        csac.send(piece, wait_s=2.0)
    csac.wait(4.0)
    csac.send("\x1b", wait_s=1.0)
    assert csac.send("!Mc*2E\r\n", wait_s=1.0)
    assert csac.send("\r\nM", wait_s=1.0).endswith("\r\n")


# --- modes, memory ---


def test_modes_exclude_each_other_and_outlive_power() -> None:
    csac = Csac()
    assert csac.send("!MM\r\n") == "0x0004\r\n"
    assert csac.send("!MS\r\n") == "0x0008\r\n"
    assert csac.send("!MD\r\n") == "0x0010\r\n"
    assert csac.send("!MA\r\n") == "0x0011\r\n"
    assert csac.send("!Md\r\n") == "0x0001\r\n"
    csac.send("!FA5000000\r\n!DC40\r\n")
    csac.part.power_cycle(csac.t_ns, off_s=2.0)
    assert csac.send("M", wait_s=2.0) == ""
    csac.wait(1.0)
    assert csac.field("Mode") == "0x0001"
    assert csac.send("F!DC?\r\n") == "Steer = 0\r\n0\r\n"


def test_every_write_to_memory_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csac_engine, "OWN_WRITE_NS", 3_600 * NS_PER_S)  # instead of 30 days
    csac = Csac()
    for text in ("!MM\r\n", "!D200\r\n", "!FL\r\n", "!DCL\r\n", "!m30\r\n", "!>2\r\n", "!U1800,20\r\n"):
        csac.send(text)
    assert csac.part.nonvolatile_writes == 7
    csac.send("!FA1000\r\n!DC5\r\n!D?\r\n!D5\r\n!TA0\r\n^6FMDU")
    assert csac.part.nonvolatile_writes == 7
    csac.wait(3_700)
    assert csac.part.nonvolatile_writes == 8


def test_latched_steering_stays_without_power() -> None:
    csac = Csac()
    csac.send("!FA7000000\r\n")
    assert csac.oscillator.steering_ppb == 7.0
    assert csac.send("!FL\r\n") == "Steer = 0\r\n"
    assert csac.oscillator.steering_ppb == 7.0
    csac.part.power_cycle(csac.t_ns)
    csac.wait(100)
    assert csac.oscillator.steering_ppb == 7.0


def test_steering_has_a_step() -> None:
    csac = Csac()
    csac.send("!FA1499\r\n")
    assert csac.oscillator.steering_ppb == pytest.approx(0.001)
    csac.send("!FD2001\r\n")
    assert csac.oscillator.steering_ppb == pytest.approx(0.004, abs=1e-9)


# --- warm-up ---


def test_status_counts_down_to_lock() -> None:
    csac = Csac(warmup_s=150.0)
    seen = [csac.field("Status")]
    while seen[-1] != "0":
        csac.wait(1.0)
        seen.append(csac.field("Status"))
        assert len(seen) < 200
    assert list(dict.fromkeys(seen)) == list("876543210")
    assert 132 <= len(seen) <= 140  # one look each 1.1 s
    csac.wait(10.0)
    assert 8 <= int(csac.field("LTime")) <= 12


def test_unlocked_it_is_wrong_in_frequency() -> None:
    csac = Csac()
    csac.part.unlock(csac.t_ns)
    before = csac.oscillator.phase_ns(csac.t_ns)
    csac.wait(10)
    assert csac.oscillator.phase_ns(csac.t_ns) - before == pytest.approx(2000, rel=0.01)
    assert csac.field("Status") == "8"
    csac.part.relock(csac.t_ns)
    csac.wait(70)
    assert csac.field("Status") == "0"


def test_low_power_sleeps_and_wakes() -> None:
    csac = Csac(settings=CsacSettings(sleep_s=1800, wake_s=10))
    csac.send("!MU\r\n")
    csac.wait(15)
    assert csac.field("Status") == "9"
    csac.wait(1_800)
    assert csac.field("Status") in "87654321"
    csac.wait(65)
    assert csac.field("Status") == "0"
    writes = csac.part.nonvolatile_writes
    csac.wait(2 * 1_900)
    assert csac.part.nonvolatile_writes == writes + 2


# --- pulses ---


def test_sync_moves_the_pulse_or_says_e() -> None:
    csac = Csac()
    assert csac.send("S", wait_s=1.2) == "S\r\n"
    assert abs(csac.part.edge(csac.t_ns // NS_PER_S + 1).error_ns) <= 100
    csac.pulses.present = False
    csac.wait(0.2)
    assert csac.send("!S\r\n", wait_s=2.5) == ""
    assert csac.wait(1.7) == "E\r\n"


def test_the_meter_counts_a_late_output_positive() -> None:
    csac = Csac(offset_ppb=10.0)
    csac.send("!MM\r\n")
    csac.send("S", wait_s=2)
    first = int(csac.field("Phase"))
    csac.wait(100)
    second = int(csac.field("Phase"))
    assert second - first == pytest.approx(-1000, abs=12)
    late = csac.part.edge(csac.t_ns // NS_PER_S + 1).error_ns
    assert late == pytest.approx(second, abs=20)
    csac.pulses.present = False
    csac.wait(4)
    assert csac.field("Phase") == "NEEDREFPPS"
    csac.send("!Mm\r\n")
    assert csac.field("Phase") == "---"


def test_disciplining() -> None:
    csac = Csac(offset_ppb=2.0)
    csac.send("!D50\r\n!MD\r\n")
    csac.wait(20)
    assert csac.field("DiscOK") == "0"
    csac.wait(600)
    assert csac.field("DiscOK") == "1"
    assert int(csac.field("Steer")) == pytest.approx(-2000, abs=200)
    csac.pulses.present = False
    csac.wait(5)
    steer = csac.field("Steer")
    assert csac.field("DiscOK") == "2"
    csac.wait(100)
    assert csac.field("Steer") == steer
    csac.pulses.present = True
    csac.wait(5)
    assert csac.field("DiscOK") == "1"


def test_cable_compensation_acts_in_the_loop_and_not_in_the_meter() -> None:
    csac = Csac()
    csac.send("!D10\r\n!DC500\r\n!MD\r\n")
    csac.wait(300)
    assert int(csac.field("Phase")) == pytest.approx(-50, abs=4)


def test_a_saturated_loop_is_an_alarm() -> None:
    csac = Csac(offset_ppb=3_000.0)
    csac.send("!D10\r\n!MD\r\n")
    csac.wait(30)
    assert int(csac.field("Alarm"), 16) & 2
    assert csac.field("Steer") == "-2000000"


# --- kinds ---


def test_low_noise_csac_has_narrower_ranges() -> None:
    csac = Csac(kind=SA65)
    assert csac.send("!D59\r\n!D60\r\n") == "?\r\n60\r\n"
    assert csac.send("!DC251\r\n!DC-250\r\n") == "?\r\n-250\r\n"


@pytest.mark.parametrize(
    ("model", "follows", "unknown"), [("DTA-100", "!MD\r\n", "!MP\r\n"), ("DT-5151", "!MP\r\n", "!MD\r\n")]
)
def test_taitien_units_know_what_is_documented(model: str, follows: str, unknown: str) -> None:
    bench = Bench(
        lambda oscillator, pulses: EmulatedTaitien(oscillator, pulses, START_NS, model=model, seed=1), 1.0
    )
    assert bench.send("!D300\r\n") == "300\r\n"
    assert bench.send(follows) == "0x0010\r\n"
    assert bench.send(unknown) == "?\r\n"
    assert bench.send("^") == "?\r\n"
    assert bench.send("!FA5\r\n") == "?\r\n"
    bench.wait(3_000)
    assert bench.oscillator.steering_ppb == pytest.approx(-1.0, abs=0.1)
