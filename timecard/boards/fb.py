"""Facebook/Meta Time Card: the layout that most cards follow."""

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
from timecard.boards.registers import Block

_K64: Final = 0x1_0000
_K4: Final = 0x1000
_ROWS: Final = (
    Block("reg", 0x0100_0000, _K64, None, r.CLOCK),
    Block("ts0", 0x0101_0000, _K64, 1, r.TIMESTAMPER),
    Block("ts1", 0x0102_0000, _K64, 2, r.TIMESTAMPER),
    Block("ts2", 0x0106_0000, _K64, 6, r.TIMESTAMPER),
    Block("ts3", 0x0111_0000, _K64, 15, r.TIMESTAMPER),
    Block("ts4", 0x0112_0000, _K64, 16, r.TIMESTAMPER),
    Block("pps", 0x010C_0000, _K64, 0, r.TIMESTAMPER),
    Block("signal_out[0]", 0x010D_0000, _K64, 11, r.SIGNAL_GENERATOR),
    Block("signal_out[1]", 0x010E_0000, _K64, 12, r.SIGNAL_GENERATOR),
    Block("signal_out[2]", 0x010F_0000, _K64, 13, r.SIGNAL_GENERATOR),
    Block("signal_out[3]", 0x0110_0000, _K64, 14, r.SIGNAL_GENERATOR),
    Block("pps_to_ext", 0x0103_0000, _K64, None, r.PPS_GENERATOR),
    Block("pps_to_clk", 0x0104_0000, _K64, None, r.PPS_SLAVE),
    Block("tod", 0x0105_0000, _K64, None, r.TOD_SLAVE),
    Block("irig_in", 0x0107_0000, _K64, None, r.IRIG_SLAVE),
    Block("irig_out", 0x0108_0000, _K64, None, r.IRIG_MASTER),
    Block("dcf_in", 0x0109_0000, _K64, None, r.DCF_SLAVE),
    Block("dcf_out", 0x010A_0000, _K64, None, r.DCF_MASTER),
    Block("nmea_out", 0x010B_0000, _K64, None, r.NMEA_MASTER),
    Block("image", 0x0002_0000, _K4, None, r.IMAGE),
    Block("pps_select", 0x0013_0000, _K4, None, r.PPS_SELECT),
    Block("sma_map1", 0x0014_0000, _K4, None, r.SMA_MAP1),
    Block("sma_map2", 0x0022_0000, _K4, None, r.SMA_MAP2),
    Block("i2c_ctrl", 0x0015_0000, _K64, 7, r.AXI_IIC),
    Block("port[GNSS]", 0x0016_1000, 0x20, 3, r.UART),
    Block("port[GNSS2]", 0x0017_1000, 0x20, 4, r.UART),
    Block("port[MAC]", 0x0018_1000, 0x20, 5, r.UART),
    Block("port[NMEA]", 0x0019_1000, 0x20, 10, r.UART),
    Block("spi_flash", 0x0031_0000, _K64, 9, r.AXI_SPI),
    Block("freq_in[0]", 0x0120_0000, _K64, None, r.FREQUENCY_COUNTER),
    Block("freq_in[1]", 0x0121_0000, _K64, None, r.FREQUENCY_COUNTER),
    Block("freq_in[2]", 0x0122_0000, _K64, None, r.FREQUENCY_COUNTER),
    Block("freq_in[3]", 0x0123_0000, _K64, None, r.FREQUENCY_COUNTER),
    # Not in the kernel's table.
    Block("gpio_ext", 0x0010_0000, _K4, None, r.GPIO_EXT),
    Block("gpio_gnss_mac", 0x0011_0000, _K4, None, r.GPIO_GNSS_MAC),
    Block("sma_status", 0x0014_2000, _K4, None, r.SMA_STATUS),
    # On the pins of the MAC port, whose message it shares; it is polled here. Images of the SOM card only.
    Block("i2c_osc", 0x0020_0000, _K64, None, r.AXI_IIC),
    Block("gpio_rgb", 0x0023_0000, _K4, None, r.GPIO_RGB),
    Block("ptm", 0x0000_3000, 0x800, None, r.PTM),
)
BLOCKS: Final = MappingProxyType({block.name: block for block in _ROWS})
"""Every block by the kernel driver's name; ``ptm`` exists only where configuration space announces it."""
CHANNELS: Final = MappingProxyType(
    {"ts0": "ts0", "ts1": "ts1", "ts2": "ts2", "ts3": "ts3", "ts4": "ts4", "ts5": "pps"}
)
SMA_INPUTS: Final = MappingProxyType(
    {
        "10MHz": 0x0000,
        "PPS1": 0x0001,
        "PPS2": 0x0002,
        "TS1": 0x0004,
        "TS2": 0x0008,
        "IRIG": 0x0010,
        "DCF": 0x0020,
        "TS3": 0x0040,
        "TS4": 0x0080,
        "FREQ1": 0x0100,
        "FREQ2": 0x0200,
        "FREQ3": 0x0400,
        "FREQ4": 0x0800,
    }
)
SMA_OUTPUTS: Final = MappingProxyType(
    {
        "10MHz": 0x0000,
        "PHC": 0x0001,
        "MAC": 0x0002,
        "GNSS1": 0x0004,
        "GNSS2": 0x0008,
        "IRIG": 0x0010,
        "DCF": 0x0020,
        "GEN1": 0x0040,
        "GEN2": 0x0080,
        "GEN3": 0x0100,
        "GEN4": 0x0200,
        "GND": 0x2000,
        "VCC": 0x4000,
    }
)
EEPROM_FIELDS: Final = MappingProxyType(
    {
        "board_id": EepromField(chip=0x50, offset=0x43, size=13),
        # The EUI-48 page of a 24MAC402 begins at word address 0x9A.
        "serial": EepromField(chip=0x58, offset=0x9A, size=6),
    }
)
EEPROM_CHIPS: Final = (
    EepromChip(part="24c02", address=0x50, size=256),
    EepromChip(part="24mac402", address=0x58, size=256),
)
FLASH: Final = Flash(
    kind=SpiKind.AXI_QUAD_SPI,
    update_start=0x0040_0000,
    config_page=0x003F_F000,
    jedec_ids=(bytes.fromhex("20ba18"), bytes.fromhex("20ba19")),
    default_size=16 << 20,
)
FB: Final = Board(
    name="fb",
    product="Facebook/Meta Time Card",
    vendor="facebook",
    pci_ids=((0x1D9B, 0x0400),),
    pci_class=0x058000,
    pci_revision=0x00,
    bar0_size=0x0200_0000,
    blocks=BLOCKS,
    message_vectors=32,
    msix=False,
    image_word=ImageWord.BIT15_TAG,
    image_tag=None,
    channels=CHANNELS,
    sma=SmaTable(kind=SmaKind.MAPS, inputs=SMA_INPUTS, outputs=SMA_OUTPUTS),
    serial_ports=MappingProxyType(
        {
            Role.GNSS: SerialPort(block="port[GNSS]", baud=115_200, kernel_name="ttyGNSS"),
            Role.GNSS2: SerialPort(block="port[GNSS2]", baud=115_200, kernel_name="ttyGNSS2"),
            Role.MAC: SerialPort(block="port[MAC]", baud=57_600, kernel_name="ttyMAC"),
            Role.NMEA: SerialPort(block="port[NMEA]", baud=115_200, kernel_name="ttyNMEA"),
        }
    ),
    i2c=I2cBus(
        kind=I2cKind.AXI_IIC,
        clock_hz=50_000_000,
        bus_hz=100_000,
        register_stride=4,
        chips=EEPROM_CHIPS,
        fields=EEPROM_FIELDS,
    ),
    flash=FLASH,
    servo=(0x2000, 0x1000, 0, 0),
    oscillator_family="sa5x",
    kernel_since="5.15",
)
