"""The filter on the monotonic axis: coasting, rolling back, records."""

from __future__ import annotations

import json

import pytest

from appliance.timescale.estimator import Estimator
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.servo import SteeringRecord
from appliance.timescale.tracking import ROLL_BACK_S, Tracker
from appliance.timescale.transition import TEMPCO
from timecard.timescale import NS_PER_S

S = NS_PER_S
SA53, DUAL = OSCILLATORS["sa53"], GNSS["f9t_dual"]


def _tracker(
    y_ppb: float = 5.0, u_ppb: float = -5.0, start_ns: int = 1_000 * S
) -> tuple[Tracker, SteeringRecord]:
    steering = SteeringRecord(start_ns, u_ppb)
    estimator = Estimator(
        SA53, DUAL, phase_ns=0.0, phase_sigma_ns=1.0, frequency_ppb=y_ppb, frequency_sigma_ppb=0.01
    )
    return Tracker(estimator, steering, start_ns), steering


def _feed(tracker: Tracker, first_s: int, last_s: int, slope: float = 0.0, late_ns: int = 0) -> None:
    for k in range(first_s, last_s):
        tracker.sample(k * S + late_ns, slope * (k - first_s), 0.1)


def test_phase_between_pulses_follows_oscillator_and_steering() -> None:
    tracker, steering = _tracker()
    steering.apply(-3.0, 1_000 * S + 500_000_000)
    assert tracker.phase_ns(1_000 * S + 500_000_000) == pytest.approx(0.0)
    assert tracker.phase_ns(1_001 * S) == pytest.approx(1.0)
    assert tracker.rate_ppb() == pytest.approx(2.0)


def test_an_edge_is_used_once() -> None:
    tracker, _ = _tracker()
    assert tracker.sample(1_001 * S, 0.0, 0.1) is not None
    assert tracker.sample(1_001 * S + 100, 0.0, 0.1) is None
    assert tracker.sample(1_000 * S, 0.0, 0.1) is None
    assert tracker.sample(1_002 * S, 0.0, 0.1) is not None


def test_seconds_of_another_crystal_are_still_seconds() -> None:
    """The host's clock 50 ppm off: 5 ppb times 50 us a second is nothing, and must stay so over hours."""
    tracker, _ = _tracker()
    for k in range(1, 5_000):
        innovation = tracker.sample(1_000 * S + round(k * S * (1 + 50e-6)), 0.0, 0.1)
        assert innovation is not None
    assert abs(tracker.estimator.phase_ns) < 0.3


def test_coasting_ends_on_whole_seconds_and_a_late_edge_still_fits() -> None:
    tracker, _ = _tracker()
    _feed(tracker, 1_001, 1_010)
    tracker.coast(1_013 * S + 700_000_000)
    assert tracker.anchor_mono_ns == 1_013 * S
    assert tracker.elapsed_s(1_013 * S + 700_000_000) == pytest.approx(0.7)
    assert tracker.sample(1_013 * S, 0.0, 0.1) is not None
    assert tracker.sample(1_012 * S, 0.0, 0.1) is None


def test_pulses_that_return_between_the_coasted_seconds() -> None:
    tracker, _ = _tracker(y_ppb=5.0, u_ppb=0.0)
    _feed(tracker, 1_001, 1_002)
    tracker.coast(1_500 * S)
    tracker.realign(1_500 * S + 400_000_000)
    assert tracker.estimator.phase_ns == pytest.approx(5.0 * 499.4, rel=1e-3)


def test_roll_back_forgets_what_was_dragged() -> None:
    tracker, _ = _tracker()
    _feed(tracker, 1_001, 1_300)
    before = tracker.oscillator_ppb()
    # A drag of 0.1 ns/s, too gentle for the gate at first.
    _feed(tracker, 1_300, 1_340, slope=0.1)
    assert abs(tracker.oscillator_ppb() - before) > 2e-3
    given_up_s = tracker.roll_back(1_300 * S, 1_340 * S)
    assert ROLL_BACK_S <= given_up_s <= ROLL_BACK_S + 10
    assert tracker.oscillator_ppb() == pytest.approx(before, abs=1e-3)
    assert tracker.anchor_mono_ns == 1_340 * S
    assert abs(tracker.phase_ns(1_340 * S)) < 1.0


def test_roll_back_needs_a_copy_that_is_old_enough() -> None:
    tracker, _ = _tracker()
    _feed(tracker, 1_001, 1_020)
    mean = tracker.estimator.save().mean
    assert tracker.roll_back(1_020 * S, 1_020 * S) == 0.0
    assert (tracker.estimator.save().mean == mean).all()


def test_roll_back_does_not_cross_a_step() -> None:
    tracker, _ = _tracker()
    _feed(tracker, 1_001, 1_200)
    tracker.stepped(-500)
    assert tracker.roll_back(1_200 * S, 1_200 * S) == 0.0
    assert tracker.phase_ns(1_200 * S) == pytest.approx(-500.0, abs=1.0)


def test_temperature_is_relative_to_its_first_reading() -> None:
    tracker, _ = _tracker()
    tracker.note_temperature(None, 1_000 * S)
    assert tracker.temperature_degc == 0.0
    tracker.note_temperature(41.5, 1_000 * S)
    assert tracker.temperature_degc == 0.0
    tracker.note_temperature(44.0, 1_000 * S + round(SA53.thermal_tau_s * S))
    assert tracker.temperature_degc == pytest.approx(2.5 * (1.0 - 1.0 / 2.71828), rel=1e-3), "it follows"
    tracker.note_temperature(44.0, 3_000 * S)
    assert tracker.temperature_degc == pytest.approx(2.5)


def test_record_round_trip_goes_on_in_time() -> None:
    tracker, steering = _tracker()
    tracker.note_temperature(40.0, 1_000 * S)
    _feed(tracker, 1_001, 1_100)
    record = json.loads(json.dumps(tracker.to_record(1_100 * S)))
    again = Tracker.from_record(record, SA53, DUAL, steering)
    again.coast(1_200 * S)
    tracker.coast(1_200 * S)
    assert again.phase_ns(1_200 * S) == pytest.approx(tracker.phase_ns(1_200 * S))
    assert again.age_s(1_200 * S) == pytest.approx(tracker.age_s(1_200 * S), abs=2.0)
    assert again.statistics.to_record() == tracker.statistics.to_record()
    again.note_temperature(41.0, 1_200 * S)
    assert again.temperature_degc == pytest.approx(1.0)


def test_a_record_goes_on_at_the_temperature_it_was_written_at() -> None:
    """Ten minutes without core, an oscillator 15 K above its reference: 45 ns before it is told again."""
    tracker, steering = _tracker()
    tracker.estimator.know(TEMPCO, 5.0, 0.01)  # 5e-12 per degree
    tracker.note_temperature(40.0, 1_000 * S)
    tracker.note_temperature(55.0, 9_000 * S)
    tracker.coast(9_000 * S)
    before_ns = tracker.phase_ns(9_000 * S)
    again = Tracker.from_record(tracker.to_record(9_000 * S), SA53, DUAL, steering)
    again.coast(9_600 * S)
    tracker.coast(9_600 * S)
    assert tracker.phase_ns(9_600 * S) - before_ns == pytest.approx(45.0, abs=1.0)
    assert again.phase_ns(9_600 * S) == pytest.approx(tracker.phase_ns(9_600 * S), abs=0.1)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("temperature_degc", None, "temperature_degc is None"),
        ("innovations", {"short": 1.0, "long": -1.0}, "long is -1"),
        ("innovations", 7, "innovations is not a table"),
        ("anchor_mono_ns", "soon", "anchor_mono_ns"),
        ("anchor_mono_ns", True, "anchor_mono_ns"),
        ("age_s", float("inf"), "age_s"),
        ("age_s", -1.0, "age_s"),
        pytest.param("age_s", 10**400, "age_s", id="age_s-huge"),
        pytest.param("reference_degc", 10**400, "reference_degc", id="reference_degc-huge"),
        pytest.param("anchor_mono_ns", -(10**400), "anchor_mono_ns", id="anchor_mono_ns-huge"),
        ("reference_degc", "warm", "reference_degc"),
        ("estimator", [], "estimator is not a table"),
        ("estimator", {}, "oscillator is None"),
    ],
)
def test_bad_records_are_named(field: str, value: object, says: str) -> None:
    tracker, steering = _tracker()
    record = tracker.to_record(1_000 * S) | {field: value}
    with pytest.raises(ValueError, match=says):
        Tracker.from_record(record, SA53, DUAL, steering)
