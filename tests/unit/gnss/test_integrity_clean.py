"""Receivers without a fault raise no alarm: emulated ones for a day, real ones in all recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.gnss.integrity_bench import Bench
from timecard.emulator.receiver_navigation import Start
from timecard.gnss.capture import replay
from timecard.gnss.integrity import IntegrityMonitor
from timecard.timescale import NS_PER_S

KINDS = ("f9t", "f9t-00b", "f10t", "m9n", "m8t", "mosaic", "nmea")
HONEST = {
    "pygpsdata-MON.log": {"jamming-critical"},  # jammingState 3, indicator 255
    "pygpsdata-SEC.log": {"jamming-warning", "spoofing"},  # samples of the detectors' answers
    "ucenter-ZEDF9P-configdebug.log": {"time-inaccurate"},  # 1042 ns just after the start
}
"""Recordings that show faults, and which."""


def clean_run(kind: str, seconds: float, start: Start = Start.HOT, seed: int = 1) -> None:
    bench = Bench(kind, seed=seed, start=start)
    bench.keeps, bench.poll_ns = False, NS_PER_S // 4
    bench.run_s(seconds)
    assert bench.alarms == []
    assert bench.monitor.usable, bench.monitor.reasons


@pytest.mark.parametrize("kind", KINDS)
def test_ten_minutes_without_a_fault(kind: str) -> None:
    clean_run(kind, 600, seed=3)


@pytest.mark.parametrize("kind", ["f9t", "m8t", "mosaic", "nmea"])
def test_a_cold_start_is_no_fault(kind: str) -> None:
    clean_run(kind, 1_000, Start.COLD)


@pytest.mark.full
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("kind", KINDS)
def test_a_day_without_a_fault(kind: str) -> None:
    clean_run(kind, 86_400)


def test_no_recording_of_a_healthy_receiver_raises_an_alarm(shared_dir: Path) -> None:
    found: dict[str, set[str]] = {}
    folder = shared_dir / "data" / "gnss"
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(paths) >= 20
    for path in paths:
        monitor = IntegrityMonitor()
        names = set()
        for event in replay(path):
            for alarm in (*monitor.feed(event, event.read_mono_ns), *monitor.look(event.read_mono_ns)):
                names.add(alarm.name)
        if names:
            found[str(path.relative_to(folder))] = names
    assert found == HONEST
