"""The case against the reference: how it is opened, and that only a reference in its place wins it back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from appliance.ensemble.values import Reading, Source, Standing
from appliance.ensemble.witness import Case, Witness
from appliance.events import Tick
from appliance.timescale.discipline import Discipline
from appliance.timescale.discipline_config import DisciplineConfig
from appliance.witnessing import Witnessing
from tests.unit.ensemble.test_interval import Course, calm, ramp
from timecard.timescale import NS_PER_S


class Court:
    """A reference and its witnesses."""

    def __init__(
        self, reference: Course, *witnesses: Course, scheme: str = "interval", wander_ns: float = 0.2
    ) -> None:
        self.courses = {"gnss": reference} | {f"w{i}": course for i, course in enumerate(witnesses)}
        first, *others = (
            Source(name=name, group=name, trusted=name == "gnss", wander_ns=wander_ns)
            for name in self.courses
        )
        self.witness = Witness(first, others, scheme)  # type: ignore[arg-type]  # a test's parameter
        self.verdicts: list[tuple[int, Case]] = []
        self.second = 0
        self._rng = np.random.default_rng(1)

    def run(self, seconds: int) -> Case:
        for _ in range(seconds):
            readings = {
                name: Reading(
                    offset_ns=value + float(self._rng.standard_normal()), sigma_ns=1.0, bias_ns=60.0
                )
                for name, course in self.courses.items()
                if (value := course(self.second)) is not None
            }
            case = self.witness.tick((500 + self.second) * NS_PER_S, readings)
            if case is not None:
                self.verdicts.append((self.second, case))
            self.second += 1
        return self.witness.case


def excursion(begin: int, top_ns: float, hold: int) -> Callable[[int], float]:
    """A slow ramp of 0.05 ns/s to ``top_ns``, a pause there, and back."""
    up = begin + round(top_ns / 0.05)
    down = up + hold

    def course(second: int) -> float:
        if second < up:
            return 0.05 * max(0, second - begin)
        return top_ns if second < down else max(0.0, top_ns - 0.05 * (second - down))

    return course


def test_a_dragged_reference_loses_its_case_before_the_bounds_tell() -> None:
    court = Court(calm, ramp(1200, 0.05), ramp(1200, 0.05))
    assert court.run(1200).against is None
    case = court.run(300)
    assert case.against is not None
    assert case.against.startswith("runs -0.0")
    assert "w0, w1" in case.against
    second, _ = court.verdicts[0]
    assert 0.05 * (second - 1200) < 12.0, "long before 60 ns of claimed bias"
    assert case.doubt.phase_ns >= 0.05 * (second - 1200)
    assert case.doubt.rate_ppb >= 0.02
    assert len(court.verdicts) == 1, "told when it changes"


def test_a_reference_that_stands_still_elsewhere_does_not_win_its_case() -> None:
    """It agrees in rate again, and 40 ns fit inside everybody's bounds; but that is not where it was."""
    away = excursion(1200, 40.0, hold=100_000)
    court = Court(lambda s: -away(s), calm, calm)
    assert court.run(6000).against is not None
    court.witness.forgive()
    assert court.run(1).against is None
    assert court.verdicts[-1][1].against is None, "an operator accepts it as it is"
    assert court.run(800).against is None


def test_a_reference_that_is_back_in_its_place_wins_its_case() -> None:
    away = excursion(1200, 25.0, hold=300)
    court = Court(lambda s: -away(s), calm, calm)
    assert court.run(1700).against is not None
    assert court.run(4500).against is None
    assert [case.against is None for _, case in court.verdicts] == [False, True]


@pytest.mark.parametrize("gone", [3000, 6000])
def test_with_no_witness_left_the_case_is_closed_after_an_hour(gone: int) -> None:
    moved = ramp(1200, 0.05)
    court = Court(calm, lambda s: moved(s) if s < 1800 else None)
    assert court.run(1800).against is not None
    assert (court.run(gone).against is None) == (gone > 3700)


def test_one_witness_makes_a_dispute_and_the_reference_is_not_followed() -> None:
    court = Court(calm, ramp(1200, 0.05))
    case = court.run(1700)
    assert case.against is not None
    assert case.against.startswith("no majority ")
    assert case.doubt.phase_ns >= 10.0


def test_a_witness_that_errs_is_its_own_fault() -> None:
    court = Court(calm, calm, ramp(1200, 0.05))
    assert court.run(2000).against is None
    assert court.verdicts == []
    assert court.witness.estimate is not None
    assert court.witness.estimate.evicted == ("w1",)


def test_the_published_scheme_may_be_chosen_and_takes_a_ramp_for_granted() -> None:
    court = Court(calm, ramp(800, 0.05), ramp(800, 0.05), scheme="chauvenet")
    assert court.run(2000).against is None


def test_a_restart_does_not_win_the_case() -> None:
    away = excursion(1200, 40.0, hold=100_000)
    court = Court(lambda s: -away(s), calm, calm)
    assert court.witness.to_record() == {}
    court.run(3000)
    record = json.loads(json.dumps(court.witness.to_record()))
    again = Court(lambda s: -40.0, calm, calm)
    again.witness.take_up(record)
    assert again.run(1).against == record["against"]
    assert again.verdicts[0][1].against == record["against"], "the discipline is told anew"
    assert again.run(3000).against is not None
    home = Court(calm, calm, calm)
    home.witness.take_up(record)
    assert home.run(700).against is None


@pytest.mark.parametrize("record", [None, [], {"against": 3}, {}])
def test_a_record_that_makes_no_sense_is_none(record: object) -> None:
    court = Court(calm, calm)
    court.witness.take_up(record)
    assert court.run(5).against is None


def test_places_of_a_record_are_checked() -> None:
    court = Court(calm, calm, calm)
    court.witness.take_up({"against": "x" * 9_000, "places": {"w0": math.inf, "nobody": 1.0, "w1": "a"}})
    assert court.witness.to_record() == {}, "nobody could ever clear the reference"
    places = {"w0": math.inf, "nobody": 1.0, "w1": 2}
    court.witness.take_up({"against": "x" * 9_000, "disputed": "yes", "places": places})
    assert court.witness.to_record() == {"against": "x" * 500, "disputed": False, "places": {"w1": 2.0}}


def test_a_place_that_nobody_knows_any_more_is_no_condition() -> None:
    court = Court(calm, lambda s: None, calm, calm)
    court.witness.take_up({"against": "no majority", "disputed": True, "places": {"w0": 0.0}})
    assert court.run(3600).against is not None
    assert court.run(700).against is None


def test_a_peer_that_comes_back_wrong_costs_nothing() -> None:
    court = Court(calm, lambda s: 0.0 if s < 100 else None if s < 120 else 1e9)
    assert court.run(320).against is None
    assert court.witness.estimate is not None
    assert court.witness.estimate.members["w0"].standing is Standing.JOINING


def test_a_case_that_is_closed_is_not_opened_again_by_what_was_read_meanwhile() -> None:
    """Ten thousand seconds are the longest window of rates: it fills when all has long been well."""
    court = Court(calm, lambda s: 500.0 if 1200 <= s < 1560 else 0.0, wander_ns=10.0)
    court.run(10_400)
    assert [case.against is None for _, case in court.verdicts] == [False, True]
    assert court.verdicts[0][1].disputed


def test_what_a_single_peer_says_opens_the_bound_only_so_far() -> None:
    court = Court(calm, lambda s: 0.0 if s < 100 else -1e9)
    case = court.run(300)
    assert (case.disputed, case.doubt.phase_ns) == (True, 10_000.0)
    court = Court(calm, *2 * [lambda s: 0.0 if s < 100 else -1e9])
    case = court.run(300)
    assert not case.disputed
    assert case.doubt.phase_ns >= 1e9, "a majority is believed"


def test_a_dispute_that_finds_its_majority_becomes_a_verdict() -> None:
    court = Court(calm, *2 * [lambda s: None if s < 100 else -400.0])
    court.witness.take_up({"against": "no majority", "disputed": True, "places": {"w0": 0.0}})
    assert court.run(90).disputed
    case = court.run(60)
    assert not case.disputed
    assert case.doubt.phase_ns > 300.0


def test_a_case_outlives_seconds_in_which_the_card_does_not_answer_after_a_restart() -> None:
    config = DisciplineConfig(topology="C", oscillator_model="ocxo", actuator_max_ppb=100.0)
    discipline = Discipline(config, 0, resume={"version": 1})
    witnessing = Witnessing(discipline, [Source(name="w0", group="w0")], scheme="interval", act=True)
    witnessing.take_up({"against": "no majority", "places": {"w0": 0.0}})
    discipline.handle(Tick(mono_ns=NS_PER_S, card_tai_ns=None))
    assert witnessing.tick(NS_PER_S) == []
    assert witnessing.against == "no majority"
    discipline.handle(Tick(mono_ns=2 * NS_PER_S, card_tai_ns=1_750_000_000 * NS_PER_S))
    witnessing.tick(2 * NS_PER_S)
    assert witnessing.against is None, "a record that does not fit is an ordinary start"


def test_the_published_scheme_convicts_a_reference_only_of_what_the_bounds_exclude() -> None:
    court = Court(lambda s: 0.0 if s < 500 else 1_000.0, calm, calm, scheme="chauvenet")
    assert court.run(560).against is not None

    def slewed(second: int) -> float:
        return 500.0 * max(0.0, 1.0 - (second - 2500) / 500.0)

    court = Court(
        lambda s: 0.0 if s < 500 else None if s < 2500 else slewed(s),
        lambda s: 0.25 * max(0, s - 500) if s < 2500 else slewed(s),
        scheme="chauvenet",
    )
    court.run(4000)
    assert court.verdicts == []
