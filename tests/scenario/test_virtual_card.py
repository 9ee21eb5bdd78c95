"""The assembled card in virtual time, seen through the drivers: seeds, series, and every fault."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest

from timecard.boards import Role
from timecard.card import card_on_bus
from timecard.card_values import PpsSource
from timecard.emulator.faults import FAULTS, FaultError
from timecard.emulator.options import OptionError
from timecard.emulator.series import SeriesError, read_frequency_ppb, read_phase_ns
from timecard.emulator.virtual_card import InProcessCard, build_in_process
from timecard.errors import DeviceLostError
from timecard.gnss.receiver import UbloxReceiver
from timecard.gnss.ublox_profile import UbloxOptions
from timecard.mac.oscillators.sa5x import Sa5x
from timecard.pcie.status import read_selector, read_tod
from timecard.values import (
    AntennaStatus,
    CorruptData,
    EdgeStamp,
    GnssEvent,
    GnssFix,
    JammingState,
    PulseLabel,
    RfStatus,
    SatelliteView,
)

S = 1_000_000_000
Event = TypeVar("Event")


class Rig:
    """A virtual card with its drivers, polled once a virtual second."""

    def __init__(self, **options: Any) -> None:
        self.virtual: InProcessCard = build_in_process(**options)
        self.timebase = self.virtual.timebase
        self.card = card_on_bus(self.virtual.bus, self.timebase)
        self.card.timestamper("ts0").enable()
        self.receiver = UbloxReceiver(
            self.card.serial(Role.GNSS), self.timebase, UbloxOptions(satellites_every_s=1)
        )
        self.events: list[GnssEvent] = []
        self.stamps: list[EdgeStamp] = []

    def start(self, settle_s: int = 20) -> Rig:
        """Configure the receiver, put the clock on its registers near true time, and wait for a fix."""
        self.receiver.start()
        self.card.clock.select_source("REGS")
        self.run(settle_s)
        self.card.clock.step_ns(-round(self.virtual.truth().card_error_ns))
        self.run(2)
        return self

    def run(self, seconds: int) -> None:
        """Keep the events and stamps of the next seconds only."""
        self.events, self.stamps = [], []
        for _ in range(seconds):
            self.timebase.sleep_s(1.0)
            self.events += self.receiver.poll(0)
            stamp = self.card.timestamper("ts0").poll()
            if stamp is not None:
                self.stamps.append(stamp)

    def until(self, condition: Callable[[], bool], within_s: int) -> int:
        """Run until ``condition``; returns the seconds that it took."""
        for second in range(1, within_s + 1):
            self.run(1)
            if condition():
                return second
        raise AssertionError(f"not within {within_s} s")

    def seen(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def offsets_ns(self) -> list[int]:
        """TS0 stamps against the nearest whole second: card clock minus GNSS."""
        return [(stamp.card_tai_ns + S // 2) % S - S // 2 for stamp in self.stamps]

    def antenna(self) -> AntennaStatus | None:
        states = [rf.antenna for rf in self.seen(RfStatus) if rf.antenna is not None]
        return states[-1] if states else None

    def jamming(self) -> JammingState | None:
        states = [rf.jamming for rf in self.seen(RfStatus) if rf.jamming is not None]
        return states[-1] if states else None


@pytest.fixture
def rig() -> Rig:
    return Rig(seed=11).start()


# --- the card itself --------------------------------------------------------------------------------


def test_a_healthy_card_seen_through_the_drivers(rig: Rig) -> None:
    rig.run(10)
    fixes, labels = rig.seen(GnssFix), rig.seen(PulseLabel)
    assert all(fix.fix_ok and fix.time_valid and fix.utc_resolved for fix in fixes)
    assert len(fixes) == 10
    assert [label.pulse_locked for label in labels] == [True] * 10
    true_ns = rig.virtual.truth().true_tai_ns
    assert labels[-1].edge_tai_ns == true_ns // S * S + S
    assert len(rig.stamps) == 10
    assert all(abs(offset) < 25 for offset in rig.offsets_ns())
    assert read_selector(rig.card.bus).present == {PpsSource.MAC, PpsSource.GNSS}
    assert read_tod(rig.card.bus).tai_minus_utc_s == 37


def test_stamps_are_the_truth_to_the_timestampers_resolution(rig: Rig) -> None:
    differences = []
    for _ in range(60):
        rig.run(1)
        truth = rig.virtual.truth()
        assert truth.gnss_error_ns is not None
        # The newest computed pulse is the next one: compare with the pulse that was stamped.
        second = rig.stamps[0].card_tai_ns // S + (rig.stamps[0].card_tai_ns % S > S // 2)
        late = rig.virtual.card.gnss.edge(second).error_ns
        differences.append(rig.offsets_ns()[0] - late - truth.card_error_ns)
    assert max(abs(d) for d in differences) < 2.6
    assert abs(statistics.mean(differences)) < 1.0


def test_the_same_seed_gives_the_same_card_and_another_seed_another() -> None:
    def life(seed: int) -> tuple[list[EdgeStamp], list[GnssEvent], float]:
        rig = Rig(seed=seed).start(5)
        rig.run(30)
        return rig.stamps, rig.events, rig.virtual.truth().card_error_ns

    first = life(5)
    assert life(5) == first
    assert life(6)[0] != first[0]


def test_steering_the_oscillator_moves_the_clock() -> None:
    rig = Rig(seed=4, y0=0.0).start()
    mac = Sa5x(rig.card.serial(Role.MAC), rig.timebase)
    mac.identify()
    before = rig.virtual.truth()
    assert mac.set_frequency_ppb(1.5) == pytest.approx(1.5)
    rig.run(100)
    after = rig.virtual.truth()
    elapsed_s = (after.true_tai_ns - before.true_tai_ns) / S
    assert after.card_error_ns - before.card_error_ns == pytest.approx(1.5 * elapsed_s, abs=3.0)
    assert after.free_oscillator_ns - before.free_oscillator_ns == pytest.approx(0.0, abs=3.0)


def test_initial_offset_and_host_clock() -> None:
    rig = Rig(seed=4, y0=1e-8, world_offset_ns=1_500_000, world_rate_ppb=0.0).start()
    before = rig.virtual.truth()
    rig.run(100)
    after = rig.virtual.truth()
    assert (after.card_error_ns - before.card_error_ns) == pytest.approx(1000.0, rel=0.01)
    assert after.host_offset_ns == -1_500_000
    rig.virtual.set_world(offset_ns=0)
    assert rig.virtual.truth().host_offset_ns == 0


def test_world_rate_shows_in_cross_timestamps() -> None:
    rig = Rig(seed=4, mac="none", oscillator="ocxo", y0=0.0, world_rate_ppb=2000.0).start()
    first = rig.card.clock.cross_timestamp()
    rig.run(50)
    last = rig.card.clock.cross_timestamp()
    gained = (last.card_tai_ns - first.card_tai_ns) - (last.mono_raw_ns - first.mono_raw_ns)
    assert gained == pytest.approx(2000.0 * 50, abs=50)


def test_cold_start_takes_time_to_lock() -> None:
    rig = Rig(seed=2, start="cold")
    rig.receiver.start()
    mac = Sa5x(rig.card.serial(Role.MAC), rig.timebase)
    mac.identify()
    assert not mac.status(full=True).locked
    assert rig.until(lambda: any(fix.fix_ok for fix in rig.seen(GnssFix)), within_s=60) > 15
    assert rig.until(lambda: mac.status(full=True).locked, within_s=400) > 200


def test_options_are_checked_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="mac='rb': must be one of"):
        build_in_process(mac="rb")
    with pytest.raises(SeriesError, match="cannot read"):
        build_in_process(gnss_phase=tmp_path / "absent.txt")
    with pytest.raises(FaultError, match="cannot read"):
        build_in_process(faults=tmp_path / "absent.toml")


# --- recorded series --------------------------------------------------------------------------------


def test_recorded_oscillator_and_pulses_are_exact(shared_dir: Path) -> None:
    frequency = shared_dir / "data/clocks/ocxo_vs_hmaser_frequency_hz.txt.gz"
    phase = shared_dir / "data/clocks/gps_1pps_vs_hmaser_phase_s.txt.gz"
    rig = Rig(seed=1, mac="none", oscillator=frequency, gnss_phase=phase).start()
    start_ns = rig.virtual.truth().true_tai_ns
    before = rig.virtual.truth().card_error_ns
    rig.run(200)
    truth = rig.virtual.truth()
    options = rig.virtual.card.options
    assert (start_ns - options.start_tai_ns) % S != 0
    assert truth.free_oscillator_ns == rig.virtual.card.oscillator.phase_ns(truth.true_tai_ns)
    whole = (truth.true_tai_ns - options.start_tai_ns) // S
    at_whole = rig.virtual.card.oscillator.phase_ns(options.start_tai_ns + whole * S)
    assert at_whole == pytest.approx(float(read_frequency_ppb(frequency)[:whole].sum()), abs=1e-6)
    assert truth.card_error_ns - before == pytest.approx(
        12.7 * 200, rel=0.02
    )  # the file's mean, Hz of 10 MHz
    second = (truth.true_tai_ns // S) - options.start_tai_ns // S
    assert rig.virtual.card.gnss.edge(truth.true_tai_ns // S).error_ns == read_phase_ns(phase)[second]
    assert all(label.qerr_ns is None for label in rig.seen(PulseLabel))
    assert not rig.virtual.series_ended


def test_the_end_of_a_series_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "phase.txt"
    path.write_text("2e-8\n" * 40, encoding="utf-8")
    rig = Rig(gnss_phase=path, repeat_series=False)
    rig.receiver.start()
    rig.run(30)
    assert rig.stamps
    assert not rig.virtual.series_ended
    rig.run(20)
    assert rig.virtual.series_ended
    rig.run(5)
    assert not rig.stamps


def test_a_capture_of_a_real_receiver_on_the_gnss_port(shared_dir: Path) -> None:
    rig = Rig(gnss_capture=shared_dir / "data/gnss/u-blox-m8t-time.log")
    rig.receiver.start()
    rig.run(20)
    assert rig.receiver.identity is not None
    assert "M8" in rig.receiver.identity.model
    assert rig.seen(PulseLabel)
    assert not rig.seen(CorruptData)
    with pytest.raises(FaultError, match="no part that could have it"):
        rig.virtual.inject("jam")


# --- faults -----------------------------------------------------------------------------------------


def test_every_fault_is_possible_on_the_full_card(rig: Rig) -> None:
    assert rig.virtual.card.faults.supported() == list(FAULTS)
    for name in FAULTS:
        rig.virtual.inject(name, seconds=2)
    rig.timebase.sleep_s(30)
    assert rig.virtual.card.faults.in_force() == {}
    rig.run(5)
    assert rig.stamps


def test_antenna_cut(rig: Rig) -> None:
    rig.virtual.inject("antenna-cut")
    assert rig.until(lambda: rig.antenna() is AntennaStatus.OPEN, 10) <= 10
    rig.run(5)
    assert not any(fix.fix_ok for fix in rig.seen(GnssFix))
    assert not rig.stamps
    rig.virtual.clear("antenna-cut")
    rig.run(20)
    assert rig.antenna() is AntennaStatus.OK
    assert rig.seen(GnssFix)[-1].fix_ok
    assert rig.stamps


def test_jamming_lowers_the_signal_and_then_takes_the_fix(rig: Rig) -> None:
    rig.run(12)
    quiet = rig.seen(SatelliteView)[-1].median_cno_dbhz
    accuracy = rig.seen(GnssFix)[-1].time_accuracy_ns
    rig.virtual.inject("jam", magnitude=14)
    rig.run(12)
    assert rig.jamming() is JammingState.CRITICAL
    assert rig.seen(SatelliteView)[-1].median_cno_dbhz == pytest.approx(quiet - 14, abs=2)
    assert rig.seen(GnssFix)[-1].fix_ok
    rig.virtual.inject("jam", drop_db=40)
    rig.run(15)
    last = rig.seen(GnssFix)[-1]
    assert not last.fix_ok
    assert last.time_accuracy_ns is not None
    assert accuracy is not None
    assert last.time_accuracy_ns > 5 * accuracy
    assert not rig.stamps[5:]
    rig.virtual.clear()
    rig.run(20)
    assert rig.jamming() is JammingState.OK
    assert rig.seen(GnssFix)[-1].fix_ok


def test_pps_glitch_moves_exactly_so_many_pulses(rig: Rig) -> None:
    rig.run(5)
    usual = statistics.median(rig.offsets_ns())
    rig.virtual.inject("pps-glitch", late_ns=500, count=2)
    rig.run(10)
    off = [round((offset - usual) / 100) for offset in rig.offsets_ns()]
    assert off == [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]


def test_pps_step_stays_until_it_is_cleared(rig: Rig) -> None:
    rig.run(5)
    usual = statistics.median(rig.offsets_ns())
    rig.virtual.inject("pps-step", magnitude=-300, seconds=6)
    rig.run(10)
    assert [round((offset - usual) / 100) for offset in rig.offsets_ns()] == [-3] * 6 + [0] * 4


def test_pps_ramp_runs_away(rig: Rig) -> None:
    rig.run(5)
    usual = statistics.median(rig.offsets_ns())
    rig.virtual.inject("pps-ramp", ns_per_s=50)
    rig.run(20)
    assert rig.offsets_ns()[-1] - usual == pytest.approx(50 * 19, abs=20)


def test_pps_stop_while_messages_go_on(rig: Rig) -> None:
    rig.virtual.inject("pps-stop", seconds=5)
    rig.run(5)
    assert not rig.stamps
    assert len(rig.seen(PulseLabel)) == 5
    assert all(fix.fix_ok for fix in rig.seen(GnssFix))
    rig.run(5)
    assert len(rig.stamps) == 5


@pytest.mark.parametrize(("arguments", "off_s"), [({"magnitude": 1}, 1), ({"off_s": -3}, -3)])
def test_wrong_time(rig: Rig, arguments: dict[str, int], off_s: int) -> None:
    rig.virtual.inject("wrong-time", **arguments)
    rig.run(5)
    true_s = rig.virtual.truth().true_tai_ns // S
    assert rig.seen(PulseLabel)[-1].edge_tai_ns == (true_s + 1 + off_s) * S
    assert all(abs(offset) < 25 for offset in rig.offsets_ns())
    rig.virtual.clear("wrong-time")
    rig.run(3)
    assert rig.seen(PulseLabel)[-1].edge_tai_ns == (true_s + 4) * S


def test_wrong_week_is_a_date_that_the_driver_does_not_believe(rig: Rig) -> None:
    rig.virtual.inject("wrong-time", weeks=-1024)
    rig.run(5)
    assert all(label.edge_tai_ns is None for label in rig.seen(PulseLabel)[1:])


def test_mac_unlock(rig: Rig) -> None:
    mac = Sa5x(rig.card.serial(Role.MAC), rig.timebase)
    mac.identify()
    assert mac.status(full=True).locked
    rig.virtual.inject("mac-unlock")
    before = rig.virtual.truth()
    rig.run(50)
    after = rig.virtual.truth()
    assert not mac.status(full=True).locked
    rate_ppb = (after.card_error_ns - before.card_error_ns) / (after.true_tai_ns - before.true_tai_ns) * 1e9
    assert rate_ppb == pytest.approx(40.0, rel=0.02)
    rig.virtual.clear("mac-unlock")
    assert rig.until(lambda: mac.status(full=True).locked, within_s=120) > 10


def test_frequency_jump(rig: Rig) -> None:
    rig.virtual.inject("frequency-jump", ppb=-5)
    before = rig.virtual.truth().card_error_ns
    rig.run(100)
    assert rig.virtual.truth().card_error_ns - before == pytest.approx(-500, abs=5)


def test_temperature_step(rig: Rig) -> None:
    mac = Sa5x(rig.card.serial(Role.MAC), rig.timebase)
    mac.identify()
    before = mac.status(full=True).temperature_mdegc
    assert before is not None
    rig.virtual.inject("temperature-step", delta_c=-8)
    rig.timebase.sleep_s(6 * 900)
    after = mac.status(full=True).temperature_mdegc
    assert after is not None
    assert after - before == pytest.approx(-8000, abs=50)


def test_serial_garbage_is_counted_and_what_is_whole_still_comes(rig: Rig) -> None:
    mac = Sa5x(rig.card.serial(Role.MAC), rig.timebase)
    mac.identify()
    rig.virtual.inject("serial-garbage", magnitude=5)
    rig.run(30)
    assert rig.seen(CorruptData)
    assert rig.receiver.health().corrupt_bytes > 0
    assert 10 <= len(rig.seen(GnssFix)) < 30
    assert mac.status(full=True).locked
    rig.virtual.clear()
    rig.run(2)
    rig.run(10)
    assert not rig.seen(CorruptData)
    assert len(rig.seen(GnssFix)) == 10


def test_dead_card_answers_all_ones_until_cleared(rig: Rig) -> None:
    error_ns = rig.virtual.truth().card_error_ns
    rig.virtual.inject("dead-card", seconds=10)
    assert rig.virtual.bus.read32(0x0100_0000) == 0xFFFF_FFFF
    with pytest.raises(DeviceLostError):
        rig.card.clock.now_tai_ns()
    with pytest.raises(DeviceLostError):
        rig.card.timestamper("ts0").poll()
    with pytest.raises(DeviceLostError):
        rig.receiver.poll(0)
    rig.timebase.sleep_s(12)
    assert abs(rig.card.clock.now_tai_ns() - rig.virtual.truth().true_tai_ns) < 1000
    assert rig.virtual.truth().card_error_ns == pytest.approx(error_ns, abs=2)


def test_a_schedule_runs_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text('[[fault]]\nat_s = 40\nfault = "pps-stop"\nseconds = 10\n', encoding="utf-8")
    rig = Rig(seed=3, faults=path)
    rig.receiver.start()
    rig.run(60)
    seconds = [stamp.read_mono_ns // S for stamp in rig.stamps]
    gaps = [later - earlier for earlier, later in pairwise(seconds)]
    assert max(gaps) == 11
    assert sum(gap > 1 for gap in gaps) == 1
