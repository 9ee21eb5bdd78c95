"""The emulated card: BAR0 of the FB layout on an oscillator, a GNSS pulse and serial devices.

Everything is lazy: an access, or ``advance``, first processes in order of time what happened until then. It is
a ``RegisterBus`` itself; the vfio-user server calls the same methods. One thread at a time.

Not emulated, and answered like an address that nothing decodes: the I2C and SPI controllers, HWICAP, the core
list. Signal generators keep their registers but make no pulse; frequency counters never have a result.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from timecard.emulator.fpga_block import Block, Ram, RegisterBlock
from timecard.emulator.fpga_clock import SERVO_SOURCES, ClockCore
from timecard.emulator.fpga_config import ConfigSpace
from timecard.emulator.fpga_counter import Oscillator
from timecard.emulator.fpga_pps import PpsGenerator, PpsSelector, PpsSlave, Timestamper
from timecard.emulator.fpga_ptm import PtmBlock, Sample
from timecard.emulator.fpga_status import SignalGenerator, SmaMaps, TodSlave, TodState
from timecard.emulator.uart16550 import SerialDevice, SilentDevice, Uart16550
from timecard.pcie.registers import ALL_ONES, BLOCKS, FREQUENCY_COUNTER
from timecard.timescale import NS_PER_S

PAGE_BITS: Final = 12
WINDOW_PAGES: Final = 16
GNSS_PULSE_MS: Final = 100
MAC_PULSE_MS: Final = 80
UARTS: Final = MappingProxyType(
    {"gnss": "port[GNSS]", "gnss2": "port[GNSS2]", "mac": "port[MAC]", "nmea": "port[NMEA]"}
)
"""Name of a device to its UART."""
_SMA_FUNCTIONS: Final = MappingProxyType({"TS1": "ts1", "TS2": "ts2", "TS3": "ts3", "TS4": "ts4"})
_RAM_BLOCKS: Final = ("irig_in", "irig_out", "dcf_in", "dcf_out", "nmea_out")


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


class World(Protocol):
    """Where true TAI comes from."""

    def true_tai_ns(self) -> int:
        """True TAI now."""
        ...

    def sample(self) -> Sample:
        """True TAI and CLOCK_MONOTONIC_RAW at one instant."""
        ...


class FpgaCard:
    """The card. ``name``, ``read32``, ``write32``, ``read32_many`` and ``read_config32`` make it a bus."""

    def __init__(
        self,
        oscillator: Oscillator,
        gnss_pulses: PulseSource,
        mac_pulse: PulseSource | None,
        devices: Mapping[str, SerialDevice],
        world_time: World,
        *,
        sma_pulses: Mapping[int, PulseSource] = MappingProxyType({}),
        tod: Callable[[], TodState | None] = lambda: None,
        clock_10mhz: str = "mac",
        image_version: int = 28,
        clock_version: tuple[int, int, int] = (1, 2, 0),
        start_card_tai_ns: int = 0,
        serial: int = 0x02AC_CDFF_FE00_0001,
        ptm: bool = True,
        msix: bool = True,
        name: str = "emulated card",
    ) -> None:
        """``devices`` by their UART (``UARTS``), ``sma_pulses`` by the connector that they are plugged into."""
        unknown = set(devices) - set(UARTS)
        if unknown:
            raise ValueError(f"no UART is called {', '.join(sorted(unknown))}; there are {', '.join(UARTS)}")
        self.name = name
        self.config = ConfigSpace(serial, msix=msix, ptm=ptm)
        self.msix = msix
        self.on_interrupt: Callable[[int], None] | None = None
        """Called with a vector whenever it has to be sent."""
        self.unmapped = 0
        """Accesses that nothing decoded."""
        self._world = world_time
        self._true_tai_ns = world_time.true_tai_ns
        t_ns = self._t_ns = world_time.true_tai_ns()
        self._events: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = 0
        self._due_ns = 0

        self.clock = ClockCore(oscillator, t_ns, start_card_tai_ns, clock_version, self._clock_jumped)
        counter = self.clock.counter
        self.selector = PpsSelector(clock_10mhz)
        self.pps_slave = PpsSlave(self.clock, t_ns)
        self.pps_generator = PpsGenerator()
        self.tod = TodSlave(tod)
        self.sma = SmaMaps()
        self.timestampers = {
            name: Timestamper(self._interrupter(BLOCKS[name].vector))
            for name in ("ts0", "ts1", "ts2", "ts3", "ts4", "pps")
        }
        self.uarts = {key: Uart16550(devices.get(key, SilentDevice()), t_ns) for key in UARTS}

        self._blocks: dict[int, Block] = {}
        blocks: dict[str, Block] = {
            "reg": self.clock,
            "pps_select": self.selector,
            "pps_to_clk": self.pps_slave,
            "pps_to_ext": self.pps_generator,
            "tod": self.tod,
            "sma_map1": self.sma.map1,
            "sma_map2": self.sma.map2,
            "image": RegisterBlock(BLOCKS["image"].registers, {"version": image_version}),
            **self.timestampers,
            **{UARTS[key]: uart for key, uart in self.uarts.items()},
            **{f"signal_out[{n}]": SignalGenerator(counter.card_ns) for n in range(4)},
            **{f"freq_in[{n}]": RegisterBlock(FREQUENCY_COUNTER) for n in range(4)},
            **{name: RegisterBlock(BLOCKS[name].registers) for name in ("gpio_ext", "gpio_gnss_mac")},
            **{name: RegisterBlock(BLOCKS[name].registers) for name in ("gpio_rgb", "sma_status")},
        }
        if ptm:
            blocks["ptm"] = PtmBlock(counter, world_time.sample, self._process)
        for block_name, block in blocks.items():
            self._blocks[BLOCKS[block_name].offset >> PAGE_BITS] = block
        for block_name in _RAM_BLOCKS:
            ram = Ram()
            first = BLOCKS[block_name].offset >> PAGE_BITS
            self._blocks.update(dict.fromkeys(range(first, first + WINDOW_PAGES), ram))
        self._alive = self._blocks

        self._follow("gnss", gnss_pulses, GNSS_PULSE_MS)
        if mac_pulse is not None:
            self._follow("mac", mac_pulse, MAC_PULSE_MS)
        for connector, source in sma_pulses.items():
            self._follow(f"sma{connector}", source, GNSS_PULSE_MS)
        self._pulse_epoch = 0
        self._schedule_own_pulse(t_ns)

    # --- bus ---

    def read32(self, offset: int) -> int:
        """Read a register; all ones where nothing answers."""
        t_ns = self._true_tai_ns()
        if t_ns >= self._due_ns:
            self._process(t_ns)
        elif t_ns < self._t_ns:  # the host's clock was set back
            t_ns = self._t_ns
        block = self._blocks.get(offset >> PAGE_BITS)
        if block is not None:
            value = block.read(offset & 0xFFF, t_ns)
            if value is not None:
                return value
        self.unmapped += 1
        return ALL_ONES

    def write32(self, offset: int, value: int) -> None:
        """Write a register; ignored where nothing answers."""
        t_ns = self._true_tai_ns()
        if t_ns >= self._due_ns:
            self._process(t_ns)
        elif t_ns < self._t_ns:
            t_ns = self._t_ns
        block = self._blocks.get(offset >> PAGE_BITS)
        if block is None or not block.write(offset & 0xFFF, value & ALL_ONES, t_ns):
            self.unmapped += 1

    def read32_many(self, offsets: Sequence[int]) -> list[int]:
        """Read registers in order."""
        if len(offsets) > 1 and offsets[0] == offsets[1] == offsets[-1]:
            block = self._blocks.get(offsets[0] >> PAGE_BITS)
            if isinstance(block, Uart16550) and offsets[0] & 0xFFF == 0:
                self.read32(offsets[0] + 0x1C)  # catches up
                return block.read_queue(len(offsets), self._t_ns)
        return [self.read32(offset) for offset in offsets]

    def read_config32(self, offset: int) -> int:
        """A word of configuration space."""
        return int.from_bytes(self.config.read(offset, 4), "little")

    def read(self, offset: int, size: int) -> int:
        """Read 1, 2 or 4 bytes that do not cross a word."""
        if size == 4:
            return self.read32(offset)
        into = offset & 3
        if into + size > 4:
            self.unmapped += 1
            return (1 << 8 * size) - 1
        return self.read32(offset - into) >> 8 * into & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        """Write 1, 2 or 4 bytes that do not cross a word."""
        into = offset & 3
        if size == 4:
            self.write32(offset, value)
        elif into + size > 4:
            self.unmapped += 1
        else:
            self.write32(offset - into, (value & (1 << 8 * size) - 1) << 8 * into)

    # --- time and truth ---

    def advance(self, t_ns: int) -> None:
        """Process everything up to true TAI ``t_ns``, the UARTs' lines included."""
        t_ns = max(t_ns, self._t_ns)
        self._process(t_ns)
        for uart in self.uarts.values():
            if uart.next_event_ns(t_ns) is not None:
                uart.poll(t_ns)

    def next_event_ns(self) -> int:
        """True TAI at which ``advance`` has something to do."""
        due = [uart.next_event_ns(self._t_ns) for uart in self.uarts.values()]
        return min([self._due_ns, *(d for d in due if d is not None)])

    def card_tai_ns(self, t_ns: int) -> int:
        """What the card's clock shows at true TAI ``t_ns``."""
        self._process(t_ns)
        return self.clock.counter.card_ns(max(t_ns, self._t_ns))

    def card_error_ns(self, t_ns: int) -> float:
        """The card's clock minus true TAI."""
        self._process(t_ns)
        return self.clock.counter.error_ns(max(t_ns, self._t_ns))

    def listen(self, vectors: set[int]) -> None:
        """Which vectors somebody listens to; the UARTs send theirs only then."""
        for key, uart in self.uarts.items():
            vector = BLOCKS[UARTS[key]].vector
            uart.raise_interrupt = self._interrupter(vector) if vector in vectors else None

    @property
    def dead(self) -> bool:
        """A dead card answers all ones and ignores writes; its clock goes on."""
        return self._blocks is not self._alive

    @dead.setter
    def dead(self, dead: bool) -> None:
        self._blocks = {} if dead else self._alive

    # --- events ---

    def _process(self, t_ns: int) -> None:
        while self._due_ns <= t_ns:
            due_ns, _, action = heapq.heappop(self._events)
            self._t_ns = due_ns
            action(due_ns)
            self._due_ns = self._events[0][0]
        self._t_ns = max(self._t_ns, t_ns)

    def _schedule(self, t_ns: int, action: Callable[[int], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (t_ns, self._order, action))
        self._due_ns = self._events[0][0]

    def _follow(self, name: str, source: PulseSource, width_ms: int) -> None:
        """Ask ``source`` at the beginning of every second, and deliver its pulse when it comes."""

        def second(t_ns: int) -> None:
            pulse = source.edge(t_ns // NS_PER_S)
            if pulse.present:
                late_ns = max(0, math.ceil(pulse.error_ns))
                # An early pulse is delivered now and stamped in the past: the line through it is straight.
                ago_ns = late_ns - pulse.error_ns
                if late_ns:
                    self._schedule(t_ns + late_ns, lambda due_ns: self._edge(name, due_ns, ago_ns, width_ms))
                else:
                    self._edge(name, t_ns, ago_ns, width_ms)
            self._schedule(t_ns + NS_PER_S, second)

        self._schedule(-(-self._t_ns // NS_PER_S) * NS_PER_S, second)

    def _edge(self, name: str, t_ns: int, ago_ns: float, width_ms: int) -> None:
        stamp_ns = self.clock.counter.stamp_ns(t_ns, ago_ns)
        if name.startswith("sma"):
            connector = int(name[3:])
            for function, channel in _SMA_FUNCTIONS.items():
                if self.sma.connector_for(function) == connector:
                    self._latch(channel, t_ns, stamp_ns, ago_ns, width_ms)
            if self.sma.connector_for("PPS1") != connector:
                return
            name = "sma"
        elif name == "gnss":
            self._latch("ts0", t_ns, stamp_ns, ago_ns, width_ms)
        if self.selector.edge(name, t_ns):
            self.pps_slave.edge(t_ns, stamp_ns, width_ms)

    def _latch(self, channel: str, t_ns: int, stamp_ns: int, ago_ns: float, width_ms: int) -> None:
        timestamper = self.timestampers[channel]
        if timestamper.rising:
            timestamper.edge(stamp_ns)
        elif timestamper.enabled:
            stamp = self.clock.counter.stamp_ns
            self._schedule(
                t_ns + width_ms * 1_000_000, lambda due_ns: timestamper.edge(stamp(due_ns, ago_ns))
            )

    def _clock_jumped(self, t_ns: int) -> None:
        self.pps_generator.jumped()
        self._schedule_own_pulse(t_ns)

    def _schedule_own_pulse(self, t_ns: int) -> None:
        """The clock's next second; what was scheduled for a second that will not come that way is void."""
        self._pulse_epoch += 1
        if self.clock.counter.running:
            epoch = self._pulse_epoch
            second, due_ns = self.clock.counter.next_second(t_ns)
            self._schedule(due_ns, lambda at_ns: self._own_second(epoch, second, at_ns))

    def _own_second(self, epoch: int, second: int, t_ns: int) -> None:
        if epoch != self._pulse_epoch:
            return
        stamp_ns = self.clock.counter.own_pulse_ns(t_ns, second)
        if stamp_ns is not None:
            told = self.tod.second(t_ns) if self.clock.source in SERVO_SOURCES else None
            if told is not None and told != second:
                # The time-of-day slave sets the seconds where they roll over.
                self.clock.load(t_ns, told * NS_PER_S)
                return
            if self.pps_generator.enabled:
                self._latch("pps", t_ns, stamp_ns, 0.0, self.pps_generator.width_ms)
        self._schedule_own_pulse(t_ns)

    def _interrupter(self, vector: int | None) -> Callable[[], None]:
        def interrupt() -> None:
            if self.on_interrupt is not None and vector is not None:
                self.on_interrupt(vector)

        return interrupt
