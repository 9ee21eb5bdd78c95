"""A card driven through its registers, whatever bus leads to them: no kernel driver has a part in it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import TracebackType
from typing import Final

from timecard.boards.board import Board, Role
from timecard.card_protocols import FlashDevice, Memory
from timecard.card_values import (
    Access,
    BoardIdentity,
    CardFacts,
    ClockStatus,
    ImageVersion,
    PpsSlaveStatus,
    PpsSource,
    SelectorStatus,
    TodStatus,
)
from timecard.errors import TimeCardError, UnsupportedError
from timecard.pcie import pulse_ports, status
from timecard.pcie.bus import device_serial, fifo_overflows, serial_text
from timecard.pcie.clock import RegisterClock
from timecard.pcie.clock_art import ArtClock
from timecard.pcie.counter import Counter
from timecard.pcie.generator import Generator
from timecard.pcie.gpio import BoardGpio
from timecard.pcie.i2c import I2cMaster, open_i2c
from timecard.pcie.i2c_axi import AxiI2c
from timecard.pcie.interrupts import Interrupts
from timecard.pcie.memory import chip_at, memory_on, read_identity
from timecard.pcie.mro50_bridge import Mro50Bridge, has_the_part
from timecard.pcie.nor_flash import open_flash
from timecard.pcie.sma import sma_routing
from timecard.pcie.timestamper import Timestamper
from timecard.pcie.uart import UartStream
from timecard.pcie.uart_pump import PumpedUart
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase

SOM_IMAGE: Final = 0
"""Tag of the images of the SOM card."""
_NEEDS: Final = {
    "selector": "pps_select",
    "pps_slave": "pps_to_clk",
    "pps_output": "pps_to_ext",
    "time_of_day": "tod",
    "gpio": "gpio_ext",
    "oscillator_bridge": "osc",
    "oscillator_i2c": "i2c_osc",
}
"""Capability to the block that it needs."""


class RegisterCard:
    """``Card`` on any ``RegisterBus``. Serial lines, timestampers and memories are opened when asked for."""

    def __init__(
        self,
        bus: RegisterBus,
        timebase: Timebase,
        *,
        access: Access = Access.VFIO_USER,
        card_id: str | None = None,
        access_path: str | None = None,
    ) -> None:
        """The clock is switched on if it stood still; its source and everything else stay as they are."""
        serial = device_serial(bus)
        self.bus = bus
        self.board: Board = bus.board
        self.access = access
        self.id = card_id or (serial_text(serial) if serial else bus.name)
        self.name = f"card {self.id}"
        self.access_path = access_path or bus.name
        has_servo = "drift_ns" in {row.name for row in bus.board.blocks["reg"].registers}
        self.clock = RegisterClock(bus, timebase) if has_servo else ArtClock(bus, timebase)
        self.sma = sma_routing(bus)
        self._timebase = timebase
        self._timestampers: dict[str, Timestamper] = {}
        self._serial: dict[Role, UartStream | PumpedUart] = {}
        self._bridge: Mro50Bridge | None = None
        self._bridge_had_it = False
        """The MAC port that is open took the oscillator from its bridge, which is to have it back."""
        self._i2c_master: I2cMaster | None = None
        self._oscillator_i2c: I2cMaster | None = None

    # --- parts ---

    def timestamper(self, channel: str) -> Timestamper:
        """``ts0`` ... ``ts5``, the same object each time; not yet enabled."""
        if channel not in self._timestampers:
            self._timestampers[channel] = Timestamper(self.bus, self._timebase, channel)
        return self._timestampers[channel]

    def generator(self, number: int) -> Generator:
        """Signal generator 1 ... 4."""
        return Generator(self.bus, self.clock, number)

    def counter(self, number: int) -> Counter:
        """Frequency counter 1 ... 4."""
        return Counter(self.bus, number)

    def serial(self, role: Role, baud: int | None = None) -> UartStream | PumpedUart:
        """The serial port, opened on the first call; a different ``baud`` later changes its rate."""
        stream = self._serial.get(role)
        if stream is None:
            stream = self._serial[role] = self._open_serial(role, baud)
        elif baud is not None and baud != stream.baud:
            stream.set_baud(baud)
        return stream

    def oscillator_bridge(self) -> Mro50Bridge:
        """ART: the oscillator's words by registers. It takes the place of the MAC serial port."""
        if self._bridge is None:
            if Role.MAC in self._serial and self.board.has("osc"):
                raise UnsupportedError(
                    self.name,
                    "open the mRO50 bridge",
                    "the oscillator is connected to its serial port, which is open",
                )
            self._bridge = Mro50Bridge(self.bus, self._timebase)
        return self._bridge

    def oscillator_i2c(self) -> I2cMaster:
        """The bus that the pins of the MAC port are while the board's line ``mac_i2c`` is set.

        Raises ``UnsupportedError`` while they are a serial port, and for images without that bus.
        """
        operation = "open the oscillator's I2C bus"
        if not self.board.has("i2c_osc"):
            raise UnsupportedError(self.name, operation, f"{self.board.product} has none")
        if self.image().tag != SOM_IMAGE:
            raise UnsupportedError(self.name, operation, "this image has the EEPROM's bus in its place")
        if not self.gpio().get("mac_i2c"):
            reason = "the MAC pins are a serial port: `timecard mac status --pins i2c` switches them"
            raise UnsupportedError(self.name, operation, reason)
        if self._oscillator_i2c is None:
            self._oscillator_i2c = AxiI2c(self.bus, self._timebase, "i2c_osc")
        return self._oscillator_i2c

    def pps_input(self) -> pulse_ports.PulsePort:
        """Settings of the pulse that the clock's servo follows."""
        return pulse_ports.PulsePort(self.bus, "pps_to_clk")

    def gpio(self) -> BoardGpio:
        """Lines of the board."""
        return BoardGpio(self.bus)

    # --- memories ---

    def identity(self) -> BoardIdentity:
        """EEPROM contents."""
        return read_identity(self._i2c(), self.board)

    def memory(self, address: int) -> Memory:
        """The EEPROM chip at an I2C address."""
        return memory_on(self._i2c(), chip_at(self.board, address, self.name))

    def flash(self) -> FlashDevice:
        """The flash; hold it no longer than needed."""
        return open_flash(self.bus, self._timebase)

    def _i2c(self) -> I2cMaster:
        if self._i2c_master is None:
            self._i2c_master = open_i2c(self.bus, self._timebase)
        return self._i2c_master

    # --- what the card says ---

    def image(self) -> ImageVersion:
        """Which FPGA image runs."""
        return status.read_image_version(self.bus)

    def clock_status(self) -> ClockStatus:
        """Status words of the clock."""
        return status.read_clock_status(self.bus)

    def selector(self) -> SelectorStatus:
        """PPS and 10 MHz inputs."""
        return status.read_selector(self.bus)

    def pps_slave(self) -> PpsSlaveStatus:
        """The supervisor of the selected pulse."""
        return status.read_pps_slave(self.bus)

    def time_of_day(self) -> TodStatus:
        """What the FPGA parsed from the receiver."""
        return status.read_tod(self.bus)

    def facts(self) -> CardFacts:
        """The most important of it, in words; no side effect."""
        clock = self.clock_status()
        selected = self.selector().selected if self.board.has("pps_select") else None
        return CardFacts(
            image_version=str(self.image()),
            clock_core_version=".".join(map(str, clock.version or ())) or None,
            clock_source=clock.source,
            pps_source=selected.name if selected else None,
            in_sync=clock.in_sync,
            sma=dict(str(connector).split(" ", 1) for connector in self.sma.read()),
        )

    def missing(self) -> Mapping[str, str]:
        """What this board lacks, and what needs the kernel driver."""
        board = self.board
        lacks = f"{board.product} has none"
        found = {name: lacks for name, block in _NEEDS.items() if not board.has(block)}
        found |= {f"serial {role.value}": lacks for role in Role if role not in board.serial_ports}
        if not board.generators:
            found["generator"] = lacks
        if not board.counters:
            found["counter"] = lacks
        if isinstance(self.clock, ArtClock):
            found["steering"] = "the clock has no drift register and no source: the oscillator is steered"
        found["phc"] = "no /dev/ptp without the kernel driver: phc2sys and ts2phc cannot use the card"
        if not isinstance(self.bus, Interrupts):
            found["interrupts"] = "not by this way to the card: serial lines and timestampers are polled"
        return found

    # --- settings that belong to the card as a whole ---

    def force_pps_source(self, source: PpsSource | None) -> None:
        """Give the clock's servo this pulse; None: the best one present."""
        pulse_ports.force_pps_source(self.bus, source)

    def clear_pps_errors(self) -> None:
        """Clear the sticky errors of the pulse input; one that persists comes back within a second."""
        status.clear_pps_errors(self.bus)

    # --- connection ---

    @property
    def lost(self) -> str | None:
        """Why the card has to be opened again; None while its bus works, whatever the card says."""
        return getattr(self.bus, "lost", None)

    def close(self) -> None:
        """Close the bus. The clock goes on as it is; ART's oscillator is where it was before."""
        for stream in self._serial.values():
            if isinstance(stream, PumpedUart):
                stream.close()
        if self._bridge_had_it:
            self._bridge_had_it = False
            with contextlib.suppress(TimeCardError):  # the card may be gone
                self._connect_mac_port(False)
        close = getattr(self.bus, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> RegisterCard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- internals ---

    def _connect_mac_port(self, to_serial: bool) -> None:
        """ART: whether the oscillator is connected to its serial port, or to its bridge."""
        self.bus.write32(self.board.at("board_config", "mro50_serial_activate"), int(to_serial))

    def _open_serial(self, role: Role, baud: int | None) -> UartStream | PumpedUart:
        port = self.board.serial_ports.get(role)
        name = f"{role.name} UART"
        if port is None:
            raise UnsupportedError(self.name, f"open {name}", self.board.no_such_port)
        if role is Role.MAC and self.board.has("board_config"):
            if self._bridge is not None:
                raise UnsupportedError(
                    self.name, f"open {name}", "the oscillator is connected to its bridge, which is open"
                )
            self._bridge_had_it = has_the_part(self.bus)
            self._connect_mac_port(True)
        block = self.board.blocks[port.block]
        stream = UartStream(
            self.bus, self._timebase, block.offset, baud or port.baud, name, vector=block.vector
        )
        return PumpedUart(stream) if fifo_overflows(self.bus) else stream
