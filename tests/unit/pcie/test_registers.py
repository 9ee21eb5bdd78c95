"""The product's register table against the reference data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timecard.pcie.registers import (
    BLOCKS,
    CLOCK_SOURCES,
    SMA_INPUTS,
    SMA_OUTPUTS,
    block_at,
    signed_magnitude,
    to_signed_magnitude,
)

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
        assert (block.offset, block.vector) == (row["offset"], row["irq"]), name
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
    layout = reference["layouts"]["fb"]
    for ours, theirs in ((SMA_INPUTS, layout["sma_inputs"]), (SMA_OUTPUTS, layout["sma_outputs"])):
        codes = {name: code for name, code in theirs.items() if name not in ("10Mhz", "None")}
        assert {name: bit for bit, name in ours.items()} == codes


def test_no_two_registers_share_an_offset() -> None:
    offsets = [block.offset + row.offset for block in BLOCKS.values() for row in block.registers]
    assert len(offsets) == len(set(offsets))


def test_a_register_is_found_by_its_offset_and_a_hole_is_not() -> None:
    found = block_at(0x0100_0014)
    assert found is not None
    assert (found[0].name, found[1].name) == ("reg", "time_sec")
    assert block_at(0x0100_0018) is None
    with pytest.raises(KeyError, match="reg has no register nonsense"):
        BLOCKS["reg"].at("nonsense")


@given(st.integers(-(2**30) + 1, 2**30 - 1))
def test_signed_magnitude_is_reversible(value: int) -> None:
    assert signed_magnitude(to_signed_magnitude(value)) == value
