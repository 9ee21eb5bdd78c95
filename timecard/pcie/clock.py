"""The FPGA's adjustable clock, driven through its registers.

Register semantics: the kernel's ``ptp_ocp`` driver and the published core (``Ips/AdjustableClock``). The
core counts 50 MHz, 20 ns a tick. Adjustments through the registers act only while the clock's source is 254
(REGS).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from timecard.boards.registers import (
    ALL_ONES,
    CLOCK_SOURCES,
    SOURCE_PPS,
    SOURCE_REGS,
    to_signed_magnitude,
)
from timecard.errors import DeviceLostError, DeviceTimeoutError, ProtocolError, RefusedError
from timecard.pcie.bus import burst_reader, has_ptm, writes_are_posted
from timecard.pcie.ptm import PtmRequester
from timecard.protocols import RegisterBus
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import CrossTimestamp

TICK_NS: Final = 20
"""Period of the core's 50 MHz: the granularity of a snapshot and of adjustment intervals."""
MAX_POLLS: Final = 100
"""As many as the kernel driver allows; real hardware answers the first."""
BRACKETS: Final = 5
"""Reads of which the narrowest counts: most are undisturbed, so few suffice."""
MAX_FREQUENCY_PPB: Final = 50_000_000.0
"""1 ns per tick, the core's limit."""
MAX_SECONDS: Final = 1 << 32
FRACTION_SINCE: Final = 2
"""Major version of the core from which on drift has a fraction register."""
MAX_INTERVAL_TICKS: Final = ALL_ONES // TICK_NS

_ENABLE: Final = 0x1
_ADJUST_TIME: Final = 0x2
_ADJUST_OFFSET: Final = 0x4
_ADJUST_DRIFT: Final = 0x8
_READ: Final = 0x4000_0000
_READ_DONE: Final = 0x8000_0000
_CTRL_UNUSED: Final = 0x3FFF_FEF0
"""Bits of ctrl that always read 0."""


class RegisterClock:
    """``Clock`` and ``CrossTimestamping`` on the card's registers.

    Raises ``DeviceLostError`` when the card answers all ones, ``DeviceTimeoutError`` when it takes no
    snapshot.
    """

    def __init__(self, bus: RegisterBus, timebase: Timebase, name: str = "card clock") -> None:
        self.name = name
        self._bus = bus
        self._timebase = timebase
        self._read_many = burst_reader(bus)
        self._posted_writes = writes_are_posted(bus)
        block = bus.board.blocks["reg"]
        self._at = {row.name: block.offset + row.offset for row in block.registers}
        self._ctrl = self._at["ctrl"]
        self._words = (self._ctrl, self._at["time_ns"], self._at["time_sec"])
        version = self._register("version")
        self.version = (version >> 24, version >> 16 & 0xFF, version & 0xFFFF)
        if not self._register("ctrl") & _ENABLE:
            bus.write32(self._ctrl, _ENABLE)
            if not self._register("ctrl") & _ENABLE:
                raise ProtocolError(name, "enable", "the clock core does not accept its enable bit")
        self._ptm = PtmRequester(bus, name) if has_ptm(bus) else None

    @property
    def max_frequency_ppb(self) -> float:
        """The core's limit, 5 %."""
        return MAX_FREQUENCY_PPB

    # --- reading ---

    def now_tai_ns(self) -> int:
        """Read the clock; the value is that of the 20 ns tick after the request."""
        self._bus.write32(self._ctrl, _READ | _ENABLE)
        return self._snapshot()

    def cross_timestamp(self) -> CrossTimestamp:
        """Compare with CLOCK_MONOTONIC_RAW: by PTM where card and root port have it, else by brackets."""
        if self._ptm is not None:
            try:
                return self._ptm.cross_timestamp()
            except DeviceTimeoutError:
                # The card can, but nobody answers it: a root port or switch without PTM. That stays so.
                self._ptm = None
        best = self._bracket()
        for _ in range(BRACKETS - 1):
            if best.half_width_ns <= TICK_NS:  # virtual time does not pass during a read
                break
            best = min(best, self._bracket(), key=lambda sample: sample.half_width_ns)
        return best

    def _bracket(self) -> CrossTimestamp:
        timebase = self._timebase
        before_ns = timebase.mono_ns()
        self._bus.write32(self._ctrl, _READ | _ENABLE)
        # The snapshot is taken when the write arrives. Over PCIe that is some time before the next read's
        # completion; a bus that waits for the write to arrive gives the narrower bracket.
        after_ns = 0 if self._posted_writes else timebase.mono_ns()
        tai_ns = self._snapshot()
        after_ns = after_ns or timebase.mono_ns()
        return CrossTimestamp(
            # The tick after the request comes half a tick late on average.
            card_tai_ns=tai_ns - TICK_NS // 2,
            mono_raw_ns=(before_ns + after_ns) // 2,
            half_width_ns=(after_ns - before_ns) / 2 + TICK_NS / 2,
            method="bracket",
        )

    def _snapshot(self) -> int:
        for _ in range(MAX_POLLS):
            ctrl, ns, seconds = self._read_many(self._words)
            if ctrl & _READ_DONE:
                if ctrl & _CTRL_UNUSED:
                    raise self._implausible("read", "ctrl", ctrl)
                if ns >= NS_PER_S:
                    raise self._implausible("read", "time_ns", ns)
                return seconds * NS_PER_S + ns
        raise DeviceTimeoutError(self.name, "read", f"no snapshot within {MAX_POLLS} polls")

    # --- setting ---

    def set_tai_ns(self, tai_ns: int) -> None:
        """Load a time; it is late by the bus's latency, which ``step_ns`` corrects for."""
        seconds, ns = divmod(tai_ns, NS_PER_S)
        if not 0 <= seconds < MAX_SECONDS:
            raise RefusedError(self.name, "set", f"{tai_ns} ns does not fit the card's 32-bit seconds")
        self._adjust({"adjust_ns": ns, "adjust_sec": seconds}, _ADJUST_TIME)

    def step_ns(self, delta_ns: int) -> None:
        """Add ``delta_ns`` at once.

        Below a second the core adds it itself, exactly. Beyond, the clock is read and loaded; what the bus's
        latency left of the step is measured against the host's clock and added by the first method.
        """
        if abs(delta_ns) < NS_PER_S:
            self._step_by_core(delta_ns)
            return
        before = self.cross_timestamp()
        self.set_tai_ns(self.now_tai_ns() + delta_ns)
        after = self.cross_timestamp()
        elapsed_ns = after.mono_raw_ns - before.mono_raw_ns
        residual_ns = before.card_tai_ns + elapsed_ns + delta_ns - after.card_tai_ns
        if abs(residual_ns) >= NS_PER_S:
            raise ProtocolError(self.name, "step", f"after loading, the clock is off by {residual_ns} ns")
        self._step_by_core(residual_ns)

    def _step_by_core(self, delta_ns: int) -> None:
        if delta_ns == 0:
            return
        # The core applies an offset at once when it is at least interval/20 ns; with interval = offset it is.
        self._adjust(
            {"offset_ns": to_signed_magnitude(delta_ns), "offset_interval": abs(delta_ns)}, _ADJUST_OFFSET
        )

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Steer by the drift register; returns the frequency really in force, in ppb.

        The clock must follow the registers (``take_control``), since the servo of any other source would add
        its own drift: ``RefusedError`` otherwise. Resolution: 1.5e-5 ppb with a core of version 2.0 or
        later. Older cores take a ratio of integers, finer than that except around 0, where the smallest
        magnitude is 0.23 ppb; the caller dithers with what is returned.
        """
        if not abs(frequency_ppb) <= MAX_FREQUENCY_PPB:
            raise RefusedError(
                self.name, "steer", f"{frequency_ppb} ppb is beyond {MAX_FREQUENCY_PPB:.0f} ppb"
            )
        source = self.source()
        if source != SOURCE_REGS:
            name = CLOCK_SOURCES.get(source, str(source))
            raise RefusedError(
                self.name, "steer", f"the clock follows {name}, not the registers (take_control)"
            )
        ns, fraction, interval_ns = drift_words(frequency_ppb, self.version[0] >= FRACTION_SINCE)
        sign = -1 if frequency_ppb < 0 else 1
        # The sign has a bit of its own, as it also counts for the fraction.
        values = {"drift_ns": ns | (0x8000_0000 if sign < 0 else 0), "drift_interval": interval_ns}
        if self.version[0] >= FRACTION_SINCE:
            values["drift_fraction"] = fraction
        self._write(values)
        self._bus.write32(self._ctrl, _ENABLE | _ADJUST_DRIFT)
        return sign * (ns + fraction / 65536) / interval_ns * NS_PER_S

    # --- source ---

    def source(self) -> int:
        """The source that the clock follows (``CLOCK_SOURCES``)."""
        return self._register("select") >> 16 & 0xFF

    def take_control(self) -> None:
        """Make the clock follow the registers: its servo stops, drift and phase are ours."""
        self._select(SOURCE_REGS)

    def release_control(self, source: int = SOURCE_PPS) -> None:
        """Let the clock follow another source again."""
        self._select(source)

    def _select(self, source: int) -> None:
        self._bus.write32(self._at["select"], source)
        seen = self.source()
        if seen != source:
            raise ProtocolError(self.name, "select", f"source {source} was written, the clock follows {seen}")

    def _adjust(self, values: dict[str, int], command: int) -> None:
        """Write registers and latch them; the present source is put back as the kernel driver does."""
        kept = self.source()
        if kept != SOURCE_REGS:
            self._bus.write32(self._at["select"], SOURCE_REGS)
        try:
            self._write(values)
            self._bus.write32(self._ctrl, _ENABLE | command)
        finally:
            if kept != SOURCE_REGS:
                self._bus.write32(self._at["select"], kept)

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


def drift_words(frequency_ppb: float, has_fraction: bool) -> tuple[int, int, int]:
    """The register words for |frequency|: whole ns, 1/65536 ns, interval in ns.

    The core adds ``ns`` single nanoseconds in each ``interval / 20`` ticks, evenly spread, so any ratio works
    and the interval has to be a multiple of 20 ns.
    """
    magnitude_ppb = abs(frequency_ppb)
    if has_fraction:
        ns, fraction = divmod(round(magnitude_ppb * 65536), 65536)
        return ns, fraction, NS_PER_S
    ratio = Fraction(magnitude_ppb * TICK_NS / NS_PER_S).limit_denominator(MAX_INTERVAL_TICKS)
    return ratio.numerator, 0, ratio.denominator * TICK_NS
