"""Pulse input (PPS slave), pulse output (PPS generator), time-of-day slave and PPS selector: their settings.

What they say is read in ``status``. Register semantics: the kernel's and the vendor's ``ptp_ocp`` drivers and
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
MAX_CORRECTION_S: Final = 0x7FFF_FFFF
MAX_WIDTH_MS: Final = 999


class PulsePort:
    """A PPS slave (``pps_to_clk``) or a PPS generator (``pps_to_ext``): delay, polarity, width, enable."""

    def __init__(self, bus: RegisterBus, block: str) -> None:
        self.name = f"{bus.name} {block}"
        if not bus.board.has(block):
            raise UnsupportedError(bus.name, f"open {block}", f"{bus.board.product} has no such block")
        self._bus = bus
        self._at = bus.board.blocks[block].addresses()
        self._width_is_set = block == "pps_to_ext"
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

    def rising(self) -> bool:
        """Whether the rising edge counts (input), or is the pulse's beginning (output)."""
        return bool(self._read("polarity") & 1)

    def set_rising(self, rising: bool) -> None:
        """Choose the edge."""
        self._bus.write32(self._at["polarity"], int(rising))

    def enabled(self) -> bool:
        """Whether it works at all."""
        return bool(self._read("ctrl") & 1)

    def set_enabled(self, enabled: bool) -> None:
        """Switch on or off; an input ignores the first two pulses."""
        self._bus.write32(self._at["ctrl"], int(enabled))

    def pulse_width_ms(self) -> int | None:
        """Width measured (input; None: unknown) or made (output)."""
        width = self._read("pulse_width") & 0x3FF
        return None if width == 0x3FF else width

    def set_pulse_width_ms(self, width_ms: int) -> None:
        """Make pulses this wide; an output only. The published core makes 500 ms whatever is asked for."""
        if not self._width_is_set:
            raise UnsupportedError(self.name, "set pulse width", "an input measures the width")
        if not 1 <= width_ms <= MAX_WIDTH_MS:
            raise RefusedError(
                self.name, "set pulse width", f"{width_ms} ms is outside 1 to {MAX_WIDTH_MS} ms"
            )
        self._bus.write32(self._at["pulse_width"], width_ms)

    def _read(self, register: str) -> int:
        return present(self._bus.read32(self._at[register]), self.name, "read", register)


def set_tod_correction_s(bus: RegisterBus, seconds: int) -> None:
    """Seconds that the time-of-day slave adds to what it parsed; it is switched off while they change."""
    name = f"{bus.name} tod"
    if not bus.board.has("tod"):
        raise UnsupportedError(name, "set correction", f"{bus.board.product} has no time-of-day slave")
    if abs(seconds) > MAX_CORRECTION_S:
        raise RefusedError(name, "set correction", f"{seconds} s does not fit 31 bits and a sign")
    at = bus.board.at("tod", "ctrl")
    ctrl = bus.read32(at)
    present(ctrl, name, "set correction", "ctrl")
    bus.write32(at, ctrl & ~1)
    try:
        bus.write32(bus.board.at("tod", "correction"), to_signed_magnitude(seconds))
    finally:
        bus.write32(at, ctrl)


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
