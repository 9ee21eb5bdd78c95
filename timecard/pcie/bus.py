"""What a register bus may be able to do beyond reading and writing single registers.

Each is a small protocol that a driver asks for; every bus works without them, only slower or with less
knowledge of the card.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, runtime_checkable

from timecard.protocols import RegisterBus

CAPABILITY_POINTER: Final = 0x34
EXTENDED_CAPABILITIES: Final = 0x100
CAP_MSI: Final = 0x05
CAP_MSIX: Final = 0x11
EXT_CAP_SERIAL: Final = 0x0003
EXT_CAP_PTM: Final = 0x001F
_MAX_CAPABILITIES: Final = 64


@runtime_checkable
class BurstReads(Protocol):
    """A bus that reads many registers at the price of about one round trip."""

    def read32_many(self, offsets: Sequence[int]) -> list[int]:
        """Read ``offsets`` in this order; one may occur repeatedly (a FIFO)."""
        ...


@runtime_checkable
class ConfigSpace(Protocol):
    """A bus that also reaches the card's PCI configuration space."""

    def read_config32(self, offset: int) -> int:
        """Read an aligned word of configuration space."""
        ...


def writes_are_posted(bus: RegisterBus) -> bool:
    """Whether a write may still be under way when the call returns, as over PCIe; a bus may say otherwise."""
    return bool(getattr(bus, "writes_are_posted", True))


def fifo_overflows(bus: RegisterBus) -> bool:
    """Whether hardware is behind it, whose small FIFOs overflow while nobody looks; a bus may say so."""
    return bool(getattr(bus, "fifo_overflows", False))


def burst_reader(bus: RegisterBus) -> Callable[[Sequence[int]], list[int]]:
    """The bus's own ``read32_many``, or a loop that does the same."""
    if isinstance(bus, BurstReads):
        return bus.read32_many
    read32 = bus.read32
    return lambda offsets: [read32(offset) for offset in offsets]


def extended_capability(space: ConfigSpace, wanted: int) -> int | None:
    """Offset of a PCI Express extended capability, or None.

    PCI Express Base Specification, 7.6.3: id in bits 15:0, next offset in bits 31:20.
    """
    offset = EXTENDED_CAPABILITIES
    for _ in range(_MAX_CAPABILITIES):
        header = space.read_config32(offset)
        if header in (0, 0xFFFF_FFFF):
            return None
        if header & 0xFFFF == wanted:
            return offset
        offset = header >> 20 & 0xFFC
        if offset < EXTENDED_CAPABILITIES:
            return None
    return None


def has_ptm(bus: RegisterBus) -> bool:
    """Whether the card announces a PTM requester; asks configuration space, touches no register."""
    if not isinstance(bus, ConfigSpace) or not bus.board.has("ptm"):
        return False
    offset = extended_capability(bus, EXT_CAP_PTM)
    return offset is not None and bool(bus.read_config32(offset + 4) & 1)


def device_serial(bus: RegisterBus | ConfigSpace) -> int | None:
    """The PCI device serial number (64 bits), or None where the card has none."""
    if not isinstance(bus, ConfigSpace):
        return None
    offset = extended_capability(bus, EXT_CAP_SERIAL)
    if offset is None:
        return None
    return bus.read_config32(offset + 8) << 32 | bus.read_config32(offset + 4) or None


def serial_text(serial: int) -> str:
    """A 64-bit device serial number as lspci writes it."""
    return "-".join(f"{byte:02x}" for byte in serial.to_bytes(8, "big"))
