"""The register map of the Facebook/Celestica ("FB") layout as rows of data.

Offsets of blocks count from the start of BAR0, offsets of registers from their block. Sources: the kernel's
``drivers/ptp/ptp_ocp.c`` (resource table, register structures), the published FPGA sources of the Time Card
project (``FPGA/Open-Source/Ips``) and the reference manuals of the closed timing cores.

Only offsets in this table may be read: a block answers any other with a bus error, which some hosts turn into
a machine check.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, NamedTuple

FB_CARDS: Final = MappingProxyType(
    {(0x1D9B, 0x0400): "Facebook/Meta Time Card", (0x18D4, 0x1008): "Celestica Time Card"}
)
"""PCI vendor and device ids of the cards with this layout."""
BAR0_SIZE: Final = 0x0200_0000
ALL_ONES: Final = 0xFFFF_FFFF
"""What a read returns when nobody answers."""

# Access: RW, RO, WO; W1C write 1 to clear; TOW write 1 to toggle.
# A reset of None depends on the FPGA image or on the board.


class Register(NamedTuple):
    """One 32-bit register; ``offset`` from the start of its block."""

    offset: int
    name: str
    access: str
    reset: int | None = 0
    read_has_side_effects: bool = False


class Block(NamedTuple):
    """One block of BAR0; ``vector`` is its MSI vector."""

    name: str
    offset: int
    size: int
    vector: int | None
    registers: tuple[Register, ...] = ()

    def at(self, register: str) -> int:
        """Offset of a register from the start of BAR0."""
        for row in self.registers:
            if row.name == register:
                return self.offset + row.offset
        raise KeyError(f"block {self.name} has no register {register}")


_R = Register
_VERSION: Final = _R(0x0C, "version", "RO", None)

CLOCK: Final = (
    _R(0x00, "ctrl", "RW"),
    _R(0x04, "status", "RO"),
    _R(0x08, "select", "RW", None),
    _VERSION,
    _R(0x10, "time_ns", "RO"),
    _R(0x14, "time_sec", "RO"),
    _R(0x20, "adjust_ns", "RW"),
    _R(0x24, "adjust_sec", "RW"),
    _R(0x30, "offset_ns", "RW"),
    _R(0x34, "offset_interval", "RW"),
    _R(0x40, "drift_ns", "RW"),
    _R(0x44, "drift_interval", "RW"),
    _R(0x48, "drift_fraction", "RW"),
    _R(0x50, "in_sync_threshold", "RW", 500),
    _R(0x60, "servo_offset_p", "RW", 0xC000),
    _R(0x64, "servo_offset_i", "RW", 0x3000),
    _R(0x68, "servo_drift_p", "RW", 0xC000),
    _R(0x6C, "servo_drift_i", "RW", 0x3000),
    _R(0x70, "status_offset", "RO"),
    _R(0x74, "status_drift", "RO"),
    _R(0x78, "status_offset_fraction", "RO"),
    _R(0x7C, "status_drift_fraction", "RO"),
)
TIMESTAMPER: Final = (
    _R(0x00, "enable", "RW"),
    _R(0x04, "error", "W1C"),
    _R(0x08, "polarity", "RW", 1),
    _VERSION,
    _R(0x20, "cable_delay", "RW"),
    _R(0x30, "intr", "W1C"),
    _R(0x34, "intr_mask", "RW"),
    _R(0x38, "event_count", "RO"),
    _R(0x40, "ts_count", "RO"),
    _R(0x44, "time_ns", "RO"),
    _R(0x48, "time_sec", "RO"),
    _R(0x4C, "data_width", "RO"),
    _R(0x50, "data", "RO"),
)
PPS_GENERATOR: Final = (
    _R(0x00, "ctrl", "RW"),
    _R(0x04, "status", "W1C"),
    _R(0x08, "polarity", "RW", None),
    _VERSION,
    _R(0x10, "pulse_width", "RW", 100),
    _R(0x20, "cable_delay", "RW"),
)
PPS_SLAVE: Final = (
    _R(0x00, "ctrl", "RW"),
    _R(0x04, "status", "W1C"),
    _R(0x08, "polarity", "RW", None),
    _VERSION,
    _R(0x10, "pulse_width", "RO", 0x3FF),
    _R(0x20, "cable_delay", "RW"),
)
TOD_SLAVE: Final = (
    _R(0x00, "ctrl", "RW"),
    _R(0x04, "status", "W1C"),
    _R(0x08, "uart_polarity", "RW", None),
    _VERSION,
    _R(0x10, "correction", "RW"),
    _R(0x20, "uart_baud", "RW", 7),
    _R(0x30, "utc_status", "RO"),
    _R(0x34, "time_to_leap", "RO"),
    _R(0x40, "gnss_status", "RO"),
    _R(0x44, "num_sat", "RO"),
)
SIGNAL_GENERATOR: Final = (
    _R(0x00, "enable", "RW"),
    _R(0x04, "status", "W1C"),
    _R(0x08, "polarity", "RW", 1),
    _VERSION,
    _R(0x20, "cable_delay", "RW"),
    _R(0x30, "intr", "W1C"),
    _R(0x34, "intr_mask", "RW"),
    _R(0x40, "start_ns", "RW"),
    _R(0x44, "start_sec", "RW"),
    _R(0x48, "pulse_ns", "RW"),
    _R(0x4C, "pulse_sec", "RW"),
    _R(0x50, "period_ns", "RW"),
    _R(0x54, "period_sec", "RW"),
    _R(0x58, "repeat_count", "RW"),
)
FREQUENCY_COUNTER: Final = (
    _R(0x00, "ctrl", "RW", 0x100),
    _R(0x04, "status", "RO"),
    _R(0x08, "polarity", "RW"),
    _VERSION,
)
IRIG_MASTER: Final = (
    _R(0x00, "ctrl", "RW"),
    _R(0x04, "status", "W1C"),
    _VERSION,
    _R(0x10, "adj_sec", "RW"),
    _R(0x14, "control_bits", "RW"),
)
IRIG_SLAVE: Final = (
    _R(0x00, "ctrl", "RW"),
    _R(0x04, "status", "W1C"),
    _VERSION,
    _R(0x10, "adj_sec", "RW"),
    _R(0x14, "control_bits", "RO"),
    _R(0x20, "cable_delay", "RW"),
    _R(0x24, "year", "RW"),
)
DCF_MASTER: Final = (
    _R(0x00, "ctrl", "RW"),
    _R(0x04, "status", "W1C"),
    _VERSION,
    _R(0x10, "adj_sec", "RW"),
)
DCF_SLAVE: Final = (
    _R(0x00, "ctrl", "RW"),
    _R(0x04, "status", "W1C"),
    _VERSION,
    _R(0x10, "adj_sec", "RW"),
    _R(0x20, "air_delay", "RW"),
    _R(0x30, "bit_position", "RO"),
)
NMEA_MASTER: Final = (
    _R(0x00, "ctrl", "RW", 0x0200_0000),
    _R(0x04, "status", "W1C"),
    _R(0x08, "uart_polarity", "RW", 1),
    _VERSION,
    _R(0x10, "adj_sec", "RW"),
    _R(0x14, "local_offset", "RW"),
    _R(0x20, "uart_baud", "RW", None),
    _R(0x100, "utc_info_ctrl", "RW"),
    _R(0x104, "utc_info", "RW"),
)
UART: Final = (
    _R(0x00, "RBR/THR/DLL", "RW", 0, read_has_side_effects=True),
    _R(0x04, "IER/DLM", "RW"),
    _R(0x08, "IIR/FCR", "RW", 1, read_has_side_effects=True),
    _R(0x0C, "LCR", "RW"),
    _R(0x10, "MCR", "RW"),
    _R(0x14, "LSR", "RO", 0x60, read_has_side_effects=True),
    _R(0x18, "MSR", "RO", None, read_has_side_effects=True),
    _R(0x1C, "SCR", "RW"),
)
"""16550A with registers 4 bytes apart; the AXI core has them 0x1000 above its block."""
AXI_IIC: Final = (
    _R(0x1C, "DGIER", "RW"),
    _R(0x20, "ISR", "TOW", 0xD0),
    _R(0x28, "IER", "RW"),
    _R(0x40, "SOFTR", "WO"),
    _R(0x100, "CR", "RW"),
    _R(0x104, "SR", "RO", 0xC0),
    _R(0x108, "TX_FIFO", "WO"),
    _R(0x10C, "RX_FIFO", "RO", 0, read_has_side_effects=True),
    _R(0x110, "ADR", "RW"),
    _R(0x114, "TX_OCY", "RO"),
    _R(0x118, "RX_OCY", "RO"),
    _R(0x11C, "TEN_ADR", "RW"),
    _R(0x120, "RX_PIRQ", "RW"),
    _R(0x124, "GPO", "RW"),
)
AXI_SPI: Final = (
    _R(0x1C, "DGIER", "RW"),
    _R(0x20, "ISR", "TOW"),
    _R(0x28, "IER", "RW"),
    _R(0x40, "SRR", "WO"),
    _R(0x60, "CR", "RW", 0x180),
    _R(0x64, "SR", "RO", 0x25),
    _R(0x68, "DTR", "WO"),
    _R(0x6C, "DRR", "RO", 0, read_has_side_effects=True),
    _R(0x70, "SSR", "RW", 0xFFFF_FFFF),
    _R(0x74, "TX_OCY", "RO"),
    _R(0x78, "RX_OCY", "RO"),
)
PTM: Final = (
    _R(0x00, "ptm_ctrl", "RW"),
    _R(0x04, "ptm_status", "RO"),
    _R(0x08, "phy_tx_delay", "RW"),
    _R(0x0C, "phy_rx_delay", "RW"),
    _R(0x10, "master_time", "RO"),
    _R(0x18, "link_delay", "RO"),
    _R(0x1C, "t1_time", "RO"),
    _R(0x24, "t4_time", "RO"),
)
"""LitePCIe's PTM requester; the three times are two words each, the high one first."""

_ROWS: Final = (
    Block("reg", 0x0100_0000, 0x1_0000, None, CLOCK),
    Block("ts0", 0x0101_0000, 0x1_0000, 1, TIMESTAMPER),
    Block("ts1", 0x0102_0000, 0x1_0000, 2, TIMESTAMPER),
    Block("ts2", 0x0106_0000, 0x1_0000, 6, TIMESTAMPER),
    Block("ts3", 0x0111_0000, 0x1_0000, 15, TIMESTAMPER),
    Block("ts4", 0x0112_0000, 0x1_0000, 16, TIMESTAMPER),
    Block("pps", 0x010C_0000, 0x1_0000, 0, TIMESTAMPER),
    Block("signal_out[0]", 0x010D_0000, 0x1_0000, 11, SIGNAL_GENERATOR),
    Block("signal_out[1]", 0x010E_0000, 0x1_0000, 12, SIGNAL_GENERATOR),
    Block("signal_out[2]", 0x010F_0000, 0x1_0000, 13, SIGNAL_GENERATOR),
    Block("signal_out[3]", 0x0110_0000, 0x1_0000, 14, SIGNAL_GENERATOR),
    Block("pps_to_ext", 0x0103_0000, 0x1_0000, None, PPS_GENERATOR),
    Block("pps_to_clk", 0x0104_0000, 0x1_0000, None, PPS_SLAVE),
    Block("tod", 0x0105_0000, 0x1_0000, None, TOD_SLAVE),
    Block("irig_in", 0x0107_0000, 0x1_0000, None, IRIG_SLAVE),
    Block("irig_out", 0x0108_0000, 0x1_0000, None, IRIG_MASTER),
    Block("dcf_in", 0x0109_0000, 0x1_0000, None, DCF_SLAVE),
    Block("dcf_out", 0x010A_0000, 0x1_0000, None, DCF_MASTER),
    Block("nmea_out", 0x010B_0000, 0x1_0000, None, NMEA_MASTER),
    Block("image", 0x0002_0000, 0x1000, None, (_R(0x00, "version", "RO", None),)),
    Block(
        "pps_select",
        0x0013_0000,
        0x1000,
        None,
        (_R(0x00, "gpio1", "RO", None), _R(0x08, "gpio2", "RW"), _R(0x10, "version", "RO", 0x0001_0001)),
    ),
    Block(
        "sma_map1",
        0x0014_0000,
        0x1000,
        None,
        (
            _R(0x00, "gpio1", "RW", 0x8001_8000),
            _R(0x08, "gpio2", "RW", 0x8001_8000),
            _R(0x10, "version", "RO", 0x0001_0001),
        ),
    ),
    Block(
        "sma_map2",
        0x0022_0000,
        0x1000,
        None,
        (_R(0x00, "gpio1", "RW"), _R(0x08, "gpio2", "RW"), _R(0x10, "version", "RO", 0x0001_0001)),
    ),
    Block("i2c_ctrl", 0x0015_0000, 0x1_0000, 7, AXI_IIC),
    Block("port[GNSS]", 0x0016_1000, 0x20, 3, UART),
    Block("port[GNSS2]", 0x0017_1000, 0x20, 4, UART),
    Block("port[MAC]", 0x0018_1000, 0x20, 5, UART),
    Block("port[NMEA]", 0x0019_1000, 0x20, 10, UART),
    Block("spi_flash", 0x0031_0000, 0x1_0000, 9, AXI_SPI),
    Block("freq_in[0]", 0x0120_0000, 0x1_0000, None, FREQUENCY_COUNTER),
    Block("freq_in[1]", 0x0121_0000, 0x1_0000, None, FREQUENCY_COUNTER),
    Block("freq_in[2]", 0x0122_0000, 0x1_0000, None, FREQUENCY_COUNTER),
    Block("freq_in[3]", 0x0123_0000, 0x1_0000, None, FREQUENCY_COUNTER),
    # Not in the kernel's table.
    Block(
        "gpio_ext",
        0x0010_0000,
        0x1000,
        None,
        (_R(0x00, "gpio1", "RO", None), _R(0x08, "gpio2", "RW", 0x60)),
    ),
    Block(
        "gpio_gnss_mac", 0x0011_0000, 0x1000, None, (_R(0x00, "gpio1", "RO", None), _R(0x08, "gpio2", "RW"))
    ),
    Block("sma_status", 0x0014_2000, 0x1000, None, (_R(0x00, "input_status", "RO"),)),
    Block("gpio_rgb", 0x0023_0000, 0x1000, None, (_R(0x00, "gpio", "RW"),)),
    Block("ptm", 0x0000_3000, 0x800, None, PTM),
)
BLOCKS: Final = MappingProxyType({block.name: block for block in _ROWS})
"""Every block by the kernel driver's name; ``ptm`` exists only where configuration space announces it."""

SMA_INPUTS: Final = MappingProxyType(
    {
        0x0001: "PPS1",
        0x0002: "PPS2",
        0x0004: "TS1",
        0x0008: "TS2",
        0x0010: "IRIG",
        0x0020: "DCF",
        0x0040: "TS3",
        0x0080: "TS4",
        0x0100: "FREQ1",
        0x0200: "FREQ2",
        0x0400: "FREQ3",
        0x0800: "FREQ4",
    }
)
"""Functions of a connector used as input; none of the bits is the 10 MHz reference."""
SMA_OUTPUTS: Final = MappingProxyType(
    {
        0x0001: "PHC",
        0x0002: "MAC",
        0x0004: "GNSS1",
        0x0008: "GNSS2",
        0x0010: "IRIG",
        0x0020: "DCF",
        0x0040: "GEN1",
        0x0080: "GEN2",
        0x0100: "GEN3",
        0x0200: "GEN4",
        0x2000: "GND",
        0x4000: "VCC",
    }
)
"""Functions of a connector used as output; none of the bits is 10 MHz."""
SMA_ENABLE: Final = 0x8000
"""Set in the half-word of the direction that the connector has."""

CLOCK_SOURCES: Final = MappingProxyType(
    {
        0: "NONE",
        1: "TOD",
        2: "IRIG",
        3: "PPS",
        4: "PTP",
        5: "RTC",
        6: "DCF",
        254: "REGS",
        255: "EXT",
    }
)
"""Values of the clock's ``select`` register."""
SOURCE_PPS: Final = 3
SOURCE_REGS: Final = 254


def signed_magnitude(word: int, bits: int = 31) -> int:
    """Bit 31 is the sign, the low ``bits`` the absolute value."""
    value = word & ((1 << bits) - 1)
    return -value if word & 0x8000_0000 else value


def to_signed_magnitude(value: int) -> int:
    """The inverse of ``signed_magnitude``."""
    return -value | 0x8000_0000 if value < 0 else value


def block_at(offset: int) -> tuple[Block, Register] | None:
    """The register at an offset from the start of BAR0, or None where reading is not safe."""
    return _BY_OFFSET.get(offset)


_BY_OFFSET: Final = {
    block.offset + row.offset: (block, row) for block in BLOCKS.values() for row in block.registers
}
