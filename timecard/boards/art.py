"""Orolia/Safran ART card: an Intel FPGA, an mRO50 rubidium oscillator, no servo in hardware."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from timecard.boards import registers as r
from timecard.boards.board import (
    Board,
    EepromChip,
    EepromField,
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
from timecard.boards.fb import CHANNELS
from timecard.boards.registers import Block

_STAMP: Final = 0x50
"""The kernel claims 0x20 bytes of a timestamper; its registers reach further."""
_ROWS: Final = (
    Block("reg", 0x0100_0000, 0x1_0000, None, r.CLOCK_ART),
    Block("port[GNSS]", 0x0016_1000, 0x20, 3, r.UART),
    Block("art_sma", 0x003C_0000, 0x1000, None, r.ART_SMA),
    Block("ts0", 0x0036_0000, _STAMP, 12, r.TIMESTAMPER_ART),
    Block("ts1", 0x0038_0000, _STAMP, 8, r.TIMESTAMPER_ART),
    Block("ts2", 0x0039_0000, _STAMP, 10, r.TIMESTAMPER_ART),
    Block("ts3", 0x003A_0000, _STAMP, 14, r.TIMESTAMPER_ART),
    Block("ts4", 0x003B_0000, _STAMP, 15, r.TIMESTAMPER_ART),
    Block("pps", 0x0033_0000, _STAMP, 11, r.TIMESTAMPER_ART),
    Block("osc", 0x0034_0000, 0x20, None, r.MRO50),
    Block("spi_flash", 0x0031_0000, 0x1_0000, 9, r.ALTERA_SPI),
    Block("i2c_ctrl", 0x0035_0000, 0x100, 4, r.OCORES_I2C),
    # Without the 0x1000 that the AXI core adds.
    Block("port[MAC]", 0x0019_0000, 0x20, 7, r.UART),
    Block("board_config", 0x0021_0000, 0x1000, None, r.ART_BOARD_CONFIG),
    # Not in any driver's table.
    Block("idboard", 0x0011_0000, 0x10, None, r.ART_IDBOARD),
)
ART: Final = Board(
    name="art",
    product="Orolia/Safran ART card",
    vendor="orolia",
    pci_ids=((0x1AD7, 0xA000),),
    pci_class=0xFF0000,
    pci_revision=0x05,
    bar0_size=0x0200_0000,
    blocks=MappingProxyType({block.name: block for block in _ROWS}),
    message_vectors=16,
    msix=False,
    image_word=ImageWord.CLOCK_VERSION,
    image_tag=2,
    channels=CHANNELS,
    sma=SmaTable(
        kind=SmaKind.ART,
        inputs=MappingProxyType({"PPS1": 0x01, "10MHz": 0x08}),
        outputs=MappingProxyType({"PHC": 0x02, "GNSS1": 0x04, "10MHz": 0x10}),
        kernel_names=MappingProxyType({"10MHz": "10Mhz", "GNSS1": "GNSS"}),
        can_switch_off=False,
    ),
    serial_ports=MappingProxyType(
        {
            Role.GNSS: SerialPort(block="port[GNSS]", baud=115_200, kernel_name="ttyGNSS"),
            Role.MAC: SerialPort(block="port[MAC]", baud=9_600, kernel_name="ttyMAC"),
        }
    ),
    i2c=I2cBus(
        kind=I2cKind.OPENCORES,
        clock_hz=125_000_000,
        bus_hz=400_000,
        register_stride=1,
        chips=(EepromChip(part="24c08", address=0x50, size=1024),),
        fields=MappingProxyType(
            {
                "disciplining_config": EepromField(chip=0x50, offset=0x000, size=144),
                "temperature_table": EepromField(chip=0x50, offset=0x090, size=368),
                "manufacturing": EepromField(chip=0x50, offset=0x200, size=196),
                "board_id": EepromField(chip=0x50, offset=0x243, size=13),
                "serial": EepromField(chip=0x50, offset=0x263, size=6),
            }
        ),
    ),
    flash=Flash(
        kind=SpiKind.ALTERA,
        update_start=0x0100_0000,
        config_page=None,
        jedec_ids=(bytes.fromhex("20bb19"),),
        default_size=32 << 20,
    ),
    servo=(0x2000, 0x1000, 0, 0),
    oscillator_family="mro50",
    kernel_since="6.2",
)
