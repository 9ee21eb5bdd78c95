"""What the configuration says reaches the receiver, its watch and the loop."""

from __future__ import annotations

import pytest

from appliance.assembly import MAX_TIME_ACCURACY_NS, _model_of, integrity_options, receiver_intent
from appliance.config import Config
from appliance.config_models import GnssConfig, Position
from appliance.timescale.models import OSCILLATORS as MODELS
from timecard.mac.oscillators import OSCILLATORS
from timecard.values import OscillatorIdentity


def test_the_elevation_mask_is_asked_of_the_receiver() -> None:
    assert receiver_intent(Config(gnss=GnssConfig(elevation_deg=17))).elevation_mask_deg == 17


def test_the_watch_knows_the_place_and_the_limits() -> None:
    place = Position(latitude_deg=0.0, longitude_deg=90.0, height_m=100.0)
    options = integrity_options(Config(gnss=GnssConfig(position=place, min_satellites=6)))
    assert options.position_m == pytest.approx((0.0, 6_378_237.0, 0.0), abs=1e-3)
    assert (options.min_satellites, options.max_time_accuracy_ns) == (6, MAX_TIME_ACCURACY_NS)
    assert integrity_options(Config()).position_m is None


def test_every_family_names_a_model_that_there_is() -> None:
    def model(family: str) -> str:
        return _model_of(OscillatorIdentity(family=family, model="090-03240-003", serial="1", firmware="1"))

    assert [model(family) for family in ("sa5x", "csac", "mro50", "new")] == [
        "sa53",
        "csac",
        "mro50",
        "unknown",
    ]
    named = {driver.timescale_model for driver in OSCILLATORS.values()} - {None}
    assert named <= set(MODELS)


def test_the_step_of_the_phase_meter_is_the_parts() -> None:
    steps = {name: OSCILLATORS[name].limits.phase_resolution_ns for name in ("sa5x", "csac")}
    assert steps == {"sa5x": 0.45, "csac": 1.0}
