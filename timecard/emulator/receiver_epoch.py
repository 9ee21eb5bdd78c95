"""One second of an emulated receiver: all that its messages are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from timecard.emulator.receiver_leap import LeapSchedule
from timecard.emulator.receiver_navigation import NavState
from timecard.timescale import NS_PER_S, tai_to_gps

LAT_1E7: Final = 473_769_000
LON_1E7: Final = 85_417_000
HEIGHT_MM: Final = 470_000
ECEF_CM: Final = (427_926_933, 64_272_546, 467_058_650)
"""The antenna's position (WGS 84), the same in both forms."""
_NORTH_1E7_PER_M: Final = 89.95
"""A metre along the meridian at this latitude."""
_NORTH: Final = (-0.7277, -0.1093, 0.6771)
"""The direction of north there, earth-centred."""


class Satellite(NamedTuple):
    """One satellite of the sky."""

    gnss_id: int
    sv_id: int
    cno_dbhz: int
    elevation_deg: int
    azimuth_deg: int


@dataclass(slots=True)
class Rf:
    """Antenna and interference as the receiver's RF section sees them (UBX codes)."""

    antenna: int = 2
    antenna_power: int = 1
    jamming: int = 1
    jam_indicator: int = 5
    spoofing: int = 1


class Traits(NamedTuple):
    """What differs between receivers in the messages themselves."""

    second_band: str = "L5"
    """``L2``, ``L5`` or ``""``."""
    qerr_flag: bool = True
    """TIM-TP can say that its quantisation error is invalid ..."""
    lock_flags: bool = False
    """... and that the pulse is not locked (protocol 32 and later)."""
    sec_sig_version: int = 1


class Epoch(NamedTuple):
    """All that the messages of one second are made from."""

    nav: NavState
    tai_s: int
    """The second as the receiver believes it: wrong while a wrong-time fault is on."""
    leap: LeapSchedule
    rf: Rf
    sky: tuple[Satellite, ...]
    grid: int
    qerr_ps: int
    """Of the next pulse."""
    qerr_valid: bool
    traits: Traits = Traits()
    past_qerr_ps: int = 0
    """Of the pulse just past."""
    sync_age_s: int = 0
    """Since the pulse was last tied to GNSS time."""
    label_off_s: int = 0
    """The next pulse is named so many seconds wrong."""
    north_m: float = 0.0
    """The position is found so far north of the antenna."""

    @property
    def lat_1e7(self) -> int:
        """Latitude that is found."""
        return LAT_1E7 + round(self.north_m * _NORTH_1E7_PER_M)

    @property
    def ecef_cm(self) -> tuple[int, int, int]:
        """The same, earth-centred."""
        if not self.north_m:
            return ECEF_CM
        x, y, z = (round(cm + 100 * self.north_m * way) for cm, way in zip(ECEF_CM, _NORTH, strict=True))
        return x, y, z

    @property
    def itow_ms(self) -> int:
        """GPS time of week."""
        return tai_to_gps(self.tai_s * NS_PER_S)[1] // 1_000_000

    @property
    def valid_time(self) -> int:
        """Date and time known (1, 2), leap seconds known (4): NAV-PVT and NAV-TIMEUTC agree in these bits."""
        return (3 if self.nav.time_known else 0) | (4 if self.nav.leap_known else 0)
