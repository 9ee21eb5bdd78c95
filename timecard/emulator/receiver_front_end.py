"""Antenna, sky and interference of an emulated receiver, and what its RF monitor makes of them."""

from __future__ import annotations

import random
from typing import Final, Protocol

from timecard.emulator.receiver_epoch import Rf, Satellite
from timecard.values import AntennaStatus, JammingState, SpoofingState

MAX_SKY: Final = 32
TRACKING_DBHZ: Final = 20.0
"""Weaker signals are lost."""
JAM_WARNING_DB: Final = 3.0
JAM_CRITICAL_DB: Final = 12.0
UNPOWERED_DB: Final = 25.0
"""An active antenna whose amplifier is off."""
_GPS, _GALILEO, _BEIDOU, _GLONASS = 0, 2, 3, 6


class Detectors(Protocol):
    """Which detectors are switched on, by u-blox keys."""

    def value(self, name: str) -> int:
        """A setting."""
        ...


class FrontEnd:
    """The part of a receiver before its digits. Faults are plain attributes."""

    def __init__(self, rng: random.Random) -> None:
        self.antenna = AntennaStatus.OK
        """``OPEN`` and ``SHORT`` end reception."""
        self.jam_db = 0.0
        """How much interference lowers every satellite's C/N0."""
        self.quiet_loss_db = 0.0
        """The same, and the interference monitor does not see why."""
        self.antenna_supply = True
        """Without it the antenna's amplifier is off."""
        self.spoofing = SpoofingState.NONE
        """What the receiver's own detector says."""
        self.satellites_visible = 18
        self._sky = _make_sky(rng)

    def received_sky(self) -> tuple[Satellite, ...]:
        """The satellites as they are received now, tracked ones first; C/N0 0 where nothing is received."""
        sky = self._sky[: self.satellites_visible]
        loss_db = self.jam_db + self.quiet_loss_db + (0.0 if self.antenna_supply else UNPOWERED_DB)
        if self.antenna is AntennaStatus.OK and not loss_db:
            return sky
        blind = self.antenna is not AntennaStatus.OK
        weaker = []
        for sat in sky:
            cno = sat.cno_dbhz - loss_db
            weaker.append(sat._replace(cno_dbhz=0 if blind or cno < TRACKING_DBHZ else round(cno)))
        return tuple(sorted(weaker, key=lambda sat: not sat.cno_dbhz))

    def rf(self, config: Detectors) -> Rf:
        """What the monitor reports; a detector that is not configured reports "unknown"."""
        antenna, power = self.antenna, int(self.antenna_supply)
        if antenna is AntennaStatus.OPEN and not config.value("CFG_HW_ANT_CFG_OPENDET"):
            antenna = AntennaStatus.UNKNOWN
        elif antenna is AntennaStatus.SHORT:
            power = 0 if config.value("CFG_HW_ANT_CFG_PWRDOWN") else power
            antenna = antenna if config.value("CFG_HW_ANT_CFG_SHORTDET") else AntennaStatus.UNKNOWN
        jamming = JammingState.OK
        if self.jam_db >= JAM_WARNING_DB:
            jamming = JammingState.CRITICAL if self.jam_db >= JAM_CRITICAL_DB else JammingState.WARNING
        if not config.value("CFG_ITFM_ENABLE"):
            jamming = JammingState.UNKNOWN
        indicator = min(255, 5 + round(8 * self.jam_db))
        return Rf(antenna.value, power, jamming.value, indicator, self.spoofing.value)


def _make_sky(rng: random.Random) -> tuple[Satellite, ...]:
    sky = []
    for number in range(MAX_SKY):
        system = (_GPS, _GALILEO, _BEIDOU, _GLONASS)[number % 4]
        elevation = max(5, 80 - 2 * number - rng.randrange(6))
        cno = 36 + elevation // 8
        sky.append(Satellite(system, 2 + 3 * (number // 4), cno, elevation, rng.randrange(360)))
    return tuple(sky)
