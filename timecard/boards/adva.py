"""ADVA/Oscilloquartz Time Card: a part of the FB layout with Intel's I2C and SPI masters."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Final

from timecard.boards import registers as r
from timecard.boards.board import (
    Flash,
    I2cBus,
    I2cKind,
    ImageWord,
    Role,
    SerialPort,
    SmaKind,
    SmaTable,
    SpiKind,
)
from timecard.boards.fb import EEPROM_CHIPS, EEPROM_FIELDS, FB, SMA_INPUTS, SMA_OUTPUTS
from timecard.boards.registers import Block

_KEPT: Final = (
    *("reg", "ts0", "ts1", "ts2", "pps", "signal_out[0]", "signal_out[1]", "pps_to_ext", "pps_to_clk", "tod"),
    *("image", "pps_select", "sma_map1", "sma_map2", "port[GNSS]", "port[MAC]", "freq_in[0]", "freq_in[1]"),
)
_ROWS: Final = (
    *(FB.blocks[name] for name in _KEPT),
    Block("spi_flash", 0x0031_0400, 0x1_0000, 9, r.ALTERA_SPI),
    Block("i2c_ctrl", 0x0015_0000, 0x100, 7, r.OCORES_I2C_WIDE),
)
SERIAL_PORTS: Final = MappingProxyType(
    {
        Role.GNSS: SerialPort(block="port[GNSS]", baud=9_600, kernel_name="ttyGNSS"),
        Role.MAC: SerialPort(block="port[MAC]", baud=115_200, kernel_name="ttyMAC"),
    }
)
_IN: Final = ("10MHz", "PPS1", "PPS2", "TS1", "TS2", "FREQ1", "FREQ2")
_OUT: Final = ("10MHz", "PHC", "MAC", "GNSS1", "GEN1", "GEN2", "GND", "VCC")
ADVA: Final = dataclasses.replace(
    FB,
    name="adva",
    product="ADVA Time Card",
    vendor="adva",
    pci_ids=((0xAD5A, 0x0400),),
    blocks=MappingProxyType({block.name: block for block in _ROWS}),
    image_word=ImageWord.FIXED_TAG,
    image_tag=3,
    channels=MappingProxyType({"ts0": "ts0", "ts1": "ts1", "ts2": "ts2", "ts5": "pps"}),
    sma=SmaTable(
        kind=SmaKind.MAPS,
        inputs=MappingProxyType({name: SMA_INPUTS[name] for name in _IN}),
        outputs=MappingProxyType({name: SMA_OUTPUTS[name] for name in _OUT}),
    ),
    serial_ports=SERIAL_PORTS,
    i2c=I2cBus(
        kind=I2cKind.OPENCORES,
        clock_hz=50_000_000,
        bus_hz=100_000,
        register_stride=4,
        chips=EEPROM_CHIPS,
        fields=EEPROM_FIELDS,
    ),
    flash=Flash(
        kind=SpiKind.ALTERA,
        update_start=0x00A0_0000,
        config_page=None,
        # The part is not published.
        jedec_ids=(bytes.fromhex("20ba19"),),
        default_size=32 << 20,
    ),
    servo=(0xC000, 0x1000, 0, 0),
    kernel_since="6.12",
)
