"""Intersection, outvoting, weights and slopes: the parts of the interval scheme by themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from appliance.ensemble.intersection import Interval, agreement, outvoted
from appliance.ensemble.rates import BIN_S, SlopeMeter
from appliance.ensemble.weights import capped_weights
from timecard.timescale import NS_PER_S


def intervals(*claims: tuple[float, float] | tuple[float, float, str]) -> list[Interval]:
    """Centre and half-width of a, b, c ..., with a group if it is not its own."""
    found = []
    for index, (middle, half, *group) in enumerate(claims):
        name = "abcdefgh"[index]
        found.append(Interval(name, str(group[0]) if group else name, middle - half, middle + half))
    return found


@pytest.mark.parametrize(
    ("claims", "names"),
    [
        ([(0.0, 1.0)], "a"),
        ([(0.0, 1.0), (5.0, 1.0)], None),
        ([(0.0, 1.0), (0.5, 1.0), (5.0, 1.0)], "ab"),
        ([(0.0, 1.0), (0.5, 1.0), (5.0, 1.0), (5.5, 1.0)], None),
        ([(0.0, 1.0), (5.0, 1.0), (2.5, 9.0)], None),
        # c covers both places, and is no majority; with d and e there are three who do.
        ([(0.0, 1.0), (5.0, 1.0), (2.5, 9.0), (2.5, 8.0), (2.5, 7.0)], "abcde"),
        # Two receivers on one antenna are one voice.
        ([(0.0, 1.0, "roof"), (0.1, 1.0, "roof"), (5.0, 1.0)], None),
        ([(0.0, 1.0, "roof"), (9.0, 1.0, "roof"), (0.5, 1.0)], "ac"),
        ([(0.0, 1.0), (2.0, 1.0)], "ab"),
    ],
)
def test_a_strict_majority_of_groups_is_needed(claims: list[tuple[float, float]], names: str | None) -> None:
    found = agreement(intervals(*claims))
    assert (None if found is None else "".join(found.names)) == names


def test_the_majoritys_range_is_where_all_of_it_overlap() -> None:
    found = agreement(intervals((0.0, 3.0), (1.0, 3.0), (2.0, 3.0), (50.0, 1.0)))
    assert found is not None
    assert (found.low, found.high) == (-1.0, 3.0)


def test_touching_ends_overlap_in_one_point() -> None:
    found = agreement(intervals((0.0, 1.0), (2.0, 1.0)))
    assert found is not None
    assert (found.low, found.high) == (1.0, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_honest_sources_are_never_outvoted_and_hold_the_truth(seed: int) -> None:
    """Two of five lie in any way at all: if there is an answer it holds 0, and no honest one is outvoted."""
    rng = np.random.default_rng(seed)
    for _ in range(400):
        halves = rng.uniform(0.5, 20.0, 5)
        middles = rng.uniform(-1.0, 1.0, 5) * halves
        middles[:2] = rng.uniform(-60.0, 60.0, 2)
        claims = intervals(*zip(middles.tolist(), halves.tolist(), strict=True))
        assert not any(outvoted(claim, claims) for claim in claims[2:])
        found = agreement(claims)
        if found is not None:
            assert {"c", "d", "e"} & set(found.names)


def test_an_odd_one_is_told_whom_it_contradicts() -> None:
    claims = intervals((0.0, 1.0), (0.5, 1.0), (9.0, 1.0), (4.0, 20.0))
    assert outvoted(claims[2], claims) == ("a", "b")
    assert outvoted(claims[0], claims) == ()


def test_contradicting_one_of_two_receivers_on_an_antenna_is_no_vote() -> None:
    claims = intervals((0.0, 1.0, "roof"), (9.0, 1.0, "roof"), (9.0, 1.0))
    assert outvoted(claims[2], claims) == ()


def test_weights_are_inverse_variances_with_a_cap() -> None:
    names = "abcde"
    groups = {name: name for name in names}
    plain = capped_weights(dict(zip(names, (9.0, 9.0, 25.0, 25.0, 64.0), strict=True)), groups)
    total = 2 / 9 + 2 / 25 + 1 / 64
    assert plain == pytest.approx(
        {"a": 1 / 9 / total, "b": 1 / 9 / total, "c": 0.04 / total, "d": 0.04 / total, "e": 1 / 64 / total}
    )
    liar = capped_weights(dict(zip(names, (9.0, 9.0, 25.0, 25.0, 0.09), strict=True)), groups)
    assert liar["e"] == pytest.approx(0.5)
    assert math.fsum(liar.values()) == pytest.approx(1.0)
    twenty = {str(i): 1.0 for i in range(19)} | {"x": 1e-9}
    assert capped_weights(twenty, {name: name for name in twenty})["x"] == pytest.approx(0.3)


def test_a_group_weighs_as_its_best_member() -> None:
    weights = capped_weights({"a": 1.0, "b": 1.0, "c": 1.0}, {"a": "roof", "b": "roof", "c": "c"})
    assert weights == pytest.approx({"a": 0.25, "b": 0.25, "c": 0.5})
    assert capped_weights({}, {}) == {}


def _meter(offset: np.ndarray, sigma: float = 3.0, wander: float = 0.0) -> SlopeMeter:
    meter = SlopeMeter(wander)
    for second, value in enumerate(offset):
        if not np.isnan(value):
            meter.add(second * NS_PER_S, float(value), sigma)
    return meter


def test_slopes_are_right_within_four_sigma_and_say_how_sure_they_are() -> None:
    rng = np.random.default_rng(3)
    misses = 0
    for _ in range(40):
        rate = rng.uniform(-0.1, 0.1)
        slopes = _meter(rate * np.arange(1011.0) + 3.0 * rng.standard_normal(1011)).slopes()
        assert [slope.window_s for slope in slopes] == [100, 300, 1000]
        misses += sum(abs(slope.ppb - rate) > slope.half_ppb for slope in slopes)
        # sigma of a slope of white noise: sigma sqrt(12 / n^3); medians cost a quarter.
        assert slopes[2].half_ppb == pytest.approx(4 * 1.25 * 3.0 * math.sqrt(12 / 1000**3), rel=0.35)
    assert misses == 0


def test_glitches_and_gaps_do_not_make_a_slope() -> None:
    offset = 2.0 * np.sin(np.arange(1011.0))
    offset[200:240:10] += 5_000.0
    offset[500:620] = np.nan
    for slope in _meter(offset).slopes():
        assert abs(slope.ppb) <= slope.half_ppb


def test_a_window_of_which_too_much_is_missing_is_not_judged() -> None:
    offset = np.zeros(1011)
    offset[500:] = np.nan
    offset[1005:] = 0.0
    assert [slope.window_s for slope in _meter(offset).slopes()] == []


def test_a_step_of_our_own_clock_moves_all_and_is_no_slope() -> None:
    meter = SlopeMeter(0.0)
    for second in range(311):
        if second == 155:
            meter.stepped(1e6)
        meter.add(second * NS_PER_S, 1e6 if second >= 155 else 0.0, 1.0)
    assert [slope.ppb for slope in meter.slopes()] == pytest.approx([0.0, 0.0])


def test_wander_widens_long_windows_less() -> None:
    slopes = _meter(np.zeros(3011), sigma=1e-6, wander=5.0).slopes()
    assert [s.half_ppb for s in slopes] == pytest.approx([4 * 1.7 * 5 / s.window_s for s in slopes], rel=1e-3)


def test_a_clock_that_goes_back_is_left_out() -> None:
    meter = _meter(np.zeros(311))
    meter.add(5 * NS_PER_S, 1e9, 1.0)
    meter.add(320 * NS_PER_S, 0.0, 1.0)
    assert all(slope.ppb == 0.0 for slope in meter.slopes())
    meter.add((320 + 30_000 * BIN_S) * NS_PER_S, 7.0, 1.0)
    assert meter.slopes() == []
