"""Somebody at the serial port of an emulated oscillator module, in virtual time."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.emulator_devices.wire import START_NS, SteadyPulses
from timecard.emulator.oscillator import OscillatorPhysics
from timecard.emulator.serial_part import SerialPart
from timecard.timescale import NS_PER_S


class QuietGrid:
    """An oscillator without noise."""

    def increment_ns(self, second: int) -> float:
        return 0.0


class Bench:
    """A part on a steady 10 MHz, with pulses on its input."""

    def __init__(
        self, make: Callable[[OscillatorPhysics, SteadyPulses], SerialPart], offset_ppb: float = 0.0
    ) -> None:
        self.oscillator = OscillatorPhysics(QuietGrid(), START_NS, offset_ppb=offset_ppb)
        self.pulses = SteadyPulses()
        self.part = make(self.oscillator, self.pulses)
        self.t_ns = START_NS + 3 * NS_PER_S // 2

    def send(self, text: str | bytes, wait_s: float = 0.1) -> str:
        """What comes back within ``wait_s``."""
        data = text.encode("latin-1") if isinstance(text, str) else text
        self.part.receive(data, self.t_ns)
        return self.wait(wait_s)

    def wait(self, seconds: float) -> str:
        """What comes within so many seconds."""
        self.t_ns += round(seconds * NS_PER_S)
        return self.part.transmit(self.t_ns).decode("latin-1")
