"""ADVA x1 Time Card: ADVA's connectors and serial ports on Xilinx' I2C and SPI masters."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Final

from timecard.boards.adva import SERIAL_PORTS
from timecard.boards.board import ImageWord, SmaKind, SmaTable
from timecard.boards.fb import FB, FLASH, SMA_INPUTS, SMA_OUTPUTS

_LEFT_OUT: Final = (
    *("irig_in", "irig_out", "dcf_in", "dcf_out", "nmea_out", "port[GNSS2]", "port[NMEA]"),
    *("gpio_ext", "gpio_gnss_mac", "gpio_rgb", "sma_status", "ptm", "i2c_osc"),
)
# The hardware may take 10 MHz in; no driver has a name for it.
_IN: Final = ("PPS1", "TS1", "TS2", "TS3", "TS4", "FREQ1", "FREQ2", "FREQ3", "FREQ4")
_OUT: Final = ("10MHz", "PHC", "MAC", "GNSS1", "GEN1", "GEN2", "GEN3", "GEN4", "GND", "VCC")
ADVA_X1: Final = dataclasses.replace(
    FB,
    name="adva-x1",
    product="ADVA x1 Time Card",
    vendor="adva",
    pci_ids=((0xAD5A, 0x0410),),
    blocks=MappingProxyType({name: block for name, block in FB.blocks.items() if name not in _LEFT_OUT}),
    image_word=ImageWord.FIXED_TAG,
    image_tag=3,
    sma=SmaTable(
        kind=SmaKind.MAPS,
        inputs=MappingProxyType({name: SMA_INPUTS[name] for name in _IN}),
        outputs=MappingProxyType({name: SMA_OUTPUTS[name] for name in _OUT}),
    ),
    serial_ports=SERIAL_PORTS,
    flash=dataclasses.replace(
        FLASH,
        update_start=0x0100_0000,
        config_page=None,
        # The part is not published.
        jedec_ids=(bytes.fromhex("20ba19"),),
        default_size=32 << 20,
    ),
    servo=(0xC000, 0x1000, 0, 0),
    # Not in 6.12; in 7.3.
    kernel_since="7.0",
)
