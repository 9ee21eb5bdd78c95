"""What a card is to its users, whichever way leads to it: kernel driver, mapped registers, VFIO, a socket.

Everything that a board or an access path may lack is asked for by a method that raises ``UnsupportedError``
with the reason; ``Card.missing`` gives all those reasons at once, without touching hardware twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol

from timecard.boards.board import Board, Role
from timecard.card_values import (
    Access,
    BoardIdentity,
    CardFacts,
    ClockStatus,
    CounterReading,
    GeneratorSettings,
    GeneratorState,
    ImageVersion,
    PpsSlaveStatus,
    SelectorStatus,
    SmaConnector,
    TodStatus,
)
from timecard.protocols import ByteStream, Clock, EdgeSource
from timecard.values import CrossTimestamp


class CardClock(Clock, Protocol):
    """The card's adjustable clock."""

    def cross_timestamp(self) -> CrossTimestamp:
        """The clock against CLOCK_MONOTONIC_RAW."""
        ...

    def set_tai_ns(self, tai_ns: int) -> None:
        """Load a time."""
        ...

    def source_name(self) -> str:
        """What the clock follows (``CLOCK_SOURCES``): ``PPS``, ``REGS``, ..."""
        ...

    def select_source(self, name: str) -> None:
        """Follow another source; raises ``RefusedError`` for a name that there is not."""
        ...


class EdgeChannel(EdgeSource, Protocol):
    """A timestamper that can be switched on and off."""

    channel: str

    def enable(self, *, cable_delay_ns: int = 0) -> None:
        """Latch rising edges from now on."""
        ...

    def disable(self) -> None:
        """Latch no more."""
        ...


class SignalGenerator(Protocol):
    """Makes pulses at times of the card's clock."""

    def start(self, settings: GeneratorSettings) -> GeneratorState:
        """Programme and start; raises ``RefusedError`` for settings that the hardware cannot do."""
        ...

    def stop(self) -> None:
        """Stop."""
        ...

    def state(self) -> GeneratorState:
        """What it does now."""
        ...


class FrequencyCounter(Protocol):
    """Counts edges of an SMA input over whole seconds."""

    def start(self, gate_s: int) -> None:
        """Measure over and over with a gate of 1 to 255 s."""
        ...

    def stop(self) -> None:
        """Switch off."""
        ...

    def read(self) -> CounterReading:
        """The newest result."""
        ...


class SmaRouting(Protocol):
    """The four connectors, by vendor-neutral names (``boards.board.SmaTable``)."""

    def read(self) -> tuple[SmaConnector, ...]:
        """What each connector does now."""
        ...

    def set(self, number: int, direction: str, functions: Sequence[str]) -> None:
        """Route connector ``number`` (1..4): ``in`` with one or more functions, ``out`` with one, or ``off``.

        Raises ``RefusedError`` that says why and what would do.
        """
        ...


class Memory(Protocol):
    """A memory on the card's I2C bus."""

    name: str
    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes."""
        ...

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes; returns when they are stored."""
        ...


class FlashDevice(Protocol):
    """The SPI-NOR flash: bytes become 0 by writing and 1 by erasing."""

    name: str
    size: int
    erase_size: int

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes."""
        ...

    def erase(self, offset: int) -> None:
        """Erase the ``erase_size`` bytes at ``offset``; returns when done."""
        ...

    def program(self, offset: int, data: bytes) -> None:
        """Programme bytes that were erased; returns when done."""
        ...


class Card(Protocol):
    """An open card; also a context manager that closes it."""

    id: str
    name: str
    board: Board
    access: Access
    access_path: str

    @property
    def clock(self) -> CardClock:
        """The clock."""
        ...

    @property
    def sma(self) -> SmaRouting:
        """The connectors."""
        ...

    @property
    def lost(self) -> str | None:
        """Why the card has to be opened again; None while it works."""
        ...

    def timestamper(self, channel: str) -> EdgeChannel:
        """``ts0`` ... ``ts5``; not yet enabled."""
        ...

    def generator(self, number: int) -> SignalGenerator:
        """Signal generator 1 ... 4."""
        ...

    def counter(self, number: int) -> FrequencyCounter:
        """Frequency counter 1 ... 4."""
        ...

    def serial(self, role: Role, baud: int | None = None) -> ByteStream:
        """The serial port; opened on the first call, the same object afterwards."""
        ...

    def identity(self) -> BoardIdentity:
        """EEPROM contents."""
        ...

    def memory(self, address: int) -> Memory:
        """The EEPROM chip at an I2C address."""
        ...

    def flash(self) -> FlashDevice:
        """The flash; hold it no longer than needed."""
        ...

    def image(self) -> ImageVersion:
        """Which FPGA image runs."""
        ...

    def clock_status(self) -> ClockStatus:
        """Status words of the clock."""
        ...

    def selector(self) -> SelectorStatus:
        """PPS and 10 MHz inputs."""
        ...

    def pps_slave(self) -> PpsSlaveStatus:
        """The supervisor of the selected pulse."""
        ...

    def time_of_day(self) -> TodStatus:
        """What the FPGA parsed from the receiver."""
        ...

    def facts(self) -> CardFacts:
        """The most important of it, in words; no side effect."""
        ...

    def missing(self) -> Mapping[str, str]:
        """Capability of the board that this access path cannot offer, with the reason."""
        ...

    def close(self) -> None:
        """Let go of everything. The clock goes on as it is."""
        ...

    def __enter__(self) -> Card: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
