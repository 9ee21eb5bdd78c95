"""What a unit keeps over a reboot: content, ageing of knowledge, and what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from appliance.timescale import spectrum
from appliance.timescale.discipline import Discipline
from appliance.timescale.discipline_config import DisciplineConfig
from appliance.timescale.estimator import Estimator
from appliance.timescale.learning import NoiseLearner
from appliance.timescale.learnt import Known, Learnt, make_learnt, read_learnt
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.noise_fit import common_start
from appliance.timescale.transition import DRIFT, FREQUENCY, TEMPCO
from tests.unit.timescale.fast_world import fast_world

SA53, DUAL = OSCILLATORS["sa53"], GNSS["f9t_dual"]
TAI_S = 1_750_000_000


def _learnt(**changes: Any) -> Learnt:
    values: dict[str, Any] = {
        "oscillator": "sa53",
        "gnss": "f9t_dual",
        "tai_s": TAI_S,
        "reference_degc": 31.5,
        "frequency_ppb": Known(7.0, 0.002),
        "drift_ppb_per_day": Known(0.002, 0.0005),
        "tempco_ppb_per_degc": Known(0.001, 0.0002),
        "noise": None,
    }
    return Learnt(**(values | changes))


def _estimator() -> Estimator:
    return Estimator(SA53, DUAL, phase_ns=0.0, phase_sigma_ns=100.0)


def test_a_record_comes_back_as_it_was() -> None:
    learner = NoiseLearner(SA53.aging_per_day, DUAL)
    truth, pulse = fast_world(SA53, DUAL, 21_602, np.random.default_rng(1))
    learner.window(truth + pulse, 0.0)
    made = make_learnt(_estimator(), learner, tai_s=TAI_S, reference_degc=None)
    assert read_learnt(json.loads(json.dumps(made.to_record()))) == made


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version is 2"),
        ({"version": "A" * 1_000_000}, "version is 'AAA"),
        ({"oscillator": 3}, "oscillator is 3, wants a name"),
        ({"oscillator": "sa99"}, "'sa99' is unknown"),
        ({"gnss": ["x" * 1_000_000]}, "gnss is"),
        ({"tai_s": "now"}, "tai_s is 'now'"),
        ({"tai_s": math.inf}, "tai_s is inf"),
        ({"reference_degc": 1e9}, "reference_degc is"),
        ({"frequency_ppb": 7.0}, "frequency_ppb: frequency_ppb is not a table"),
        ({"drift_ppb_per_day": {"value": 0.0, "sigma": -1.0}}, "drift_ppb_per_day: sigma is -1"),
        ({"tempco_ppb_per_degc": {"value": math.nan, "sigma": 1.0}}, "tempco_ppb_per_degc: value is nan"),
        ({"tai_s": 10**400}, "tai_s is 1000"),
        ({"tai_s": "9" * 1_000_000}, "tai_s is '999"),
        ({"frequency_ppb": {"value": 1_001.0, "sigma": 1.0}}, "frequency_ppb: value is 1001.0"),
        ({"drift_ppb_per_day": {"value": -0.4, "sigma": 0.1}}, "drift_ppb_per_day: value is -0.4"),
        ({"tempco_ppb_per_degc": {"value": 0.13, "sigma": 0.0}}, "tempco_ppb_per_degc: value is 0.13"),
        ({"tempco_ppb_per_degc": {"value": 0.0, "sigma": 5.0}}, "tempco_ppb_per_degc: sigma is 5.0"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        read_learnt(_learnt().to_record() | change)
    assert len(str(caught.value)) < 300


def test_nothing_is_known_better_than_it_could_have_been_learnt() -> None:
    """A file that says that it is certain would stop the filter from ever learning better."""
    certain = {"value": 0.003, "sigma": 0.0}
    fields = ("frequency_ppb", "drift_ppb_per_day", "tempco_ppb_per_degc")
    learnt = read_learnt(_learnt().to_record() | dict.fromkeys(fields, certain))
    known = (learnt.frequency_ppb, learnt.drift_ppb_per_day, learnt.tempco_ppb_per_degc)
    assert [k.value for k in known] == [0.003] * 3
    assert [k.sigma for k in known] == pytest.approx([8e-4, 3.3e-5, 1.2e-5])


def _noise(power_ns2: float) -> dict[str, Any]:
    bins = len(spectrum.grid().ordinates)
    figures = common_start(SA53.aging_per_day, DUAL, 0.0).to_record()
    return {"figures": figures, "power_ns2": [power_ns2] * bins, "windows": 1.0, "steps_ns": 0.0}


@pytest.mark.parametrize(
    ("noise", "says"),
    [
        ([], "noise is not a table"),
        ({"figures": {}}, "white_fm_1s is None"),
        (_noise(0.0), "power_ns2 holds 0.0"),
        (_noise(math.nan), "power_ns2 holds nan"),
        (_noise(10**400), "power_ns2 holds 1000"),
    ],
    ids=["list", "figures", "zero", "nan", "huge"],
)
def test_bad_noise_alone_is_dropped_and_said(noise: Any, says: str) -> None:
    learnt = read_learnt(_learnt().to_record() | {"noise": noise})
    assert learnt.noise is None
    assert learnt.noise_problem is not None
    assert says in learnt.noise_problem
    assert learnt.to_record() == _learnt().to_record()
    config = DisciplineConfig(topology="C", oscillator_model="sa53", actuator_max_ppb=20.0)
    discipline = Discipline(config, 0, learnt=_learnt().to_record() | {"noise": noise})
    assert says in discipline.alarms["learnt"]
    estimator = _estimator()
    discipline.pilot.habits.inform(estimator, TAI_S)
    assert estimator.known(FREQUENCY)[0] == pytest.approx(7_000.0), "the rest is used"


@pytest.mark.parametrize(
    ("name", "share"), [("sa53", 0.5), ("mro50", 0.5), ("csac", 0.5), ("ocxo", 1.0), ("tcxo", 1.0)]
)
def test_a_drift_may_be_another_one_after_a_time_without_power(name: str, share: float) -> None:
    """However well it was known an hour ago: the part settles anew, or is another unit of its kind."""
    model = OSCILLATORS[name]
    sheet = model.aging_per_day * 1e12
    estimator = Estimator(model, DUAL, phase_ns=0.0, phase_sigma_ns=100.0)
    _learnt(oscillator=name, drift_ppb_per_day=Known(0.0, 1e-6)).inform(estimator, model, TAI_S + 3600)
    assert estimator.known(DRIFT)[1] == pytest.approx(share * sheet)


def test_knowledge_ages() -> None:
    """A month later the drift has moved the frequency, and nothing is known as well as it was."""
    sigmas = {}
    for days in (0, 1, 30, 365):
        estimator = _estimator()
        _learnt().inform(estimator, SA53, TAI_S + days * 86_400)
        mean, sigma = estimator.known(FREQUENCY)
        assert mean == pytest.approx(7_000.0 + 2.0 * days)
        sigmas[days] = (sigma, estimator.known(DRIFT)[1], estimator.known(TEMPCO)[1])
    for earlier, later in zip((0, 1, 30), (1, 30, 365), strict=True):
        assert all(a <= b for a, b in zip(sigmas[earlier], sigmas[later], strict=True))
    assert sigmas[0][0] >= SA53.retrace_ppb * 1e3, "it may have been without power"
    assert sigmas[0][0] < 0.2 * SA53.initial_ppb * 1e3, "and is still better than nothing"
    assert sigmas[365][1] <= SA53.aging_per_day * 1e12, "never worse than the data sheet"
    estimator = _estimator()
    _learnt().inform(estimator, SA53, None)
    assert estimator.known(FREQUENCY)[1] == pytest.approx(sigmas[30][0]), "no date: as after a month"


def test_a_record_from_the_future_is_taken_as_of_now() -> None:
    estimator = _estimator()
    _learnt().inform(estimator, SA53, TAI_S - 86_400)
    assert estimator.known(FREQUENCY)[0] == pytest.approx(7_000.0)
