"""The emulated card: BAR0 of the FB layout on an oscillator, a GNSS pulse and serial devices.

Everything is lazy: an access, or ``advance``, first processes in order of time what happened until then. It
is a ``RegisterBus`` itself; the vfio-user server calls the same methods. One thread at a time.

Not emulated, and answered like an address that nothing decodes: the I2C and SPI controllers, HWICAP, the core
list. Signal generators keep their registers but make no pulse; frequency counters never have a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from timecard.boards import FB
from timecard.boards.fb import BLOCKS
from timecard.boards.registers import ALL_ONES, FREQUENCY_COUNTER
from timecard.emulator.fpga_block import Block, Ram, RegisterBlock
from timecard.emulator.fpga_clock import ClockCore
from timecard.emulator.fpga_config import ConfigSpace
from timecard.emulator.fpga_counter import Oscillator
from timecard.emulator.fpga_pps import PpsGenerator, PpsSelector, PpsSlave, Timestamper
from timecard.emulator.fpga_ptm import PtmBlock, Sample
from timecard.emulator.fpga_pulses import Agenda, PulseRouting, PulseSource
from timecard.emulator.fpga_status import SignalGenerator, SmaMaps, TodSlave
from timecard.emulator.receiver_tod import TodStatus
from timecard.emulator.uart16550 import SerialDevice, SilentDevice, Uart16550

PAGE_BITS: Final = 12
WINDOW_PAGES: Final = 16
GNSS_PULSE_MS: Final = 100
MAC_PULSE_MS: Final = 80
DEFAULT_SERIAL: Final = 0x02AC_CDFF_FE00_0001
"""Device serial number: an EUI-64 of the locally administered space."""
UARTS: Final = MappingProxyType(
    {"gnss": "port[GNSS]", "gnss2": "port[GNSS2]", "mac": "port[MAC]", "nmea": "port[NMEA]"}
)
"""Name of a device to its UART."""
_TIMESTAMPERS: Final = ("ts0", "ts1", "ts2", "ts3", "ts4", "pps")
_STORED: Final = ("gpio_ext", "gpio_gnss_mac", "gpio_rgb", "sma_status")
_RAM: Final = ("irig_in", "irig_out", "dcf_in", "dcf_out", "nmea_out")


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

    writes_are_posted = False

    def __init__(
        self,
        oscillator: Oscillator,
        gnss_pulses: PulseSource,
        mac_pulse: PulseSource | None,
        devices: Mapping[str, SerialDevice],
        world_time: World,
        *,
        sma_pulses: Mapping[int, PulseSource] = MappingProxyType({}),
        tod: Callable[[int], TodStatus | None] = lambda t_ns: None,
        clock_10mhz: str = "mac",
        image_version: int = 28,
        clock_version: tuple[int, int, int] = (1, 2, 0),
        start_card_tai_ns: int = 0,
        serial: int = DEFAULT_SERIAL,
        ptm: bool = True,
        msix: bool = True,
        name: str = "emulated card",
    ) -> None:
        """``devices`` by their UART (``UARTS``), ``sma_pulses`` by the connector they are plugged into.

        ``tod`` tells what the receiver's messages had said by an instant of true TAI.
        """
        unknown = set(devices) - set(UARTS)
        if unknown:
            raise ValueError(f"no UART is called {', '.join(sorted(unknown))}; there are {', '.join(UARTS)}")
        self.name = name
        self.board = FB
        self.config = ConfigSpace(serial, msix=msix, ptm=ptm)
        self.msix = msix
        self.on_interrupt: Callable[[int], None] | None = None
        """Called with a vector whenever it has to be sent."""
        self.unmapped = 0
        """Accesses that nothing decoded."""
        self._true_tai_ns = world_time.true_tai_ns
        t_ns = world_time.true_tai_ns()
        self._agenda = agenda = Agenda(t_ns)

        self.clock = ClockCore(
            oscillator,
            t_ns,
            start_card_tai_ns,
            clock_version,
            lambda at, jumped: routing.clock_changed(at, jumped),
        )
        self.selector = PpsSelector(clock_10mhz)
        self.pps_slave = PpsSlave(self.clock, t_ns)
        self.pps_generator = PpsGenerator()
        self.tod = TodSlave(tod)
        self.sma = SmaMaps()
        self.timestampers = {n: Timestamper(self._interrupter(BLOCKS[n].vector)) for n in _TIMESTAMPERS}
        self.uarts = {key: Uart16550(devices.get(key, SilentDevice()), t_ns) for key in UARTS}
        routing = PulseRouting(
            agenda,
            self.clock,
            self.selector,
            self.pps_slave,
            self.pps_generator,
            self.tod,
            self.sma,
            self.timestampers,
        )
        routing.follow(gnss_pulses, routing.gnss_edge(GNSS_PULSE_MS))
        if mac_pulse is not None:
            routing.follow(mac_pulse, routing.mac_edge(MAC_PULSE_MS))
        for connector, source in sma_pulses.items():
            routing.follow(source, routing.sma_edge(connector, GNSS_PULSE_MS))

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
            **{f"signal_out[{n}]": SignalGenerator(self.clock.counter.card_ns) for n in range(4)},
            **{f"freq_in[{n}]": RegisterBlock(FREQUENCY_COUNTER) for n in range(4)},
            **{stored: RegisterBlock(BLOCKS[stored].registers) for stored in _STORED},
        }
        if ptm:
            blocks["ptm"] = PtmBlock(self.clock.counter, world_time.sample, agenda.process)
        self._pages = {BLOCKS[block].offset >> PAGE_BITS: handler for block, handler in blocks.items()}
        for block in _RAM:
            first = BLOCKS[block].offset >> PAGE_BITS
            self._pages.update(dict.fromkeys(range(first, first + WINDOW_PAGES), Ram()))
        self._alive = self._pages

    # --- bus ---

    def read32(self, offset: int) -> int:
        """Read a register; all ones where nothing answers."""
        t_ns = self._now()
        block = self._pages.get(offset >> PAGE_BITS)
        if block is not None:
            value = block.read(offset & 0xFFF, t_ns)
            if value is not None:
                return value
        self.unmapped += 1
        return ALL_ONES

    def write32(self, offset: int, value: int) -> None:
        """Write a register; ignored where nothing answers."""
        t_ns = self._now()
        block = self._pages.get(offset >> PAGE_BITS)
        if block is None or not block.write(offset & 0xFFF, value & ALL_ONES, t_ns):
            self.unmapped += 1

    def read32_many(self, offsets: Sequence[int]) -> list[int]:
        """Read registers in order."""
        count = len(offsets)
        if count > 1 and offsets[0] == offsets[1] and offsets.count(offsets[0]) == count:
            block = self._pages.get(offsets[0] >> PAGE_BITS)
            if isinstance(block, Uart16550) and not offsets[0] & 0xFFF:
                return block.read_queue(count, self._now())
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
        t_ns = max(t_ns, self._agenda.now_ns)
        self._agenda.process(t_ns)
        for uart in self.uarts.values():
            if uart.next_event_ns(t_ns) is not None:
                uart.poll(t_ns)

    def next_event_ns(self) -> int:
        """True TAI at which ``advance`` has something to do."""
        now_ns = self._agenda.now_ns
        due = [uart.next_event_ns(now_ns) for uart in self.uarts.values()]
        return min([self._agenda.due_ns, *(d for d in due if d is not None)])

    def card_tai_ns(self, t_ns: int) -> int:
        """What the card's clock shows at true TAI ``t_ns``."""
        self._agenda.process(t_ns)
        return self.clock.counter.card_ns(t_ns)

    def card_error_ns(self, t_ns: int) -> float:
        """The card's clock minus true TAI."""
        self._agenda.process(t_ns)
        return self.clock.counter.error_ns(t_ns)

    def listen(self, vectors: set[int]) -> None:
        """Which vectors somebody listens to; the UARTs send theirs only then."""
        for key, uart in self.uarts.items():
            vector = BLOCKS[UARTS[key]].vector
            uart.raise_interrupt = self._interrupter(vector) if vector in vectors else None

    @property
    def dead(self) -> bool:
        """A dead card answers all ones and ignores writes; its clock goes on."""
        return self._pages is not self._alive

    @dead.setter
    def dead(self, dead: bool) -> None:
        self._pages = {} if dead else self._alive

    def _now(self) -> int:
        """True TAI, up to which everything has happened."""
        t_ns = self._true_tai_ns()
        agenda = self._agenda
        if t_ns >= agenda.due_ns:
            agenda.process(t_ns)
        elif t_ns <= agenda.now_ns:  # also when the host's clock was set back
            return agenda.now_ns
        else:
            agenda.now_ns = t_ns
        return t_ns

    def _interrupter(self, vector: int | None) -> Callable[[], None]:
        def interrupt() -> None:
            if self.on_interrupt is not None and vector is not None:
                self.on_interrupt(vector)

        return interrupt
