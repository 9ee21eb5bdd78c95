"""Signal generators: pulses at times of the card's clock.

Behaviour follows the published core (``Ips/SignalGenerator``): the settings are latched by SIGNAL_VALID; a
start that is not in the future, and a jump of the clock while enabled, end the output with a sticky status
and one event; after the last of REPEAT_COUNT pulses it stops in silence. Pulses leave CABLE_DELAY early.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from timecard.boards.registers import SIGNAL_GENERATOR
from timecard.emulator.fpga_block import RegisterBlock
from timecard.emulator.fpga_counter import Counter
from timecard.timescale import NS_PER_S

SHORTEST_SINGLE_NS: Final = 1_000_000
"""Shorter periods are worked out in bursts: one event for all pulses of a stretch of the card's time."""
BURST_NS: Final = 10_000_000
_FAR_NS: Final = 2 * NS_PER_S
_AT: Final = {row.name: row.offset for row in SIGNAL_GENERATOR}
_ENABLE, _STATUS, _INTR, _MASK = _AT["enable"], _AT["status"], _AT["intr"], _AT["intr_mask"]
_ERROR: Final = 1
_TIME_JUMP: Final = 2

Emit = Callable[[int, float, int, int], None]
"""Told of rising edges: true TAI, how long before it the first was, width in ns, how many in the burst."""


class SignalGenerator(RegisterBlock):
    """One generator."""

    def __init__(
        self,
        version: int,
        counter: Counter,
        schedule: Callable[[int, Callable[[int], None]], None],
        interrupt: Callable[[], None],
        emit: Emit,
    ) -> None:
        """``schedule`` calls an action at an instant of true TAI."""
        super().__init__(SIGNAL_GENERATOR, {"version": version})
        self._counter = counter
        self._schedule = schedule
        self._interrupt = interrupt
        self._emit = emit
        self._plan = 0
        """Counts plans: an event of an older one is void."""
        self._next_ns: int | None = None
        """Card time of the next pulse's beginning; None: idle."""
        self._period_ns = self._pulse_ns = self._left = 0
        self._inverted = False

    @property
    def active(self) -> bool:
        """Whether pulses are still to come."""
        return self._next_ns is not None

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A register."""
        if reg != _ENABLE:
            return super().write(reg, value, t_ns)
        self.words[_ENABLE] = value & 1
        if not value & 1:
            self.words[_STATUS] = 0
            self._stop()
        elif value & 2:
            self._start(t_ns)
        return True

    def clock_changed(self, t_ns: int, jumped: bool) -> None:
        """The clock's future is no longer what it was."""
        if jumped and self.words[_ENABLE] & 1:
            running = self._next_ns is not None
            self._stop()
            self._fail(_TIME_JUMP | _ERROR if running else _TIME_JUMP)
        elif self._next_ns is not None:
            self._wait(t_ns)

    def fail(self) -> None:
        """A fault: the output ends as after an impossible start."""
        self.words[_ENABLE] |= 1
        self._stop()
        self._fail(_ERROR)

    def repair(self, t_ns: int) -> None:
        """The fault is over: off, unless it works."""
        if self.words[_STATUS] & _ERROR:
            self.write(_ENABLE, 0, t_ns)

    # --- internals ---

    def _start(self, t_ns: int) -> None:
        start_ns = self._time("start") - (self.words[_AT["cable_delay"]] & 0xFFFF)
        self._period_ns, self._pulse_ns = self._time("period"), self._time("pulse")
        self._left = self.words[_AT["repeat_count"]]
        self._inverted = not self.words[_AT["polarity"]] & 1
        now_ns = self._counter.card_ns(t_ns)
        possible = 0 < self._pulse_ns < self._period_ns or (self._left == 1 and self._pulse_ns > 0)
        if not possible or start_ns <= now_ns or not self._counter.running:
            self._stop()
            self._fail(_ERROR)
            return
        self._next_ns = start_ns
        self._wait(t_ns)

    def _stop(self) -> None:
        self._plan += 1
        self._next_ns = None

    def _fail(self, status: int) -> None:
        self.words[_STATUS] |= status
        if self.words[_MASK] & 1:
            # The kernel's driver never clears the flag, as it writes 0: each event is a message of its own.
            self.words[_INTR] = 1
            self._interrupt()

    def _wait(self, t_ns: int) -> None:
        """Plan the next pulse; a far one is looked at again before, so that few plans are ever open."""
        assert self._next_ns is not None
        self._plan += 1
        plan = self._plan
        due_ns = min(self._counter.reaches(t_ns, self._next_ns), t_ns + _FAR_NS)
        self._schedule(due_ns, lambda at_ns: self._due(plan, at_ns))

    def _due(self, plan: int, t_ns: int) -> None:
        if plan != self._plan or self._next_ns is None:
            return
        edge = self._counter.made_edge(t_ns, self._next_ns)
        if edge is not None:
            self._pulse(t_ns, edge[1])
        if self._next_ns is not None:
            self._wait(t_ns)

    def _pulse(self, t_ns: int, ago_ns: float) -> None:
        assert self._next_ns is not None
        count = 1
        if self._period_ns < SHORTEST_SINGLE_NS:
            left_ns = BURST_NS - self._next_ns % BURST_NS
            count = -(-left_ns // self._period_ns)
        if self._left:
            count = min(count, self._left)
            self._left -= count
            last = not self._left
        else:
            last = False
        self._next_ns = None if last else self._next_ns + count * self._period_ns
        if self._inverted:
            # The line rests high: it rises where the pulse ends.
            gap_ns = max(1, self._period_ns - self._pulse_ns)
            self._schedule(t_ns + self._pulse_ns, lambda at_ns: self._emit(at_ns, ago_ns, gap_ns, count))
        else:
            self._emit(t_ns, ago_ns, self._pulse_ns, count)

    def _time(self, name: str) -> int:
        return self.words[_AT[f"{name}_sec"]] * NS_PER_S + self.words[_AT[f"{name}_ns"]]
