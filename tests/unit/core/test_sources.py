"""A failing source is reported once, tried again with growing pauses, and reported back."""

from __future__ import annotations

from collections.abc import Iterable

from appliance.events import (
    Event,
    GnssEdge,
    OscillatorReport,
    SourceFault,
    SourceRestored,
    SteeringApplied,
    Tick,
)
from appliance.sources import OscillatorSource, SourceRunner, edge_runner
from timecard.errors import DeviceLostError, DeviceTimeoutError, RefusedError
from timecard.gnss.integrity import IntegrityMonitor
from timecard.mac.alarms import OscillatorMonitor
from timecard.mac.oscillators import OSCILLATORS
from timecard.mac.wear import WearLimit, WearUsage
from timecard.values import Alarm, EdgeStamp, OscillatorIdentity, OscillatorStatus


class Stopwatch:
    def __init__(self) -> None:
        self.now_ns = 0

    def mono_ns(self) -> int:
        return self.now_ns

    def sleep_s(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


def test_fault_once_then_restored() -> None:
    watch = Stopwatch()
    broken = True
    calls = 0

    def poll() -> Iterable[Event]:
        nonlocal calls
        calls += 1
        if broken:
            raise DeviceLostError("ttyS1", "read", "gone")
        return [Tick(mono_ns=watch.now_ns, card_tai_ns=None)]

    runner = SourceRunner("gnss", poll, watch, period_s=0.1)
    events: list[Event] = []
    for _ in range(100):
        events.extend(runner.step())
        watch.sleep_s(0.1)
    assert [type(e) for e in events] == [SourceFault]
    assert calls < 8, "the pauses grow"
    broken = False
    watch.sleep_s(10)
    events = list(runner.step())
    assert isinstance(events[0], SourceRestored)
    assert runner.last_error is None


def test_a_source_is_started_again_after_a_fault() -> None:
    watch = Stopwatch()
    starts = 0
    fail = False

    def start() -> None:
        nonlocal starts
        starts += 1

    def poll() -> Iterable[Event]:
        if fail:
            raise DeviceLostError("ttyS1", "read", "gone")
        return ()

    runner = SourceRunner("gnss", poll, watch, period_s=0.1, start=start)
    runner.step()
    runner.step()
    assert starts == 1
    fail = True
    runner.step()
    fail = False
    watch.sleep_s(1)
    runner.step()
    assert starts == 2


class FakeOscillator:
    max_frequency_ppb = 20.0

    def __init__(self) -> None:
        self.ppb = 0.0
        self.resets = 0

    def identify(self) -> OscillatorIdentity:
        return OscillatorIdentity(family="sa5x", model="SA53", serial="1", firmware="1")

    def status(self) -> OscillatorStatus:
        return OscillatorStatus(
            locked=True, lock_progress_percent=100, frequency_ppb=self.ppb, phase_ns=None, pps_detected=True,
            temperature_mdegc=None, alarms=0, alarm_names=(), resets=self.resets, read_mono_ns=0,
        )  # fmt: skip

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        self.ppb = round(frequency_ppb, 6)
        return self.ppb


def test_the_newest_steering_wins_and_is_reported_as_applied() -> None:
    oscillator = FakeOscillator()
    source = OscillatorSource(oscillator, Stopwatch(), on_start=lambda: None)
    source.steer(1.0)
    source.steer(2.0000004)
    events = source.runner.step()
    applied = [e for e in events if isinstance(e, SteeringApplied)]
    assert [e.frequency_ppb for e in applied] == [2.0]
    assert not [e for e in source.runner.step() if isinstance(e, SteeringApplied)]


def test_a_part_that_was_restarted_is_set_up_again_and_its_report_is_not_lost() -> None:
    oscillator, watch = FakeOscillator(), Stopwatch()
    starts: list[int] = []
    fails = False

    def set_up() -> None:
        starts.append(oscillator.resets)
        if fails:
            raise DeviceTimeoutError("ttyS2", "set", "no answer")

    source = OscillatorSource(oscillator, watch, on_start=set_up)
    source.runner.step()
    source.runner.step()
    assert starts == [0]
    oscillator.resets, fails = 1, True
    reports = [e for e in source.runner.step() if isinstance(e, OscillatorReport)]
    assert [e.status.resets for e in reports] == [1]
    assert [type(e) for e in source.runner.step()] == [SourceFault]
    fails = False
    watch.sleep_s(10)
    assert any(isinstance(e, OscillatorReport) for e in source.runner.step())
    assert starts.count(1) >= 2
    before = len(starts)
    watch.sleep_s(1)
    source.runner.step()
    assert len(starts) == before, "once is enough"


def test_writes_that_near_the_limit_are_an_alarm_and_an_unreadable_count_is_no_fault() -> None:
    oscillator, watch = FakeOscillator(), Stopwatch()
    counts: list[int | None] = [0, 4_500, None]

    def usage() -> WearUsage:
        life = counts.pop(0)
        if life is None:
            raise RefusedError("writes.json", "read", "no count")
        return WearUsage(family="sa5x", serial="1", today=0, life=life, limit=WearLimit(24, 5_000))

    monitor = OscillatorMonitor(OSCILLATORS["sa5x"].limits)
    source = OscillatorSource(oscillator, watch, on_start=lambda: None, monitor=monitor, usage=usage)
    said = []
    for _ in range(3):
        events = source.runner.step()
        assert any(isinstance(e, OscillatorReport) for e in events)
        said.append({e.name for e in events if isinstance(e, Alarm)})
        watch.sleep_s(600)
    assert ["oscillator-wear-limit-near" in names for names in said] == [False, True, False]
    assert "wear-limit-near" in monitor.active


class Pulses:
    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch

    def poll(self) -> EdgeStamp:
        return EdgeStamp(
            channel="ts0", card_tai_ns=0, event_count=1, dropped=False, read_mono_ns=self.watch.now_ns
        )


def test_the_receivers_watch_is_told_of_pulses() -> None:
    watch, seen = Stopwatch(), []

    class Monitor(IntegrityMonitor):
        def note_pulse(self, now_mono_ns: int) -> None:
            seen.append(now_mono_ns)

    watch.sleep_s(7)
    edge_runner("pps", Pulses(watch), GnssEdge, watch, Monitor()).step()
    assert seen == [7_000_000_000]
