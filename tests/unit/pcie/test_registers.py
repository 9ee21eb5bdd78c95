"""The product's register table against the reference data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timecard.boards import BOARDS
from timecard.boards.fb import BLOCKS
from timecard.boards.registers import CLOCK_SOURCES, signed_magnitude, to_signed_magnitude

ACCESS = {"RW": "RW", "RO": "RO", "WO": "WO", "W1C": "W1C", "toggle-on-write": "TOW", "RW/RO": "RW"}
REFERENCE_BLOCKS = {
    "clock": ["reg"],
    "tod_slave": ["tod"],
    "pps_slave": ["pps_to_clk"],
    "pps_generator": ["pps_to_ext"],
    "timestamper": ["ts0", "ts1", "ts2", "ts3", "ts4", "pps"],
    "signal_generator": [f"signal_out[{n}]" for n in range(4)],
    "frequency_counter": [f"freq_in[{n}]" for n in range(4)],
    "sma_map1": ["sma_map1"],
    "sma_map2": ["sma_map2"],
    "pps_select": ["pps_select"],
    "image": ["image"],
    "gpio_ext": ["gpio_ext"],
    "gpio_gnss_mac": ["gpio_gnss_mac"],
    "gpio_rgb": ["gpio_rgb"],
    "irig_master": ["irig_out"],
    "irig_slave": ["irig_in"],
    "dcf_master": ["dcf_out"],
    "dcf_slave": ["dcf_in"],
    "nmea_master": ["nmea_out"],
    "axi_iic": ["i2c_ctrl"],
    "axi_quad_spi": ["spi_flash"],
    "uart16550": [f"port[{name}]" for name in ("GNSS", "GNSS2", "MAC", "NMEA")],
}
MAPPED_ELSEWHERE = {("sma_map1", "input_status"): ("sma_status", 0)}
"""The reference counts it from the map's base; it has a page of its own."""


@pytest.fixture(scope="module")
def reference(shared_dir: Path) -> dict[str, Any]:
    text = (shared_dir / "reference/time-card-registers.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_blocks_lie_where_the_reference_has_them(reference: dict[str, Any]) -> None:
    layout = reference["layouts"]["fb"]
    other = {row["name"]: row for row in layout["other_fpga_blocks"]}
    rows = {row["name"]: row for row in layout["resources"]}
    for name, block in BLOCKS.items():
        if name == "ptm":
            continue
        row = rows.pop(name, None) or other[name]
        vector = None if name == "i2c_osc" else row["irq"]  # that of the MAC port; it is polled
        assert (block.offset, block.vector) == (row["offset"], vector), name
        assert row["size"] in (None, block.size), name
    assert not rows, "resources of the reference that the table lacks"


@pytest.mark.parametrize("reference_name", REFERENCE_BLOCKS)
def test_registers_are_those_of_the_reference(reference: dict[str, Any], reference_name: str) -> None:
    for name in REFERENCE_BLOCKS[reference_name]:
        block = BLOCKS[name]
        rows = {row.name: row for row in block.registers}
        for expected in reference["blocks"][reference_name]["registers"]:
            elsewhere = MAPPED_ELSEWHERE.get((reference_name, expected["name"]))
            if elsewhere is not None:
                row = next(r for r in BLOCKS[elsewhere[0]].registers if r.name == expected["name"])
                assert BLOCKS[elsewhere[0]].offset + row.offset == block.offset + expected["offset"]
                continue
            row = rows.pop(expected["name"])
            assert row.offset == expected["offset"], (name, row.name)
            assert row.access == ACCESS[expected["access"]], (name, row.name)
            if isinstance(expected["reset"], int) and row.reset is not None:
                assert row.reset == expected["reset"], (name, row.name)
        assert not rows, f"{name} has registers that the reference lacks"


def test_ptm_registers_are_those_of_the_reference(reference: dict[str, Any]) -> None:
    rows = {row["name"]: row["offset"] for row in reference["blocks"]["litepcie"]["registers"]}
    for row in BLOCKS["ptm"].registers:
        assert BLOCKS["ptm"].offset + row.offset == rows[row.name]


def test_codes_are_those_of_the_reference(reference: dict[str, Any]) -> None:
    assert {name: code for code, name in CLOCK_SOURCES.items()} == reference["clock_sources"]
    layouts = {"celestica": "fb", "adva-x1": "adva_x1"}
    for board in BOARDS.values():
        layout = reference["layouts"][layouts.get(board.name, board.name)]
        for ours, theirs in ((board.sma.inputs, "sma_inputs"), (board.sma.outputs, "sma_outputs")):
            kernel = {board.sma.kernel_names.get(name, name): code for name, code in ours.items()}
            assert kernel == {name: code for name, code in layout[theirs].items() if name != "None"}


def test_every_board_has_the_blocks_of_the_reference(reference: dict[str, Any]) -> None:
    layouts = {"celestica": "fb", "adva-x1": "adva_x1"}
    for board in BOARDS.values():
        layout = reference["layouts"][layouts.get(board.name, board.name)]
        for row in layout["resources"]:
            if row["name"] == "ext_ctrl":  # the vendor driver's name of gpio_ext
                continue
            block = board.blocks[row["name"]]
            assert (block.offset, block.vector) == (row["offset"], row["irq"]), (board.name, row["name"])
        servo = layout["servo"]
        assert board.servo == tuple(servo[k] for k in ("offset_p", "offset_i", "drift_p", "drift_i"))
        assert board.flash.update_start == layout["flash_start"]
        assert (board.generators, board.counters) == (layout.get("signals", 4), layout.get("freqs", 4))
        offsets = [block.offset + row.offset for block in board.blocks.values() for row in block.registers]
        assert len(offsets) == len(set(offsets))


def test_a_register_that_a_block_has_not_is_an_error() -> None:
    with pytest.raises(KeyError, match="reg has no register nonsense"):
        BLOCKS["reg"].at("nonsense")


@given(st.integers(-(2**30) + 1, 2**30 - 1))
def test_signed_magnitude_is_reversible(value: int) -> None:
    assert signed_magnitude(to_signed_magnitude(value)) == value
