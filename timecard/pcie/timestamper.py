"""A signal timestamper: latches edges against the card's clock, 5 ns resolution.

The block holds one event; edges that come while it is held are counted and dropped. Register semantics: the
kernel's ``ptp_ocp`` driver and the published core (``Ips/SignalTimestamper``). ART cards have a simpler
block: no counter, no drop flag, no delay, always rising edges.
"""

from __future__ import annotations

from timecard.errors import ProtocolError, RefusedError, UnsupportedError
from timecard.pcie.bus import burst_reader
from timecard.pcie.interrupts import VectorWait, vector_wait
from timecard.pcie.words import MAX_CABLE_DELAY_NS, present
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import EdgeStamp


class Timestamper:
    """One channel; ``EdgeChannel``."""

    def __init__(self, bus: RegisterBus, timebase: Timebase, channel: str) -> None:
        channels = bus.board.channels
        if channel not in channels:
            raise UnsupportedError(
                bus.name, "open timestamper", f"no channel {channel!r}, only {', '.join(channels)}"
            )
        block = bus.board.blocks[channels[channel]]
        self.channel = channel
        self.name = f"{bus.name} {channel}"
        self.vector = block.vector
        self._bus = bus
        self._timebase = timebase
        self._read_many = burst_reader(bus)
        self._at = block.addresses()
        self._intr = self._at["intr"]
        event = ("time_sec", "time_ns", "event_count", "error")
        self._event = tuple(self._at[name] for name in event if name in self._at)
        self._count = 0
        self._wake: VectorWait | None = None

    def enable(self, *, cable_delay_ns: int = 0, interrupts: bool | None = None) -> None:
        """Start latching rising edges; ``cable_delay_ns`` is subtracted by the block.

        ``interrupts`` None: where the bus has them.
        """
        if not 0 <= cable_delay_ns <= MAX_CABLE_DELAY_NS:
            raise RefusedError(
                self.name,
                "enable",
                f"cable delay {cable_delay_ns} ns is outside 0 to {MAX_CABLE_DELAY_NS} ns",
            )
        if cable_delay_ns and "cable_delay" not in self._at:
            raise UnsupportedError(
                self.name,
                "enable",
                "this board's timestampers have no delay register: compensate the cable in software",
            )
        if interrupts is None:
            self._wake = vector_wait(self._bus, self.vector)
            if self._wake is not None:
                self._wake.forget()
        # Vendor drivers leave the polarity of falling edges behind.
        self._write("polarity", 1)
        self._write("cable_delay", cable_delay_ns)
        self._write("intr_mask", int(interrupts if interrupts is not None else self._wake is not None))
        self._write("enable", 1)
        self._write("error", 1)
        self._write("intr", 1)

    def disable(self) -> None:
        """Stop latching; counters are cleared."""
        self._write("intr_mask", 0)
        self._write("enable", 0)
        self._count = 0

    @property
    def wakes(self) -> bool:
        """Whether ``wait`` ends as soon as an edge is held; else it only pauses."""
        return self._wake is not None

    def wait(self, timeout_s: float) -> bool:
        """Wait for an edge, at most ``timeout_s``; whether one may be held."""
        if self._wake is not None:
            return self._wake.wait(timeout_s)
        self._timebase.sleep_s(timeout_s)
        return True

    def poll(self) -> EdgeStamp | None:
        """The held edge, after which the next one can be latched; None when there is none."""
        held = self._bus.read32(self._intr)
        if held == 0:
            return None
        present(held, self.name, "poll", "intr")
        seconds, ns, *more = self._read_many(self._event)
        self._bus.write32(self._intr, 1)
        if ns >= NS_PER_S:
            present(ns, self.name, "poll", "time_ns")
            raise ProtocolError(self.name, "poll", f"time_ns reads {ns}, beyond a second")
        self._count += 1
        count, error = more or (self._count, 0)
        if error:
            self._write("error", 1)
        return EdgeStamp(
            channel=self.channel,
            card_tai_ns=seconds * NS_PER_S + ns,
            event_count=count,
            dropped=bool(error & 1),
            read_mono_ns=self._timebase.mono_ns(),
        )

    def _write(self, register: str, value: int) -> None:
        """Write a register, where the block has it."""
        at = self._at.get(register)
        if at is not None:
            self._bus.write32(at, value)
