"""The module's phase meter against the timestamper, and which of them makes a sample."""

from __future__ import annotations

import math
import random

import pytest

from appliance.timescale.phase_meter import DISAGREE_N, LEARN_N, PhaseMeter
from appliance.timescale.pulse_samples import PulseSamples
from timecard.timescale import NS_PER_S

S = NS_PER_S


def _stamped(true_ns: float) -> float:
    return math.floor(true_ns / 5.0) * 5.0 + 2.5


def _read(true_ns: float, constant_ns: float) -> float:
    return round((true_ns - constant_ns) / 0.45) * 0.45


def _taught(constant_ns: float, pulses: int, seed: int = 1) -> tuple[PhaseMeter, random.Random]:
    meter, rng = PhaseMeter(), random.Random(seed)
    for _ in range(pulses):
        true_ns = rng.uniform(-8.0, 8.0)
        meter.refine(_stamped(true_ns), _read(true_ns, constant_ns))
    return meter, rng


def test_the_constant_is_learnt_and_the_reading_becomes_fine() -> None:
    meter, rng = _taught(-137.3, 600)
    assert meter.usable
    errors = []
    for _ in range(200):
        true_ns = rng.uniform(-8.0, 8.0)
        refined = meter.refine(_stamped(true_ns), _read(true_ns, -137.3))
        assert refined is not None
        errors.append(refined - true_ns)
    assert math.sqrt(sum(e * e for e in errors) / len(errors)) < 0.35, "5 ns steps scatter by 1.44 ns"


def test_nothing_is_refined_before_the_constant_is_known() -> None:
    meter, _ = _taught(50.0, LEARN_N - 1)
    assert not meter.usable
    assert PhaseMeter().refine(0.0, 0.0) is None


def test_a_meter_that_jumps_is_not_used_and_learns_anew() -> None:
    meter, rng = _taught(0.0, 300)
    for k in range(DISAGREE_N):
        true_ns = rng.uniform(-8.0, 8.0)
        assert meter.refine(_stamped(true_ns), _read(true_ns, 40.0)) is None
        assert meter.disagrees is (k == DISAGREE_N - 1)
    for _ in range(2 * LEARN_N + 2):
        true_ns = rng.uniform(-8.0, 8.0)
        meter.refine(_stamped(true_ns), _read(true_ns, 40.0))
    assert meter.usable


def test_one_odd_reading_is_left_out() -> None:
    meter, _ = _taught(0.0, 300)
    assert meter.refine(0.0, 100.0) is None
    assert not meter.disagrees
    assert meter.refine(2.5, 1.8) is not None


def test_readings_of_another_pulse_show_by_their_scatter() -> None:
    """A meter that is a second late sees the sawtooth of the pulse before."""
    meter, rng, before = PhaseMeter(), random.Random(3), 0.0
    for _ in range(300):
        true_ns = rng.uniform(-4.0, 4.0)
        meter.refine(_stamped(true_ns), _read(before, 0.0))
        before = true_ns
    assert meter.disagrees


def test_without_a_meter_an_edge_is_a_sample_at_once() -> None:
    samples = PulseSamples(5.0, with_meter=False)
    (sample,) = samples.edge(S, 7.5, -1.25)
    assert (sample.raw_ns, sample.qerr_ns, sample.resolution_ns) == (7.5, -1.25, 5.0)
    assert samples.reading(S + 1, 3.0) == []


def _practised() -> PulseSamples:
    samples = PulseSamples(5.0, with_meter=True)
    rng = random.Random(5)
    for k in range(200):
        true_ns = rng.uniform(-8.0, 8.0)
        produced = samples.edge(k * S, _stamped(true_ns), 0.5)
        produced += samples.reading(k * S + 300_000_000, _read(true_ns, 20.0))
        assert len(produced) == 1, "one pulse is one sample, whoever measured it"
        assert produced[0].mono_ns == k * S
        assert produced[0].from_meter is (k >= LEARN_N), k
    return samples


def test_one_sample_per_pulse_first_stamped_then_metered() -> None:
    _practised()


def test_an_edge_whose_reading_does_not_come_is_used_as_stamped() -> None:
    samples = _practised()
    assert samples.edge(200 * S, 2.5, 0.5) == []
    assert samples.overdue(200 * S + 500_000_000) == []
    (sample,) = samples.overdue(200 * S + 600_000_000)
    assert (sample.raw_ns, sample.resolution_ns) == (2.5, 5.0)
    assert samples.overdue(201 * S) == []
    assert samples.edge(201 * S, -2.5, 0.5) == []
    (late,) = samples.edge(202 * S, 7.5, 0.5)  # the next edge also ends the wait
    assert (late.mono_ns, late.raw_ns) == (201 * S, -2.5)


@pytest.mark.parametrize("delay_ns", [5_000_000, 1_200_000_000])
def test_a_reading_of_another_pulse_is_not_taken(delay_ns: int) -> None:
    samples = _practised()
    samples.edge(200 * S, 2.5, 0.5)
    assert samples.reading(200 * S + delay_ns, -17.5) == []


def test_forgetting_makes_the_constant_unknown() -> None:
    samples = _practised()
    samples.forget()
    assert samples.meter is not None
    assert not samples.meter.usable
    assert len(samples.edge(300 * S, 2.5, None)) == 1
