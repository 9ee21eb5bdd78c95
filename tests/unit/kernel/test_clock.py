"""The card's clock through the driver: how a step is made, on a clock whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from tests.unit.kernel.simulated_phc import SimulatedPhc
from timecard.emulator.world import VirtualTime
from timecard.errors import RefusedError
from timecard.kernel.clock import SLEW_LIMIT_NS, KernelClock
from timecard.kernel.driver import DriverFacts, Variant
from timecard.kernel.phc import Phc
from timecard.kernel.sysfs import SysfsDevice
from timecard.timescale import NS_PER_S

MAINLINE = DriverFacts(variant=Variant.MAINLINE, kernel="6.12.0", version=None, vectors=None)


class SettablePhc(SimulatedPhc):
    """It is loaded ``late_ns`` after the reading that was added to, and remembers what was asked of it."""

    def __init__(self, late_ns: int) -> None:
        super().__init__(0, [2_000] * 5, 0.5, (6, 12))
        self.late_ns = late_ns
        self.offset_ns = 0
        self.adjustments: list[int] = []

    def clock_ns(self, raw_ns: int) -> int:
        return super().clock_ns(raw_ns) + self.offset_ns

    def now_ns(self) -> int:
        return self.clock_ns(self.raw_ns)

    def set_ns(self, value_ns: int) -> None:
        self.raw_ns += self.late_ns
        self.offset_ns += value_ns - self.now_ns()

    def adjust_ns(self, delta_ns: int) -> None:
        self.adjustments.append(delta_ns)
        self.offset_ns += delta_ns


def step_s(phc: SettablePhc, sysfs: Path, delta_ns: int) -> float:
    """Step, and tell how long that waited."""
    time = VirtualTime(0)
    clock = KernelClock(cast(Phc, phc), SysfsDevice(sysfs), MAINLINE, time)
    begin_ns = time.mono_ns()
    clock.step_ns(delta_ns)
    return (time.mono_ns() - begin_ns) / NS_PER_S


@pytest.mark.parametrize("delta_ns", [NS_PER_S, -10 * NS_PER_S, 3_600 * NS_PER_S + 123_456_789])
def test_a_large_step_is_loaded_and_made_up_for_its_latency(tmp_path: Path, delta_ns: int) -> None:
    phc = SettablePhc(late_ns=1_234)
    assert step_s(phc, tmp_path, delta_ns) > 1, "the driver slews what is small, which has to be waited for"
    assert phc.adjustments == [1_234]
    assert phc.offset_ns == delta_ns


def test_what_is_left_below_a_tick_is_left(tmp_path: Path) -> None:
    phc = SettablePhc(late_ns=15)
    assert step_s(phc, tmp_path, 5 * NS_PER_S) == 0
    assert phc.adjustments == []
    assert phc.offset_ns == 5 * NS_PER_S - 15


@pytest.mark.parametrize(("delta_ns", "waits"), [(SLEW_LIMIT_NS - 1, True), (-NS_PER_S + 1, False)])
def test_a_small_step_is_the_drivers(tmp_path: Path, delta_ns: int, waits: bool) -> None:
    phc = SettablePhc(late_ns=1_234)
    assert (step_s(phc, tmp_path, delta_ns) > 1) is waits
    assert phc.adjustments == [delta_ns]


def test_a_time_that_the_card_cannot_hold_is_refused(tmp_path: Path) -> None:
    phc = SettablePhc(late_ns=0)
    with pytest.raises(RefusedError, match="32-bit seconds"):
        step_s(phc, tmp_path, -(1 << 31) * NS_PER_S)
    assert phc.offset_ns == 0
