"""What the clock cores of all boards have in common: reading by snapshot, loading a time, stepping.

Register semantics: the kernel's ``ptp_ocp`` driver and the published core (``Ips/AdjustableClock``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from timecard.boards.registers import ALL_ONES
from timecard.clock_setting import refuse_what_does_not_fit, step_by_loading
from timecard.errors import DeviceLostError, DeviceTimeoutError, ProtocolError
from timecard.pcie.bus import burst_reader, has_ptm, writes_are_posted
from timecard.pcie.ptm import PtmRequester
from timecard.pcie.words import core_version
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import CrossTimestamp

MAX_POLLS: Final = 100
"""As many as the kernel driver allows; real hardware answers the first."""
BRACKETS: Final = 5
"""Reads of which the narrowest counts: most are undisturbed, so few suffice."""
PTM_SLACK_NS: Final = 2_000
MAX_SLEW: Final = 0.06
"""The core slews by up to 5 %."""

ENABLE: Final = 0x1
ADJUST_TIME: Final = 0x2
ADJUST_OFFSET: Final = 0x4
_READ: Final = 0x4000_0000
_READ_DONE: Final = 0x8000_0000


class SnapshotClock(ABC):
    """``now_tai_ns``, ``cross_timestamp``, ``set_tai_ns`` and ``step_ns`` on registers.

    Raises ``DeviceLostError`` when the card answers all ones, ``DeviceTimeoutError`` when it takes no
    snapshot. ``ctrl`` is written in whole words: two users of one card's clock would lose each other's
    commands, so there must be one only, and no kernel driver beside it.
    """

    TICK_NS: int
    """Granularity of a snapshot."""
    CTRL_UNUSED: int
    """Bits of ctrl that always read 0."""

    def __init__(self, bus: RegisterBus, timebase: Timebase, name: str = "card clock") -> None:
        self.name = name
        self._bus = bus
        self._timebase = timebase
        self._read_many = burst_reader(bus)
        self._posted_writes = writes_are_posted(bus)
        block = bus.board.blocks["reg"]
        self._at = block.addresses()
        self._ctrl = self._at["ctrl"]
        self._words = (self._ctrl, self._at["time_ns"], self._at["time_sec"])
        version = self._register("version")
        self.version = core_version(version)
        if not self._register("ctrl") & ENABLE:
            bus.write32(self._ctrl, ENABLE)
            if not self._register("ctrl") & ENABLE:
                raise ProtocolError(name, "enable", "the clock core does not accept its enable bit")
        self._ptm = PtmRequester(bus, name) if has_ptm(bus) else None
        self._ptm_agrees = False

    # --- reading ---

    def now_tai_ns(self) -> int:
        """Read the clock; the value is that of the tick after the request."""
        self._bus.write32(self._ctrl, _READ | ENABLE)
        return self._snapshot()

    def cross_timestamp(self) -> CrossTimestamp:
        """Compare with CLOCK_MONOTONIC_RAW: by PTM where card and root port have it, else by brackets."""
        if self._ptm is not None:
            try:
                sample = self._ptm.cross_timestamp()
            except DeviceTimeoutError:
                # The card can, but nobody answers it: a root port or switch without PTM. That stays so.
                self._ptm = None
            else:
                self._ptm_agrees = self._ptm_agrees or self._near(sample, self._best_bracket())
                if self._ptm_agrees:
                    return sample
                # The answers count something else than CLOCK_MONOTONIC_RAW: the time base of the root port,
                # as on most hosts, or that of the machine around this one.
                self._ptm = None
        return self._best_bracket()

    def _best_bracket(self) -> CrossTimestamp:
        best = self._bracket()
        for _ in range(BRACKETS - 1):
            if best.half_width_ns <= self.TICK_NS:  # virtual time does not pass during a read
                break
            best = min(best, self._bracket(), key=lambda sample: sample.half_width_ns)
        return best

    @staticmethod
    def _near(a: CrossTimestamp, b: CrossTimestamp) -> bool:
        """Whether two comparisons may be of the same two clocks."""
        elapsed_ns = b.mono_raw_ns - a.mono_raw_ns
        apart_ns = b.card_tai_ns - a.card_tai_ns - elapsed_ns
        slack_ns = a.half_width_ns + b.half_width_ns + PTM_SLACK_NS + abs(elapsed_ns) * MAX_SLEW
        return abs(apart_ns) <= slack_ns

    def _bracket(self) -> CrossTimestamp:
        timebase = self._timebase
        before_ns = timebase.mono_ns()
        self._bus.write32(self._ctrl, _READ | ENABLE)
        # The snapshot is taken when the write arrives. Over PCIe that is some time before the next read's
        # completion; a bus that waits for the write to arrive gives the narrower bracket.
        after_ns = 0 if self._posted_writes else timebase.mono_ns()
        tai_ns = self._snapshot()
        after_ns = after_ns or timebase.mono_ns()
        return CrossTimestamp(
            # The tick after the request comes half a tick late on average.
            card_tai_ns=tai_ns - self.TICK_NS // 2,
            mono_raw_ns=(before_ns + after_ns) // 2,
            half_width_ns=(after_ns - before_ns) / 2 + self.TICK_NS / 2,
            method="bracket",
        )

    def _snapshot(self) -> int:
        for _ in range(MAX_POLLS):
            ctrl, ns, seconds = self._read_many(self._words)
            if ctrl & _READ_DONE:
                if ctrl & self.CTRL_UNUSED:
                    raise self._implausible("read", "ctrl", ctrl)
                if ns >= NS_PER_S:
                    raise self._implausible("read", "time_ns", ns)
                return seconds * NS_PER_S + ns
        raise DeviceTimeoutError(self.name, "read", f"no snapshot within {MAX_POLLS} polls")

    # --- setting ---

    def set_tai_ns(self, tai_ns: int) -> None:
        """Load a time; it is late by the bus's latency, which ``step_ns`` corrects for."""
        refuse_what_does_not_fit(self.name, tai_ns)
        seconds, ns = divmod(tai_ns, NS_PER_S)
        self._adjust({"adjust_ns": ns, "adjust_sec": seconds}, ADJUST_TIME)

    def step_ns(self, delta_ns: int) -> None:
        """Add ``delta_ns`` at once.

        Below a second the core adds it itself, exactly. Beyond, the clock is read and loaded; what the bus's
        latency left of the step is measured against the host's clock and added by the first method.
        """
        if abs(delta_ns) < NS_PER_S:
            self._step_by_core(delta_ns)
            return
        self._step_by_core(step_by_loading(self, delta_ns))

    @abstractmethod
    def _step_by_core(self, delta_ns: int) -> None:
        """Let the core add less than a second."""

    def _adjust(self, values: dict[str, int], command: int) -> None:
        """Write registers and latch them."""
        self._write(values)
        self._bus.write32(self._ctrl, ENABLE | command)

    def _write(self, values: dict[str, int]) -> None:
        for register, value in values.items():
            self._bus.write32(self._at[register], value)

    def _register(self, name: str) -> int:
        value = self._bus.read32(self._at[name])
        if value == ALL_ONES:
            raise self._implausible("read", name, value)
        return value

    def _implausible(self, operation: str, register: str, value: int) -> DeviceLostError | ProtocolError:
        if value == ALL_ONES:
            return DeviceLostError(self.name, operation, f"{register} reads all ones: the card is gone")
        return ProtocolError(self.name, operation, f"{register} reads {value:#x}, which it cannot")
