"""What a board is to software: identity, blocks of BAR0, interrupts, connectors, buses, flash. Data only.

A new board is one file of this package that makes a ``Board``, and a line in its table. Sources: the kernel's
``drivers/ptp/ptp_ocp.c`` and the vendors' published FPGA projects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from timecard.boards.registers import Block

NO_MAP: Mapping[str, int] = MappingProxyType({})


class Role(Enum):
    """What hangs on a serial port; the value is its name in ``/dev/timecard/<id>/``."""

    GNSS = "gnss"
    GNSS2 = "gnss2"
    MAC = "mac"
    NMEA = "nmea"


class ImageWord(Enum):
    """Where the number of the running FPGA image stands."""

    BIT15_TAG = "tag in bit 15 of the image word"
    FIXED_TAG = "image word, 16 bits of version"
    CLOCK_VERSION = "version register of the clock core"


class SmaKind(Enum):
    """How connectors are routed."""

    MAPS = "two map blocks, a half-word per connector and direction"
    ART = "one word per connector, capabilities in its upper half"


class I2cKind(Enum):
    """I2C master in the FPGA; the value is the kernel's module."""

    AXI_IIC = "i2c-xiic"
    OPENCORES = "i2c-ocores"


class SpiKind(Enum):
    """SPI master in the FPGA; the value is the kernel's module."""

    AXI_QUAD_SPI = "spi-xilinx"
    ALTERA = "spi-altera-platform"


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialPort:
    """One UART; its block is ``port[ROLE]``."""

    block: str
    baud: int
    kernel_name: str
    """``ttyGNSS`` and so on, as the class device calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmaTable:
    """Functions of the connectors by their vendor-neutral name.

    Neutral names: in ``10MHz PPS1 PPS2 TS1..TS4 IRIG DCF FREQ1..FREQ4``, out ``10MHz PHC MAC GNSS1 GNSS2 IRIG
    DCF GEN1..GEN4 GND VCC``. ``none`` switches a connector off.
    """

    kind: SmaKind
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    kernel_names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({"10MHz": "10Mhz"}))
    """Neutral name to the kernel driver's, where it differs."""
    can_switch_off: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EepromChip:
    """A memory on the I2C bus."""

    part: str
    """``24c02``, ``24mac402``, ``24c08``: the kernel's name."""
    address: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EepromField:
    """Where something stands in a chip; ``offset`` is the word address that goes over the bus."""

    chip: int
    """I2C address of the chip (its first one)."""
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class I2cBus:
    """The I2C master and what hangs on it."""

    kind: I2cKind
    clock_hz: int
    bus_hz: int
    register_stride: int
    """Bytes between the registers of an OpenCores master."""
    chips: tuple[EepromChip, ...]
    fields: Mapping[str, EepromField]
    """``board_id``, ``serial``; ART: ``disciplining_config``, ``temperature_table`` ... too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flash:
    """The SPI-NOR flash. The golden image below ``update_start`` is never written."""

    kind: SpiKind
    update_start: int
    config_page: int | None
    jedec_ids: tuple[bytes, ...]
    """Parts that were fitted; the first is the emulator's."""
    default_size: int
    """When the part does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One board family."""

    name: str
    product: str
    vendor: str
    pci_ids: tuple[tuple[int, int], ...]
    pci_class: int
    pci_revision: int
    bar0_size: int
    blocks: Mapping[str, Block]
    message_vectors: int
    """Interrupt messages that the card offers."""
    msix: bool
    """It offers MSI-X rather than MSI."""
    image_word: ImageWord
    image_tag: int | None
    """Fixed firmware tag; None: read from the image word."""
    channels: Mapping[str, str]
    """Timestamper channel (``ts0`` ... ``ts5``) to block. TS0 latches the GNSS pulse, TS5 the clock's own."""
    sma: SmaTable
    serial_ports: Mapping[Role, SerialPort]
    i2c: I2cBus
    flash: Flash
    servo: tuple[int, int, int, int]
    """Offset P, offset I, drift P, drift I that the kernel driver writes."""
    oscillator_family: str
    """What usually answers on the MAC port: ``sa5x``, ``mro50``."""
    kernel_since: str
    """First mainline release whose driver binds."""
    kernel_binds: bool = True
    """False: the mainline driver takes another layout for this one's PCI id and cannot work."""

    def at(self, block: str, register: str) -> int:
        """Offset of a register from the start of BAR0; ``KeyError`` when the board has no such block."""
        return self.blocks[block].at(register)

    def has(self, block: str) -> bool:
        """Whether the board has a block."""
        return block in self.blocks

    @property
    def no_such_port(self) -> str:
        """Why a serial port that is not in ``serial_ports`` cannot be opened."""
        there = ", ".join(role.value for role in self.serial_ports)
        return f"{self.product} has no such port, only {there}"

    @property
    def vectors_needed(self) -> int:
        """Interrupt messages that the kernel driver must be given for every block to work."""
        vectors = [block.vector for block in self.blocks.values() if block.vector is not None]
        return max(vectors) + 1

    @property
    def generators(self) -> int:
        """Number of signal generators."""
        return sum(name.startswith("signal_out") for name in self.blocks)

    @property
    def counters(self) -> int:
        """Number of frequency counters."""
        return sum(name.startswith("freq_in") for name in self.blocks)
