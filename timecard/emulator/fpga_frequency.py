"""Frequency counters: rising edges from one second of the card's clock to another.

Behaviour follows the published core (``Ips/FrequencyCounter``): counting begins with the next second after
ENABLE, the result is the count divided by SECONDS, a jump of the clock throws the count away, and a quotient
above 10 MHz is ERROR with OVERRUN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from timecard.boards.registers import FREQUENCY_COUNTER
from timecard.emulator.fpga_block import RegisterBlock
from timecard.emulator.fpga_counter import Counter
from timecard.timescale import NS_PER_S

MAX_HZ: Final = 10_000_000
SYNCHRONISER_NS: Final = 60
"""An edge passes three stages of 20 ns before it is counted."""
VALID: Final = 1 << 31
ERROR: Final = 1 << 30
OVERRUN: Final = 1 << 29
_AT: Final = {row.name: row.offset for row in FREQUENCY_COUNTER}
_CTRL, _STATUS = _AT["ctrl"], _AT["status"]

Carrier = Callable[[int, float], float]
"""Cycles of a continuous signal up to an instant: true TAI, and how long before it."""


class FrequencyCounter(RegisterBlock):
    """One counter."""

    def __init__(self, version: int, clock: Counter) -> None:
        super().__init__(FREQUENCY_COUNTER, {"version": version})
        self._clock = clock
        self._edges = 0
        self._early = 0
        """Edges of the second that begins next."""
        self._left_s = 0
        """Seconds of the gate still to come; 0: the gate has not begun."""
        self._gate_s = 0
        self._second = 0
        self._carrier: Carrier | None = None
        self._cycles = 0

    @property
    def enabled(self) -> bool:
        """Whether it counts."""
        return bool(self.words[_CTRL] & 1)

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register; switched off, it forgets."""
        decoded = super().write(reg, value, t_ns)
        if reg == _CTRL:
            if not value & 1:
                self.words[_STATUS] = 0
            if not value & 1 or not self._second:
                self.jumped(t_ns)
        return decoded

    def edge(self, card_ns: int, count: int) -> None:
        """So many edges from the time ``card_ns`` of the clock on."""
        if (card_ns + SYNCHRONISER_NS) // NS_PER_S > self._second:
            self._early += count
        else:
            self._edges += count

    def second(self, second: int, t_ns: int, ago_ns: float, carrier: Carrier | None) -> None:
        """The clock's ``second`` began ``ago_ns`` before ``t_ns``; ``carrier`` is on the input."""
        if carrier is not None:
            # The card's own 10 MHz comes in step with its seconds: no cut, which would go either way.
            cycles = round(carrier(t_ns, ago_ns))
            if carrier == self._carrier:
                self._edges += cycles - self._cycles
            self._cycles = cycles
        self._carrier = carrier
        if self._left_s == 1:
            self._show(self._edges // self._gate_s)
        if self._left_s <= 1:
            self._left_s = self._gate_s = self.words[_CTRL] >> 8 & 0xFF
            self._edges = 0
        else:
            self._left_s -= 1
        self._edges += self._early
        self._early = 0
        self._second = second

    def jumped(self, t_ns: int) -> None:
        """The clock jumped, or the counter was switched: begin anew."""
        self._edges = self._early = self._left_s = 0
        self._carrier = None
        self._second = self._clock.card_ns(t_ns) // NS_PER_S if self.enabled else 0

    def _show(self, hz: int) -> None:
        self.words[_STATUS] = ERROR | OVERRUN if hz > MAX_HZ else VALID | hz
