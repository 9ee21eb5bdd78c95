"""How pulses run through the FPGA: from sources outside and from its own clock to those that look at them.

Events are processed in order of true TAI, each when somebody asks for a time at or after it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from timecard.emulator.fpga_clock import SERVO_SOURCES, ClockCore
from timecard.emulator.fpga_pps import PpsGenerator, PpsSelector, PpsSlave, Timestamper
from timecard.emulator.fpga_status import SmaMaps, TodSlave
from timecard.timescale import NS_PER_S

_NS_PER_MS: Final = 1_000_000
_SMA_FUNCTIONS: Final = {"TS1": "ts1", "TS2": "ts2", "TS3": "ts3", "TS4": "ts4"}


class Pulse(Protocol):
    """One pulse of a source."""

    @property
    def error_ns(self) -> float:
        """How late it comes."""
        ...

    @property
    def present(self) -> bool:
        """False: it does not come."""
        ...


class PulseSource(Protocol):
    """Pulses at whole TAI seconds."""

    def edge(self, second_tai_s: int) -> Pulse:
        """The pulse of a second, asked for when that second begins; within half a second of it."""
        ...


class Agenda:
    """What happens when. ``now_ns`` is how far it has been processed, ``due_ns`` when the next event is."""

    def __init__(self, t_ns: int) -> None:
        self.now_ns = t_ns
        self.due_ns = t_ns
        self._order = 0
        self._events: list[tuple[int, int, Callable[[int], None]]] = []

    def schedule(self, t_ns: int, action: Callable[[int], None]) -> None:
        """Call ``action`` with ``t_ns`` when that comes."""
        self._order += 1
        heapq.heappush(self._events, (t_ns, self._order, action))
        self.due_ns = self._events[0][0]

    def process(self, t_ns: int) -> None:
        """Let everything happen up to ``t_ns``; some event must always be left."""
        while self.due_ns <= t_ns:
            due_ns, _, action = heapq.heappop(self._events)
            self.now_ns = due_ns
            action(due_ns)
            self.due_ns = self._events[0][0]
        self.now_ns = max(self.now_ns, t_ns)


class PulseRouting:
    """The wires between pulse sources, timestampers, selector and PPS slave."""

    def __init__(
        self,
        agenda: Agenda,
        clock: ClockCore,
        selector: PpsSelector,
        slave: PpsSlave,
        generator: PpsGenerator,
        tod: TodSlave,
        sma: SmaMaps,
        timestampers: Mapping[str, Timestamper],
    ) -> None:
        self._agenda = agenda
        self._clock = clock
        self._selector = selector
        self._slave = slave
        self._generator = generator
        self._tod = tod
        self._sma = sma
        self._timestampers = timestampers
        self._epoch = 0
        self.clock_changed(agenda.now_ns, jumped=False)

    def follow(self, source: PulseSource, deliver: Callable[[int, float], None]) -> None:
        """Ask ``source`` at the beginning of every second; ``deliver`` its pulse: when, and how long ago."""

        def second(t_ns: int) -> None:
            pulse = source.edge(t_ns // NS_PER_S)
            if pulse.present:
                late_ns = max(0, math.ceil(pulse.error_ns))
                # An early pulse is delivered now and stamped in the past: the line through it is straight.
                ago_ns = late_ns - pulse.error_ns
                if late_ns:
                    self._agenda.schedule(t_ns + late_ns, lambda due_ns: deliver(due_ns, ago_ns))
                else:
                    deliver(t_ns, ago_ns)
            self._agenda.schedule(t_ns + NS_PER_S, second)

        self._agenda.schedule(-(-self._agenda.now_ns // NS_PER_S) * NS_PER_S, second)

    def gnss_edge(self, width_ms: int) -> Callable[[int, float], None]:
        """A pulse of the first receiver: TS0 has a wire of its own."""

        def edge(t_ns: int, ago_ns: float) -> None:
            stamp_ns = self._clock.counter.stamp_ns(t_ns, ago_ns)
            self._latch("ts0", t_ns, stamp_ns, ago_ns, width_ms)
            self._select("gnss", t_ns, stamp_ns, width_ms)

        return edge

    def mac_edge(self, width_ms: int) -> Callable[[int, float], None]:
        """A pulse of the oscillator module."""

        def edge(t_ns: int, ago_ns: float) -> None:
            self._select("mac", t_ns, self._clock.counter.stamp_ns(t_ns, ago_ns), width_ms)

        return edge

    def sma_edge(self, connector: int, width_ms: int) -> Callable[[int, float], None]:
        """A pulse at a connector goes where the map says."""

        def edge(t_ns: int, ago_ns: float) -> None:
            stamp_ns = self._clock.counter.stamp_ns(t_ns, ago_ns)
            for function, channel in _SMA_FUNCTIONS.items():
                if self._sma.connector_for(function) == connector:
                    self._latch(channel, t_ns, stamp_ns, ago_ns, width_ms)
            if self._sma.connector_for("PPS1") == connector:
                self._select("sma", t_ns, stamp_ns, width_ms)

        return edge

    def clock_changed(self, t_ns: int, jumped: bool) -> None:
        """Plan the clock's next second; what was planned before is void."""
        if jumped:
            self._generator.jumped()
        self._epoch += 1
        if self._clock.counter.running:
            epoch = self._epoch
            second, due_ns = self._clock.counter.next_second(t_ns)
            self._agenda.schedule(due_ns, lambda at_ns: self._own_second(epoch, second, at_ns))

    def _own_second(self, epoch: int, second: int, t_ns: int) -> None:
        if epoch != self._epoch:
            return
        stamp_ns = self._clock.counter.own_pulse_ns(t_ns, second)
        if stamp_ns is not None:
            told = self._tod.second(t_ns) if self._clock.source in SERVO_SOURCES else None
            if told is not None and told != second:
                # The time-of-day slave sets the seconds where they roll over.
                self._clock.load(t_ns, told * NS_PER_S)
                return
            if self._generator.enabled:
                self._latch("pps", t_ns, stamp_ns, 0.0, self._generator.width_ms)
        self.clock_changed(t_ns, jumped=False)

    def _select(self, source: str, t_ns: int, stamp_ns: int, width_ms: int) -> None:
        if self._selector.edge(source, t_ns):
            self._slave.edge(t_ns, stamp_ns, width_ms)

    def _latch(self, channel: str, t_ns: int, stamp_ns: int, ago_ns: float, width_ms: int) -> None:
        timestamper = self._timestampers[channel]
        if timestamper.rising:
            timestamper.edge(stamp_ns)
        elif timestamper.enabled:
            stamp = self._clock.counter.stamp_ns
            self._agenda.schedule(
                t_ns + width_ms * _NS_PER_MS, lambda due_ns: timestamper.edge(stamp(due_ns, ago_ns))
            )
