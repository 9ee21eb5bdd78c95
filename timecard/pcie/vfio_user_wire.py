"""vfio-user messages: the part of the protocol that a PCI device without DMA needs, for both ends.

Little-endian, on a UNIX stream socket (the vfio-user protocol specification as published with QEMU, version
0.0). A message is a header of 16 bytes and a body. Descriptors travel as SCM_RIGHTS with the first byte of
their message.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import Final

HEADER: Final = struct.Struct("<HHIII")
"""message id, command, total size, flags, error number"""
ACCESS: Final = struct.Struct("<QII")
"""REGION_READ and REGION_WRITE: offset, region, count; data follow"""
DEVICE_INFO: Final = struct.Struct("<IIII")
"""argsz, flags, regions, kinds of interrupts"""
REGION_INFO: Final = struct.Struct("<IIIIQQ")
"""argsz, flags, index, capability offset, size, offset"""
IRQ_INFO: Final = struct.Struct("<IIII")
"""argsz, flags, index, count"""
SET_IRQS: Final = struct.Struct("<IIIII")
"""argsz, flags, index, start, count; data follow"""
DMA_MAP: Final = struct.Struct("<IIQQQ")
"""argsz, flags, offset, address, size"""
DMA_UNMAP: Final = struct.Struct("<IIQQ")
"""argsz, flags, address, size"""
VERSION: Final = struct.Struct("<HH")
"""major, minor; a JSON text and a NUL follow"""

REPLY: Final = 0x1
TYPE_MASK: Final = 0xF
NO_REPLY: Final = 0x10
ERROR: Final = 0x20

MAX_TRANSFER: Final = 1 << 20
MAX_MESSAGE: Final = HEADER.size + ACCESS.size + MAX_TRANSFER
MAX_FDS: Final = 16
CAPABILITIES: Final = b'{"capabilities": {"max_msg_fds": 16, "max_data_xfer_size": 1048576}}\0'


class Command(IntEnum):
    """Commands of the client."""

    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    GET_INFO = 4
    GET_REGION_INFO = 5
    GET_IRQ_INFO = 7
    SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    RESET = 13


class Region(IntEnum):
    """Regions of a PCI device."""

    BAR0 = 0
    BAR2 = 2
    ROM = 6
    CONFIG = 7
    VGA = 8


REGION_COUNT: Final = 9


class Irq(IntEnum):
    """Kinds of interrupts of a PCI device."""

    INTX = 0
    MSI = 1
    MSIX = 2
    ERROR = 3
    REQUEST = 4


IRQ_KINDS: Final = 5
IRQ_EVENTFD: Final = 0x1


class IrqFlag(IntFlag):
    """SET_IRQS: what the data are, and what to do."""

    DATA_NONE = 0x1
    DATA_BOOL = 0x2
    DATA_EVENTFD = 0x4
    MASK = 0x8
    UNMASK = 0x10
    TRIGGER = 0x20


def message(ident: int, command: int, body: bytes, flags: int = 0) -> bytes:
    """A whole message without error."""
    return HEADER.pack(ident, command, HEADER.size + len(body), flags, 0) + body


def error_reply(ident: int, command: int, number: int) -> bytes:
    """A reply that carries an ``errno`` and nothing else."""
    return HEADER.pack(ident, command, HEADER.size, REPLY | ERROR, number)
