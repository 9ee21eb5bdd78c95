"""Faults of the card itself: what each does to the registers, and that it is undone."""

from __future__ import annotations

from typing import Any

import pytest

from timecard.boards import BOARDS
from timecard.emulator.card_faults import SWITCHES
from timecard.emulator.fault_kinds import FAULTS
from timecard.emulator.faults import FaultError
from timecard.emulator.virtual_card import InProcessCard, build_in_process
from timecard.timescale import NS_PER_S


def card(board: str = "fb", **options: Any) -> InProcessCard:
    made = build_in_process(board=board, clock_start_tai_ns=1_767_225_637 * NS_PER_S, **options)
    made.timebase.sleep_s(30)
    return made


def read(made: InProcessCard, block: str, register: str) -> int:
    return made.bus.read32(made.bus.board.at(block, register))


def write(made: InProcessCard, block: str, register: str, value: int) -> None:
    made.bus.write32(made.bus.board.at(block, register), value)


def clock_ns(made: InProcessCard) -> int:
    write(made, "reg", "ctrl", 0x4000_0001)
    return read(made, "reg", "time_sec") * NS_PER_S + read(made, "reg", "time_ns")


@pytest.mark.parametrize("board", list(BOARDS))
def test_every_fault_can_come_and_go_on_every_board_that_has_it(board: str) -> None:
    made = card(board)
    supported = made.card.faults.supported()
    assert set(supported) <= set(FAULTS)
    assert {"clock-stopped", "dead-card", "eeprom-unreadable", "flash-dead", "gnss-silent"} <= set(supported)
    for name in supported:
        made.inject(name)
        made.timebase.sleep_s(1.1)
        clock_ns(made)
        made.clear(name)
    made.timebase.sleep_s(30)
    assert made.card.faults.in_force() == {}
    before = clock_ns(made)
    made.timebase.sleep_s(1)
    assert clock_ns(made) - before == pytest.approx(NS_PER_S, abs=100_000)


def test_what_a_board_lacks_cannot_fail() -> None:
    art = card("art")
    for name in ("tod-errors", "no-10mhz", "generator-error", "ptm-wrong", "loader-image"):
        with pytest.raises(FaultError, match="no part"):
            art.inject(name)
    assert set(SWITCHES) <= set(card("fb").card.faults.supported())
    assert "ptm-wrong" not in card("fb", ptm=False).card.faults.supported()
    assert "wrong-image" not in card("adva").card.faults.supported()


@pytest.mark.parametrize("board", ["fb", "art"])
def test_clock_stopped(board: str) -> None:
    made = card(board)
    made.inject("clock-stopped")
    first = clock_ns(made)
    made.timebase.sleep_s(5)
    assert clock_ns(made) == first
    assert read(made, "reg", "ctrl") & 0x7FFF_FFFF == 1
    made.clear("clock-stopped")
    assert clock_ns(made) == pytest.approx(first, abs=40)
    made.timebase.sleep_s(1)
    assert clock_ns(made) > first


def test_clock_1970_stays_until_the_receiver_is_heard_again() -> None:
    made = card()
    assert clock_ns(made) > 1_700_000_000 * NS_PER_S
    made.inject("clock-1970")
    made.timebase.sleep_s(10)
    assert clock_ns(made) < 20 * NS_PER_S
    made.clear("clock-1970")
    made.timebase.sleep_s(10)
    assert clock_ns(made) > 1_700_000_000 * NS_PER_S


@pytest.mark.parametrize("high", [0, 1])
def test_done_stuck(high: int) -> None:
    made = card()
    made.inject("done-stuck", high=high)
    for word in (0x4000_0001, 0x0000_0001):
        write(made, "reg", "ctrl", word)
        assert read(made, "reg", "ctrl") >> 31 == high
    made.clear("done-stuck")
    write(made, "reg", "ctrl", 0x4000_0001)
    assert read(made, "reg", "ctrl") >> 31 == 1
    write(made, "reg", "ctrl", 1)
    assert read(made, "reg", "ctrl") >> 31 == 0


@pytest.mark.parametrize("board", ["fb", "art"])
def test_adjust_ignored(board: str) -> None:
    made = card(board)
    made.inject("adjust-ignored")
    if board == "fb":
        write(made, "reg", "select", 254)
    before = made.truth().card_error_ns
    write(made, "reg", "adjust_sec", 5)
    write(made, "reg", "offset_ns", 1000)
    write(made, "reg", "ctrl", 7)
    made.timebase.sleep_s(2)
    assert made.truth().card_error_ns - before == pytest.approx(0, abs=200)


def test_no_10mhz_is_shown_and_felt() -> None:
    made = card()
    write(made, "reg", "select", 254)
    assert read(made, "pps_select", "gpio1") & 0x30 == 0x20
    made.inject("no-10mhz", offset_ppb=-3000)
    assert read(made, "pps_select", "gpio1") & 0x30 == 0
    before = made.truth().card_error_ns
    made.timebase.sleep_s(10)
    drift_ns = made.truth().card_error_ns - before
    made.clear("no-10mhz")
    assert read(made, "pps_select", "gpio1") & 0x30 == 0x20
    before = made.truth().card_error_ns
    made.timebase.sleep_s(10)
    assert drift_ns - (made.truth().card_error_ns - before) == pytest.approx(-30_000, abs=50)


def test_pps_select_wrong() -> None:
    made = card()
    made.inject("pps-select-wrong", source=1)
    assert read(made, "pps_select", "gpio2") & 3 == 1
    made.timebase.sleep_s(3)
    assert read(made, "pps_to_clk", "status") & 2, "no pulse comes from there"
    made.clear()
    assert read(made, "pps_select", "gpio2") & 3 == 0


def test_tod_errors_rise_again() -> None:
    made = card()
    made.inject("tod-errors", bits=5)
    assert read(made, "tod", "status") == 5
    write(made, "tod", "status", 7)
    assert read(made, "tod", "status") == 5
    made.clear()
    assert read(made, "tod", "status") == 0


def test_images() -> None:
    made = card()
    right = read(made, "image", "version")
    made.inject("loader-image")
    assert read(made, "image", "version") & 0xFFFF == 0
    made.clear()
    made.inject("wrong-image")
    assert read(made, "image", "version") == right ^ 0x8000
    made.clear()
    assert read(made, "image", "version") == right


@pytest.mark.parametrize(("fault", "port"), [("gnss-silent", "port[GNSS]"), ("mac-silent", "port[MAC]")])
def test_silent_lines(fault: str, port: str) -> None:
    made = card(mac="sa53")
    uart = made.bus.board.blocks[port].offset
    divisor = 27 if fault == "gnss-silent" else 54
    for register, byte in ((0x0C, 0x83), (0x00, divisor), (0x04, 0), (0x0C, 3)):
        made.bus.write32(uart + register, byte)

    def talks() -> bool:
        made.bus.write32(uart + 0x08, 3)  # empties the queue
        for byte in b"{serial?}\r\n":
            made.bus.write32(uart, byte)
            made.timebase.sleep_s(0.001)
        made.timebase.sleep_s(1.2)
        return bool(made.bus.read32(uart + 0x14) & 1)

    assert talks()
    made.inject(fault)
    made.timebase.sleep_s(0.5)
    assert not talks()
    assert (read(made, "tod", "utc_status") == 0) == (fault == "gnss-silent")
    made.clear()
    assert talks()


def test_two_faults_that_silence_the_time_of_day_end_one_by_one() -> None:
    made = card()
    made.inject("clock-1970")
    made.inject("gnss-silent")
    made.clear("clock-1970")
    assert read(made, "tod", "utc_status") == 0
    made.clear("gnss-silent")
    assert read(made, "tod", "utc_status") & 0x100


def test_generator_error() -> None:
    made = card()
    raised: list[int] = []
    made.card.fpga.on_interrupt = raised.append
    write(made, "signal_out[1]", "intr_mask", 1)
    made.inject("generator-error", generator=2)
    assert (read(made, "signal_out[1]", "status"), read(made, "signal_out[1]", "enable")) == (1, 1)
    assert raised == [12]
    assert read(made, "signal_out[0]", "status") == 0
    made.clear()
    assert read(made, "signal_out[1]", "status") == 0


def test_ptm_wrong() -> None:
    made = card()

    def master_minus_truth() -> int:
        write(made, "ptm", "ptm_ctrl", 3)
        at = made.bus.board.at("ptm", "master_time")
        return (made.bus.read32(at) << 32 | made.bus.read32(at + 4)) - made.truth().mono_raw_ns

    right = master_minus_truth()
    made.inject("ptm-wrong", offset_ns=7000)
    assert master_minus_truth() == right + 7000
    made.clear()
    assert master_minus_truth() == right


def test_memories() -> None:
    made = card()
    made.inject("eeprom-unreadable")
    made.inject("flash-dead")
    controllers = made.card.fpga.controllers
    assert controllers.i2c.unreadable
    assert not controllers.spi.flash.powered
    made.clear()
    assert not controllers.i2c.unreadable
    assert controllers.spi.flash.powered
