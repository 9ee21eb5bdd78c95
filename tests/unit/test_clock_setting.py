"""A step by loading, on a clock whose every access takes time."""

from __future__ import annotations

import pytest

from timecard.clock_setting import MAX_SECONDS, refuse_what_does_not_fit, step_by_loading
from timecard.errors import ProtocolError, RefusedError
from timecard.timescale import NS_PER_S
from timecard.values import CrossTimestamp


class SlowClock:
    """Reading takes 700 ns, loading 900 ns; what is loaded is in force at the end."""

    name = "slow"

    def __init__(self, *, loads: bool = True) -> None:
        self.raw_ns = 5 * NS_PER_S
        self.ahead_ns = 1_700_000_000 * NS_PER_S
        self.loads = loads

    def now_tai_ns(self) -> int:
        now_ns = self.raw_ns + self.ahead_ns
        self.raw_ns += 700
        return now_ns

    def set_tai_ns(self, tai_ns: int) -> None:
        self.raw_ns += 900
        if self.loads:
            self.ahead_ns = tai_ns - self.raw_ns

    def cross_timestamp(self) -> CrossTimestamp:
        self.raw_ns += 1_500
        return CrossTimestamp(
            card_tai_ns=self.raw_ns + self.ahead_ns,
            mono_raw_ns=self.raw_ns,
            half_width_ns=0.0,
            method="bracket",
        )


@pytest.mark.parametrize("delta_ns", [NS_PER_S, -7 * NS_PER_S, 3_600 * NS_PER_S + 123_456_789])
def test_what_the_latency_took_away_is_told(delta_ns: int) -> None:
    clock = SlowClock()
    wanted_ns = clock.ahead_ns + delta_ns
    left_ns = step_by_loading(clock, delta_ns)
    assert left_ns == 1_600
    assert clock.ahead_ns + left_ns == wanted_ns


@pytest.mark.parametrize("delta_ns", [NS_PER_S, -7 * NS_PER_S])
def test_a_clock_that_takes_no_time_is_an_error(delta_ns: int) -> None:
    with pytest.raises(ProtocolError, match=f"slow: step: .* off by {delta_ns} ns"):
        step_by_loading(SlowClock(loads=False), delta_ns)


def test_seconds_have_32_bits() -> None:
    refuse_what_does_not_fit("card clock", 0)
    refuse_what_does_not_fit("card clock", MAX_SECONDS * NS_PER_S - 1)
    for tai_ns in (-1, MAX_SECONDS * NS_PER_S):
        with pytest.raises(RefusedError, match=r"card clock: set: .* 32-bit"):
            refuse_what_does_not_fit("card clock", tai_ns)
