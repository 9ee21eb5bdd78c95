"""The interval scheme: who goes, who comes back, when there is no answer, and that nothing jumps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from appliance.ensemble.interval import IntervalScheme
from appliance.ensemble.values import Estimate, Reading, Source, Standing
from timecard.timescale import NS_PER_S

Course = Callable[[int], float | None]


class Play:
    """Plays sources against a scheme, a second at a time; a course of None is silence."""

    def __init__(
        self, courses: Mapping[str, Course], *, groups: Mapping[str, str] | None = None, sigma_ns: float = 3.0
    ) -> None:
        self.courses, self.sigma_ns, self.second = dict(courses), sigma_ns, 0
        named = groups or {}
        self.scheme = IntervalScheme(
            [Source(name=n, group=named.get(n, n), trusted=n == "gnss") for n in courses]
        )
        self.estimates: list[Estimate] = []
        self.bias_ns = 2.0
        self._rng = np.random.default_rng(8)

    def run(self, seconds: int, *, steady_ppb: float | None = None, shift_ns: float = 0.0) -> Estimate:
        for _ in range(seconds):
            readings = {}
            for name, course in self.courses.items():
                noise_ns = self.sigma_ns * float(self._rng.standard_normal())
                value = course(self.second)
                if value is not None:
                    readings[name] = Reading(
                        offset_ns=value + noise_ns + shift_ns, sigma_ns=self.sigma_ns, bias_ns=self.bias_ns
                    )
            self.estimates.append(
                self.scheme.update((9_000 + self.second) * NS_PER_S, readings, steady_ppb=steady_ppb)
            )
            self.second += 1
        return self.estimates[-1]

    def offsets(self, first: int = 0) -> np.ndarray:
        return np.array([np.nan if e.offset_ns is None else e.offset_ns for e in self.estimates[first:]])


def calm(_: int) -> float:
    return 0.0


def after(second: int, value: float) -> Course:
    return lambda now: value if now >= second else 0.0


def ramp(second: int, ns_per_s: float) -> Course:
    return lambda now: ns_per_s * max(0, now - second)


def test_a_stepped_source_is_named_evicted_and_back_after_a_long_good_spell() -> None:
    play = Play({"a": calm, "b": lambda s: 300.0 if 200 <= s < 400 else 0.0, "c": calm})
    assert play.run(200).alarms == {}
    seen = play.run(15)
    assert seen.evicted == ("b",)
    assert float(seen.alarms["b"].split()[0]) == pytest.approx(300.0, abs=15.0)
    assert "a, c" in seen.alarms["b"]
    assert play.run(685).evicted == ("b",), "500 good seconds are not enough"
    assert play.run(200).evicted == ()
    assert seen.members["b"].weight == 0.0
    assert play.estimates[-1].members["b"].standing is Standing.MEMBER
    assert np.abs(play.offsets()).max() < 12.0


def test_single_glitches_evict_nobody() -> None:
    play = Play({"a": calm, "b": lambda s: 5_000.0 if s % 50 == 49 else 0.0, "c": calm})
    play.run(400)
    assert all(estimate.evicted == () for estimate in play.estimates)
    assert np.abs(play.offsets()).max() < 12.0


def test_without_a_majority_there_is_no_answer() -> None:
    play = Play({"a": calm, "b": after(100, 500.0)})
    play.run(100)
    assert not np.isnan(play.offsets()).any()
    disputed = play.run(200)
    assert np.isnan(play.offsets(101)).all()
    assert disputed.reason is not None
    assert disputed.reason.startswith("no majority: a ")
    assert set(disputed.doubts) == {"a", "b"}
    assert disputed.doubts["a"].phase_ns > 490.0
    assert disputed.evicted == ()


def test_two_against_two_is_no_majority() -> None:
    play = Play({"a": calm, "b": calm, "c": after(100, 90.0), "d": after(100, 90.0)})
    play.run(200)
    assert np.isnan(play.offsets(101)).all()


def test_two_on_one_antenna_are_outvoted_by_two_others() -> None:
    play = Play(
        {"a": after(100, 500.0), "b": after(100, 500.0), "c": calm, "d": calm},
        groups={"a": "roof", "b": "roof"},
    )
    assert set(play.run(150).evicted) == {"a", "b"}
    assert play.estimates[-1].offset_ns == pytest.approx(0.0, abs=8.0)


def test_our_own_clock_breaks_a_tie_on_rates_when_it_is_steady_enough() -> None:
    """A source that runs off faster than our oscillator could is the odd one; a slower one is disputed."""
    fast = Play({"gnss": calm, "peer": ramp(400, 3.0)})
    fast.bias_ns = 5_000.0
    assert fast.run(500, steady_ppb=0.1).evicted == ("peer",)
    assert "against gnss, own clock" in fast.estimates[-1].alarms["peer"]
    slow = Play({"gnss": calm, "peer": ramp(400, 0.08)})
    slow.bias_ns = 5_000.0
    last = slow.run(1000, steady_ppb=0.1)
    assert last.evicted == ()
    assert last.offset_ns is None
    assert set(last.doubts) == {"gnss", "peer"}
    assert last.doubts["gnss"].rate_ppb >= 0.08


def test_our_own_clock_has_no_vote_while_it_is_slewed() -> None:
    play = Play({"gnss": calm, "peer": ramp(400, 3.0)})
    play.bias_ns = 5_000.0
    assert play.run(700).evicted == ()
    assert play.estimates[-1].offset_ns is None


def test_a_newcomer_that_never_agreed_is_named_and_costs_nothing() -> None:
    play = Play({"gnss": calm, "new": lambda s: 4_000.0 if s >= 60 else None})
    last = play.run(300)
    assert not np.isnan(play.offsets()).any()
    assert last.members["new"].standing is Standing.JOINING
    assert last.alarms["new"].startswith("never agreed since it was added: +4000 ns from gnss")


def test_two_newcomers_that_agree_outvote_a_reference() -> None:
    play = Play({"gnss": calm, "a": lambda _: 400.0, "b": lambda _: 403.0})
    last = play.run(60)
    assert last.evicted == ("gnss",)
    assert last.doubts["gnss"].phase_ns == pytest.approx(401.5, abs=30.0)


def test_the_output_does_not_jump_when_members_come_and_go() -> None:
    """Constant offsets of +-2 ns: each change of the mean is slewed at 0.1 ns/s, beyond the noise."""
    play = Play(
        {
            "a": lambda _: 2.0,
            "b": lambda s: None if 600 <= s < 900 else 2.0,
            "c": lambda s: -2.0 if s >= 300 else None,
        },
        sigma_ns=1e-3,
    )
    play.bias_ns = 4.0
    play.run(1300)
    steps = np.abs(np.diff(play.offsets()))
    assert steps.max() < 0.11
    assert play.estimates[-1].offset_ns == pytest.approx(2.0 / 3.0, abs=0.05)


def test_common_motion_is_our_own_clocks_and_is_followed_at_once() -> None:
    play = Play({"a": calm, "b": calm, "c": calm}, sigma_ns=0.01)
    play.run(100)
    assert play.run(1, shift_ns=1_000.0).offset_ns == pytest.approx(1_000.0, abs=1.0)
    play.scheme.stepped(-5_000.0)
    assert play.run(1, shift_ns=-4_000.0).offset_ns == pytest.approx(-4_000.0, abs=1.0)
    assert play.run(300, shift_ns=-4_000.0).evicted == ()


def test_a_source_that_claims_too_much_is_named_and_weighted_by_what_it_is() -> None:
    play = Play({"a": calm, "b": calm, "c": calm})
    rng = np.random.default_rng(2)
    play.courses["c"] = lambda _: 15.0 * float(rng.standard_normal())
    last = play.run(300)
    assert last.alarms.keys() == {"c"}
    assert "claims 3 ns" in last.alarms["c"]
    assert last.members["c"].weight < 0.1


def test_the_half_width_holds_the_truth() -> None:
    play = Play({"a": lambda _: 1.9, "b": lambda _: -1.9, "c": calm, "d": after(100, 60.0)})
    play.run(800)
    for estimate in play.estimates:
        assert estimate.offset_ns is not None
        assert estimate.half_width_ns is not None
        assert abs(estimate.offset_ns) <= estimate.half_width_ns


def test_nobody_speaks() -> None:
    play = Play({"a": lambda s: None})
    assert play.run(20).reason == "no source that is not evicted gives readings"
    assert play.estimates[-1].members["a"].standing is Standing.ABSENT
    assert play.estimates[-1].alarms == {}


@pytest.mark.full
def test_a_dispute_ends_when_both_stand_still_again() -> None:
    play = Play({"gnss": calm, "peer": lambda s: -min(30.0, 0.05 * max(0, s - 1_000))})
    play.bias_ns = 60.0
    assert play.run(1_800).offset_ns is None
    assert play.estimates[-1].doubts.keys() == {"gnss", "peer"}
    assert play.run(10_800).offset_ns is not None
    assert play.estimates[-1].doubts == {}
