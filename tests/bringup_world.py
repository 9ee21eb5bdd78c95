"""A virtual card of any board in this process, on a bus that counts what is written and can be cut off."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from timecard.boards import BOARDS
from timecard.bringup.bring_up import bring_up
from timecard.bringup.intent import Intent
from timecard.bringup.journal import Journal
from timecard.bringup.report import BringUpReport
from timecard.emulator.virtual_card import InProcessCard, build_in_process
from timecard.pcie.register_card import RegisterCard
from timecard.protocols import RegisterBus

BOARD_NAMES = tuple(BOARDS)
ACKNOWLEDGED = frozenset({"intr", "error"})
"""A latch that was read is let go."""
SNAPSHOT = 0x4000_0001


class PowerCutError(Exception):
    """The process was killed at this write."""


class WatchedBus:
    """A bus that remembers writes, and dies at the write with the number ``cut_at``."""

    writes_are_posted = False

    def __init__(self, bus: RegisterBus) -> None:
        self._bus = bus
        self.name = bus.name
        self.board = bus.board
        self.writes: list[tuple[str, str, int]] = []
        self.cut_at: int | None = None
        self.settings = 0
        places = {
            block.offset + row.offset: (block.name, row.name)
            for block in bus.board.blocks.values()
            for row in block.registers
        }
        self._places = places

    def read32(self, offset: int) -> int:
        return self._bus.read32(offset)

    def read32_many(self, offsets: list[int]) -> list[int]:
        many: Any = self._bus
        return list(many.read32_many(offsets))

    def read_config32(self, offset: int) -> int:
        config: Any = self._bus
        return int(config.read_config32(offset))

    def write32(self, offset: int, value: int) -> None:
        block, register = self._places.get(offset, ("?", hex(offset)))
        if changes(block, register, value):
            self.settings += 1
            if self.cut_at is not None and self.settings >= self.cut_at:
                raise PowerCutError(f"{block}.{register}")
        self.writes.append((block, register, value))
        self._bus.write32(offset, value)

    def changed(self) -> Counter[tuple[str, str]]:
        """Writes that change a setting of the card, by register."""
        return Counter((b, r) for b, r, value in self.writes if changes(b, r, value))


def changes(block: str, register: str, value: int) -> bool:
    """Whether a write changes a setting of the card, rather than ask (a port is opened and sends, the clock
    takes a snapshot, PTM is asked) or acknowledge."""
    if register == "ptm_ctrl" or block.startswith("port["):
        return False
    if block == "osc":  # questions to the oscillator through its bridge
        return register == "adjust"
    if register == "mro50_serial_activate":  # the bridge has the part already
        return bool(value)
    if block == "reg" and register == "ctrl":
        return value != SNAPSHOT
    return not (register in ACKNOWLEDGED and (block.startswith("ts") or block == "pps"))


@dataclass
class Rig:
    """One card and what watches it."""

    virtual: InProcessCard
    bus: WatchedBus
    card: RegisterCard

    def run(self, intent: Intent, *, check: bool = False, journal: Journal | None = None) -> BringUpReport:
        """One bring-up; what was written is forgotten before."""
        self.bus.writes.clear()
        self.bus.settings = 0
        world = self.virtual.card.world
        return bring_up(
            self.card,
            intent,
            self.virtual.timebase,
            check=check,
            journal=journal,
            host_time=world.true_tai_ns,
        )

    def reopen(self) -> None:
        """The process ended; a new one opens the card, which has kept its state."""
        self.bus.cut_at = None
        self.card = RegisterCard(self.bus, self.virtual.timebase)


def make_rig(board: str = "fb", **options: Any) -> Rig:
    """A card of ``board``; options as of ``timecard emulate``."""
    virtual = build_in_process(board=board, **{"seed": 3, **options})
    bus = WatchedBus(virtual.bus)
    return Rig(virtual, bus, RegisterCard(bus, virtual.timebase))
