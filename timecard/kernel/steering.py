"""Frequency control of a mainline-driven card: whole nanoseconds of time adjustment, once a second.

The mainline driver refuses every frequency, but it has the core slew an adjustment below 50 ms evenly over
one second. Commands that follow one another every second are therefore a frequency, in steps of 1 ppb for
one of them; what rounding leaves is carried over, so that the mean is what was asked for and the phase
stays within half a nanosecond of it. The clock must follow the registers (``REGS``): the servo of any other
source would take its share back.

A command replaces one that is still at work. They are therefore given at the middle of the card's second,
far from the pulses, and what an early one cuts off, or a late one leaves undone, is carried over as well.
"""

from __future__ import annotations

import threading
from typing import Final, Protocol

from timecard.errors import RefusedError
from timecard.timebase import Timebase
from timecard.timescale import NS_PER_S
from timecard.values import CrossTimestamp

SOURCE: Final = "REGS"
MAX_FREQUENCY_PPB: Final = 40_000_000.0
"""With room for a late command below the 50 ms from which an adjustment is a step."""
MAX_COMMAND_NS: Final = 49_000_000
COMMAND_AT_NS: Final = NS_PER_S // 2
"""Of the card's second: pulses are latched at its begin."""
EARLY_NS: Final = 2_000_000


class AdjustableClock(Protocol):
    """What is needed of the clock: ``KernelClock``."""

    name: str

    def now_tai_ns(self) -> int:
        """Read it."""
        ...

    def cross_timestamp(self) -> CrossTimestamp:
        """Compare it."""
        ...

    def set_tai_ns(self, tai_ns: int) -> None:
        """Load a time."""
        ...

    def step_ns(self, delta_ns: int) -> None:
        """Add at once."""
        ...

    def slew_ns(self, delta_ns: int) -> None:
        """Have it added over one second; returns at once."""
        ...

    def source_name(self) -> str:
        """What it follows."""
        ...

    def select_source(self, name: str) -> None:
        """Follow another source."""
        ...


class RegsSteering:
    """``CardClock`` on a clock without frequency control; somebody calls ``wait`` and ``tick`` over and over.

    ``tick`` may be called by another thread than the rest.
    """

    def __init__(self, clock: AdjustableClock, timebase: Timebase) -> None:
        """Nothing happens before ``take_control``."""
        self.name = clock.name
        self._clock = clock
        self._timebase = timebase
        self._lock = threading.RLock()
        self._kept_source: str | None = None
        self._frequency_ppb = 0.0
        self._owed_ns = 0.0
        """Phase that was asked for until ``_accrued_ns`` and not yet commanded."""
        self._accrued_ns = 0
        self._command_ns = 0
        self._commanded_ns = 0
        """The newest command's size, and when it was given."""
        self._due_ns = 0
        self.commands = 0
        self.reclaimed = 0
        """How often somebody else had made the clock follow another source."""

    # --- control ---

    def take_control(self) -> None:
        """Make the clock follow the registers, and remember what it followed."""
        with self._lock:
            if self._kept_source is None:
                self._kept_source = self._clock.source_name()
            if self._kept_source != SOURCE:
                self._clock.select_source(SOURCE)
            self._accrued_ns = self._commanded_ns = self._timebase.mono_ns()
            self._command_ns, self._owed_ns, self._due_ns = 0, 0.0, 0

    def release_control(self) -> None:
        """Steer no more; the clock follows what it followed before."""
        with self._lock:
            kept, self._kept_source = self._kept_source, None
            self._frequency_ppb = 0.0
            if kept is not None and kept != SOURCE:
                self._clock.select_source(kept)

    close = release_control

    def wait(self, timeout_s: float) -> None:
        """Return when ``tick`` has something to do, or after the timeout."""
        left_s = (self._due_ns - self._timebase.mono_ns()) / NS_PER_S
        idle = self._kept_source is None
        self._timebase.sleep_s(timeout_s if idle else max(0.0, min(timeout_s, left_s)))

    def tick(self) -> None:
        """Give the next command if it is time; raises ``TimeCardError`` when the card does not take it."""
        with self._lock:
            if self._kept_source is None or self._timebase.mono_ns() < self._due_ns - EARLY_NS:
                return
            if self._clock.source_name() != SOURCE:
                # The driver restores the source after its own writes; a person or program may have set it.
                self._clock.select_source(SOURCE)
                self.reclaimed += 1
            now_tai_ns = self._clock.now_tai_ns()
            now_ns = self._timebase.mono_ns()
            self._account(now_ns)
            next_tai_ns = (now_tai_ns + COMMAND_AT_NS) // NS_PER_S * NS_PER_S + COMMAND_AT_NS
            if next_tai_ns - now_tai_ns < NS_PER_S // 4:
                next_tai_ns += NS_PER_S
            self._due_ns = now_ns + next_tai_ns - now_tai_ns
            wanted_ns = self._owed_ns + self._frequency_ppb * (self._due_ns - now_ns) / NS_PER_S
            command_ns = max(-MAX_COMMAND_NS, min(MAX_COMMAND_NS, round(wanted_ns)))
            if command_ns or self._command_ns:
                self._clock.slew_ns(command_ns)
            self._commanded_ns, self._command_ns = now_ns, command_ns
            self._owed_ns -= command_ns
            self.commands += 1

    # --- the clock ---

    @property
    def max_frequency_ppb(self) -> float:
        """4 %."""
        return MAX_FREQUENCY_PPB

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Steer from the next command on, within a second; returns the mean that will be in force.

        ``RefusedError``: out of range, or ``take_control`` was not called.
        """
        if not abs(frequency_ppb) <= MAX_FREQUENCY_PPB:
            raise RefusedError(
                self.name, "steer", f"{frequency_ppb} ppb is beyond {MAX_FREQUENCY_PPB:.0f} ppb"
            )
        with self._lock:
            if self._kept_source is None:
                raise RefusedError(
                    self.name, "steer", "the clock does not follow the registers (take_control)"
                )
            self._accrue(self._timebase.mono_ns())
            self._frequency_ppb = frequency_ppb
        return frequency_ppb

    def step_ns(self, delta_ns: int) -> None:
        """Add at once; a small one takes a second, in which the frequency waits and is made up for."""
        with self._lock:
            self._account(self._timebase.mono_ns())
            self._command_ns = 0
            self._clock.step_ns(delta_ns)
            self._due_ns = 0

    def set_tai_ns(self, tai_ns: int) -> None:
        """Load a time."""
        with self._lock:
            self._clock.set_tai_ns(tai_ns)

    def now_tai_ns(self) -> int:
        """Read the clock."""
        return self._clock.now_tai_ns()

    def cross_timestamp(self) -> CrossTimestamp:
        """Compare with CLOCK_MONOTONIC_RAW."""
        return self._clock.cross_timestamp()

    def source_name(self) -> str:
        """What the clock follows."""
        return self._clock.source_name()

    def select_source(self, name: str) -> None:
        """``REGS`` takes control; anything else ends it for good, and is followed from then on."""
        with self._lock:
            if name == SOURCE:
                self.take_control()
                return
            self._clock.select_source(name)
            self._kept_source = None
            self._frequency_ppb = 0.0

    # --- internals ---

    def _accrue(self, now_ns: int) -> None:
        """Add what the frequency asks for since the last time."""
        self._owed_ns += self._frequency_ppb * (now_ns - self._accrued_ns) / NS_PER_S
        self._accrued_ns = now_ns

    def _account(self, now_ns: int) -> None:
        """Accrue, and take back what the next command cuts off from the running one."""
        self._accrue(now_ns)
        left_s = 1.0 - (now_ns - self._commanded_ns) / NS_PER_S
        if left_s > 0:
            self._owed_ns += self._command_ns * left_s
