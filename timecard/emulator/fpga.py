"""The emulated card: BAR0 of any board on an oscillator, a GNSS pulse and serial devices.

Everything is lazy: an access, or ``advance``, first processes in order of time what happened until then. It
is a ``RegisterBus`` itself; the vfio-user server calls the same methods. One thread at a time.

What a board's table does not list (HWICAP, the core list, ...) is answered like any address that nothing
decodes: all ones, and counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from timecard.boards import FB, Board
from timecard.boards.registers import ALL_ONES
from timecard.emulator.fpga_access import AccessLog
from timecard.emulator.fpga_block import ActiveBlock, Block, ByteLanes, RegisterBlock
from timecard.emulator.fpga_config import ConfigSpace
from timecard.emulator.fpga_controllers import first_image, make_controllers
from timecard.emulator.fpga_counter import Oscillator
from timecard.emulator.fpga_fabric import Fabric, Surroundings
from timecard.emulator.fpga_latches import LatchLog
from timecard.emulator.fpga_profile import golden_image
from timecard.emulator.fpga_ptm import World
from timecard.emulator.fpga_pulses import PulseSource
from timecard.emulator.fpga_sma import Cable
from timecard.emulator.i2c_blocks import EEPROM_WP_BIT, connect_write_protection
from timecard.emulator.i2c_wire import I2cChip
from timecard.emulator.mro50 import EmulatedMro50
from timecard.emulator.options import CardOptions
from timecard.emulator.receiver_tod import TodStatus
from timecard.emulator.uart16550 import SerialDevice, Uart16550

MAC_I2C_BIT: Final = 31
"""Of the outputs of the board's GPIO block: the pins of the MAC port are an I2C bus."""
DEFAULT_SERIAL: Final = 0x02AC_CDFF_FE00_0001
"""Device serial number: an EUI-64 of the locally administered space."""


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
        board: Board = FB,
        sma_pulses: Mapping[int, PulseSource] = MappingProxyType({}),
        cables: Iterable[Cable] = (),
        signals: Mapping[int, float] = MappingProxyType({}),
        tod: Callable[[int], TodStatus | None] = lambda t_ns: None,
        mro50: EmulatedMro50 | None = None,
        clock_10mhz: str = "mac",
        image_version: int | None = None,
        clock_version: tuple[int, int, int] = (1, 2, 0),
        start_card_tai_ns: int = 0,
        serial: int = DEFAULT_SERIAL,
        ptm: bool = True,
        msix: bool = True,
        strict: bool = False,
        cold: bool = False,
        options: CardOptions | None = None,
        mac_chips: tuple[I2cChip, ...] = (),
        name: str = "emulated card",
    ) -> None:
        """``devices`` by what hangs on the port (``Role``), ``sma_pulses`` and ``signals`` by connector.

        ``signals`` are frequencies (Hz) that come in, ``tod`` tells what the receiver's messages had said by
        an instant of true TAI. ``options`` say what is in the memories, and which image runs unless
        ``image_version``, a whole image word, does. ``mac_chips`` are on an oscillator card with I2C.
        """
        ports = [role.value for role in board.serial_ports]
        unknown = set(devices) - set(ports)
        if unknown:
            raise ValueError(
                f"{board.name}: no UART is called {', '.join(sorted(unknown))}; there are {', '.join(ports)}"
            )
        self.name = name
        self.board = board
        self.msix = msix or board.msix
        self.config = ConfigSpace(serial, msix=self.msix, ptm=ptm, board=board)
        self.on_interrupt: Callable[[int], None] | None = None
        """Called with a vector whenever it has to be sent."""
        self.accesses = AccessLog(strict=strict)
        self.latches = LatchLog(world_time.mono_raw_ns)
        self._true_tai_ns = world_time.true_tai_ns
        self._listened: set[int] = set()
        options = options or CardOptions(board=board.name)
        if image_version is not None:
            golden = image_version > 0xFFFF and board.has("image")
            number = image_version >> 16 if golden else image_version
            options = dataclasses.replace(options, image_version=number, loader=golden)
        self.controllers = make_controllers(board, self._interrupter, options, mac_chips)
        self.oscillator = oscillator
        self.clock_10mhz = clock_10mhz
        """Where the 10 MHz come from unless a fault takes them away."""
        self._around = Surroundings(
            oscillator=oscillator,
            gnss_pulses=gnss_pulses,
            mac_pulse=mac_pulse,
            devices=devices,
            mro50=mro50,
            sma_pulses=sma_pulses,
            cables=tuple(cables),
            signals=signals,
            tod=tod,
            sample=world_time.sample,
            clock_10mhz=clock_10mhz,
            clock_version=clock_version,
            ptm=ptm,
            controllers=self.controllers.blocks,
        )
        self._pages: Mapping[int, Block] = {}
        self.image = first_image(self.controllers, options)
        """What runs; None: the FPGA found nothing to start, and the card is not on the bus."""
        self._configure(world_time.true_tai_ns(), start_card_tai_ns, cold=cold)

    # --- bus ---

    def read32(self, offset: int) -> int:
        """Read a register; all ones where nothing answers."""
        t_ns = self._now()
        block = self._pages.get(offset >> 12)
        if block is not None:
            value = block.read(offset & 0xFFF, t_ns)
            if value is not None:
                return value
        self.accesses.note_unmapped("read", offset, 4)
        return ALL_ONES

    def write32(self, offset: int, value: int) -> None:
        """Write a register; ignored where nothing answers."""
        t_ns = self._now()
        block = self._pages.get(offset >> 12)
        if block is None or not block.write(offset & 0xFFF, value & ALL_ONES, t_ns):
            self.accesses.note_unmapped("write", offset, 4)

    def read32_many(self, offsets: Sequence[int]) -> list[int]:
        """Read registers in order."""
        count = len(offsets)
        if count > 1 and offsets[0] == offsets[1] and offsets.count(offsets[0]) == count:
            block = self._pages.get(offsets[0] >> 12)
            if isinstance(block, Uart16550) and not offsets[0] & 0xFFF:
                return block.read_queue(count, self._now())
        return [self.read32(offset) for offset in offsets]

    def read_config32(self, offset: int) -> int:
        """A word of configuration space."""
        return int.from_bytes(self.config.read(offset, 4), "little")

    def read(self, offset: int, size: int) -> int:
        """Read 1, 2, 4 or 8 bytes; all ones for what crosses a word, unless it is whole words."""
        if size == 4:
            return self.read32(offset)
        self.accesses.note_narrow("read", offset, size)
        into = offset & 3
        if size == 8 and not into:
            return self.read32(offset) | self.read32(offset + 4) << 32
        if into + size > 4:
            self.accesses.note_unmapped("read", offset, size)
            return (1 << 8 * size) - 1
        block = self._pages.get(offset >> 12)
        if size == 1 and isinstance(block, ByteLanes):
            value = block.read_byte(offset & 0xFFF, self._now())
            if value is None:
                self.accesses.note_unmapped("read", offset, size)
            return 0xFF if value is None else value
        return self.read32(offset - into) >> 8 * into & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        """Write 1, 2, 4 or 8 bytes; what crosses a word is ignored, unless it is whole words."""
        if size == 4:
            self.write32(offset, value)
            return
        self.accesses.note_narrow("write", offset, size)
        into = offset & 3
        if size == 8 and not into:
            self.write32(offset, value & ALL_ONES)
            self.write32(offset + 4, value >> 32)
        elif into + size <= 4:
            block = self._pages.get(offset >> 12)
            if size == 1 and isinstance(block, ByteLanes):
                if not block.write_byte(offset & 0xFFF, value, self._now()):
                    self.accesses.note_unmapped("write", offset, size)
            else:
                self.write32(offset - into, (value & (1 << 8 * size) - 1) << 8 * into)
        else:
            self.accesses.note_unmapped("write", offset, size)

    # --- time and truth ---

    def advance(self, t_ns: int) -> None:
        """Process everything up to true TAI ``t_ns``, lines and transfers included."""
        t_ns = max(t_ns, self._agenda.now_ns)
        self._agenda.process(t_ns)
        for block in self._active:
            if block.next_event_ns(t_ns) is not None:
                block.poll(t_ns)

    def next_event_ns(self) -> int:
        """True TAI at which ``advance`` has something to do."""
        now_ns = self._agenda.now_ns
        due = [block.next_event_ns(now_ns) for block in self._active]
        return min([self._agenda.due_ns, *(d for d in due if d is not None)])

    def settle(self) -> int:
        """Process everything up to now, and return true TAI."""
        return self._now()

    def card_tai_ns(self, t_ns: int) -> int:
        """What the card's clock shows at true TAI ``t_ns``."""
        self._agenda.process(t_ns)
        return self.fabric.clock.counter.card_ns(t_ns)

    def card_error_ns(self, t_ns: int) -> float:
        """The card's clock minus true TAI."""
        self._agenda.process(t_ns)
        return self.fabric.clock.counter.error_ns(t_ns)

    @property
    def unmapped(self) -> int:
        """Accesses that nothing decoded, so far."""
        return self.accesses.unmapped

    def listen(self, vectors: set[int]) -> None:
        """Which vectors somebody listens to; the UARTs send theirs only then."""
        self._listened = vectors
        for name, uart in self.fabric.uarts.items():
            vector = self.board.blocks[name].vector
            uart.raise_interrupt = self._interrupter(vector) if vector in vectors else None

    # --- power ---

    def power_cycle(self) -> None:
        """Off and on again: the FPGA boots from flash, every register and the clock begin anew.

        The serial devices keep their state.
        """
        t_ns = self._now()
        self.controllers.power_cycle(t_ns)
        self.image = self.controllers.boot()
        self.config.reset()
        self._configure(t_ns, 0, cold=True)

    @property
    def dead(self) -> bool:
        """A dead card answers all ones and ignores writes; its clock goes on."""
        return self._pages is not self.fabric.pages

    @dead.setter
    def dead(self, dead: bool) -> None:
        self._pages = {} if dead else self.fabric.pages

    def _configure(self, t_ns: int, card_ns: int, *, cold: bool) -> None:
        image = self.image or golden_image(self.board)
        self.fabric = Fabric(
            self.board, self._around, image, t_ns, card_ns, self.latches, self._interrupter, cold=cold
        )
        self._agenda = self.fabric.agenda
        self._pages = self.fabric.pages if self.image is not None else {}
        if self.fabric.msix is not None:
            self.fabric.msix.send = self._send
        self._active = [block for block in self.fabric.blocks.values() if isinstance(block, ActiveBlock)]
        gpio = self.fabric.blocks.get("gpio_ext")
        if isinstance(gpio, RegisterBlock):
            word, bit = gpio.offset_of["gpio2"], EEPROM_WP_BIT
            connect_write_protection(self.controllers.i2c, lambda: bool(gpio.words[word] >> bit & 1))
            mac_i2c, uart = self.controllers.mac_i2c, self.fabric.uarts.get("port[MAC]")
            if mac_i2c is not None and uart is not None:
                mac_i2c.wire.connected = lambda: bool(gpio.words[word] >> MAC_I2C_BIT & 1)
                uart.connected = lambda: not gpio.words[word] >> MAC_I2C_BIT & 1
        self.listen(self._listened)

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
            if vector is None or (self.fabric.msix is not None and not self.fabric.msix.raised(vector)):
                return
            self._send(vector)

        return interrupt

    def _send(self, vector: int) -> None:
        if self.on_interrupt is not None:
            self.on_interrupt(vector)
