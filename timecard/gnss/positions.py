"""Where the antenna is: one event a second at most, and only when the place that is told has changed.

Shared by the decoders of all makers; a receiver in fixed mode repeats one place for years.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from timecard.gnss.geodesy import geodetic
from timecard.timescale import NS_PER_S
from timecard.values import AntennaPosition

_MIN_GAP_NS: Final = 850_000_000
_REFRESH_NS: Final = 10 * NS_PER_S
_BETTER_FRESH_NS: Final = 3 * NS_PER_S
_MAX_SIGMA_M: Final = 10_000.0
"""A receiver without a fix gives the largest figure it has."""
_MIN_RADIUS_M, _MAX_RADIUS_M = 6_300_000.0, 6_500_000.0
_MAX_HEIGHT_M: Final = 100_000.0


class PositionFilter:
    """Takes every place that the receiver tells and lets through what is news."""

    def __init__(self) -> None:
        self._last: tuple[float, float, float] | None = None
        self._last_ns = 0
        self._rank = 0
        self._rank_ns = 0

    def geodetic(
        self,
        latitude_deg: float,
        longitude_deg: float,
        height_m: float,
        sigma_m: float | None,
        read_mono_ns: int,
        rank: int = 0,
    ) -> Sequence[AntennaPosition]:
        """``rank``: of several messages that tell the place, only the highest one of late counts."""
        place = (latitude_deg, longitude_deg, height_m)
        if not _is_place(place, sigma_m) or not self._is_due(place, rank, read_mono_ns):
            return ()
        self._last = place
        self._last_ns = read_mono_ns
        return (
            AntennaPosition(
                latitude_deg=latitude_deg,
                longitude_deg=longitude_deg,
                height_m=height_m,
                sigma_m=sigma_m,
                read_mono_ns=read_mono_ns,
            ),
        )

    def earth_centred(
        self, x_m: float, y_m: float, z_m: float, sigma_m: float | None, read_mono_ns: int, rank: int = 0
    ) -> Sequence[AntennaPosition]:
        """The same for X, Y, Z."""
        if not _MIN_RADIUS_M <= math.hypot(x_m, y_m, z_m) <= _MAX_RADIUS_M:
            return ()
        return self.geodetic(*geodetic(x_m, y_m, z_m), sigma_m, read_mono_ns, rank)

    def _is_due(self, place: tuple[float, float, float], rank: int, read_mono_ns: int) -> bool:
        if rank < self._rank and read_mono_ns - self._rank_ns < _BETTER_FRESH_NS:
            return False
        self._rank = rank
        self._rank_ns = read_mono_ns
        if self._last is None:
            return True
        gap_ns = read_mono_ns - self._last_ns
        return gap_ns >= (_REFRESH_NS if place == self._last else _MIN_GAP_NS)


def _is_place(place: tuple[float, float, float], sigma_m: float | None) -> bool:
    latitude_deg, longitude_deg, height_m = place
    return (
        any(place)  # all zero is an empty message
        and abs(latitude_deg) <= 90
        and abs(longitude_deg) <= 180
        and abs(height_m) <= _MAX_HEIGHT_M
        and (sigma_m is None or 0 <= sigma_m <= _MAX_SIGMA_M)
    )
