"""The hardware boundary: six small protocols and three rules.

A call may block, at most for the timeout it was given. A call may raise ``TimeCardError`` and nothing else
from the device. No object is called from two threads at once, except a ``RegisterBus``, which serialises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from timecard.boards.board import Board
from timecard.values import CrossTimestamp, EdgeStamp, GnssEvent, OscillatorIdentity, OscillatorStatus


class RegisterBus(Protocol):
    """32-bit registers behind a PCIe BAR; byte order is the bus's business."""

    name: str
    board: Board
    """Which card it leads to: its register map."""

    def read32(self, offset: int) -> int:
        """Read the register at ``offset`` bytes from the start of the BAR."""
        ...

    def write32(self, offset: int, value: int) -> None:
        """Write the register at ``offset``."""
        ...


class ByteStream(Protocol):
    """A serial line, whatever carries it."""

    name: str

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """At least one byte, or ``b""`` when nothing came within ``timeout_s``; 0 only looks."""
        ...

    def write(self, data: bytes) -> None:
        """Queue all of ``data`` for transmission."""
        ...


@runtime_checkable
class RateStream(ByteStream, Protocol):
    """A line whose rate can be changed.

    What wraps a line must have ``baud`` and ``set_baud`` in its class: ``isinstance`` does not ask
    ``__getattr__`` from Python 3.12 on.
    """

    @property
    def baud(self) -> int:
        """The rate now."""
        ...

    def set_baud(self, baud: int) -> None:
        """Change the rate; raises ``RefusedError`` when that rate cannot be made."""
        ...


class Clock(Protocol):
    """A clock that can be set, stepped and steered."""

    name: str

    @property
    def max_frequency_ppb(self) -> float:
        """The largest magnitude that ``set_frequency_ppb`` takes."""
        ...

    def now_tai_ns(self) -> int:
        """Read the clock."""
        ...

    def step_ns(self, delta_ns: int) -> None:
        """Add ``delta_ns`` at once."""
        ...

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Steer; positive runs faster. Returns what is really in force after rounding."""
        ...


@runtime_checkable
class CrossTimestamping(Protocol):
    """A clock that can be compared with the host's CLOCK_MONOTONIC_RAW."""

    def cross_timestamp(self) -> CrossTimestamp:
        """One comparison, with the half-width that bounds its error."""
        ...


class EdgeSource(Protocol):
    """A timestamper that latches edges against the card's clock."""

    def poll(self) -> EdgeStamp | None:
        """The edge held by the latch, which is then re-armed; None when there is none."""
        ...


@runtime_checkable
class WakingEdgeSource(Protocol):
    """A timestamper that can be waited for."""

    @property
    def wakes(self) -> bool:
        """Whether ``wait`` ends as soon as there is an edge."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Wait at most ``timeout_s``; whether there may be an edge. Raises ``DeviceLostError``."""
        ...


class GnssReceiver(Protocol):
    """A receiver: everything it says, as events."""

    @property
    def restarts(self) -> int:
        """How often the receiver was seen to begin anew by itself: its settings may be gone."""
        ...

    def start(self) -> None:
        """Identify and configure the receiver; raises when it does not answer."""
        ...

    def poll(self, timeout_s: float) -> Sequence[GnssEvent]:
        """Events decoded from the bytes that have arrived."""
        ...


class AtomicClock(Protocol):
    """An oscillator module that answers on its serial port and can be steered by a digital word."""

    @property
    def max_frequency_ppb(self) -> float:
        """The largest steering magnitude."""
        ...

    def identify(self) -> OscillatorIdentity:
        """Who is there; raises ``DeviceAbsentError`` when nobody answers."""
        ...

    def status(self) -> OscillatorStatus:
        """One round of telemetry."""
        ...

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Steer; positive makes 10 MHz faster. Returns what the part says is in force."""
        ...
