"""The emulated SA5X: its line protocol, settings, phase meter, loop, alarms."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.emulator_devices.wire import START_NS, START_S, SteadyPulses
from timecard.emulator.oscillator import OscillatorPhysics
from timecard.emulator.sa5x import EmulatedSa5x
from timecard.emulator.sa5x_engine import ALARM_NO_PULSE, ALARM_RANGE, ALARM_UNSTABLE
from timecard.emulator.serial_line import SerialLine
from timecard.timescale import NS_PER_S


class QuietGrid:
    """An oscillator without noise."""

    def increment_ns(self, second: int) -> float:
        return 0.0


class Part:
    """An SA5X and somebody at its port."""

    def __init__(self, offset_ppb: float = 0.0, **options: Any) -> None:
        self.oscillator = OscillatorPhysics(QuietGrid(), START_NS, offset_ppb=offset_ppb)
        self.pulses = SteadyPulses()
        self.device = EmulatedSa5x(self.oscillator, self.pulses, START_NS, seed=5, **options)
        self.t_ns = START_NS + 3 * NS_PER_S // 2

    def send(self, text: str, wait_s: float = 0.05) -> str:
        """What comes back within ``wait_s``."""
        self.device.receive(text.encode("latin-1"), self.t_ns)
        self.t_ns += round(wait_s * NS_PER_S)
        return self.device.transmit(self.t_ns).decode("latin-1")

    def get(self, name: str) -> float:
        found = re.fullmatch(r"\[=(.*)\]\r\n", self.send(f"{{get,{name}}}"))
        assert found is not None
        return float(found.group(1))

    def set(self, name: str, value: int) -> None:
        assert self.send(f"{{set,{name},{value}}}") == f"[={value}]\r\n"

    def sleep(self, seconds: float) -> None:
        self.t_ns += round(seconds * NS_PER_S)
        self.device.advance(self.t_ns)


# --- protocol ---


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ("{device?}", "[=sa5x]\r\n"),
        ("{device?|27}", "[=sa5x|62]\r\n"),
        ("{get,Locked|70}", "[=1|0C]\r\n"),
        ("{set,TauPps0,50|44}", "[=50|38]\r\n"),
        ("{swrev?|5A}", "[=V1.1.30.0.635AC64C,V1.0|"),
        ("{get#0A,Locked}", "[#0A=1]\r\n"),
        ("{device?|28}", "[!3|12]\r\n"),
        ("\\{device?}\0", "[=sa5x]\r\n"),
        ("noise\r\n  {get,Locked}", "[=1]\r\n"),
        ('{get,"Locked"}', "[=1]\r\n"),
        ("{get,Lo{get,Locked}", "[=1]\r\n"),
        ("{get,769}", "[=0]\r\n"),
        ("{nonsense}", "[!1]\r\n"),
        ("{nonsense#7F}", "[#7F!1]\r\n"),
        ("{}", "[!1]\r\n"),
        ("{get}", "[!2]\r\n"),
        ("{set,TauPps0}", "[!2]\r\n"),
        ("{get,Nothing}", "[!100]\r\n"),
        ("{set,Nothing,1}", "[!100]\r\n"),
        ("{set,TauPps0,9}", "[!101]\r\n"),
        ("{set,TauPps0,fifty}", "[!101]\r\n"),
        ("{set,DigitalTuning,20000001}", "[!101]\r\n"),
        ("{set,PpsOffset,15}", "[!101]\r\n"),
        ("{set,Phase,1}", "[!102]\r\n"),
        ("{get,locked}", "[!100]\r\n"),
        ("{get,OscTuning}", "[!100]\r\n"),
    ],
)
def test_one_answer_per_command(sent: str, answered: str) -> None:
    assert Part().send(sent).startswith(answered)


def test_newer_firmware_has_more_parameters() -> None:
    assert Part(firmware="V1.6.5.0.669A7202").send("{get,OscTuning}") == "[=2108]\r\n"


def test_two_commands_at_once_are_answered_in_order_and_in_one_piece_each() -> None:
    part = Part()
    part.device.receive(b"{device?}{get,Locked}", part.t_ns)
    early = part.device.transmit(part.t_ns + 1_900_000)
    assert early == b""
    assert part.send("", 0.1) == "[=sa5x]\r\n[=1]\r\n"


def test_an_answer_comes_within_ten_milliseconds() -> None:
    part = Part()
    for _ in range(50):
        part.device.receive(b"{get,Locked}", part.t_ns)
        first = part.device.next_byte_ns()
        assert first is not None
        assert 2_000_000 <= first - part.t_ns <= 10_000_000 + 200_000
        part.sleep(0.1)
        assert part.send("", 0.0) == "[=1]\r\n"


def test_an_endless_command_is_given_up() -> None:
    part = Part()
    assert part.send("{" + "x" * 5000 + "}") == ""
    assert part.send("{get,Locked}") == "[=1]\r\n"


# --- settings ---


def test_only_stored_settings_survive_a_reset() -> None:
    part = Part()
    part.set("TauPps0", 500)
    assert part.send("{store}") == "[=1]\r\n"
    part.set("TauPps0", 50)
    part.set("DigitalTuning", 1234)
    assert part.send("{reset}", 1.0) == "[>Loading...]\r\n"
    assert part.send("{get,TauPps0}", 0.5) == ""
    assert part.send("", 2.0) == "[>Microchip SA5X]\r\n"
    assert (part.get("TauPps0"), part.get("DigitalTuning"), part.get("Locked")) == (500, 0, 0)
    part.sleep(60)
    assert part.get("Locked") == 1


def test_load_brings_the_stored_settings_back() -> None:
    part = Part()
    part.set("PpsWidth", 1000)
    assert part.send("{load}") == "[=1]\r\n"
    assert part.get("PpsWidth") == 80_000_000


def test_tuning_can_be_added_and_latched() -> None:
    part = Part()
    part.set("DigitalTuning", 1_000_000)
    assert part.send("{add,DigitalTuning,-250000}") == "[=750000]\r\n"
    assert part.send("{add,DigitalTuning,30000000}") == "[!101]\r\n"
    assert part.oscillator.steering_ppb == pytest.approx(0.75)
    assert part.send("{latch}") == "[=1]\r\n"
    assert part.get("DigitalTuning") == 0
    assert part.oscillator.steering_ppb == pytest.approx(0.75)
    part.set("Disciplining", 1)
    assert part.send("{latch}") == "[=0]\r\n"


def test_metering_and_disciplining_exclude_each_other() -> None:
    part = Part()
    part.set("PhaseMetering", 1)
    part.set("Disciplining", 1)
    assert part.get("PhaseMetering") == 0
    part.set("PhaseMetering", 1)
    assert part.get("Disciplining") == 0


def test_a_time_of_day_that_was_set_goes_on() -> None:
    part = Part()
    part.set("TimeOfDay", 1000)
    part.sleep(10)
    assert part.get("TimeOfDay") == 1010


# --- phase ---


def test_the_phase_grows_while_the_part_runs_fast() -> None:
    part = Part(offset_ppb=3.0)
    part.sleep(3)
    assert part.send("{sync}") == "[=1]\r\n"
    part.set("PhaseMetering", 1)
    part.sleep(2)
    first = part.get("Phase")
    part.sleep(100)
    assert part.get("Phase") - first == pytest.approx(300.0, abs=9.0)


def test_sync_moves_the_output_pulse_onto_the_input() -> None:
    part = Part()
    part.pulses.error_ns = 70.0
    part.set("PhaseMetering", 1)
    part.sleep(3)
    assert abs(part.get("Phase")) > 1e6
    assert abs(part.device.edge(START_S + 20).error_ns) > 1e6
    part.t_ns = START_NS + 41 * NS_PER_S // 2
    assert part.send("{sync}") == "[=1]\r\n"
    assert part.get("JamSyncing") == 1
    part.sleep(2)
    assert part.get("JamSyncing") == 0
    # Up to 4 ns of sawtooth in the pulse it was synchronised with, 5 ns of grid, 4 ns in this one.
    assert abs(part.get("Phase")) <= 5.5 + 8.0
    second = part.t_ns // NS_PER_S + 1
    assert part.device.edge(second).error_ns == pytest.approx(70.0, abs=10.0)


def test_sync_needs_pulses() -> None:
    part = Part()
    part.pulses.present = False
    part.sleep(5)
    assert part.send("{sync}") == "[=0]\r\n"
    assert part.get("PpsInDetected") == 0


def test_the_phase_has_steps_of_the_meter() -> None:
    part = Part(offset_ppb=0.123)
    part.set("PhaseMetering", 1)
    part.sleep(3)
    part.send("{sync}")
    for _ in range(20):
        part.sleep(1)
        steps = part.get("Phase") / 0.45
        assert steps == pytest.approx(round(steps), abs=0.02)


def test_the_correction_of_a_pulse_holds_for_that_pulse() -> None:
    part = Part()
    part.set("PhaseMetering", 1)
    part.sleep(3)
    part.send("{sync}")
    part.sleep(2)
    plain = []
    corrected = []
    for _ in range(30):
        part.sleep(1)
        plain.append(part.get("Phase"))
    for _ in range(30):
        second = (part.t_ns - 50_000_000) // NS_PER_S + 1
        part.set("PpsQErr", round(part.pulses.edge(second).qerr_ns * 1000))
        part.sleep(0.9)  # and 0.1 s of talking
        corrected.append(part.get("Phase"))
    assert max(plain) - min(plain) > 3.0
    assert max(corrected) - min(corrected) <= 0.91


# --- loop ---


def test_disciplining_begins_with_a_jam_sync_and_removes_the_frequency_error() -> None:
    part = Part(offset_ppb=2.0)
    part.sleep(3)
    part.set("TauPps0", 50)
    part.set("Disciplining", 1)
    assert part.get("JamSyncing") == 1
    part.sleep(2)
    assert abs(part.get("Phase")) < 20
    part.sleep(600)
    assert part.get("DisciplineLocked") == 1
    assert part.get("DigitalTuning") == pytest.approx(-2_000_000, abs=200_000)
    assert part.get("DisciplineTuning") == part.get("DigitalTuning")
    assert abs(part.get("LastCorrection")) < 300_000
    assert abs(part.get("Phase")) < 10
    assert part.get("Alarms") == 0


def test_lost_pulses_are_an_alarm_and_the_tuning_stays() -> None:
    part = Part(offset_ppb=1.0)
    part.set("TauPps0", 50)
    part.set("Disciplining", 1)
    part.sleep(400)
    part.pulses.present = False
    part.sleep(3)
    tuning = part.get("DigitalTuning")
    part.sleep(100)
    assert part.get("PpsInDetected") == 0
    assert int(part.get("Alarms")) == ALARM_NO_PULSE
    assert part.get("DigitalTuning") == tuning
    part.pulses.present = True
    part.sleep(3)
    assert (part.get("Alarms"), part.get("PpsInDetected")) == (0, 1)


def test_a_phase_beyond_the_limit_is_jammed_again() -> None:
    part = Part()
    part.set("TauPps0", 50)
    part.set("Disciplining", 1)
    part.sleep(300)
    part.pulses.error_ns = 5_000.0
    part.sleep(4)
    assert abs(part.get("Phase")) < 20
    assert part.get("DisciplineLocked") == 0


def test_a_saturated_tuning_is_an_alarm() -> None:
    part = Part(offset_ppb=25.0)
    part.set("TauPps0", 50)
    part.set("PhaseLimit", 1_000_000)
    part.set("Disciplining", 1)
    part.sleep(300)
    assert int(part.get("Alarms")) & ALARM_RANGE
    assert abs(part.get("DigitalTuning")) == 20_000_000
    assert part.get("LastCorrection") == 0


# --- atomic lock ---


def test_a_cold_part_warms_up_to_lock() -> None:
    part = Part(warmup_s=400.0, unlocked_offset_ppb=40.0)
    assert (part.get("Locked"), part.get("LockProgress")) == (0, 0)
    part.sleep(200)
    assert 45 <= part.get("LockProgress") <= 55
    assert part.get("Alarms") == 0
    assert part.oscillator.phase_ns(part.t_ns) == pytest.approx(40.0 * 202, rel=0.02)
    part.sleep(220)
    assert (part.get("Locked"), part.get("LockProgress")) == (1, 100)
    assert int(part.get("Alarms")) == ALARM_UNSTABLE
    before = part.oscillator.phase_ns(part.t_ns)
    part.sleep(400)
    assert part.get("Alarms") == 0
    assert part.oscillator.phase_ns(part.t_ns) == pytest.approx(before)


def test_a_lost_lock_shifts_the_frequency_until_it_is_back() -> None:
    part = Part(unlocked_offset_ppb=-15.0)
    part.sleep(10)
    part.device.unlock(part.t_ns)
    assert not part.device.locked
    start = part.oscillator.phase_ns(part.t_ns)
    part.sleep(100)
    assert (part.get("Locked"), part.get("LockProgress")) == (0, 0)
    assert part.oscillator.phase_ns(part.t_ns) - start == pytest.approx(-1500.0, rel=0.01)
    part.device.relock(part.t_ns)
    part.sleep(60)
    assert part.get("Locked") == 1


# --- faults of the line ---


def test_silence_and_garbage() -> None:
    part = Part()
    part.device.silent = True
    assert part.send("{get,Locked}") == ""
    part.device.silent = False
    part.device.garbage_bytes = 6
    answers = [part.send("{get,Locked}") for _ in range(40)]
    assert any(answer.endswith("[=1]\r\n") and len(answer) == 12 for answer in answers)
    assert any(not answer.endswith("[=1]\r\n") for answer in answers)


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="serial number"):
        Part(serial_number="12")
    with pytest.raises(ValueError, match="firmware"):
        Part(firmware="1.0")
    assert SerialLine(57_600).next_ns() is None


@settings(max_examples=200, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=60),
        st.from_regex(r"\{(get|set|add)(#[0-9A-F]{2})?,[A-Za-z0-9,.\-\"\\|]{0,30}\}", fullmatch=True).map(
            str.encode
        ),
    )
)
def test_nothing_that_a_host_sends_stops_it(data: bytes) -> None:
    part = Part()
    part.device.receive(data, part.t_ns)
    part.sleep(5)
    part.device.transmit(part.t_ns)
    assert part.send("}{device?}").endswith("[=sa5x]\r\n")
