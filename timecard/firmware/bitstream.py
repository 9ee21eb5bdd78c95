"""The head of a Xilinx 7-series bitstream: which FPGA it is for, and where a golden image jumps to.

Source: UG470, *7 Series FPGAs Configuration*: sync word and packets (chapter 5), device ids (table 1-1), warm
boot start address and fallback (chapter 7). Only the head is read, up to the first frame data; nothing is
executed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

SYNC: Final = bytes.fromhex("aa995566")
IDCODES: Final[Mapping[str, int]] = MappingProxyType({"xc7a100t": 0x0363_1093, "xc7a200t": 0x0363_6093})
"""JTAG ids; the top four bits are the silicon's revision and do not count."""
IDCODE_MASK: Final = 0x0FFF_FFFF
LARGEST: Final[Mapping[str, int]] = MappingProxyType({"xc7a100t": 3_825_788, "xc7a200t": 9_730_652})
"""Bytes of an uncompressed bitstream (UG470, table 1-1)."""
HEAD: Final = 0x4000
"""A sync word later than this belongs to something else."""
MAX_PACKETS: Final = 1024

REG_FDRI: Final = 0b00010
REG_CMD: Final = 0b00100
REG_IDCODE: Final = 0b01100
REG_AXSS: Final = 0b01101
REG_WBSTAR: Final = 0b10000
CMD_IPROG: Final = 0b01111
_TYPE1_WRITE: Final = 0b001_10
_START_ADDRESS: Final = 0x1FFF_FFFF


@dataclass(frozen=True, slots=True)
class Bitstream:
    """What the head says; None for what it does not say before the first frame data."""

    sync_offset: int
    idcode: int | None
    user_access: int | None
    """Word that a design may carry for its users."""
    warm_boot: int | None
    """Word of the warm boot start address register, if a reconfiguration (IPROG) follows."""

    @property
    def fpga(self) -> str | None:
        """The part, None for one that no Time Card has."""
        return next((name for name, idcode in IDCODES.items() if idcode == self.idcode), None)

    def jumps_to(self, offset: int) -> bool | None:
        """Whether this golden image starts the image at ``offset``; None when it does not say.

        The register holds the address itself, or its upper 24 bits with flashes that are read by four address
        bytes. Which of the two cannot be seen here, so either counts.
        """
        if self.warm_boot is None:
            return None
        address = self.warm_boot & _START_ADDRESS
        return offset in (address, (address & 0xFF_FFFF) << 8)


def read_bitstream(head: bytes) -> Bitstream | None:
    """Read the head of a bitstream, of which the first ``HEAD`` bytes suffice; None without a sync word."""
    sync = head.find(SYNC, 0, HEAD + len(SYNC))
    if sync < 0:
        return None
    words: dict[int, int] = {}
    warm_boot = None
    for register, value in _writes(head, sync + len(SYNC)):
        if register == REG_CMD and value & 0x1F == CMD_IPROG:
            warm_boot = words.get(REG_WBSTAR)
        words[register] = value
    idcode = words.get(REG_IDCODE)
    return Bitstream(
        sync_offset=sync,
        idcode=None if idcode is None else idcode & IDCODE_MASK,
        user_access=words.get(REG_AXSS),
        warm_boot=warm_boot,
    )


def _writes(head: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Register and first word of each type-1 write before the frame data."""
    for _ in range(MAX_PACKETS):
        packet = int.from_bytes(head[at : at + 4], "big")
        at += 4
        if at + 4 > len(head):
            return
        if packet >> 29 != 1:
            continue
        register, count = packet >> 13 & 0x1F, packet & 0x7FF
        if register == REG_FDRI:
            return
        if packet >> 27 == _TYPE1_WRITE and count:
            yield register, int.from_bytes(head[at : at + 4], "big")
        at += 4 * count
