"""A signal timestamper: latches edges against the card's clock, 5 ns resolution.

The block holds one event; edges that come while it is held are counted and dropped. Register semantics: the
kernel's ``ptp_ocp`` driver and the published core (``Ips/SignalTimestamper``).
"""

from __future__ import annotations

from typing import Final

from timecard.boards.registers import ALL_ONES
from timecard.errors import DeviceLostError, ProtocolError, RefusedError, UnsupportedError
from timecard.pcie.bus import burst_reader
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import EdgeStamp

MAX_CABLE_DELAY_NS: Final = 0xFFFF


class Timestamper:
    """One channel; ``EdgeSource``."""

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
        self._intr = block.at("intr")
        self._error = block.at("error")
        self._event = tuple(block.at(r) for r in ("time_sec", "time_ns", "event_count", "error"))
        self._setup = {r: block.at(r) for r in ("polarity", "cable_delay", "intr_mask", "enable")}

    def enable(self, *, cable_delay_ns: int = 0, interrupts: bool = False) -> None:
        """Start latching rising edges; ``cable_delay_ns`` is subtracted by the block."""
        if not 0 <= cable_delay_ns <= MAX_CABLE_DELAY_NS:
            raise RefusedError(
                self.name,
                "enable",
                f"cable delay {cable_delay_ns} ns is outside 0 to {MAX_CABLE_DELAY_NS} ns",
            )
        write32 = self._bus.write32
        # Vendor drivers leave the polarity of falling edges behind.
        write32(self._setup["polarity"], 1)
        write32(self._setup["cable_delay"], cable_delay_ns)
        write32(self._setup["intr_mask"], int(interrupts))
        write32(self._setup["enable"], 1)
        write32(self._error, 1)
        write32(self._intr, 1)

    def disable(self) -> None:
        """Stop latching; counters are cleared."""
        self._bus.write32(self._setup["intr_mask"], 0)
        self._bus.write32(self._setup["enable"], 0)

    def poll(self) -> EdgeStamp | None:
        """The held edge, after which the next one can be latched; None when there is none."""
        held = self._bus.read32(self._intr)
        if held == 0:
            return None
        if held == ALL_ONES:
            raise DeviceLostError(self.name, "poll", "intr reads all ones: the card is gone")
        seconds, ns, count, error = self._read_many(self._event)
        self._bus.write32(self._intr, 1)
        if ns >= NS_PER_S:
            if ns == ALL_ONES:
                raise DeviceLostError(self.name, "poll", "time_ns reads all ones: the card is gone")
            raise ProtocolError(self.name, "poll", f"time_ns reads {ns}, beyond a second")
        if error:
            self._bus.write32(self._error, 1)
        return EdgeStamp(
            channel=self.channel,
            card_tai_ns=seconds * NS_PER_S + ns,
            event_count=count,
            dropped=bool(error & 1),
            read_mono_ns=self._timebase.mono_ns(),
        )
