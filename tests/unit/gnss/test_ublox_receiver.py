"""The driver on an emulated receiver: identification, configuration, events, trouble on the line."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any, TypeVar

import pytest

from tests.unit.emulator_devices.wire import START_NS, SteadyPulses, Wire, half_past, qerr_of
from timecard.emulator.receiver import EmulatedReceiver
from timecard.emulator.receiver_config import SURVEYED, TIME_CARD_FLASH
from timecard.emulator.receiver_navigation import Start
from timecard.emulator.world import VirtualTime
from timecard.errors import DeviceAbsentError, DeviceTimeoutError
from timecard.gnss.receiver import UbloxReceiver
from timecard.gnss.sawtooth import SawtoothPairing
from timecard.gnss.ublox_profile import FixedPosition, UbloxOptions
from timecard.timescale import NS_PER_S
from timecard.values import (
    AntennaStatus,
    CorruptData,
    EdgeStamp,
    FixType,
    GnssEvent,
    GnssFix,
    JammingState,
    LeapInfo,
    PulseLabel,
    RfStatus,
    SatelliteView,
    SurveyStatus,
)

POSITION = FixedPosition(x_m=4_279_269.33, y_m=642_725.46, z_m=4_670_586.5)
T = TypeVar("T")


class Bench:
    """A receiver, its driver, and the time that both live in."""

    def __init__(self, options: UbloxOptions | None = None, **receiver: Any) -> None:
        self.time = VirtualTime(START_NS)
        self.pulses = SteadyPulses()
        self.device = EmulatedReceiver(self.pulses, START_NS, **receiver)
        self.wire = Wire(self.device, self.time)
        self.driver = UbloxReceiver(self.wire, self.time, options)
        self.time.sleep_s(2.3)

    def run(self, count: int) -> list[GnssEvent]:
        """Events of ``count`` seconds, looked at in the middle of each."""
        return [event for _ in half_past(self.time, count) for event in self.driver.poll(0.0)]


def of(events: list[GnssEvent], kind: type[T]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


# --- identification ---


def test_it_says_who_it_is() -> None:
    bench = Bench()
    bench.driver.start()
    identity = bench.driver.identity
    assert identity is not None
    assert (identity.model, identity.firmware, identity.protocol) == ("ZED-F9T", "TIM 2.20", "29.20")


def test_a_cut_line_is_an_absent_device() -> None:
    bench = Bench()
    bench.wire.cut = True
    before_ns = bench.time.mono_ns()
    with pytest.raises(DeviceAbsentError, match="nothing received"):
        bench.driver.start()
    assert bench.time.mono_ns() - before_ns == 3 * 1_500_000_000


@pytest.mark.parametrize(
    ("noise", "reason"),
    [
        (bytes(range(128, 256)) * 4, "wrong baud rate"),
        (b"\x10\xa1\x00\x11\x22\x33\x10\x03" * 8, "Trimble TSIP"),
        (b"$GNZDA,120000.00,15,01,2027,00,00*79\r\n", "does not answer MON-VER"),
    ],
)
def test_what_is_heard_instead_is_said(noise: bytes, reason: str) -> None:
    bench = Bench()
    bench.device.silent = True
    bench.run(2)
    bench.wire.to_host += noise
    with pytest.raises(DeviceAbsentError, match=reason):
        bench.driver.start()


def test_a_receiver_that_still_boots_is_waited_for() -> None:
    bench = Bench()
    bench.device.restart(bench.time.true_tai_ns())
    bench.driver.start()
    assert bench.driver.identity is not None


# --- configuration ---


def test_configuration_is_written_once_and_read_back() -> None:
    bench = Bench()
    bench.driver.start()
    assert bench.driver.health().warnings == ()
    assert bench.wire.written.count(b"\xb5\x62\x06\x8a") == 1
    bench.wire.written.clear()
    bench.driver.start()
    assert bench.wire.written.count(b"\xb5\x62\x06\x8a") == 0
    assert bench.wire.written.count(b"\xb5\x62\x06\x8b") >= 1


def test_configuration_can_be_left_alone() -> None:
    bench = Bench(UbloxOptions(configure=False))
    bench.driver.start()
    assert b"\xb5\x62\x06" not in bench.wire.written


def test_what_an_older_firmware_does_not_know_is_named_and_the_rest_is_set() -> None:
    bench = Bench(firmware="TIM 2.01")
    bench.driver.start()
    assert bench.driver.health().warnings == ("firmware does not know CFG_MSGOUT_UBX_SEC_SIG_UART1",)
    assert of(bench.run(5), PulseLabel)


def test_a_locked_configuration_is_named_and_the_receiver_used_as_it_is() -> None:
    bench = Bench(flash={**TIME_CARD_FLASH, "CFG_SEC_CFG_LOCK": 1})
    bench.driver.start()
    (warning,) = bench.driver.health().warnings
    assert warning.startswith("could not be set: ")
    assert "CFG_MSGOUT_UBX_TIM_TP_UART1" in warning
    bench.run(3)
    for second in half_past(bench.time, 3):
        events = list(bench.driver.poll(0.0))
        # From NAV-STATUS and NAV-TIMEUTC, which the card needs anyway.
        assert of(events, GnssFix)[0].epoch_tai_ns == second * NS_PER_S
        assert of(events, PulseLabel) == []


def test_no_answer_in_the_middle_of_the_dialogue_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    real = bench.wire.write

    def write(data: bytes) -> None:
        if data[2:4] == b"\x06\x8b" and len(data) > 30:
            bench.device.silent = True
        real(data)

    monkeypatch.setattr(bench.wire, "write", write)
    with pytest.raises(DeviceTimeoutError, match="068B"):
        bench.driver.start()


def test_settings_survive_a_restart_of_the_receiver_in_backed_up_memory() -> None:
    bench = Bench()
    bench.driver.start()
    bench.run(3)
    bench.device.restart(bench.time.true_tai_ns())
    assert len(of(bench.run(6), PulseLabel)) >= 3
    assert bench.driver.health().restarts == 1


# --- events ---


def test_each_second_has_an_epoch_and_a_label_of_the_next_pulse() -> None:
    bench = Bench(UbloxOptions(fixed_position=POSITION))
    bench.driver.start()
    bench.run(2)
    for second in half_past(bench.time, 30):
        events = list(bench.driver.poll(0.0))
        (fix,) = of(events, GnssFix)
        (label,) = of(events, PulseLabel)
        assert fix.epoch_tai_ns == second * NS_PER_S
        assert (fix.fix, fix.fix_ok, fix.time_valid) == (FixType.TIME_ONLY, True, True)
        assert label.edge_tai_ns == (second + 1) * NS_PER_S
        assert label.qerr_ns == qerr_of(second + 1)


@pytest.mark.parametrize(("grid", "needs_leap"), [(0, True), (1, False), (2, True), (3, False), (4, False)])
def test_labels_are_tai_in_every_time_grid(grid: int, needs_leap: bool) -> None:
    bench = Bench(UbloxOptions(configure=False), flash={
        **TIME_CARD_FLASH, "CFG_TP_TIMEGRID_TP1": grid, "CFG_MSGOUT_UBX_TIM_TP_UART1": 1,
    })  # fmt: skip
    bench.driver.start()
    bench.run(2)
    for second in half_past(bench.time, 3):
        (label,) = of(list(bench.driver.poll(0.0)), PulseLabel)
        assert label.edge_tai_ns == (second + 1) * NS_PER_S
    cold = Bench(UbloxOptions(configure=False), start=Start.COLD, flash={
        **TIME_CARD_FLASH, "CFG_TP_TIMEGRID_TP1": grid, "CFG_MSGOUT_UBX_TIM_TP_UART1": 1,
    })  # fmt: skip
    cold.driver.start()
    labels = of(cold.run(32), PulseLabel)
    assert labels
    assert (labels[-1].edge_tai_ns is None) == needs_leap


def test_the_quantisation_error_pairs_with_the_pulse_it_describes() -> None:
    bench = Bench(UbloxOptions(fixed_position=POSITION, antenna_cable_delay_ns=50))
    bench.pulses.error_ns = 50.0
    bench.driver.start()
    bench.run(2)
    pairing = SawtoothPairing()
    corrected = []
    for second in half_past(bench.time, 40):
        for label in of(list(bench.driver.poll(0.0)), PulseLabel):
            pairing.add_label(label)
        pulse = bench.device.edge(second)
        assert pulse.present
        stamp = EdgeStamp(
            channel="ts0",
            card_tai_ns=second * NS_PER_S + 123_000_000,
            event_count=0,
            dropped=False,
            read_mono_ns=bench.time.mono_ns(),
        )
        paired = pairing.pair(stamp, card_near_tai=True)
        if paired.qerr_ns is not None:
            corrected.append(pulse.error_ns + paired.qerr_ns)
    # 50 ns of cable, taken off by the receiver; no sawtooth left.
    assert len(corrected) >= 39
    assert max(map(abs, corrected)) < 1e-6


def test_a_survey_is_followed_to_its_end() -> None:
    bench = Bench(UbloxOptions(survey_min_s=60, survey_sigma_m=4.0))
    bench.driver.start()
    surveys = of(bench.run(120), SurveyStatus)
    assert surveys[0].active
    assert not surveys[0].valid
    assert surveys[-1].valid
    assert not surveys[-1].active
    assert 60 <= surveys[-1].duration_s <= 70
    assert surveys[-1].position_sigma_m <= 4.0
    assert of(bench.run(1), GnssFix)[0].fix is FixType.TIME_ONLY


def test_a_given_position_counts_as_surveyed() -> None:
    bench = Bench(UbloxOptions(fixed_position=POSITION))
    bench.driver.start()
    surveys = of(bench.run(12), SurveyStatus)
    assert surveys
    assert all(survey.valid and not survey.active for survey in surveys)


def test_a_position_that_the_receiver_has_is_not_thrown_away() -> None:
    bench = Bench(flash={**TIME_CARD_FLASH, **SURVEYED})
    bench.driver.start()
    events = bench.run(12)
    assert of(events, GnssFix)[-1].fix is FixType.TIME_ONLY
    assert all(survey.valid and not survey.active for survey in of(events, SurveyStatus))


def test_a_cold_start_climbs_the_ladder() -> None:
    bench = Bench(start=Start.COLD)
    bench.driver.start()
    events = bench.run(800)
    fixes, leaps = of(events, GnssFix), of(events, LeapInfo)
    first_time = next(i for i, fix in enumerate(fixes) if fix.time_valid)
    first_fix = next(i for i, fix in enumerate(fixes) if fix.fix_ok)
    first_utc = next(i for i, fix in enumerate(fixes) if fix.utc_resolved)
    assert not fixes[0].time_valid
    assert first_time < first_fix < first_utc
    assert fixes[first_fix].time_accuracy_ns is not None
    assert {leap.tai_minus_utc_s for leap in leaps} == {None, 37}
    assert leaps[0].tai_minus_utc_s is None
    assert leaps[0].source == "none"
    # No pulse before there is a fix, whatever the labels say.
    assert not bench.device.edge(START_NS // NS_PER_S + 4).present
    assert bench.device.edge(bench.time.true_tai_ns() // NS_PER_S).present


def test_an_antenna_that_is_cut_shows_everywhere_and_comes_back() -> None:
    bench = Bench(UbloxOptions(fixed_position=POSITION))
    bench.driver.start()
    bench.run(10)
    bench.device.antenna = AntennaStatus.OPEN
    events = bench.run(5)
    assert of(events, RfStatus)[0].antenna is AntennaStatus.OPEN
    assert [fix.fix_ok for fix in of(events, GnssFix)] == [True, False, False, False, False]
    assert of(events, GnssFix)[-1].satellites_used == 0
    assert of(events, GnssFix)[-1].time_valid
    assert not bench.device.edge(bench.time.true_tai_ns() // NS_PER_S).present
    bench.device.antenna = AntennaStatus.OK
    fixes = of(bench.run(6), GnssFix)
    assert [fix.fix_ok for fix in fixes][-3:] == [True, True, True]


def test_jamming_is_seen_before_the_fix_is_gone() -> None:
    bench = Bench(UbloxOptions(fixed_position=POSITION))
    bench.driver.start()
    bench.run(10)
    bench.device.jam_db = 8.0
    events = bench.run(11)
    jammed = [status for status in of(events, RfStatus) if status.jamming is not None]
    assert jammed[0].jamming is JammingState.WARNING
    assert all(fix.fix_ok for fix in of(events, GnssFix))
    view = of(events, SatelliteView)[-1]
    assert view.median_cno_dbhz < 38
    bench.device.jam_db = 40.0
    events = bench.run(5)
    jammed = [status for status in of(events, RfStatus) if status.jamming is not None]
    assert jammed[0].jamming is JammingState.CRITICAL
    assert not of(events, GnssFix)[-1].fix_ok


@pytest.mark.parametrize("seconds_off", [1, -3, 60])
def test_a_wrong_second_is_told_as_it_is(seconds_off: int) -> None:
    """Finding out is the business of those who have another clock."""
    bench = Bench(UbloxOptions(fixed_position=POSITION))
    bench.driver.start()
    bench.run(3)
    bench.device.time_offset_s = seconds_off
    for second in half_past(bench.time, 5):
        events = list(bench.driver.poll(0.0))
        assert of(events, GnssFix)[0].epoch_tai_ns == (second + seconds_off) * NS_PER_S
        assert of(events, PulseLabel)[0].edge_tai_ns == (second + 1 + seconds_off) * NS_PER_S


def test_a_week_rollover_is_refused_and_warned_of() -> None:
    bench = Bench(UbloxOptions(fixed_position=POSITION))
    bench.driver.start()
    bench.run(3)
    bench.device.time_offset_s = -1024 * 604_800
    events = bench.run(4)
    assert all(fix.epoch_tai_ns is None and not fix.time_valid for fix in of(events, GnssFix))
    assert all(label.edge_tai_ns is None for label in of(events, PulseLabel))
    assert "rollover" in bench.driver.health().warnings[0]


def test_an_announced_leap_second_passes_without_a_missing_second() -> None:
    bench = Bench(UbloxOptions(fixed_position=POSITION))
    leap_tai_s = START_NS // NS_PER_S + 30
    bench.device.leap.announce(1, leap_tai_s)
    bench.driver.start()
    bench.run(2)
    seconds = []
    leaps = []
    for second in half_past(bench.time, 45):
        events = list(bench.driver.poll(0.0))
        assert of(events, PulseLabel)[0].edge_tai_ns == (second + 1) * NS_PER_S
        seconds += [fix.epoch_tai_ns for fix in of(events, GnssFix)]
        leaps += of(events, LeapInfo)
        if second == leap_tai_s - 5:
            assert (leaps[-1].change_s, leaps[-1].seconds_to_event, leaps[-1].tai_minus_utc_s) == (1, 6, 37)
    assert [b - a for a, b in pairwise(seconds) if a and b] == [NS_PER_S] * 44
    assert (leaps[-1].change_s, leaps[-1].tai_minus_utc_s) == (0, 38)


# --- trouble on the line ---


def test_silence_is_visible() -> None:
    bench = Bench()
    bench.driver.start()
    bench.run(2)
    bench.device.silent = True
    before = bench.driver.health().last_frame_mono_ns
    assert bench.run(4) == []
    assert bench.driver.health().last_frame_mono_ns == before
    bench.device.silent = False
    assert of(bench.run(2), GnssFix)


def test_garbage_costs_frames_and_is_counted_and_never_makes_a_wrong_time() -> None:
    bench = Bench(UbloxOptions(fixed_position=POSITION), seed=4)
    bench.driver.start()
    bench.run(3)
    bench.device.garbage_bytes = 12
    events: list[GnssEvent] = []
    for second in half_past(bench.time, 200):
        new = list(bench.driver.poll(0.0))
        events += new
        for label in of(new, PulseLabel):
            # A frame may be held back by a damaged one before it; its own name is right.
            assert label.edge_tai_ns is not None
            assert 0 <= second + 1 - label.edge_tai_ns // NS_PER_S <= 4
            assert label.qerr_ns == qerr_of(label.edge_tai_ns // NS_PER_S)
    counts = Counter(type(event) for event in events)
    assert counts[CorruptData] > 100
    assert 20 < counts[PulseLabel] < 190
    assert bench.driver.health().corrupt_bytes > 200 * 12
    bench.device.garbage_bytes = 0
    bench.run(4)
    assert len(of(bench.run(10), PulseLabel)) == 10


def test_configuration_succeeds_on_a_noisy_line() -> None:
    bench = Bench(seed=2)
    bench.device.garbage_bytes = 3
    bench.driver.start()
    bench.device.garbage_bytes = 0
    bench.run(3)
    assert len(of(bench.run(5), PulseLabel)) == 5
