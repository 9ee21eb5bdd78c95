"""Status read-out on an emulated card."""

from __future__ import annotations

import pytest

from tests.fpga_world import ScriptedPulses, make_world, tod_status
from timecard.boards.fb import BLOCKS
from timecard.card_values import ImageVersion, PpsSource
from timecard.errors import DeviceLostError
from timecard.pcie.sma import sma_routing
from timecard.pcie.status import (
    clear_pps_errors,
    read_clock_status,
    read_image_version,
    read_pps_slave,
    read_selector,
    read_tod,
)


@pytest.mark.parametrize(
    ("word", "expected", "text"),
    [
        (0x0000_001C, ImageVersion(False, 0, 28), "fw 0.28"),
        (0x0000_8010, ImageVersion(False, 1, 16), "fw 1.16"),
        (0x0005_0000, ImageVersion(True, 0, 5), "loader 0.5"),
        (0x800E_0000, ImageVersion(True, 1, 14), "loader 1.14"),
    ],
)
def test_image_version(word: int, expected: ImageVersion, text: str) -> None:
    version = read_image_version(make_world(image_version=word).card)
    assert version == expected
    assert str(version) == text


def test_clock_status_follows_the_servo_and_its_loss() -> None:
    world = make_world(tod=lambda t_ns: tod_status())
    assert not read_clock_status(world.card).in_sync
    world.sleep_s(10)
    status = read_clock_status(world.card)
    assert (status.version, status.source) == ((1, 2, 0), "PPS")
    assert status.in_sync
    assert not status.in_holdover
    world.gnss.error_ns = lambda second: None
    world.sleep_s(5)
    status = read_clock_status(world.card)
    assert status.in_sync
    assert status.in_holdover


def test_selector_prefers_sma_then_mac_then_gnss_unless_forced() -> None:
    mac = ScriptedPulses()
    sma = ScriptedPulses()
    world = make_world(mac_pulse=mac, sma_pulses={2: sma})
    assert read_selector(world.card).selected is None
    world.sleep_s(5)
    status = read_selector(world.card)
    assert status.present == set(PpsSource)
    assert (status.selected, status.forced, status.clock_10mhz) == (PpsSource.SMA, None, "mac")
    sma.error_ns = lambda second: None
    world.sleep_s(5)
    assert read_selector(world.card).selected is PpsSource.MAC
    world.card.write32(BLOCKS["pps_select"].at("gpio2"), 3)
    status = read_selector(world.card)
    assert (status.selected, status.forced) == (PpsSource.GNSS, PpsSource.GNSS)


def test_lost_pulses_come_back_as_an_error_each_second_after_clearing() -> None:
    world = make_world()
    world.sleep_s(3)
    status = read_pps_slave(world.card)
    assert (status.enabled, status.lost, status.filter_error, status.pulse_width_ms) == (
        True,
        False,
        False,
        100,
    )
    world.gnss.error_ns = lambda second: None
    world.sleep_s(2)
    for _ in range(5):
        assert read_pps_slave(world.card).lost
        clear_pps_errors(world.card)
        assert not read_pps_slave(world.card).lost
        world.sleep_s(1)
    world.gnss.error_ns = lambda second: 0.0
    world.sleep_s(1)
    clear_pps_errors(world.card)
    world.sleep_s(5)
    assert not read_pps_slave(world.card).lost


@pytest.mark.parametrize(("word", "delay_ns"), [(250, 250), (0x8000_0064, -100)])
def test_cable_delay_of_the_pps_slave(word: int, delay_ns: int) -> None:
    world = make_world()
    world.card.write32(BLOCKS["pps_to_clk"].at("cable_delay"), word)
    assert read_pps_slave(world.card).cable_delay_ns == delay_ns


def test_time_of_day_and_receiver_words() -> None:
    world = make_world(tod=lambda t_ns: tod_status(leap_announced=True, leap_61=True, seconds_to_leap=-3))
    status = read_tod(world.card)
    assert (status.enabled, status.protocol, status.errors) == (True, "UBX", ())
    assert (status.tai_minus_utc_s, status.leap_59, status.leap_61) == (37, False, True)
    assert status.seconds_to_leap == -3
    assert (status.fix_ok, status.fix, status.antenna, status.jamming) == (True, 3, 2, 1)
    assert (status.satellites_seen, status.satellites_used) == (20, 14)


def test_a_silent_receiver_tells_nothing() -> None:
    status = read_tod(make_world().card)
    assert status.tai_minus_utc_s is None
    assert status.seconds_to_leap is None
    assert status.fix_ok is None
    assert status.antenna is None
    assert status.satellites_seen is None


def test_an_early_image_is_not_asked_for_receiver_words() -> None:
    world = make_world(image_version=25, tod=lambda t_ns: tod_status())
    assert read_tod(world.card).fix_ok is None


def test_connectors() -> None:
    world = make_world()
    assert [str(connector) for connector in sma_routing(world.card).read()] == [
        "sma1 in 10MHz",
        "sma2 in PPS1",
        "sma3 out PHC",
        "sma4 out GNSS1",
    ]
    world.card.write32(BLOCKS["sma_map1"].at("gpio1"), 0x8005_0000)
    world.card.write32(BLOCKS["sma_map2"].at("gpio2"), 0x0000_8400)
    assert [str(connector) for connector in sma_routing(world.card).read()][:2] == [
        "sma1 out bit 10",
        "sma2 in PPS1 TS1",
    ]
    world.card.write32(BLOCKS["sma_map1"].at("gpio2"), 0)
    assert str(sma_routing(world.card).read()[2]) == "sma3 off"


def test_an_image_with_fixed_directions_has_no_second_map() -> None:
    world = make_world()
    world.card.write32(BLOCKS["sma_map2"].at("gpio2"), 0xFFFF_FFFF)
    assert [connector.direction for connector in sma_routing(world.card).read()] == ["in", "in", "out", "out"]


@pytest.mark.parametrize(
    "read", [read_image_version, read_clock_status, read_selector, read_pps_slave, read_tod]
)
def test_a_dead_card_is_lost(read: object) -> None:
    world = make_world()
    world.card.dead = True
    with pytest.raises(DeviceLostError, match="all ones"):
        read(world.card)  # type: ignore[operator]  # one of several readers
