"""WGS 84: geodetic coordinates to earth-centred ones."""

from __future__ import annotations

import math
from typing import Final

A_M: Final = 6_378_137.0
"""Semi-major axis of WGS 84 (NGA.STND.0036, table 3.1)."""
F: Final = 1 / 298.257223563
"""Flattening, same table."""


def ecef_m(latitude_deg: float, longitude_deg: float, height_m: float) -> tuple[float, float, float]:
    """X, Y, Z in metres of a place given by latitude, longitude and height above the ellipsoid."""
    latitude, longitude = math.radians(latitude_deg), math.radians(longitude_deg)
    eccentricity2 = F * (2 - F)
    normal_m = A_M / math.sqrt(1 - eccentricity2 * math.sin(latitude) ** 2)
    across_m = (normal_m + height_m) * math.cos(latitude)
    return (
        across_m * math.cos(longitude),
        across_m * math.sin(longitude),
        (normal_m * (1 - eccentricity2) + height_m) * math.sin(latitude),
    )


def geodetic(x_m: float, y_m: float, z_m: float) -> tuple[float, float, float]:
    """Latitude and longitude in degrees and height above the ellipsoid in metres of an earth-centred place.

    Bowring's formula (Survey Review 23, 1976): below a millimetre from the deep sea to satellite heights.
    """
    eccentricity2 = F * (2 - F)
    b_m = A_M * (1 - F)
    across_m = math.hypot(x_m, y_m)
    reduced = math.atan2(z_m * A_M, across_m * b_m)
    latitude = math.atan2(
        z_m + eccentricity2 / (1 - eccentricity2) * b_m * math.sin(reduced) ** 3,
        across_m - eccentricity2 * A_M * math.cos(reduced) ** 3,
    )
    sine = math.sin(latitude)
    # This form of the height has no singularity at the poles.
    height_m = across_m * math.cos(latitude) + z_m * sine - A_M * math.sqrt(1 - eccentricity2 * sine * sine)
    return math.degrees(latitude), math.degrees(math.atan2(y_m, x_m)), height_m
