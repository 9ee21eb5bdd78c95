"""A frequency counter: edges of an SMA input over whole seconds of the card's clock.

Register semantics: the kernel's ``ptp_ocp`` driver and the published core (``Ips/FrequencyCounter``). Range 0
to 10 MHz, resolution 1 Hz by a gate of 1 s.
"""

from __future__ import annotations

from typing import Final

from timecard.card_values import CounterReading
from timecard.errors import RefusedError, UnsupportedError
from timecard.pcie.words import present
from timecard.protocols import RegisterBus

MAX_GATE_S: Final = 255
_ENABLE: Final = 1
_VALID: Final = 1 << 31
_ERROR: Final = 1 << 30
_OVERRUN: Final = 1 << 29
_HZ: Final = 0xFF_FFFF


class Counter:
    """Counter ``number`` (1 to 4); ``FrequencyCounter``."""

    def __init__(self, bus: RegisterBus, number: int) -> None:
        block = f"freq_in[{number - 1}]"
        if not bus.board.has(block):
            there = f"1 to {bus.board.counters}" if bus.board.counters else "none"
            raise UnsupportedError(
                bus.name, f"open counter {number}", f"{bus.board.product} has {there} in its register map"
            )
        self.name = f"{bus.name} frequency counter {number}"
        self._bus = bus
        self._ctrl = bus.board.at(block, "ctrl")
        self._status = bus.board.at(block, "status")

    def start(self, gate_s: int) -> None:
        """Measure over and over with a gate of 1 to 255 s, which begins with a second of the card's clock."""
        if not 1 <= gate_s <= MAX_GATE_S:
            raise RefusedError(self.name, "start", f"a gate of {gate_s} s is outside 1 to {MAX_GATE_S} s")
        self._bus.write32(self._ctrl, gate_s << 8 | _ENABLE)

    def stop(self) -> None:
        """Switch off."""
        self._bus.write32(self._ctrl, 0)

    def read(self) -> CounterReading:
        """The newest result, in Hz."""
        ctrl, status = self._bus.read32(self._ctrl), self._bus.read32(self._status)
        present(ctrl, self.name, "read", "ctrl")
        gate_s = ctrl >> 8 & 0xFF if ctrl & _ENABLE else 0
        error = None
        if gate_s and status & _OVERRUN:
            error = "above 10 MHz"
        elif gate_s and status & _ERROR:
            error = "the counter reports an error"
        valid = gate_s and status & _VALID and error is None
        return CounterReading(gate_s=gate_s, frequency_hz=status & _HZ if valid else None, error=error)
