"""WGS 84 against published figures."""

from __future__ import annotations

import pytest

from appliance.assembly import receiver_intent
from appliance.config import Config
from appliance.config_models import GnssConfig, Position
from timecard.gnss.geodesy import ecef_m
from timecard.gnss.intent import FixedPosition, Survey

LATITUDE_DEG = 53 + 48 / 60 + 33.820 / 3600
LONGITUDE_DEG = 2 + 7 / 60 + 46.380 / 3600
EXAMPLE_M = pytest.approx((3_771_793.968, 140_253.342, 5_124_304.349), abs=1e-3)
"""IOGP 373-7-2 (EPSG guidance note 7 part 2), 4.1.1: the worked example, at a height of 73 m."""


@pytest.mark.parametrize(
    ("latitude_deg", "longitude_deg", "height_m", "place_m"),
    [
        (LATITUDE_DEG, LONGITUDE_DEG, 73.0, EXAMPLE_M),
        (0.0, 0.0, -10.0, pytest.approx((6_378_127.0, 0.0, 0.0), abs=1e-6)),
        (0.0, -90.0, 0.0, pytest.approx((0.0, -6_378_137.0, 0.0), abs=1e-6)),
        (-90.0, 0.0, 0.0, pytest.approx((0.0, 0.0, -6_356_752.3142), abs=1e-4)),
    ],
)
def test_places(latitude_deg: float, longitude_deg: float, height_m: float, place_m: object) -> None:
    assert ecef_m(latitude_deg, longitude_deg, height_m) == place_m


def test_a_configured_position_reaches_the_receiver() -> None:
    position = Position(
        latitude_deg=LATITUDE_DEG, longitude_deg=LONGITUDE_DEG, height_m=73.0, accuracy_m=0.25
    )
    fixed = receiver_intent(Config(gnss=GnssConfig(position=position))).position
    assert isinstance(fixed, FixedPosition)
    assert (fixed.x_m, fixed.y_m, fixed.z_m) == EXAMPLE_M
    assert fixed.sigma_m == 0.25
    assert isinstance(receiver_intent(Config()).position, Survey)
