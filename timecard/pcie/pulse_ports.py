"""Pulse input (PPS slave) and PPS selector: the settings that bring-up makes.

The rest is set by hand, as registers or attributes of the kernel driver. What they say is read in
``status``. Register semantics: the kernel's and the vendor's ``ptp_ocp`` drivers and
the manuals of the closed cores.
"""

from __future__ import annotations

from typing import Final

from timecard.boards.registers import signed_magnitude, to_signed_magnitude
from timecard.card_values import PpsSource
from timecard.errors import RefusedError, UnsupportedError
from timecard.pcie.words import core_version, present
from timecard.protocols import RegisterBus

SIGNED_DELAY_SINCE: Final = (1, 6)
"""Core version from which on cable delays have a sign and 30 bits instead of 16 bits."""
NARROW_DELAY_NS: Final = 0xFFFF
WIDE_DELAY_NS: Final = (1 << 30) - 1


class PulsePort:
    """A PPS slave (``pps_to_clk``) or a PPS generator (``pps_to_ext``): its cable delay."""

    def __init__(self, bus: RegisterBus, block: str) -> None:
        self.name = f"{bus.name} {block}"
        if not bus.board.has(block):
            raise UnsupportedError(bus.name, f"open {block}", f"{bus.board.product} has no such block")
        self._bus = bus
        self._at = bus.board.blocks[block].addresses()
        version = self._read("version")
        self.version = core_version(version)

    @property
    def cable_delay_range_ns(self) -> tuple[int, int]:
        """Smallest and largest delay that this core takes."""
        if self.version[:2] >= SIGNED_DELAY_SINCE:
            return -WIDE_DELAY_NS, WIDE_DELAY_NS
        return 0, NARROW_DELAY_NS

    def cable_delay_ns(self) -> int:
        """The delay in force, ns."""
        word = self._read("cable_delay")
        wide = self.version[:2] >= SIGNED_DELAY_SINCE
        return signed_magnitude(word, 30) if wide else word & NARROW_DELAY_NS

    def set_cable_delay_ns(self, delay_ns: int) -> None:
        """Compensate a cable of this delay."""
        low, high = self.cable_delay_range_ns
        if not low <= delay_ns <= high:
            raise RefusedError(
                self.name,
                "set cable delay",
                f"{delay_ns} ns is outside {low} to {high} ns of core {'.'.join(map(str, self.version))}",
            )
        self._bus.write32(self._at["cable_delay"], to_signed_magnitude(delay_ns))

    def _read(self, register: str) -> int:
        return present(self._bus.read32(self._at[register]), self.name, "read", register)


def force_pps_source(bus: RegisterBus, source: PpsSource | None) -> None:
    """Give the clock's servo this pulse; None: the best that is present (SMA, MAC, GNSS in this order).

    The choice of the 10 MHz in the same word stays as it is.
    """
    if not bus.board.has("pps_select"):
        raise UnsupportedError(bus.name, "force the PPS source", f"{bus.board.product} has no PPS selector")
    at = bus.board.at("pps_select", "gpio2")
    word = bus.read32(at)
    present(word, bus.name, "force the PPS source", "gpio2")
    bus.write32(at, word & ~3 | (0 if source is None else source.value))
