"""Faults of ``tests/data/oscillator-faults.toml``: found in time, named right, gone when they are gone."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.unit.mac.fault_bench import INJECTORS, Watched, first_difference_ns, overhear, watched, wear
from tests.unit.mac.part_bench import PartBench
from timecard.emulator.csac_engine import METER, CsacSettings
from timecard.errors import DeviceLostError, ProtocolError, RefusedError, TimeCardError
from timecard.mac.alarms import ALARMS, OscillatorMonitor
from timecard.mac.driver import SelfDiscipline
from timecard.mac.oscillators import OSCILLATORS
from timecard.timescale import NS_PER_S
from timecard.values import OscillatorStatus

FAULTS: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parents[2] / "data" / "oscillator-faults.toml").read_text()
)["fault"]
WARM_S = {"temperature-unstable": 1_000, "phase-runaway": 70, "warm-up-too-long": 0}
WITHIN_S = 1.0
"""Unless the list says otherwise, and why."""
ROUND_S = 20
"""In such a time every value of a part is asked for."""
CLEARS_S = 900


def test_the_list_is_long_enough_and_names_what_there_is() -> None:
    assert len(FAULTS) >= 15
    assert len({fault["id"] for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        assert set(fault["expect"]) | set(fault.get("also", ())) <= set(ALARMS), fault["id"]
        assert fault["unusable"] == any(ALARMS[name].unusable for name in fault["expect"]), fault["id"]
    assert {fault["part"] for fault in FAULTS} == {"sa5x", "csac", "sa3xm", "mro50", "rod2522"}


def shows(fault: dict[str, Any], item: OscillatorStatus | TimeCardError, limits: Any) -> set[str]:
    """Of the expected alarms, those that this status or error shows by itself: the oracle for "in time"."""
    if isinstance(item, TimeCardError):
        return {"silent"} & set(fault["expect"]) if "within" in item.reason else set()
    shown = set()
    low, high = limits.temperature_mdegc
    if item.temperature_mdegc is not None and not low <= item.temperature_mdegc <= high:
        shown.add("temperature-out-of-range")
    if not item.locked:
        shown.add("unlocked")
    for bit, known in limits.alarm_bits.items():
        if item.alarms >> bit & 1:
            shown.add(known.name)
    return shown & set(fault["expect"])


@pytest.mark.parametrize("fault", FAULTS, ids=[fault["id"] for fault in FAULTS])
def test_a_fault_is_found_named_and_cleared(fault: dict[str, Any]) -> None:
    if fault["inject"] == "wear":
        part = watched("csac", "silent")
        part.feed(wear(0))
        part.feed(wear(fault["value"]))
        named_right(part, fault)
        return
    part, healthy = (watched(fault["part"], fault["inject"]) for _ in range(2))
    for each in (part, healthy):
        for _ in each.seconds(WARM_S.get(fault["expect"][0], 30)):
            pass
    assert part.events == [], "false alarm before the fault"
    part.seen.clear()
    before_ns = part.bench.time.mono_ns()
    undo = INJECTORS[fault["inject"]](part.bench, fault.get("value"))
    begun_ns = part.bench.time.mono_ns()
    healthy.bench.time.sleep_s((begun_ns - before_ns) / NS_PER_S)
    wires = overhear(part.bench), overhear(healthy.bench)
    within_s = fault.get("within_s", WITHIN_S)
    shown_ns: dict[str, int] = {}
    for _ in part.seconds(round(within_s) + ROUND_S):
        for name in shows(fault, part.seen[-1], part.bench.driver.limits):
            shown_ns.setdefault(name, part.bench.time.mono_ns())
        if set(fault["expect"]) <= {alarm.name for alarm in part.events}:
            break
    for _ in healthy.seconds(len(part.seen)):
        pass
    named_right(part, fault)
    found_ns = {alarm.name: alarm.read_mono_ns for alarm in reversed(part.events) if alarm.active}
    # A warm-up that does not end is a healthy one until then.
    evidence_ns = first_difference_ns(*wires) or begun_ns
    for name in fault["expect"]:
        late_s = (found_ns[name] - evidence_ns) / NS_PER_S
        assert 0 <= late_s <= within_s, f"{name}: {late_s:.3f} s after the first byte that shows it"
    for name, at_ns in shown_ns.items():
        assert found_ns[name] <= at_ns, f"{name} was shown by an answer before"
    assert all(alarm.evidence for alarm in part.events)
    assert part.monitor.usable == (not fault["unusable"] and not also_unusable(part, fault))
    undo()
    if fault["inject"] == "endless-warm-up":
        return
    for _ in part.seconds(CLEARS_S):
        if not part.monitor.active:
            break
    assert not part.monitor.active
    assert part.monitor.usable
    quiet = len(part.events)
    for _ in part.seconds(30):
        pass
    assert len(part.events) == quiet, "an alarm comes back"
    for name in fault["expect"]:
        assert [alarm.active for alarm in part.events if alarm.name == name] == [True, False]


def named_right(part: Watched, fault: dict[str, Any]) -> None:
    begun = {alarm.name for alarm in part.events if alarm.active}
    assert set(fault["expect"]) <= begun
    assert begun <= set(fault["expect"]) | set(fault.get("also", ()))


def also_unusable(part: Watched, fault: dict[str, Any]) -> bool:
    active = part.monitor.active
    return any(active[name].unusable for name in fault.get("also", ()) if name in active)


# --- clean runs ---


def clean_part(name: str) -> Watched:
    """From cold, then steered or disciplined as in use."""
    if name in ("rod2522", "quartz"):
        return watched(name, "")
    if name == "sa5x-own-loop":
        bench = PartBench("sa5x", warmup_s=300.0, offset_ppb=0.5)
        bench.part.begin_self_disciplining(SelfDiscipline(time_constant_s=50, phase_limit_ns=1000))
        return Watched(bench)
    if name == "csac-own-loop":
        bench = PartBench("csac", warmup_s=150.0, offset_ppb=2.0, settings=CsacSettings(mode=METER))
        bench.part.begin_self_disciplining(SelfDiscipline(time_constant_s=100))
        return Watched(bench)
    return Watched(PartBench(name, warmup_s=150.0))


CLEAN = ("sa5x", "sa5x-own-loop", "csac", "csac-own-loop", "sa65", "sa3xm", "mro50", "rod2522", "quartz")


def run_clean(name: str, hours: float) -> None:
    part = clean_part(name)
    for _ in part.seconds(round(hours * 3600)):
        part.seen.clear()
        if part.events:
            break
    assert part.events == []


@pytest.mark.parametrize("name", CLEAN)
def test_a_healthy_part_raises_no_alarm(name: str) -> None:
    run_clean(name, 0.5)


@pytest.mark.full
@pytest.mark.parametrize("name", CLEAN)
def test_a_healthy_part_raises_no_alarm_in_24_hours(name: str) -> None:
    run_clean(name, 24.0)


# --- the monitor by itself ---


def status(**changes: Any) -> OscillatorStatus:
    fields: dict[str, Any] = {
        "locked": True,
        "lock_progress_percent": 100,
        "frequency_ppb": 0.0,
        "phase_ns": 1.0,
        "pps_detected": True,
        "temperature_mdegc": 40_000,
        "alarms": 0,
        "alarm_names": (),
        "read_mono_ns": 0,
    }
    return OscillatorStatus(**{**fields, **changes})


def test_each_kind_of_error_has_its_alarm() -> None:
    for error, name in (
        (DeviceLostError("mac", "read", "gone"), "lost"),
        (ProtocolError("mac", "read", "damaged"), "damaged-answers"),
        (RefusedError("mac", "set", "range"), "refused"),
    ):
        monitor = OscillatorMonitor(OSCILLATORS["sa5x"].limits)
        events = monitor.feed(error, 0)
        assert [(alarm.name, alarm.active) for alarm in events] == [(name, True)]
        assert monitor.feed(error, NS_PER_S) == ()
        ended = monitor.feed(status(), 60 * NS_PER_S)
        assert [(alarm.name, alarm.active, alarm.unusable) for alarm in ended] == [(name, False, False)]


def test_silence_does_not_hide_what_was_wrong_before() -> None:
    monitor = OscillatorMonitor(OSCILLATORS["sa5x"].limits)
    monitor.feed(status(), 0)
    monitor.feed(status(alarms=1), NS_PER_S)
    monitor.feed(DeviceLostError("mac", "read", "gone"), 2 * NS_PER_S)
    assert set(monitor.active) == {"fpga-fault", "lost"}


def test_limits_have_hysteresis() -> None:
    monitor = OscillatorMonitor(OSCILLATORS["sa5x"].limits)
    now = 0
    seen = []
    for mdegc in (74_900, 75_100, 74_900, 73_500, 72_900, 74_900, 75_100):
        now += NS_PER_S
        seen += [alarm.active for alarm in monitor.feed(status(temperature_mdegc=mdegc), now)]
    assert seen == [True, False, True]


def test_stray_noise_is_no_fault() -> None:
    monitor = OscillatorMonitor(OSCILLATORS["csac"].limits)
    dropped = 0
    for second in range(3600):
        dropped += second % 31 == 0
        assert monitor.feed(status(dropped=dropped), second * NS_PER_S) == ()
    events = monitor.feed(status(dropped=dropped + 3), 3600 * NS_PER_S)
    assert [alarm.name for alarm in events] == ["damaged-answers"]


def test_a_commanded_jump_from_far_away_is_no_run_away() -> None:
    monitor = OscillatorMonitor(OSCILLATORS["sa5x"].limits)
    pull_in = [2e8, 2e8, 150.0, -50.0, -1500.0, -300.0]
    for second, phase_ns in enumerate(pull_in + [3.0, 4.0] * 31):
        assert monitor.feed(status(phase_ns=phase_ns), second * NS_PER_S) == ()
    events = monitor.feed(status(phase_ns=-1001.0), 99 * NS_PER_S)
    assert [alarm.name for alarm in events] == ["phase-runaway"]


def test_a_thermometer_that_fails() -> None:
    monitor = OscillatorMonitor(OSCILLATORS["mro50"].limits)
    assert monitor.feed(status(temperature_mdegc=None), 0) == ()
    monitor.feed(status(), NS_PER_S)
    events = monitor.feed(status(temperature_mdegc=None), 2 * NS_PER_S)
    assert [(alarm.name, alarm.unusable) for alarm in events] == [("thermometer-fault", False)]


def test_every_alarm_of_a_driver_is_in_the_table() -> None:
    for driver in OSCILLATORS.values():
        assert {bit.name for bit in driver.limits.alarm_bits.values()} <= set(ALARMS)
