"""The counter's arithmetic: exact under drift, slew and jumps, however it is asked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fpga_world import START_NS, SteadyOscillator
from timecard.emulator.fpga_counter import Counter
from timecard.timescale import NS_PER_S


@given(
    ppb=st.floats(-1e4, 1e4),
    drift=st.floats(-1e-4, 1e-4),
    slew_ns=st.integers(-10_000_000, 10_000_000).filter(bool),
    interval_ns=st.sampled_from([NS_PER_S, NS_PER_S // 2]),
    moves=st.lists(st.integers(1, 400_000_000), min_size=1, max_size=20),
)
@settings(max_examples=60)
def test_the_time_does_not_depend_on_how_often_it_is_read(
    ppb: float, drift: float, slew_ns: int, interval_ns: int, moves: list[int]
) -> None:
    end_ns = START_NS + sum(moves)
    results = []
    for stops in (moves, [sum(moves)]):
        counter = Counter(SteadyOscillator(ppb), START_NS, START_NS)
        counter.set_drift(START_NS, drift)
        counter.slew(START_NS, slew_ns, interval_ns)
        t_ns = START_NS
        for move in stops:
            t_ns += move
            counter.move(t_ns)
        results.append(counter.error_ns(end_ns))
    counted_ns = sum(moves) * (1 + ppb * 1e-9)
    slewed_ns = slew_ns * min(1.0, counted_ns / interval_ns)
    expected_ns = sum(moves) * ppb * 1e-9 + drift * counted_ns + slewed_ns
    assert results[0] == pytest.approx(results[1], abs=1e-3)
    assert results[0] == pytest.approx(expected_ns, abs=1e-3)


def test_a_clock_far_from_the_truth_loses_no_nanoseconds() -> None:
    counter = Counter(SteadyOscillator(), START_NS, 0)
    counter.jump(START_NS, 3)
    assert counter.card_ns(START_NS + 86_400 * NS_PER_S) == 86_400 * NS_PER_S + 3


@given(phase_ns=st.floats(0, 100), late=st.integers(0, 10_000), ago_ns=st.floats(0, 1))
def test_a_stamp_is_within_half_a_sample_of_the_edge(phase_ns: float, late: int, ago_ns: float) -> None:
    counter = Counter(SteadyOscillator(phase_ns=phase_ns), START_NS, START_NS)
    stamp_ns = counter.stamp_ns(START_NS + late, ago_ns)
    # Half a sampling period and the rounding to whole ns.
    assert abs(stamp_ns - START_NS - late + ago_ns) <= 3.0


def test_stamps_move_in_steps_of_the_sampling_clock() -> None:
    counter = Counter(SteadyOscillator(), START_NS, START_NS)
    stamps = {counter.stamp_ns(START_NS + late, 0.0) for late in range(50)}
    assert len(stamps) == 10
    assert sorted(stamps)[1] - sorted(stamps)[0] == 5


@given(phase_ns=st.floats(0, 100), late=st.integers(0, 10_000))
def test_a_snapshot_is_that_of_the_next_tick(phase_ns: float, late: int) -> None:
    counter = Counter(SteadyOscillator(phase_ns=phase_ns), START_NS, START_NS)
    assert 0 <= counter.snapshot_ns(START_NS + late) - (START_NS + late) <= 20


@given(
    ppb=st.floats(-1e5, 1e5),
    slew_ns=st.sampled_from([0, 5_000_000, -5_000_000]),
    interval_ns=st.sampled_from([NS_PER_S // 4, NS_PER_S]),
)
def test_the_next_second_is_foreseen(ppb: float, slew_ns: int, interval_ns: int) -> None:
    counter = Counter(SteadyOscillator(), START_NS, START_NS)
    counter.set_drift(START_NS, ppb * 1e-9)
    if slew_ns:
        counter.slew(START_NS, slew_ns, interval_ns)
    second, due_ns = counter.next_second(START_NS)
    assert second == START_NS // NS_PER_S + 1
    edge = counter.made_edge(due_ns, second * NS_PER_S)
    assert edge is not None
    stamp_ns, ago_ns = edge
    assert 0 <= stamp_ns - second * NS_PER_S <= 5
    assert -5 <= ago_ns <= 2
    assert counter.card_ns(due_ns) - second * NS_PER_S < 2


def test_a_stopped_counter_shows_zero_and_starts_from_what_is_loaded() -> None:
    counter = Counter(SteadyOscillator(), START_NS, START_NS)
    counter.set_drift(START_NS, 1e-6)
    counter.stop(START_NS + 10)
    assert counter.card_ns(START_NS + NS_PER_S) == 0
    assert counter.snapshot_ns(START_NS + NS_PER_S) == 0
    counter.load(START_NS + NS_PER_S, 500)
    assert counter.card_ns(START_NS + 2 * NS_PER_S) == NS_PER_S + 500


def test_a_drift_change_keeps_the_time_continuous() -> None:
    oscillator = SteadyOscillator()
    counter = Counter(oscillator, START_NS, START_NS)
    t_ns = START_NS
    for drift in (1e-5, -3e-5, 0.0):
        t_ns += NS_PER_S
        before_ns = counter.error_ns(t_ns)
        counter.set_drift(t_ns, drift)
        assert counter.error_ns(t_ns) == before_ns
