"""Noise figures from samples: from one start for every oscillator, in small slices, over gaps, and kept."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from appliance.flight.checkpoint import capture, restore
from appliance.timescale import spectrum
from appliance.timescale.learning import BRIDGE_S, NoiseLearner
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.noise_fit import NoiseFigures, common_start
from appliance.timescale.transition import noise_of
from tests.unit.timescale.closed_loop import Array
from tests.unit.timescale.fast_world import fast_world

DUAL = GNSS["f9t_dual"]


def _samples(kind: str, seed: int, seconds: int = spectrum.WINDOW_S) -> Array:
    truth, pulse = fast_world(OSCILLATORS[kind], DUAL, seconds, np.random.default_rng(seed))
    return truth + pulse


def _learn(samples: Array, kind: str, steps_ns2: float = 0.0, seconds: int = 1) -> NoiseFigures:
    learner = NoiseLearner(OSCILLATORS[kind].aging_per_day, DUAL)
    for value in samples[::seconds]:
        learner.note(seconds, float(value), steps_ns2)
    for _ in range(200):
        figures = learner.step()
        if figures is not None:
            return figures
    raise AssertionError("no figures after 200 slices")


@pytest.mark.parametrize("size_ns", [0.0, 1e12], ids=["frozen", "wild"])
def test_what_is_learnt_of_impossible_samples_can_be_read_again(size_ns: float) -> None:
    """A pulse that is replayed by an emulator, or one that is not on any second."""
    learner = NoiseLearner(OSCILLATORS["sa53"].aging_per_day, DUAL)
    learner.window(size_ns * np.random.default_rng(2).standard_normal(spectrum.WINDOW_S), 0.0)
    record = learner.to_record()
    assert record is not None
    NoiseLearner.check(record)


@pytest.mark.parametrize("kind", ["sa53", "csac", "ocxo"])
def test_the_models_spectrum_is_that_of_its_samples(kind: str) -> None:
    """Mean power of simulated windows against the sum of the components, over five decades of power."""
    oscillator, windows = OSCILLATORS[kind], 24
    measured = np.zeros(len(spectrum.grid().ordinates))
    for seed in range(windows):
        differences = np.diff(_samples(kind, seed), 2)
        for taper in spectrum.tapers():
            measured += spectrum.bin_power(differences, taper) / (windows * spectrum.TAPERS)
    noise = noise_of(oscillator)
    values = (noise.q1, noise.q2, noise.ladder, DUAL.white_ns**2)
    model = sum(v * part for v, part in zip(values, spectrum.binned_parts(), strict=True))
    model = model + spectrum.drift_power() * (oscillator.aging_per_day * 1e12) ** 2
    for sigma_ns, tau_s in DUAL.gauss_markov:
        model = model + sigma_ns**2 * spectrum.binned_pulse(tau_s)
    scatter = 1.0 / np.sqrt(spectrum.grid().ordinates * windows)
    excess = (measured / model - 1.0)[2:]
    assert np.abs(excess).max() < 5.0 * scatter.max()
    assert np.sqrt(np.mean((excess / (1.3 * scatter[2:])) ** 2)) < 1.3
    assert model.max() / model.min() > 1e5


@pytest.mark.parametrize("kind", ["sa53", "mro50", "csac", "ocxo", "tcxo"])
def test_six_hours_tell_what_can_be_seen(kind: str) -> None:
    """The white noise of the pulse to a few percent; of the oscillator what shows above the pulse's noise."""
    oscillator = OSCILLATORS[kind]
    found = [_learn(_samples(kind, seed), kind) for seed in range(3)]
    assert all(figures.white_ns == pytest.approx(DUAL.white_ns, rel=0.15) for figures in found)
    assert all(0.5 < figures.coloured_ns / DUAL.gauss_markov[0][0] < 2.0 for figures in found)
    # At ten minutes the oscillator shows: ADEV of all its noise together.
    for figures in found:
        learnt, _ = figures.models(oscillator, DUAL)
        ratio = _adev(learnt.white_fm_1s, learnt.flicker_floor, learnt.random_walk_1day) / _adev(
            oscillator.white_fm_1s, oscillator.flicker_floor, oscillator.random_walk_1day
        )
        assert 0.6 < ratio < 1.6
    assert oscillator.aging_per_day == learnt.aging_per_day


def _adev(white_fm_1s: float, floor: float, walk_1day: float, tau_s: float = 600.0) -> float:
    return math.sqrt(white_fm_1s**2 / tau_s + floor**2 + walk_1day**2 * tau_s / 86_400.0)


def test_every_oscillator_begins_at_the_same_place_but_for_its_ageing() -> None:
    starts = [common_start(OSCILLATORS[kind].aging_per_day, DUAL, 0.0) for kind in ("sa53", "ocxo")]
    assert replace(starts[0], random_walk_1day=0.0) == replace(starts[1], random_walk_1day=0.0)
    assert starts[1].random_walk_1day / starts[0].random_walk_1day == pytest.approx(
        OSCILLATORS["ocxo"].aging_per_day / OSCILLATORS["sa53"].aging_per_day
    )


def test_rounding_becomes_a_coloured_error_of_its_own_size() -> None:
    """Stamps in steps of 5 ns of a clock that creeps through them."""
    exact = _samples("sa53", 5)
    exact += 0.02 * np.arange(len(exact))
    figures = _learn((np.floor(exact / 5.0) + 0.5) * 5.0, "sa53", steps_ns2=25.0 / 12.0)
    assert figures.steps_ns == pytest.approx(5.0 / math.sqrt(12.0), rel=0.25)
    _, gnss = figures.models(OSCILLATORS["sa53"], DUAL)
    assert gnss.steps_are_coloured
    assert len(gnss.gauss_markov) == len(DUAL.gauss_markov) + 1


def test_missing_samples_change_little() -> None:
    """One in a hundred missing, and a quarter of an hour in four pieces."""
    samples = _samples("mro50", 7)
    whole = _learn(samples, "mro50")
    rng = np.random.default_rng(1)
    kept = rng.random(len(samples)) > 0.01
    for begin in (3_000, 8_000, 12_000, 17_000):
        kept[begin : begin + 220] = False
    kept[[0, -1]] = True
    learner = NoiseLearner(OSCILLATORS["mro50"].aging_per_day, DUAL)
    last = 0
    figures = None
    for k in np.flatnonzero(kept):
        learner.note(int(k) - last, float(samples[k]), 0.0)
        last = int(k)
    while figures is None:
        figures = learner.step()
    assert figures.white_ns == pytest.approx(whole.white_ns, rel=0.05)
    assert figures.coloured_ns == pytest.approx(whole.coloured_ns, rel=0.2)
    assert figures.flicker_floor == pytest.approx(whole.flicker_floor, rel=0.5)


def test_a_long_gap_or_a_break_begins_a_new_window() -> None:
    learner = NoiseLearner(OSCILLATORS["sa53"].aging_per_day, DUAL)
    for _ in range(1_000):
        learner.note(1, 0.0, 0.0)
    for spoil in (partial(learner.note, BRIDGE_S + 1, 0.0, 0.0), learner.break_off):
        spoil()
        for _ in range(spectrum.WINDOW_S - 1_000):
            learner.note(1, 0.0, 0.0)
        assert learner.step() is None
        assert learner.windows == 0, "what was before counts no more"


def test_windows_add_up_and_old_ones_fade() -> None:
    """A unit that changes its ways is followed, slowly."""
    learner = NoiseLearner(OSCILLATORS["csac"].aging_per_day, DUAL)
    quiet = [learner.window(_samples("sa53", seed), 0.0) for seed in range(3)]
    assert quiet[-1].ln_sigma[2] < quiet[0].ln_sigma[2], "more windows, better known"
    noisy = [learner.window(_samples("csac", seed), 0.0) for seed in range(20)]
    assert noisy[-1].white_fm_1s > 5.0 * quiet[-1].white_fm_1s
    assert noisy[-1].white_fm_1s == pytest.approx(OSCILLATORS["csac"].white_fm_1s, rel=0.2)


def test_what_was_learnt_survives_as_a_record() -> None:
    learner = NoiseLearner(OSCILLATORS["ocxo"].aging_per_day, DUAL)
    assert learner.to_record() is None
    learner.window(_samples("ocxo", 1), 0.0)
    record = json.loads(json.dumps(learner.to_record()))
    again = NoiseLearner(OSCILLATORS["ocxo"].aging_per_day, DUAL)
    assert again.take_up(record) == learner.figures
    more = _samples("ocxo", 2)
    assert again.window(more, 0.0) == learner.window(more, 0.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"figures": None}, "figures is not a table"),
        ({"power_ns2": [1.0]}, "power_ns2 wants"),
        ({"windows": -1}, "windows is -1"),
        ({"steps_ns": math.nan}, "steps_ns is nan"),
    ],
)
def test_a_record_that_cannot_be_is_refused(change: dict[str, object], says: str) -> None:
    learner = NoiseLearner(OSCILLATORS["ocxo"].aging_per_day, DUAL)
    learner.window(_samples("ocxo", 1), 0.0)
    record = learner.to_record()
    assert record is not None
    with pytest.raises(ValueError, match=says):
        learner.take_up(record | change)


def test_power_that_is_no_number_is_refused() -> None:
    learner = NoiseLearner(OSCILLATORS["ocxo"].aging_per_day, DUAL)
    learner.window(_samples("ocxo", 1), 0.0)
    record = learner.to_record()
    assert record is not None
    for wrong in (math.inf, 0.0, "1", True):
        with pytest.raises(ValueError, match="power_ns2 holds"):
            learner.take_up(record | {"power_ns2": [wrong, *record["power_ns2"][1:]]})


@pytest.mark.parametrize("slices", [0, 2, 6])
def test_a_flight_record_may_begin_in_the_middle_of_it(slices: int) -> None:
    """Wherever the work is: what is written down and read back goes on to the same figures."""
    learner = NoiseLearner(OSCILLATORS["ocxo"].aging_per_day, DUAL)
    for value in _samples("ocxo", 1):
        learner.note(1, float(value), 0.0)
    for _ in range(slices):
        assert learner.step() is None
    again = NoiseLearner(OSCILLATORS["ocxo"].aging_per_day, DUAL)
    restore(again, json.loads(json.dumps(capture(learner))))
    for _ in range(200):
        figures = learner.step()
        assert again.step() == figures
        if figures is not None:
            break
    assert learner.figures is not None
    assert again.to_record() == learner.to_record()
