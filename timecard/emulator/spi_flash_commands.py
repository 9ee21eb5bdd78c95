"""Commands of the emulated flash chip: what each does, how many address and dummy bytes follow it.

Sources: data sheets of Micron's MT25Q family and Macronix' MX25L25645G.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Command(NamedTuple):
    """What follows an opcode, and what it does."""

    act: str
    address: int = 0
    """Address bytes; -1: as many as the mode says."""
    dummy: int = 0


COMMANDS: Final = {
    0x01: Command("write status"),
    0x02: Command("program", -1),
    0x03: Command("read", -1),
    0x04: Command("write disable"),
    0x05: Command("status"),
    0x06: Command("write enable"),
    0x0B: Command("read", -1, 1),
    0x0C: Command("read", 4, 1),
    0x12: Command("program", 4),
    0x13: Command("read", 4),
    0x20: Command("erase 4k", -1),
    0x21: Command("erase 4k", 4),
    0x2B: Command("security"),
    0x50: Command("clear flags"),
    0x5A: Command("sfdp", 3, 1),
    0x66: Command("reset enable"),
    0x70: Command("flags"),
    0x99: Command("reset"),
    0x9E: Command("id"),
    0x9F: Command("id"),
    0xB7: Command("enter 4-byte"),
    0xD8: Command("erase 64k", -1),
    0xDC: Command("erase 64k", 4),
    0xE9: Command("leave 4-byte"),
}
