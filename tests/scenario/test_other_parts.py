"""Cards with another receiver or oscillator than the usual ones, as every part of the product meets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.assembly import assemble
from appliance.config import Config
from appliance.config_models import GnssConfig, LeapConfig
from appliance.simulate import Simulation, build
from appliance.simulation_report import Recorder
from appliance.sources import OscillatorSource
from appliance.topology import choose
from tests.bringup_world import make_rig
from tests.doctor.seeding import examine_card_of, seeded_card
from timecard.boards import Role
from timecard.bringup.intent_file import parse_intent
from timecard.bringup.report import Outcome, Verdict
from timecard.card import card_on_bus
from timecard.cli.cards import card_info
from timecard.doctor import Severity, diagnose
from timecard.emulator.options import DEFAULT_START_TAI_NS
from timecard.emulator.virtual_card import build_in_process
from timecard.errors import DeviceAbsentError, ProtocolError, RefusedError, UnsupportedError
from timecard.gnss.any_receiver import AnyReceiver
from timecard.gnss.detect import detect
from timecard.gnss.intent import TIME_CARD
from timecard.mac.alarms import OscillatorMonitor
from timecard.mac.oscillators import OSCILLATORS
from timecard.pcie.register_card import RegisterCard
from timecard.timescale import NS_PER_S
from timecard.values import Alarm, OscillatorStatus

MOSAIC = {"receiver": "mosaic"}
M8T = {"receiver": "m8t"}
NMEA = {"receiver": "nmea"}
CSAC = {"mac": "csac"}
CARDS = [
    pytest.param(MOSAIC, ("septentrio", "mosaic-T"), ("sa5x", "sa53"), id="mosaic"),
    pytest.param(M8T, ("ublox-legacy", "NEO-M8T-0"), ("sa5x", "sa53"), id="m8t"),
    pytest.param(CSAC, ("ublox", "ZED-F9T"), ("csac", "csac"), id="csac"),
]
READ_ONLY = [
    pytest.param(NMEA, ("nmea", "NMEA receiver (talker GN)"), ("sa5x", "sa53"), id="nmea"),
]
NOT_UBX = (MOSAIC, NMEA)
INTENT = parse_intent("""
    version = 1
    [receiver]
    wait_fix_s = 60
    [oscillator]
    wait_lock_s = 30
    [[delays]]
    segment = "antenna-cable"
    value_ns = 120
    uncertainty_ns = 3
    origin = "measured"
    compensated_by = "receiver"
    [time]
""")


@pytest.mark.parametrize(("options", "receiver", "oscillator"), CARDS + READ_ONLY)
def test_info_names_them(
    options: dict[str, Any], receiver: tuple[str, str], oscillator: tuple[str, str]
) -> None:
    rig = make_rig(**options)
    facts = card_info(rig.card, rig.virtual.timebase)
    assert (facts["receiver"]["driver"], facts["receiver"]["model"]) == receiver
    assert facts["receiver"]["baud"] == 115_200
    assert facts["oscillator"]["family"] == oscillator[0]
    assert not {"receiver", "oscillator"} & facts["reasons"].keys()


@pytest.mark.parametrize(("options", "receiver", "oscillator"), CARDS + READ_ONLY)
def test_doctor_has_no_complaint(
    options: dict[str, Any], receiver: tuple[str, str], oscillator: tuple[str, str], tmp_path: Path
) -> None:
    # Somebody has set the clock: a mosaic does not speak the language of the FPGA's time-of-day slave.
    emulated = seeded_card("fb", {"options": {**options, "clock_start_tai_ns": DEFAULT_START_TAI_NS}})
    facts = examine_card_of(emulated, tmp_path)
    found = facts.cards[0]
    assert found.receiver is not None and found.oscillator is not None
    assert (found.receiver.model, found.receiver.fix_ok) == (receiver[1], True)
    assert (found.oscillator.family, found.oscillator.locked) == (oscillator[0], True)
    findings = diagnose(facts)
    assert [each.id for each in findings if each.severity is not Severity.INFO] == []
    assert ("tod-not-served" in [each.id for each in findings]) == (options in NOT_UBX)


@pytest.mark.parametrize(("options", "receiver", "oscillator"), CARDS)
def test_bring_up_sets_the_receiver_once(
    options: dict[str, Any], receiver: tuple[str, str], oscillator: tuple[str, str]
) -> None:
    rig = make_rig(**options)
    assert rig.run(INTENT, check=True).verdict is Verdict.WOULD_CHANGE
    first = {each.what: each for step in rig.run(INTENT).steps for each in step.results}
    assert first["receiver settings"].outcome is Outcome.CHANGED
    assert receiver[1] in str(first["receiver"].before)
    assert str(first["oscillator"].before).startswith(oscillator[0])
    again = rig.run(INTENT)
    assert again.verdict is Verdict.DONE
    assert again.count(Outcome.CHANGED) == 0
    # The ledger's delay arrived in the receiver: nothing is left to be changed for it.
    stream, timebase = rig.card.serial(Role.GNSS), rig.virtual.timebase
    found = AnyReceiver(stream, timebase, None)
    found.start()
    assert found.driver is not None
    plan = found.driver.open(stream, timebase, None).plan(TIME_CARD)
    (change,) = [each for each in plan.changes if each.setting == "cable_delay_ns"]
    assert float(change.before) == 120.0 and float(change.after) == 0.0


@pytest.mark.parametrize(("options", "receiver", "oscillator"), CARDS + READ_ONLY)
def test_the_appliance_locks(
    options: dict[str, Any], receiver: tuple[str, str], oscillator: tuple[str, str]
) -> None:
    simulation = build(Config(), seed=2, **options)
    simulation.run_s(120)
    assembly = simulation.assembly
    snapshot = simulation.engine.discipline.snapshot(simulation.virtual.timebase.mono_ns())
    assert snapshot.state.value == "locked", simulation.engine.discipline.waiting_for
    assert abs(simulation.virtual.truth().card_error_ns) < 50
    assert snapshot.alarms == ()
    assert (assembly.topology, assembly.oscillator_model) == ("B", oscillator[1])
    assert assembly.receiver.driver is not None and assembly.receiver.driver.name == receiver[0]
    assert assembly.receiver.restarts == 0


def test_a_slow_line_with_its_time_at_the_end_names_the_right_second() -> None:
    """At 9600 baud the sentences of a second take most of it: their first one says when they began."""
    simulation = build(Config(), seed=2, receiver="nmea", receiver_baud=9_600)
    simulation.run_s(120)
    rows = simulation.recorder.rows
    assert rows[-1].state.value == "locked"
    assert abs(rows[-1].error_ns) < 50
    assert all(row.bound_ns is None or abs(row.error_ns) <= row.bound_ns for row in rows)


def test_pulses_are_not_named_when_leap_seconds_are_a_guess() -> None:
    """After the end of the tables UTC alone is no TAI, unless an operator vouches for the difference."""
    late_ns, no_files = 1_790_000_037 * NS_PER_S, LeapConfig(files=())  # 2026-09-21
    simulation = build(Config(leap=no_files), seed=2, receiver="nmea", start_tai_ns=late_ns)
    simulation.run_s(60)
    assert simulation.recorder.rows[-1].state.value == "free-run"
    assert any("TAI - UTC is not known" in text for text in simulation.assembly.receiver.warnings)
    told = Config(gnss=GnssConfig(tai_minus_utc_s=37), leap=no_files)
    simulation = build(told, seed=2, receiver="nmea", start_tai_ns=late_ns)
    simulation.run_s(60)
    assert simulation.recorder.rows[-1].state.value == "locked"
    assert abs(simulation.virtual.truth().card_error_ns) < 50


def test_only_an_sa5x_follows_by_itself_under_our_eyes() -> None:
    virtual = build_in_process(**CSAC)
    with pytest.raises(UnsupportedError, match=r"topology A.*only an SA5X"):
        choose(card_on_bus(virtual.bus, virtual.timebase), "A", virtual.timebase)


def test_the_appliance_finds_a_receiver_at_another_rate() -> None:
    simulation = build(Config(), seed=2, receiver_baud=9_600)
    simulation.run_s(60)
    receiver, board = simulation.assembly.receiver, simulation.engine.board
    assert receiver.identity is not None and receiver.identity.model == "ZED-F9T"
    assert board.faults == {}
    assert board.fix is not None and board.fix.fix_ok


def test_a_receiver_that_was_just_switched_on_is_found_at_its_rate() -> None:
    virtual = build_in_process(seed=2)
    stream = card_on_bus(virtual.bus, virtual.timebase).serial(Role.GNSS)
    before_ns = virtual.timebase.mono_ns()
    found = detect(stream, virtual.timebase)
    assert (found.driver.name, found.baud) == ("ublox", 115_200)
    assert virtual.timebase.mono_ns() - before_ns < 2 * NS_PER_S, (
        "it is deaf at first; no other rate is tried"
    )


def test_nobody_there_is_one_clear_error() -> None:
    virtual = build_in_process(seed=2)
    virtual.timebase.sleep_s(5)
    virtual.inject("gnss-silent")
    stream = card_on_bus(virtual.bus, virtual.timebase).serial(Role.GNSS)
    stream.read(4096, 0.0)
    receiver = AnyReceiver(stream, virtual.timebase, TIME_CARD)
    before_ns = virtual.timebase.mono_ns()
    with pytest.raises(DeviceAbsentError, match=r"detect GNSS receiver: .* at 115200"):
        receiver.start()
    assert virtual.timebase.mono_ns() - before_ns < 12 * NS_PER_S, "an attempt does not scan all rates"
    assert receiver.poll(0.0) == () and receiver.identity is None and receiver.warnings == ()
    virtual.clear("gnss-silent")
    for _ in range(2):  # another rate, then its own again
        try:
            receiver.start()
        except DeviceAbsentError:
            continue
    assert receiver.identity is not None


class ScriptedPart:
    """An oscillator that says what it is told to say."""

    max_frequency_ppb = 20.0

    def __init__(self, status: OscillatorStatus) -> None:
        self.answer: OscillatorStatus | ProtocolError | RefusedError = status

    def identify(self) -> Any:
        raise AssertionError("not asked")

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        return frequency_ppb

    def status(self, full: bool = False) -> OscillatorStatus:
        if isinstance(self.answer, OscillatorStatus):
            return self.answer
        raise self.answer


def test_alarms_of_the_oscillator_reach_the_status() -> None:
    simulation = build(Config(), seed=2)
    simulation.run_s(90)
    source, engine = simulation.assembly.oscillator_source, simulation.engine
    assert source is not None
    simulation.virtual.inject("mac-alarm")
    simulation.run_s(30)
    now_ns = simulation.virtual.timebase.mono_ns()
    assert any(text.startswith("oscillator-") for text in engine.discipline.snapshot(now_ns).alarms)


def test_an_alarm_found_in_an_error_is_said_with_the_next_answer() -> None:
    timebase = build_in_process().timebase
    simulation = build(Config(), seed=2)
    simulation.run_s(10)
    status = simulation.engine.board.oscillator
    assert status is not None
    part = ScriptedPart(status)
    monitor = OscillatorMonitor(OSCILLATORS["sa5x"].limits)
    source = OscillatorSource(part, timebase, on_start=lambda: None, monitor=monitor)
    assert not [event for event in source.runner.step() if isinstance(event, Alarm)]
    part.answer = RefusedError("part", "status", "no")
    source.runner.step()
    timebase.sleep_s(30)
    part.answer = status
    alarms = [event for event in source.runner.step() if isinstance(event, Alarm)]
    assert [(alarm.name, alarm.active) for alarm in alarms] == [
        ("oscillator-refused", True),
        ("oscillator-refused", False),
    ]


def test_core_reads_the_thermometer_of_a_quartz_card() -> None:
    virtual: Any = build_in_process(seed=2, mac="quartz")
    card = card_on_bus(virtual.bus, virtual.timebase)
    assert isinstance(card, RegisterCard)
    card.gpio().set("mac_i2c", True)
    assembly = assemble(card, Config(), virtual.timebase)
    simulation = Simulation(virtual, assembly, Config(), Recorder(), virtual.timebase.mono_ns())
    simulation.run_s(120)
    assert (assembly.topology, assembly.oscillator_model) == ("C", "ocxo")
    assert assembly.oscillator is not None and assembly.oscillator.family == "quartz"
    assert simulation.recorder.rows[-1].state.value == "locked"
    before_c = simulation.engine.discipline.module.temperature_degc
    assert (
        before_c is not None
        and abs(before_c - virtual.card.oscillator.temperature_c(virtual.truth().true_tai_ns)) < 0.2
    )
    virtual.inject("temperature-step", delta_c=10)
    simulation.run_s(400)
    after_c = simulation.engine.discipline.module.temperature_degc
    assert after_c is not None and 2 < after_c - before_c < 11, "what it tells is the oscillator's own"
    assert not [text for text in simulation.engine.discipline.alarms if text.startswith("oscillator")]
