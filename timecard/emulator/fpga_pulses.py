"""How pulses run through the FPGA: from sources outside and from its own clock to those that look at them.

Events are processed in order of true TAI, each when somebody asks for a time at or after it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from timecard.emulator.fpga_art import ArtClock, ArtTimestamper
from timecard.emulator.fpga_clock import SERVO_SOURCES, ClockCore
from timecard.emulator.fpga_frequency import Carrier, FrequencyCounter
from timecard.emulator.fpga_generator import SignalGenerator
from timecard.emulator.fpga_pps import PpsGenerator, PpsSelector, PpsSlave, Timestamper
from timecard.emulator.fpga_sma import CARRIER, Cable, Connectors
from timecard.emulator.fpga_status import TodSlave
from timecard.timescale import NS_PER_S

_CHANNELS: Final = {"TS1": "ts1", "TS2": "ts2", "TS3": "ts3", "TS4": "ts4"}
_COUNTERS: Final = {f"FREQ{n + 1}": f"freq_in[{n}]" for n in range(4)}
OWN_PULSE_NS: Final = 100_000_000
"""Width of the clock's pulse where no block sets it."""
_CARRIER_HZ: Final = 10_000_000


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


@dataclass(slots=True, kw_only=True)
class Wiring:
    """What the routing joins; None or empty where a board lacks it."""

    clock: ClockCore | ArtClock
    timestampers: Mapping[str, Timestamper | ArtTimestamper]
    sma: Connectors
    selector: PpsSelector | None = None
    slave: PpsSlave | None = None
    pps_generator: PpsGenerator | None = None
    tod: TodSlave | None = None
    generators: list[SignalGenerator]
    counters: Mapping[str, FrequencyCounter]
    pins: Mapping[int, str]
    """Connector to the timestamper that watches it, whichever way it is switched."""
    cables: Iterable[Cable] = ()
    signals: Mapping[int, float]
    """Frequency (Hz of true time) of a generator outside, by connector."""


class PulseRouting:
    """The wires between pulse sources, connectors, timestampers, counters, selector and PPS slave."""

    def __init__(self, agenda: Agenda, wiring: Wiring) -> None:
        self._agenda = agenda
        self._w = wiring
        self._clock = wiring.clock
        self._epoch = 0
        self._start_ns = agenda.now_ns
        self._high_until_ns: dict[int, int] = {}
        self._ends: dict[int, list[tuple[int, float]]] = {}
        for cable in wiring.cables:
            self._ends.setdefault(cable.one, []).append((cable.other, cable.delay_ns))
            self._ends.setdefault(cable.other, []).append((cable.one, cable.delay_ns))
        self._wired = bool(self._ends or wiring.pins)
        self._carriers = {number: self._outside(hz) for number, hz in wiring.signals.items()}
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

    def gnss_edge(self, width_ns: int) -> Callable[[int, float], None]:
        """A pulse of the first receiver: TS0 has a wire of its own."""

        def edge(t_ns: int, ago_ns: float) -> None:
            stamp_ns = self._clock.counter.stamp_ns(t_ns, ago_ns)
            self._latch("ts0", t_ns, stamp_ns, ago_ns, width_ns)
            self._select("gnss", t_ns, stamp_ns, width_ns)
            if self._wired:
                self.emit("GNSS1", t_ns, ago_ns, width_ns)

        return edge

    def mac_edge(self, width_ns: int) -> Callable[[int, float], None]:
        """A pulse of the oscillator module."""

        def edge(t_ns: int, ago_ns: float) -> None:
            self._select("mac", t_ns, self._clock.counter.stamp_ns(t_ns, ago_ns), width_ns)
            if self._wired:
                self.emit("MAC", t_ns, ago_ns, width_ns)

        return edge

    def sma_edge(self, connector: int, width_ns: int) -> Callable[[int, float], None]:
        """A pulse from outside at a connector goes where the map says."""
        return lambda t_ns, ago_ns: self._at_pin(connector, t_ns, ago_ns, width_ns, 1)

    def emit(self, source: str, t_ns: int, ago_ns: float, width_ns: int, count: int = 1) -> None:
        """Rising edges of a signal that the connectors may be driven with."""
        for number, function in self._w.sma.outputs.items():
            if function == source:
                self._drive(number, t_ns, ago_ns, width_ns, count)

    def clock_changed(self, t_ns: int, jumped: bool) -> None:
        """Plan what depends on the clock; what was planned before is void."""
        wiring = self._w
        if jumped:
            if wiring.pps_generator is not None:
                wiring.pps_generator.jumped()
            for counter in wiring.counters.values():
                if counter.enabled:
                    counter.jumped(t_ns)
        for generator in wiring.generators:
            if jumped or generator.active:
                generator.clock_changed(t_ns, jumped)
        self._plan_second(t_ns)

    def carrier(self, connector: int) -> Carrier | None:
        """The continuous signal on a connector."""
        outside = self._carriers.get(connector)
        if outside is None and any(self._driver(end) == CARRIER for end, _ in self._ends.get(connector, ())):
            return self._own_cycles
        return outside

    def level(self, connector: int, t_ns: int) -> bool:
        """What a connector shows at an instant."""
        carrier = self.carrier(connector)
        if carrier is not None:
            return carrier(t_ns, 0.0) % 1.0 < 0.5
        if any(self._driver(end) == "VCC" for end, _ in self._ends.get(connector, ())):
            return True
        return t_ns < self._high_until_ns.get(connector, 0)

    # --- internals ---

    def _plan_second(self, t_ns: int) -> None:
        self._epoch += 1
        if self._clock.counter.running:
            epoch = self._epoch
            second, due_ns = self._clock.counter.next_second(t_ns)
            self._agenda.schedule(due_ns, lambda at_ns: self._own_second(epoch, second, at_ns))

    def _own_second(self, epoch: int, second: int, t_ns: int) -> None:
        if epoch != self._epoch:
            return
        edge = self._clock.counter.made_edge(t_ns, second * NS_PER_S)
        if edge is not None:
            tod = self._w.tod
            told = tod.second(t_ns) if tod is not None and self._clock.source in SERVO_SOURCES else None
            if told is not None and told != second:
                # The time-of-day slave sets the seconds where they roll over.
                self._clock.load(t_ns, told * NS_PER_S)
                return
            self._own_pulse(t_ns, *edge)
            for name, counter in self._w.counters.items():
                if counter.enabled:
                    counter.second(second, t_ns, edge[1], self._counted(name))
            if self._clock.second_begins(t_ns):
                return
        self._plan_second(t_ns)

    def _own_pulse(self, t_ns: int, stamp_ns: int, ago_ns: float) -> None:
        generator = self._w.pps_generator
        if generator is None:
            own = self._w.timestampers["pps"]
            width_ns = own.width_ns if isinstance(own, ArtTimestamper) else OWN_PULSE_NS
            self._latch("pps", t_ns, stamp_ns, 0.0, width_ns)
            self.emit("PHC", t_ns, ago_ns, width_ns)
        elif generator.enabled:
            self._latch("pps", t_ns, stamp_ns, 0.0, generator.width_ns)
            if self._wired:
                self.emit("PHC", t_ns, ago_ns + generator.early_ns, generator.width_ns)

    def _drive(self, connector: int, t_ns: int, ago_ns: float, width_ns: int, count: int) -> None:
        if connector in self._w.pins:
            self._at_pin(connector, t_ns, ago_ns, width_ns, count)
        for end, delay_ns in self._ends.get(connector, ()):
            if end not in self._w.sma.outputs:
                whole_ns = math.ceil(delay_ns)
                later_ns = ago_ns + whole_ns - delay_ns
                self._agenda.schedule(
                    t_ns + whole_ns,
                    partial(self._at_pin, end, ago_ns=later_ns, width_ns=width_ns, count=count),
                )

    def _at_pin(self, connector: int, t_ns: int, ago_ns: float, width_ns: int, count: int) -> None:
        """Edges at a connector: for what watches it, and for what its functions lead to."""
        self._high_until_ns[connector] = t_ns + width_ns
        stamp_ns = self._clock.counter.stamp_ns(t_ns, ago_ns)
        channel = self._w.pins.get(connector)
        if channel is not None:
            self._latch(channel, t_ns, stamp_ns, ago_ns, width_ns, count)
        for function in self._w.sma.inputs.get(connector, ()):
            if function == "PPS1" and count == 1:
                self._select("sma", t_ns, stamp_ns, width_ns)
            elif function in _CHANNELS and _CHANNELS[function] in self._w.timestampers:
                self._latch(_CHANNELS[function], t_ns, stamp_ns, ago_ns, width_ns, count)
            elif function in _COUNTERS:
                counter = self._w.counters.get(_COUNTERS[function])
                if counter is not None and counter.enabled:
                    counter.edge(stamp_ns, count)

    def _select(self, source: str, t_ns: int, stamp_ns: int, width_ns: int) -> None:
        selector, slave = self._w.selector, self._w.slave
        if selector is not None and slave is not None and selector.edge(source, t_ns):
            slave.edge(t_ns, stamp_ns, width_ns)

    def _latch(
        self, channel: str, t_ns: int, stamp_ns: int, ago_ns: float, width_ns: int, count: int = 1
    ) -> None:
        timestamper = self._w.timestampers[channel]
        if timestamper.rising:
            timestamper.edge(stamp_ns, count)
        elif timestamper.enabled:
            stamp = self._clock.counter.stamp_ns
            self._agenda.schedule(
                t_ns + width_ns, lambda due_ns: timestamper.edge(stamp(due_ns, ago_ns), count)
            )

    def _counted(self, name: str) -> Carrier | None:
        """The continuous signal that a counter hears."""
        for number, functions in self._w.sma.inputs.items():
            if any(_COUNTERS.get(function) == name for function in functions):
                return self.carrier(number)
        return None

    def _driver(self, connector: int) -> str | None:
        return self._w.sma.outputs.get(connector)

    def _own_cycles(self, t_ns: int, ago_ns: float) -> float:
        gained_ns = self._clock.counter.phase_ns(t_ns) - ago_ns
        return (t_ns - self._start_ns + gained_ns) * (_CARRIER_HZ / NS_PER_S)

    def _outside(self, hz: float) -> Carrier:
        return lambda t_ns, ago_ns: (t_ns - self._start_ns - ago_ns) * (hz / NS_PER_S)
