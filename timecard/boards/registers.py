"""Registers of every block that a Time Card may have, as rows of data; which board has which, its file says.

Offsets of blocks count from the start of BAR0, offsets of registers from their block. Sources: the kernel's
``drivers/ptp/ptp_ocp.c`` (resource table, register structures), the published FPGA sources of the Time Card
project (``FPGA/Open-Source/Ips``) and the reference manuals of the closed timing cores.

Only offsets in this table may be read: a block answers any other with a bus error, which some hosts turn into
a machine check.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, NamedTuple

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

    def addresses(self) -> dict[str, int]:
        """Offsets of all registers from the start of BAR0, by name."""
        return {row.name: self.offset + row.offset for row in self.registers}


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

IMAGE: Final = (_R(0x00, "version", "RO", None),)
PPS_SELECT: Final = (
    _R(0x00, "gpio1", "RO", None),
    _R(0x08, "gpio2", "RW"),
    _R(0x10, "version", "RO", 0x0001_0001),
)
SMA_MAP1: Final = (
    _R(0x00, "gpio1", "RW", 0x8001_8000),
    _R(0x08, "gpio2", "RW", 0x8001_8000),
    _R(0x10, "version", "RO", 0x0001_0001),
)
SMA_MAP2: Final = (
    _R(0x00, "gpio1", "RW"),
    _R(0x08, "gpio2", "RW"),
    _R(0x10, "version", "RO", 0x0001_0001),
)
GPIO_EXT: Final = (_R(0x00, "gpio1", "RO", None), _R(0x08, "gpio2", "RW", 0x60))
GPIO_GNSS_MAC: Final = (_R(0x00, "gpio1", "RO", None), _R(0x08, "gpio2", "RW"))
GPIO_RGB: Final = (_R(0x00, "gpio", "RW"),)
SMA_STATUS: Final = (_R(0x00, "input_status", "RO"),)

# --- Orolia/Safran ART and ADVA ---
CLOCK_ART: Final = (
    _R(0x00, "ctrl", "RW", 0, read_has_side_effects=True),
    _R(0x04, "status", "RW"),
    _R(0x08, "select", "none"),
    _R(0x0C, "version", "RO", 0x0F),
    _R(0x10, "time_ns", "RO"),
    _R(0x14, "time_sec", "RO"),
    _R(0x20, "adjust_ns", "RW"),
    _R(0x24, "adjust_sec", "RW"),
    _R(0x30, "offset_ns", "RW"),
    _R(0x34, "offset_interval", "RW"),
    _R(0x60, "servo_offset_p", "none"),
    _R(0x64, "servo_offset_i", "none"),
    _R(0x68, "servo_drift_p", "none"),
    _R(0x6C, "servo_drift_i", "none"),
)
"""phy2sys; ``none``: reads 0, a write is dropped. A read of ctrl clears its bit 31."""
TIMESTAMPER_ART: Final = (
    _R(0x00, "enable", "RW"),
    _R(0x30, "intr", "WC"),
    _R(0x44, "time_ns", "RO"),
    _R(0x48, "time_sec", "RO"),
    _R(0x4C, "pulse_width", "RW", 99_999_995),
)
"""``enable`` enables the interrupt; any write to ``intr`` clears it."""
ART_SMA: Final = (
    _R(0x00, "io0", "RW", 0x0017_0010),
    _R(0x10, "io1", "RW", 0x000F_0001),
    _R(0x20, "io2", "RW", 0x0007_0004),
    _R(0x30, "io3", "RW", 0x0007_0002),
)
MRO50: Final = (
    _R(0x00, "ctrl", "RW", 0, read_has_side_effects=True),
    _R(0x04, "value", "RO", 0, read_has_side_effects=True),
    _R(0x08, "adjust", "RW"),
    _R(0x0C, "temp", "RO"),
    _R(0x10, "field_a", "RW", 0xFFFF_FFFF),
    _R(0x14, "field_b", "RW", 0xFFFF_FFFF),
)
ART_BOARD_CONFIG: Final = (_R(0x00, "mro50_serial_activate", "RW"),)
ART_IDBOARD: Final = (
    _R(0x00, "chip_id_high", "RO", None),
    _R(0x04, "chip_id_low", "RO", None),
    _R(0x08, "board_revision", "RO", None),
    _R(0x0C, "oscillator_id", "RO", None),
)
ALTERA_SPI: Final = (
    _R(0x00, "rxdata", "RO", 0, read_has_side_effects=True),
    _R(0x04, "txdata", "WO"),
    _R(0x08, "status", "RW", 0x60),
    _R(0x0C, "control", "RW"),
    _R(0x14, "slave_select", "RW", 1),
)
OCORES_I2C: Final = (
    _R(0x00, "PRElo", "RW", 0xFF),
    _R(0x01, "PREhi", "RW", 0xFF),
    _R(0x02, "CTR", "RW"),
    _R(0x03, "TXR/RXR", "RW", 0, read_has_side_effects=True),
    _R(0x04, "CR/SR", "RW"),
)
"""Byte registers, by index: 1 byte apart on ART (0x00 to 0x03 are the lanes of one word), 4 on ADVA."""
OCORES_I2C_WIDE: Final = tuple(row._replace(offset=row.offset * 4) for row in OCORES_I2C)
LITEPCIE_MSI: Final = (
    _R(0x00, "msi_enable_high", "RW"),
    _R(0x04, "msi_enable_low", "RW"),
    _R(0x08, "msi_pba", "RO"),
)
"""Vector enables of LitePCIe, vectors 63:32 first."""

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
