"""A failing source is reported once, tried again with growing pauses, and reported back."""

from __future__ import annotations

from collections.abc import Iterable

from appliance.events import Event, SourceFault, SourceRestored, SteeringApplied, Tick
from appliance.sources import OscillatorSource, SourceRunner
from timecard.errors import DeviceLostError
from timecard.values import OscillatorIdentity, OscillatorStatus


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

    def identify(self) -> OscillatorIdentity:
        return OscillatorIdentity(family="sa5x", model="SA53", serial="1", firmware="1")

    def status(self) -> OscillatorStatus:
        return OscillatorStatus(
            locked=True, lock_progress_percent=100, frequency_ppb=self.ppb, phase_ns=None, pps_detected=True,
            temperature_mdegc=None, alarms=0, alarm_names=(), read_mono_ns=0,
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
