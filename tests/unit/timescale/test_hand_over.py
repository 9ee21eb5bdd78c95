"""Topology A: when the module's loop is let in and when it is ended, second by second."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from appliance.events import Action, CorrectPulse, FollowPulse, SyncOscillatorPulse, TakeOver
from appliance.timescale.hand_over import NO_CLOCK, Facts, HandOver, Mode

S = 1_000_000_000
GOOD = Facts(
    locked=True,
    believed=True,
    module_locked=True,
    ready=True,
    accepted_run=200,
    silent_s=0.5,
    phase_ns=0.3,
    phase_sigma_ns=0.7,
    trim_ns=-4.25,
)


class Play:
    """Seconds as the discipline makes them: a label, a report, a tick."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.hand_over = HandOver(self.counters)
        self.second = 0
        self.disciplining: bool | None = False
        self.obeys = True
        self.qerr_ns: float | None = 1.5

    def play(self, seconds: int, facts: Facts = GOOD, **change: Any) -> list[Action]:
        actions: list[Action] = []
        for _ in range(seconds):
            t_ns = self.second * S
            found = self.hand_over.label(t_ns + S // 10, self.qerr_ns)
            found += self.hand_over.report(self.disciplining, t_ns + S // 4)
            found += self.hand_over.tick(t_ns + S // 2, replace(facts, **change))
            for action in found:
                if self.obeys and isinstance(action, FollowPulse | TakeOver):
                    self.disciplining = isinstance(action, FollowPulse)
            actions += found
            self.second += 1
        return actions

    def following(self) -> Play:
        self.play(10)
        assert self.hand_over.mode is Mode.PART
        return self


def test_the_module_is_told_corrections_before_it_may_follow() -> None:
    play = Play()
    actions = play.play(10)
    asked = actions.index(FollowPulse())
    assert asked >= 3
    assert set(actions[:asked]) == {CorrectPulse(correction_ns=-4.25 + 1.5)}
    assert actions.count(FollowPulse()) == 1
    assert actions[-1] == CorrectPulse(correction_ns=-2.75)
    assert play.hand_over.mode is Mode.PART
    assert play.hand_over.hands_off
    assert play.counters["hand_overs"] == 1
    assert play.hand_over.untold_ns == 4.25


@pytest.mark.parametrize(
    "change",
    [
        {"locked": False},
        {"believed": False},
        {"module_locked": False},
        {"ready": False},
        {"accepted_run": 59},
        {"silent_s": 2.5},
        {"phase_ns": -1.2},
        {"trim_ns": None},
    ],
)
def test_the_module_is_not_let_in(change: dict[str, Any]) -> None:
    play = Play()
    assert play.play(120, **change) == []
    assert play.hand_over.mode is Mode.OURS
    assert not play.hand_over.hands_off


@pytest.mark.parametrize(
    "change", [{"locked": False}, {"believed": False}, {"module_locked": False}, {"silent_s": 2.5}]
)
def test_the_module_is_taken_over_in_the_same_second(change: dict[str, Any]) -> None:
    play = Play().following()
    assert play.play(1, **change)[-1] == TakeOver()
    assert not play.hand_over.hands_off
    assert play.play(1, **change) == []
    assert play.hand_over.mode is Mode.OURS
    assert play.counters["take_overs"] == 1
    assert FollowPulse() in play.play(10), "there was no fault of the module's"


def test_a_lost_clock_is_taken_over() -> None:
    assert Play().following().play(1, NO_CLOCK)[-1] == TakeOver()


def test_one_missing_pulse_is_ridden_through() -> None:
    play = Play().following()
    assert TakeOver() not in play.play(1, silent_s=1.5)
    assert play.hand_over.mode is Mode.PART


def test_a_loop_that_lets_the_clock_go_is_ended_for_longer_each_time() -> None:
    play = Play()
    pauses = []
    for _ in range(3):
        play.play(20)
        assert play.hand_over.mode is Mode.PART
        assert TakeOver() in play.play(1, phase_ns=10.2)
        assert "10.2 ns off" in play.hand_over.reason
        began = play.second
        while FollowPulse() not in play.play(1):
            assert play.second < began + 8000
        pauses.append(play.second - began)
    assert 60 <= pauses[0] < 70
    assert 600 <= pauses[1] < 610
    assert 3600 <= pauses[2] < 3610


def test_a_module_that_refuses_is_asked_again_later() -> None:
    play = Play()
    play.obeys = False
    actions = play.play(25)
    assert actions.count(FollowPulse()) == 1
    assert actions[-1] == TakeOver(), "whatever it did, it must not follow unwatched"
    assert play.hand_over.reason == "the module did not begin to follow the pulse"
    assert play.play(30) == []


def test_a_module_that_does_not_answer_is_told_again_to_stop() -> None:
    play = Play().following()
    play.obeys = False
    play.play(1, believed=False)
    assert play.play(40, believed=False).count(TakeOver()) == 2
    assert play.hand_over.mode is Mode.TAKING


def test_a_loop_that_ended_by_itself_is_noticed() -> None:
    play = Play().following()
    play.disciplining = False
    play.play(1)
    assert play.hand_over.mode is Mode.OURS
    assert play.hand_over.reason == "the module's loop has ended"


def test_a_module_that_follows_unasked_is_taken_over() -> None:
    play = Play()
    play.disciplining = True
    assert TakeOver() in play.play(1, accepted_run=0)
    play.play(1, accepted_run=0)
    assert play.hand_over.mode is Mode.OURS


def test_a_pulse_far_from_the_clocks_is_moved_first() -> None:
    play = Play()
    assert play.play(30, trim_ns=-300.0) == [SyncOscillatorPulse()]
    assert play.hand_over.mode is Mode.OURS
    assert "-300 ns" in play.hand_over.reason
    assert FollowPulse() in play.play(60)


def test_without_labels_the_trim_alone_is_told() -> None:
    play = Play().following()
    actions: list[Action] = []
    for second in range(4):
        actions += play.hand_over.tick((play.second + second) * S + S // 2, GOOD)
    assert actions[1:] == [CorrectPulse(correction_ns=-4.25)] * 3


def test_an_unusable_sawtooth_is_left_out() -> None:
    play = Play().following()
    play.qerr_ns = None
    assert set(play.play(3)) == {CorrectPulse(correction_ns=-4.25)}


def test_the_meter_is_mute_while_corrections_are_in_it() -> None:
    play = Play()
    assert not play.hand_over.meter_is_shifted(0)
    play.following().play(2, believed=False)
    now_ns = play.second * S
    assert play.hand_over.meter_is_shifted(now_ns)
    assert not play.hand_over.meter_is_shifted(now_ns + 4 * S)
