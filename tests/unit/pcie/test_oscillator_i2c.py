"""The I2C bus on the pins of the MAC port: only while the board says so, only in images that have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.bringup_world import make_rig
from timecard.bringup.intent_file import parse_intent
from timecard.bringup.oscillator import open_oscillator, quartz_bus
from timecard.bringup.report import Verdict
from timecard.emulator.world import VirtualTime
from timecard.errors import DeviceAbsentError, RefusedError, UnsupportedError
from timecard.mac.detect import detect_i2c
from timecard.mac.driver import I2cPort, Oscillator
from timecard.mac.oscillators import OSCILLATORS
from timecard.mac.oscillators.quartz import DRIVER as QUARTZ
from timecard.mac.oscillators.quartz import QuartzCard
from timecard.timebase import Timebase


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


def test_a_rod2522_is_taken_where_it_is_named() -> None:
    """It has the thermometer of every quartz card: nothing else tells it."""
    rig = make_rig("fb", mac="quartz", temperature_c=41.0)
    rig.card.gpio().set("mac_i2c", True)
    part, identity = open_oscillator(rig.card, rig.virtual.timebase, wanted="rod2522")
    assert (identity.family, identity.model) == ("rod2522", "ROD2522S2")
    assert part.status().temperature_mdegc == 41_000
    assert open_oscillator(rig.card, rig.virtual.timebase)[1].family == "quartz"
    report = rig.run(parse_intent("[oscillator]\nfamily = 'rod2522'\nrequired = true"))
    assert report.verdict is Verdict.DONE, report
    with pytest.raises(RefusedError, match="quartz answers, not sa5x"):
        open_oscillator(rig.card, rig.virtual.timebase, wanted="sa5x")


def test_a_driver_of_another_package_is_asked_on_the_bus_by_its_order() -> None:
    rig = make_rig("fb", mac="quartz", temperature_c=41.0)
    rig.card.gpio().set("mac_i2c", True)
    bus = quartz_bus(rig.card)
    assert bus is not None
    asked: list[str] = []

    def opener(family: str) -> Callable[[I2cPort, Timebase], Oscillator]:
        def open_i2c(port: I2cPort, timebase: Timebase) -> Oscillator:
            asked.append(family)
            return QuartzCard(port, timebase, family=family, model="made up")

        return open_i2c

    mine = [
        replace(QUARTZ, family=family, order=order, open_i2c=opener(family))
        for family, order in (("late", 70), ("early", 5))
    ]
    assert detect_i2c(bus, rig.virtual.timebase, drivers=[QUARTZ, *mine])[1].family == "early"
    assert detect_i2c(bus, rig.virtual.timebase, drivers=mine, expected="late")[1].family == "late"
    assert asked == ["early", "late"]
    with pytest.raises(DeviceAbsentError, match="no driver for this bus"):
        detect_i2c(bus, rig.virtual.timebase, drivers=[])


@pytest.mark.parametrize("family", [name for name, each in OSCILLATORS.items() if each.open_i2c])
def test_who_is_there_is_asked_by_register_numbers_alone(family: str) -> None:
    said: list[tuple[bytes, int]] = []

    class Nobody:
        name = "i2c"

        def transfer(self, address: int, write: bytes, read: int) -> bytes:
            said.append((write, read))
            return b"\x5a" * read  # some other part

    with pytest.raises(DeviceAbsentError):
        detect_i2c(Nobody(), VirtualTime(0), expected=family, drivers=[OSCILLATORS[family]])
    assert said and all(len(write) <= 1 and read > 0 for write, read in said)


@pytest.mark.parametrize(("board", "image"), [("celestica", None), ("art", None), ("fb", 0x8005)])
def test_other_boards_and_images_have_none(board: str, image: int | None) -> None:
    rig = make_rig(board, image_version=image)
    with pytest.raises(UnsupportedError, match=r"has none|in its place"):
        rig.card.oscillator_i2c()
