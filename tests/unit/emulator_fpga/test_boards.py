"""Every board: what its tables list answers, nothing else does, and the words are those of the data sheet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fpga_world import World, make_world
from timecard.boards import BOARDS
from timecard.boards import registers as r
from timecard.boards.board import ImageWord, SmaKind
from timecard.emulator.fpga_config import ConfigSpace
from timecard.emulator.fpga_msix import TABLE

NOT_IN_CORE_1_2 = {"drift_fraction", "status_offset_fraction", "status_drift_fraction"}
NAMES = list(BOARDS)
WINDOWS = {r.IRIG_SLAVE, r.IRIG_MASTER, r.DCF_SLAVE, r.DCF_MASTER, r.NMEA_MASTER}
DOUBLE_WORDS = {("ptm", "master_time"), ("ptm", "t1_time"), ("ptm", "t4_time"), ("msi", "msi_pba")}
LIVE = {
    # By the configuration master of the image, or following what is outside.
    ("reg", "ctrl"): "the clock runs from configuration on",
    ("tod", "ctrl"): "the slave is switched on at configuration",
    ("tod", "uart_baud"): "the rate of the board's receiver",
    ("tod", "time_to_leap"): "nothing heard yet",
    ("pps_to_clk", "ctrl"): "as the clock",
    ("pps_to_ext", "ctrl"): "as the clock",
    ("sma_map1", "gpio2"): "the open default configuration routes PHC and GNSS1 out",
    ("sma_status", "input_status"): "SMA1 and SMA2 are inputs",
    ("nmea_out", "ctrl"): "RAM in open images",
    ("nmea_out", "uart_polarity"): "RAM in open images",
}
EMPTY = ("spi_flash", "DRR")
"""A read of the empty receive FIFO ends in a bus error."""
IIC_TIMING = set(range(0x128, 0x148, 4))
"""Timing registers of the AXI core that no driver of the card uses."""


def documented(board: str) -> set[int]:
    """Words that something must answer for."""
    offsets = set()
    for block in BOARDS[board].blocks.values():
        for register in block.registers:
            offset = block.offset + register.offset & ~3
            offsets.add(offset)
            if (block.name, register.name) in DOUBLE_WORDS:
                offsets.add(offset + 4)
        if block.registers is r.TIMESTAMPER_ART:
            offsets |= set(range(block.offset, block.offset + block.size, 4))
        if block.registers is r.AXI_IIC:
            offsets |= {block.offset + timing for timing in IIC_TIMING}
    return offsets


@pytest.mark.parametrize("board", NAMES)
def test_every_register_of_the_tables_answers(board: str) -> None:
    world = make_world(board=board)
    for block in BOARDS[board].blocks.values():
        for register in block.registers:
            offset = block.offset + register.offset & ~3
            before = world.card.unmapped
            if register.access == "WO":
                world.card.write32(offset, 0)
            else:
                world.card.read32(offset)
            absent = register.name in NOT_IN_CORE_1_2 or (
                (block.name, register.name) == EMPTY and block.registers is r.AXI_SPI
            )
            assert world.card.unmapped - before == absent, (block.name, register.name)


@pytest.mark.parametrize("board", NAMES)
def test_nothing_else_answers(board: str) -> None:
    """Every word of every page that has a block, and one word of every other page."""
    world = make_world(board=board)
    known = documented(board)
    tables = BOARDS[board].blocks.values()
    pages = {block.offset >> 12: block for block in tables}
    table = set(range(TABLE, TABLE + 1024, 4)) if BOARDS[board].msix else set()
    for page in range(BOARDS[board].bar0_size >> 12):
        block = pages.get(page)
        for offset in range(page << 12, (page << 12) + (4096 if block else 4), 4):
            before = world.card.unmapped
            value = world.card.read32(offset)
            if world.card.unmapped == before:
                window = any(
                    b.registers in WINDOWS and b.offset <= offset < b.offset + b.size for b in tables
                )
                assert offset in known or offset in table or window, hex(offset)
            else:
                assert value == r.ALL_ONES
    assert world.card.accesses.narrow == 0


@pytest.mark.parametrize("board", NAMES)
def test_reset_values_are_those_of_the_data_sheet(board: str, shared_dir: Path) -> None:
    sheet = json.loads((shared_dir / "reference/time-card-registers.json").read_text(encoding="utf-8"))
    published = {title: rows["registers"] for title, rows in sheet["blocks"].items()}
    names = {
        r.CLOCK: "clock", r.CLOCK_ART: "clock_art", r.TOD_SLAVE: "tod_slave", r.PPS_SLAVE: "pps_slave",
        r.PPS_GENERATOR: "pps_generator", r.TIMESTAMPER: "timestamper", r.TIMESTAMPER_ART: "timestamper_art",
        r.SIGNAL_GENERATOR: "signal_generator", r.FREQUENCY_COUNTER: "frequency_counter",
        r.SMA_MAP1: "sma_map1", r.SMA_MAP2: "sma_map2", r.ART_SMA: "art_sma", r.PPS_SELECT: "pps_select",
        r.GPIO_EXT: "gpio_ext", r.GPIO_GNSS_MAC: "gpio_gnss_mac", r.MRO50: "mro50",
        r.ART_BOARD_CONFIG: "board_config", r.AXI_IIC: "axi_iic", r.AXI_SPI: "axi_quad_spi",
        r.ALTERA_SPI: "altera_spi", r.OCORES_I2C_WIDE: "ocores_i2c",
    }  # fmt: skip
    world = make_world(board=board)
    compared = 0
    for block in BOARDS[board].blocks.values():
        for row in published.get(names.get(block.registers, ""), ()):
            wanted = number(row["reset"])
            ours = [mine for mine in block.registers if mine.name.lower() == str(row["name"]).lower()]
            if wanted is None or not ours or ours[0].access == "WO" or ours[0].name in NOT_IN_CORE_1_2:
                continue
            if (block.name, ours[0].name) in (*LIVE, EMPTY):
                continue
            if board == "adva-x1" and (block.name, ours[0].name) == ("sma_map1", "gpio1"):
                continue  # not published; 10 MHz in has no name there
            assert world.card.read32(block.offset + ours[0].offset) == wanted, (block.name, ours[0].name)
            compared += 1
    assert compared > 20


def number(reset: Any) -> int | None:
    """A reset value of the sheet, where it is a figure."""
    if isinstance(reset, int):
        return reset
    try:
        return int(str(reset).split()[0].rstrip(","), 0)
    except (ValueError, IndexError):
        return None


def image_word(world: World) -> int:
    return world.read("image", "version")


@pytest.mark.parametrize(
    ("board", "word"),
    [("fb", 28), ("litepcie", 31), ("celestica", 0x800E), ("adva", 4), ("adva-x1", 4)],
)
def test_the_image_word_of_each_board(board: str, word: int) -> None:
    assert image_word(make_world(board=board)) == word


def test_the_art_card_tells_its_image_by_the_version_of_its_clock() -> None:
    assert make_world(board="art").read("reg", "version") == 15
    assert make_world(board="art", image_version=17).read("reg", "version") == 17


@pytest.mark.parametrize("board", NAMES)
def test_every_connector_starts_with_a_function_that_the_board_has_a_name_for(board: str) -> None:
    world = make_world(board=board)
    sma, table = world.card.fabric.sma, BOARDS[board].sma
    assert len(sma.inputs) + len(sma.outputs) == 4
    assert all(functions and set(functions) <= set(table.inputs) for functions in sma.inputs.values())
    assert set(sma.outputs.values()) <= set(table.outputs)


@pytest.mark.parametrize("board", NAMES)
def test_identity_in_configuration_space(board: str) -> None:
    family = BOARDS[board]
    config = ConfigSpace(1, msix=True, ptm=False, board=family)
    vendor, device = family.pci_ids[0]
    assert config.read(0, 4) == vendor.to_bytes(2, "little") + device.to_bytes(2, "little")
    assert int.from_bytes(config.read(8, 4), "little") == family.pci_class << 8 | family.pci_revision
    config.write(0x10, b"\xff\xff\xff\xff")
    assert int.from_bytes(config.read(0x10, 4), "little") == (1 << 32) - family.bar0_size


@pytest.mark.parametrize(("board", "messages"), [("fb", 32), ("celestica", 32), ("art", 16), ("adva", 32)])
def test_messages_that_a_board_offers(board: str, messages: int) -> None:
    config = ConfigSpace(1, msix=False, ptm=False, board=BOARDS[board])
    assert config.read(0x34, 1)[0] == 0x40
    assert config.read(0x41, 1)[0] == 0x48
    control = int.from_bytes(config.read(0x4A, 2), "little")
    assert 1 << (control >> 1 & 7) == messages


def test_litepcie_has_its_vectors_in_bar0() -> None:
    config = ConfigSpace(1, msix=True, ptm=True, board=BOARDS["litepcie"])
    at = config.read(0x41, 1)[0]
    assert config.read(at, 1) == b"\x11"
    assert int.from_bytes(config.read(at + 2, 2), "little") == 63
    assert int.from_bytes(config.read(at + 4, 4), "little") == 0x2000
    assert int.from_bytes(config.read(at + 8, 4), "little") == 0x1808
    config.write(0x18, b"\xff\xff\xff\xff")
    assert config.read(0x18, 4) == bytes(4), "no second BAR"


def test_a_litepcie_vector_waits_until_it_is_enabled() -> None:
    world = make_world(board="litepcie")
    raised: list[int] = []
    world.card.on_interrupt = raised.append
    for register in ("enable", "intr_mask", "intr"):
        world.write("ts0", register, 1)
    world.sleep_s(1)
    assert raised == []
    pending = world.at("msi", "msi_pba")
    assert world.card.read32(pending) == 1 << 1, "vector 33 is the second of the upper word"
    world.write("msi", "msi_enable_high", 0xFF)
    assert raised == [33]
    assert world.card.read32(pending) == 0
    world.write("ts0", "intr", 1)
    world.sleep_s(1)
    assert raised == [33, 33]


@pytest.mark.parametrize("board", NAMES)
def test_a_held_edge_is_one_message_of_the_boards_vector(board: str) -> None:
    world = make_world(board=board)
    raised: list[int] = []
    world.card.on_interrupt = raised.append
    if BOARDS[board].msix:
        world.write("msi", "msi_enable_high", r.ALL_ONES)
    for channel in ("ts0", "pps"):
        for register in ("enable", "intr_mask"):
            if register in {row.name for row in BOARDS[board].blocks[channel].registers}:
                world.write(channel, register, 1)
    world.sleep_s(2.5)
    vectors = [BOARDS[board].blocks[channel].vector for channel in ("ts0", "pps")]
    assert sorted(raised) == sorted(vector for vector in vectors if vector is not None)


@pytest.mark.parametrize("board", NAMES)
def test_the_devices_are_on_the_ports_of_the_board(board: str) -> None:
    world = make_world(board=board)
    ports = {port.block for port in BOARDS[board].serial_ports.values()}
    assert set(world.card.fabric.uarts) == ports


def test_boards_differ_in_how_their_image_is_told() -> None:
    assert {board.image_word for board in BOARDS.values()} == set(ImageWord)
    assert {board.sma.kind for board in BOARDS.values()} == set(SmaKind)
