"""What the faults of ``tests/data/oscillator-faults.toml`` do to emulated parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

from tests.unit.mac.part_bench import I2cBench, PartBench
from timecard.emulator.csac_engine import DISCIPLINE, LOW_POWER, METER, CsacSettings
from timecard.errors import TimeCardError
from timecard.mac.alarms import OscillatorMonitor
from timecard.mac.driver import SelfDiscipline
from timecard.mac.wear import LIMITS, WearUsage
from timecard.timescale import NS_PER_S
from timecard.values import Alarm, OscillatorStatus

Undo = Callable[[], None]
Heard = list[tuple[int, int]]
"""Bytes of a part, each with the time at which the host had it (ns)."""


def nothing() -> None:
    """The fault ends by itself."""


def overhear(bench: Any) -> Heard:
    """Fills with what comes from the part from now on."""
    heard: Heard = []
    line, name = (bench.bus, "transfer") if isinstance(bench, I2cBench) else (bench.wire, "read")
    inner = getattr(line, name)

    def noting(*arguments: Any) -> bytes:
        data: bytes = inner(*arguments)
        now_ns = bench.time.mono_ns()
        heard.extend((now_ns, byte) for byte in data)
        return data

    setattr(line, name, noting)
    return heard


def first_difference_ns(heard: Heard, healthy: Heard) -> int | None:
    """When the first byte came that a healthy part would not have sent, or was due and did not come."""
    for pair in zip_longest(heard, healthy):
        here, there = pair
        if here is None or there is None or here[1] != there[1]:
            return min(each[0] for each in pair if each is not None)
    return None


class Watched:
    """A part, its driver, its monitor, and everything that was said."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.monitor = OscillatorMonitor(bench.driver.limits)
        self.events: list[Alarm] = []
        self.seen: list[OscillatorStatus | TimeCardError] = []

    def second(self) -> tuple[Alarm, ...]:
        """One round, as a source does it once a second."""
        time = self.bench.time
        time.sleep_s(1 - time.mono_ns() % NS_PER_S / NS_PER_S)
        item: OscillatorStatus | TimeCardError
        try:
            item = self.bench.part.status()
        except TimeCardError as error:
            item = error
        self.seen.append(item)
        events = self.monitor.feed(item, time.mono_ns())
        self.events += events
        return events

    def feed(self, item: WearUsage) -> None:
        self.events += self.monitor.feed(item, self.bench.time.mono_ns())

    def seconds(self, count: int) -> Iterator[tuple[Alarm, ...]]:
        for _ in range(count):
            yield self.second()


def watched(part: str, inject: str) -> Watched:
    """A part that is well, in the state in which the fault matters."""
    if part in ("rod2522", "quartz"):
        return Watched(I2cBench(part))
    if inject == "endless-warm-up":
        return Watched(PartBench(part, warmup_s=1e6))
    if part == "csac":
        mode = DISCIPLINE if inject == "no-pulse" else METER
        bench = PartBench(part, settings=CsacSettings(mode=mode, sleep_s=1800, wake_s=600))
        bench.run(3)
        if mode == METER:
            bench.part.sync_pulse()
        return Watched(bench)
    bench = PartBench(part)
    if part == "sa5x":
        bench.part.begin_software_steering()
        bench.part.sync_pulse()
        if inject == "no-pulse":
            bench.part.begin_self_disciplining(SelfDiscipline(time_constant_s=50, phase_limit_ns=1000))
        bench.run(3)
    elif part == "mro50":
        bench.part.set_frequency_ppb(0.5)
    return Watched(bench)


def _switch(name: str) -> Callable[[Any, Any], Undo]:
    def start(bench: Any, value: Any) -> Undo:
        before = getattr(bench.device, name)
        setattr(bench.device, name, value if value is not None else True)
        return lambda: setattr(bench.device, name, before)

    return start


def _unlock(bench: Any, value: Any) -> Undo:
    bench.device.unlock(bench.time.true_tai_ns())
    return lambda: bench.device.relock(bench.time.true_tai_ns())


def _no_pulse(bench: Any, value: Any) -> Undo:
    bench.pulses.present = False

    def back() -> None:
        bench.pulses.present = True

    return back


def _steer(bench: Any, value: Any) -> Undo:
    bench.part.set_frequency_ppb(value)

    def back() -> None:
        bench.part.set_frequency_ppb(0.0)
        if hasattr(bench, "pulses") and bench.part.capabilities & {"sync-pulse"}:
            bench.part.sync_pulse()

    return back


def _temperature(bench: Any, value: Any) -> Undo:
    target = bench.bus if isinstance(bench, I2cBench) else bench.thermal
    before = target.celsius
    target.celsius = value

    def back() -> None:
        target.celsius = before

    return back


def _silent(bench: Any, value: Any) -> Undo:
    return _switch("gone" if isinstance(bench, I2cBench) else "silent")(bench, True)


def _restart(bench: Any, value: Any) -> Undo:
    bench.device.restart(bench.time.true_tai_ns())
    return nothing


def _sleep(bench: Any, value: Any) -> Undo:
    device = bench.device
    device._engine.set_mode(LOW_POWER, True, bench.time.true_tai_ns())
    bench.run(601)
    return lambda: device._engine.set_mode(LOW_POWER, False, bench.time.true_tai_ns())


INJECTORS: dict[str, Callable[[Any, Any], Undo]] = {
    "unlock": _unlock,
    "endless-warm-up": lambda bench, value: nothing,
    "alarm-bits": _switch("fault_alarms"),
    "contrast": _switch("contrast"),
    "no-pulse": _no_pulse,
    "steer": _steer,
    "temperature": _temperature,
    "silent": _silent,
    "truncated": _switch("truncated"),
    "garbage": _switch("garbage_bytes"),
    "wrong-speed": _switch("wrong_speed"),
    "restart": _restart,
    "sleep": _sleep,
}


def wear(value: int) -> WearUsage:
    return WearUsage(family="csac", serial="1209CS00909", today=0, life=value, limit=LIMITS["csac"])
