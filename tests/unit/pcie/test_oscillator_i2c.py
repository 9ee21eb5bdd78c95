"""The I2C bus on the pins of the MAC port: only while the board says so, only in images that have it."""

from __future__ import annotations

import pytest

from tests.bringup_world import make_rig
from timecard.bringup.oscillator import open_oscillator, quartz_bus
from timecard.errors import DeviceAbsentError, UnsupportedError
from timecard.mac.oscillators.quartz import QuartzCard


def test_the_bus_is_there_while_the_line_is_set() -> None:
    rig = make_rig("fb", mac="quartz", temperature_c=-3.2)
    with pytest.raises(UnsupportedError, match="--pins i2c"):
        rig.card.oscillator_i2c()
    assert quartz_bus(rig.card) is None, "nothing is switched on suspicion"
    rig.card.gpio().set("mac_i2c", True)
    part, identity = open_oscillator(rig.card, rig.virtual.timebase)
    assert identity.family == "quartz"
    assert part.status().temperature_mdegc == -3_250, "in steps of 0.125 degC"


def test_a_serial_module_is_not_reached_by_i2c_nor_through_switched_pins() -> None:
    rig = make_rig("fb")
    assert open_oscillator(rig.card, rig.virtual.timebase)[1].family == "sa5x"
    rig.card.gpio().set("mac_i2c", True)
    bus = quartz_bus(rig.card)
    assert bus is not None
    with pytest.raises(DeviceAbsentError, match="PCT2075"):
        QuartzCard(bus, rig.virtual.timebase).identify()
    rig.card.gpio().set("mac_i2c", False)
    assert open_oscillator(rig.card, rig.virtual.timebase)[1].family == "sa5x"


@pytest.mark.parametrize(("board", "image"), [("celestica", None), ("art", None), ("fb", 0x8005)])
def test_other_boards_and_images_have_none(board: str, image: int | None) -> None:
    rig = make_rig(board, image_version=image)
    with pytest.raises(UnsupportedError, match=r"has none|in its place"):
        rig.card.oscillator_i2c()
