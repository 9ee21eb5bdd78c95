"""Everything inside one configured FPGA: a board's blocks, made from its tables, and their pages of BAR0.

Which class answers for a block follows from its register table, so that a board of known blocks needs no
line here. A power cycle makes a new fabric; what hangs on it (oscillator, receiver, memories) stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from timecard.boards import registers as r
from timecard.boards.board import Board, SmaKind
from timecard.boards.registers import Block as Row
from timecard.emulator.fpga_art import (
    ArtClock,
    ArtTimestamper,
    BoardConfig,
    SwitchedLine,
    identity_block,
)
from timecard.emulator.fpga_block import Block, ByteLanes, Ram, RegisterBlock, Shifted
from timecard.emulator.fpga_clock import ClockCore
from timecard.emulator.fpga_counter import Oscillator
from timecard.emulator.fpga_frequency import FrequencyCounter
from timecard.emulator.fpga_generator import SignalGenerator
from timecard.emulator.fpga_latches import LatchLog
from timecard.emulator.fpga_msix import TABLE, MsixControl, MsixTable
from timecard.emulator.fpga_pps import CORE_1_3, PpsGenerator, PpsSelector, PpsSlave, Timestamper
from timecard.emulator.fpga_profile import Image, has_receiver_words, profile_of
from timecard.emulator.fpga_ptm import PtmBlock, Sample
from timecard.emulator.fpga_pulses import Agenda, PulseRouting, PulseSource, Wiring
from timecard.emulator.fpga_sma import ArtSma, Cable, SmaMaps, SmaStatus
from timecard.emulator.fpga_status import TodSlave
from timecard.emulator.mro50 import EmulatedMro50
from timecard.emulator.mro50_bridge import READY_AFTER_S, Mro50Bridge
from timecard.emulator.receiver_tod import TodStatus
from timecard.emulator.uart16550 import SerialDevice, SilentDevice, Uart16550
from timecard.timescale import NS_PER_S

PAGE_BITS: Final = 12
GNSS_PULSE_NS: Final = 100_000_000
MAC_PULSE_NS: Final = 80_000_000
_RAM: Final = frozenset({r.IRIG_SLAVE, r.IRIG_MASTER, r.DCF_SLAVE, r.DCF_MASTER, r.NMEA_MASTER})
"""Tables of the cores that open images replace by RAM."""
_STORED: Final = frozenset({r.GPIO_EXT, r.GPIO_GNSS_MAC, r.GPIO_RGB})
_PINS: Final = MappingProxyType({1: "ts1", 2: "ts2", 3: "ts3", 4: "ts4"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is around the FPGA."""

    oscillator: Oscillator
    gnss_pulses: PulseSource
    mac_pulse: PulseSource | None
    devices: Mapping[str, SerialDevice]
    mro50: EmulatedMro50 | None
    sma_pulses: Mapping[int, PulseSource]
    cables: Iterable[Cable]
    signals: Mapping[int, float]
    tod: Callable[[int], TodStatus | None]
    sample: Callable[[], Sample]
    clock_10mhz: str
    clock_version: tuple[int, int, int]
    ptm: bool
    controllers: Mapping[str, Block]
    """The I2C and SPI masters, by block name; they outlive a fabric with what hangs on them."""


class Fabric:
    """One FPGA from its configuration on."""

    def __init__(
        self,
        board: Board,
        around: Surroundings,
        image: Image,
        t_ns: int,
        card_ns: int,
        latches: LatchLog,
        interrupter: Callable[[int | None], Callable[[], None]],
        *,
        cold: bool,
    ) -> None:
        """``cold``: power came on just now."""
        self.agenda = Agenda(t_ns)
        self.image = image
        self._board, self._around = board, around
        self._interrupter = interrupter

        def changed(at_ns: int, jumped: bool) -> None:
            self.routing.clock_changed(at_ns, jumped)  # which is made below

        is_art = board.blocks["reg"].registers is r.CLOCK_ART
        self.clock: ClockCore | ArtClock = (
            ArtClock(around.oscillator, t_ns, card_ns, image.word(board), changed)
            if is_art
            else ClockCore(around.oscillator, t_ns, card_ns, around.clock_version, changed)
        )
        self.clock.on_snapshot = latches.read
        self.sma: SmaMaps | ArtSma = (
            SmaMaps(board.sma) if board.sma.kind is SmaKind.MAPS else ArtSma(board.sma)
        )
        self.selector = PpsSelector(around.clock_10mhz) if board.has("pps_select") else None
        self.pps_slave = (
            PpsSlave(self.clock, t_ns)
            if board.has("pps_to_clk") and isinstance(self.clock, ClockCore)
            else None
        )
        self.pps_generator = PpsGenerator() if board.has("pps_to_ext") else None
        self.tod = (
            TodSlave(
                around.tod,
                baud_code=profile_of(board).tod_baud_code,
                receiver_words=has_receiver_words(board, image),
            )
            if board.has("tod")
            else None
        )
        self.board_config = BoardConfig() if board.has("board_config") else None
        self.bridge = (
            Mro50Bridge(around.mro50, self.board_config, t_ns + (READY_AFTER_S * NS_PER_S if cold else 0))
            if board.has("osc") and self.board_config is not None
            else None
        )
        self.timestampers: dict[str, Timestamper | ArtTimestamper] = {}
        self.generators: dict[str, SignalGenerator] = {}
        self.counters: dict[str, FrequencyCounter] = {}
        self.uarts: dict[str, Uart16550] = {}
        for row in board.blocks.values():
            self._make_part(row, t_ns)
        self.ptm: PtmBlock | None = (
            PtmBlock(self.clock.counter, around.sample, self.agenda.process, latches.ptm)
            if around.ptm and board.has("ptm")
            else None
        )
        self.msix = MsixControl() if board.has("msi") else None
        self.image_block = (
            RegisterBlock(r.IMAGE, {"version": image.word(board)}) if board.has("image") else None
        )
        self.routing = PulseRouting(self.agenda, self._wiring())
        self._plug_in()
        self.blocks: dict[str, Block] = {
            row.name: block for row in board.blocks.values() if (block := self._block(row)) is not None
        }
        self.pages = self._pages()

    # --- making ---

    def _make_part(self, row: Row, t_ns: int) -> None:
        """The parts of which a board has several."""
        table, name = row.registers, row.name
        if table is r.TIMESTAMPER:
            self.timestampers[name] = Timestamper(self._interrupter(row.vector))
        elif table is r.TIMESTAMPER_ART:
            self.timestampers[name] = ArtTimestamper(self._interrupter(row.vector))
        elif table is r.SIGNAL_GENERATOR:
            self.generators[name] = self._generator(row)
        elif table is r.FREQUENCY_COUNTER:
            self.counters[name] = FrequencyCounter(0x0001_0000, self.clock.counter)
        elif table is r.UART:
            device = next(
                (
                    self._around.devices.get(role.value)
                    for role, port in self._board.serial_ports.items()
                    if port.block == name
                ),
                None,
            )
            if device is not None and self.board_config is not None and name == "port[MAC]":
                device = SwitchedLine(device, self.board_config)
            self.uarts[name] = Uart16550(device or SilentDevice(), t_ns)

    def _generator(self, row: Row) -> SignalGenerator:
        number = int(row.name.removeprefix("signal_out[").removesuffix("]")) + 1
        return SignalGenerator(
            CORE_1_3,
            self.clock.counter,
            self.agenda.schedule,
            self._interrupter(row.vector),
            lambda t_ns, ago_ns, width_ns, count: self.routing.emit(
                f"GEN{number}", t_ns, ago_ns, width_ns, count
            ),
        )

    def _wiring(self) -> Wiring:
        return Wiring(
            clock=self.clock,
            timestampers=self.timestampers,
            sma=self.sma,
            selector=self.selector,
            slave=self.pps_slave,
            pps_generator=self.pps_generator,
            tod=self.tod,
            generators=list(self.generators.values()),
            counters=self.counters,
            pins=_PINS if self._board.sma.kind is SmaKind.ART else {},
            cables=self._around.cables,
            signals=self._around.signals,
        )

    def _plug_in(self) -> None:
        around, routing = self._around, self.routing
        routing.follow(around.gnss_pulses, routing.gnss_edge(GNSS_PULSE_NS))
        if around.mac_pulse is not None:
            routing.follow(around.mac_pulse, routing.mac_edge(MAC_PULSE_NS))
        for connector, source in around.sma_pulses.items():
            routing.follow(source, routing.sma_edge(connector, GNSS_PULSE_NS))

    def _block(self, row: Row) -> Block | None:
        """What answers for a block; None where nothing does."""
        table, name = row.registers, row.name
        several = (self.timestampers, self.generators, self.counters, self.uarts, self._around.controllers)
        for parts in several:
            if name in parts:
                return parts[name]
        if table in _RAM:
            return Ram()
        if table in _STORED:
            return RegisterBlock(table)
        sma = self.sma
        one: dict[str, Block | None] = {
            "reg": self.clock,
            "pps_select": self.selector,
            "pps_to_clk": self.pps_slave,
            "pps_to_ext": self.pps_generator,
            "tod": self.tod,
            "sma_map1": sma.map1 if isinstance(sma, SmaMaps) else None,
            "sma_map2": sma.map2 if isinstance(sma, SmaMaps) else None,
            "art_sma": sma.words if isinstance(sma, ArtSma) else None,
            "sma_status": SmaStatus(sma, self.routing.level),
            "image": self.image_block,
            "ptm": self.ptm,
            "msi": self.msix,
            "osc": self.bridge,
            "board_config": self.board_config,
            "idboard": identity_block(),
        }
        return one.get(name)

    def _pages(self) -> dict[int, Block]:
        pages: dict[int, Block] = {}
        for name, block in self.blocks.items():
            row = self._board.blocks[name]
            first, into_page = divmod(row.offset, 1 << PAGE_BITS)
            if getattr(block, "byte_registers", False):
                block = ByteLanes(block)
            if into_page:
                block = Shifted(block, into_page)
            count = row.size >> PAGE_BITS if isinstance(block, Ram) else 1
            pages.update(dict.fromkeys(range(first, first + count), block))
        if self.msix is not None:
            pages[TABLE >> PAGE_BITS] = MsixTable()
        return pages
