"""Celestica Time Card (Production R4006): the FB layout under its own PCI id, with a larger flash."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Final

from timecard.boards.fb import FB, FLASH

CELESTICA: Final = dataclasses.replace(
    FB,
    name="celestica",
    product="Celestica Time Card",
    vendor="celestica",
    pci_ids=((0x18D4, 0x1008),),
    # Its images have the bus of the EEPROM in that place.
    blocks=MappingProxyType({name: block for name, block in FB.blocks.items() if name != "i2c_osc"}),
    flash=dataclasses.replace(
        FLASH,
        jedec_ids=(bytes.fromhex("20ba19"), bytes.fromhex("c22019")),
        default_size=32 << 20,
    ),
    kernel_since="5.19",
)
