"""Cross timestamps against a simulated clock and driver: the truth must lie inside every claim."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kernel.simulated_phc import RAW_AHEAD_NS, SimulatedPhc
from timecard.errors import DeviceLostError, DeviceTimeoutError, ProtocolError, RefusedError, UnsupportedError
from timecard.kernel.cross_timestamp import CrossComparer, HostSteppedError, undo_window_adjust
from timecard.kernel.phc_values import Bracket


def comparer(phc: SimulatedPhc, told_ns: int | None, tick_ns: int = 0) -> CrossComparer:
    return CrossComparer(
        phc,  # type: ignore[arg-type]  # as much of a PHC as is used
        window_adjust=lambda: told_ns,
        tick_ns=tick_ns,
        clocks=lambda: (RAW_AHEAD_NS, 30),
    )


@given(
    adjust_ns=st.one_of(st.just(-3), st.just(0), st.integers(1, 300), st.integers(10_000, 1_000_000)),
    told=st.booleans(),
    widths_ns=st.lists(st.integers(2_000, 400_000), min_size=5, max_size=5),
    share=st.floats(0.0, 0.9),
    minor=st.sampled_from([6, 12, 18]),
)
def test_the_truth_is_inside_the_claim(
    adjust_ns: int, told: bool, widths_ns: list[int], share: float, minor: int
) -> None:
    """A driver's honest correction is 3/32 of a read, so what is latched is latched before it."""
    if 0 < adjust_ns <= 300 and adjust_ns * 32 > 3 * min(widths_ns):
        adjust_ns = 3 * min(widths_ns) // 32
    if adjust_ns >= 10_000 and not told:
        told = True  # a positive correction cannot be seen without the attribute
    phc = SimulatedPhc(adjust_ns, widths_ns, share, (6, minor))
    compare = comparer(phc, adjust_ns if told else None)
    stamp = compare.cross_timestamp()
    truth_ns = phc.clock_ns(stamp.mono_raw_ns)
    assert abs(stamp.card_tai_ns - truth_ns) <= stamp.half_width_ns + 1
    assert stamp.method == "bracket"
    # Tight: half the narrowest bracket, and what the conversion of CLOCK_REALTIME costs.
    assert stamp.half_width_ns <= min(widths_ns) / 2 + (31 if minor < 12 else 1)
    assert compare.repaired == (adjust_ns == -3 or adjust_ns >= 10_000) or adjust_ns >= 10_000


def test_the_broken_kernel_is_repaired_whether_or_not_the_attribute_can_be_read() -> None:
    for told in (-3, None):
        phc = SimulatedPhc(-3, [9_000, 4_000, 7_000, 5_000, 6_000], 0.4, (6, 12))
        compare = comparer(phc, told, tick_ns=20)
        stamp = compare.cross_timestamp()
        assert stamp.half_width_ns == 2_010
        assert compare.repaired == 1


def test_a_value_that_was_cured_meanwhile_does_no_harm() -> None:
    phc = SimulatedPhc(0, [5_000] * 5, 0.5, (6, 12))
    assert comparer(phc, -3).cross_timestamp().half_width_ns == 2_500


@given(
    st.integers(0, 1 << 62), st.integers(-(1 << 40), 1 << 40), st.none() | st.integers(-(1 << 31), 1 << 31)
)
def test_undoing_gives_a_bracket_below_a_second_or_none(
    before_ns: int, width_ns: int, adjust_ns: int | None
) -> None:
    undone = undo_window_adjust(Bracket(before_ns, 5, before_ns + width_ns), adjust_ns)
    if undone is not None:
        assert undone.bracket.before_ns == before_ns
        assert 0 <= undone.bracket.after_ns - before_ns < 1_000_000_000


def test_hopeless_brackets_are_an_error() -> None:
    phc = SimulatedPhc(2_000_000_000, [5_000] * 5, 0.5, (6, 12))
    with pytest.raises(ProtocolError, match="every bracket"):
        comparer(phc, 0).cross_timestamp()


def test_a_step_of_the_hosts_clock_is_seen() -> None:
    phc = SimulatedPhc(0, [5_000] * 5, 0.5, (6, 6))
    steps = iter(range(0, 10**9, 10**6))
    compare = CrossComparer(phc, clocks=lambda: (RAW_AHEAD_NS + next(steps), 30))  # type: ignore[arg-type]  # as above
    with pytest.raises(HostSteppedError, match="stepped"):
        compare.cross_timestamp()


def test_the_hardware_comparison_is_preferred_and_its_first_answer_dropped() -> None:
    phc = SimulatedPhc(0, [5_000] * 5, 0.5, (6, 12))
    phc.cross = True
    compare = comparer(phc, 0)
    assert compare.cross_timestamp().method == "ptm"
    assert phc.precise_calls == 2
    compare.cross_timestamp()
    assert phc.precise_calls == 3


def test_a_claimed_comparison_that_gives_nothing_falls_back() -> None:
    phc = SimulatedPhc(0, [5_000] * 5, 0.5, (6, 12))
    phc.cross, phc.ptm_is_on = True, False
    compare = comparer(phc, 0)
    assert [compare.cross_timestamp().method for _ in range(2)] == ["bracket", "bracket"]
    assert phc.precise_calls == 2


def test_a_comparison_that_fails_now_and_then_is_asked_again() -> None:
    class Flaky(SimulatedPhc):
        answers = iter(["ok", "ok", "ok", "late", "late", "ok", "ok", "late", "late", "late", "late"])

        def precise(self) -> tuple[int, int, int]:
            if next(self.answers) == "late":
                self.precise_calls += 1
                raise DeviceTimeoutError(self.name, "cross timestamp", "Connection timed out")
            return super().precise()

    phc = Flaky(0, [5_000] * 5, 0.5, (6, 12))
    phc.cross = True
    compare = comparer(phc, 0)
    methods = [compare.cross_timestamp().method for _ in range(9)]
    assert methods == ["ptm"] * 2 + ["bracket"] * 2 + ["ptm"] + ["bracket"] * 4
    assert phc.precise_calls == 10, "dropped after each pause, and not asked after three failures in a row"


def test_a_clock_that_has_gone_is_lost_whatever_it_claims() -> None:
    class Gone(SimulatedPhc):
        def precise(self) -> tuple[int, int, int]:
            raise DeviceLostError(self.name, "cross timestamp", "No such device")

        def brackets(self, samples: int, clock: int = 0) -> list[Bracket]:
            raise DeviceLostError(self.name, "compare", "No such device")

    phc = Gone(0, [], 0.5, (6, 12))
    phc.cross = True
    compare = comparer(phc, 0)
    for _ in range(5):
        with pytest.raises(DeviceLostError):
            compare.cross_timestamp()


def test_drivers_without_brackets_use_the_older_request() -> None:
    """Such a driver refuses every bracket, before the kernel looks at which clock is asked for."""

    class Plain(SimulatedPhc):
        def brackets(self, samples: int, clock: int = 0) -> list[Bracket]:
            raise UnsupportedError(self.name, "compare", "Operation not supported")

        def plain_brackets(self, samples: int) -> list[Bracket]:
            return [Bracket(RAW_AHEAD_NS + 100, self.clock_ns(150), RAW_AHEAD_NS + 200)]

    stamp = comparer(Plain(0, [], 0.5, (6, 12)), None).cross_timestamp()
    assert (stamp.mono_raw_ns, stamp.half_width_ns) == (150, 80)


def test_old_kernels_without_brackets_use_the_older_request() -> None:
    class Old(SimulatedPhc):
        def brackets(self, samples: int, clock: int = 0) -> list[Bracket]:
            if clock:
                raise RefusedError(self.name, "compare", "Invalid argument")
            raise UnsupportedError(self.name, "compare", "Inappropriate ioctl for device")

        def plain_brackets(self, samples: int) -> list[Bracket]:
            return [Bracket(RAW_AHEAD_NS + 100, self.clock_ns(150), RAW_AHEAD_NS + 200)]

    stamp = comparer(Old(0, [], 0.5, (4, 9)), None).cross_timestamp()
    assert (stamp.mono_raw_ns, stamp.half_width_ns) == (150, 80)
