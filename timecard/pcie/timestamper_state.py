"""What a timestamper is set to, without taking it into use: enabled or not, and the delay that it removes.

Register semantics: the published core (``Ips/SignalTimestamper``); ``cable_delay`` has 16 bits of ns, and ART
cards have no such register.
"""

from __future__ import annotations

from typing import Final

from timecard.errors import RefusedError, UnsupportedError
from timecard.pcie.words import present
from timecard.protocols import RegisterBus

DELAY_RANGE_NS: Final = (0, 0xFFFF)


class TimestamperState:
    """State of one channel; raises ``UnsupportedError`` for a channel or register that the board lacks."""

    def __init__(self, bus: RegisterBus, channel: str) -> None:
        self.name = f"{bus.name} {channel}"
        self._bus = bus
        block = bus.board.channels.get(channel)
        if block is None:
            there = ", ".join(bus.board.channels)
            raise UnsupportedError(bus.name, f"look at {channel}", f"no such channel, only {there}")
        self._at = bus.board.blocks[block].addresses()

    def enabled(self) -> bool:
        """Whether edges are latched."""
        return bool(self._read("enable") & 1)

    def cable_delay_ns(self) -> int:
        """Delay in force, in ns."""
        return self._read("cable_delay") & DELAY_RANGE_NS[1]

    def set_cable_delay_ns(self, delay_ns: int) -> None:
        """Subtract this much from each stamp from now on."""
        low, high = DELAY_RANGE_NS
        if not low <= delay_ns <= high:
            raise RefusedError(self.name, "set cable delay", f"{delay_ns} ns is outside {low} to {high} ns")
        self._bus.write32(self._register("cable_delay"), delay_ns)

    def _register(self, name: str) -> int:
        if name not in self._at:
            raise UnsupportedError(
                self.name,
                "reach the delay register",
                f"timestampers of {self._bus.board.product} have none: let receiver or software compensate",
            )
        return self._at[name]

    def _read(self, name: str) -> int:
        return present(self._bus.read32(self._register(name)), self.name, "read", name)
