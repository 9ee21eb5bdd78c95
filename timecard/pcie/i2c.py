"""The I2C bus of a card from user space, on the master that the board has.

Both masters are polled and use aligned 32-bit accesses only. Nobody else may use the bus meanwhile: the
kernel's drivers are unbound when user space holds the card.
"""

from __future__ import annotations

from timecard.boards.board import I2cKind
from timecard.pcie.i2c_axi import AxiI2c
from timecard.pcie.i2c_bus import I2cMaster
from timecard.pcie.i2c_ocores import OcoresI2c
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase


def open_i2c(bus: RegisterBus, timebase: Timebase) -> I2cMaster:
    """The master of the board that ``bus`` leads to; resets it. Raises a ``TimeCardError``."""
    if bus.board.i2c.kind is I2cKind.AXI_IIC:
        return AxiI2c(bus, timebase)
    return OcoresI2c(bus, timebase)


__all__ = ["I2cMaster", "open_i2c"]
