"""Rakon ROD2522S2: an oven-controlled quartz on a daughter card with I2C.

It can be steered over I2C or follow a pulse by itself, but its registers are not published: it is watched, by
the thermometer of its card (OSC/OCXO Daughtercard of the Time Card project). Other quartzes have the same
thermometer on the same card: nothing that is known answers for a ROD2522S2, so that it has to be named.
"""

from __future__ import annotations

from typing import Final

from timecard.mac.driver import I2cPort, OscillatorDriver, PartLimits
from timecard.mac.oscillators.quartz import QuartzCard
from timecard.timebase import Timebase

FAMILY: Final = "rod2522"
_UNPUBLISHED: Final = "how a ROD2522S2 is steered is not published: correct the card's clock instead"


def open_i2c(port: I2cPort, timebase: Timebase) -> QuartzCard:
    """A driver on the card's I2C bus to its oscillator."""
    return QuartzCard(port, timebase, family=FAMILY, model="ROD2522S2", reason=_UNPUBLISHED)


DRIVER: Final = OscillatorDriver(
    family=FAMILY,
    baud=None,
    order=50,
    probe=None,
    open=None,
    open_i2c=open_i2c,
    only_by_name=True,
    timescale_model="ocxo",
    limits=PartLimits(warm_up_s=0.0, temperature_mdegc=(-40_000, 85_000)),
)
