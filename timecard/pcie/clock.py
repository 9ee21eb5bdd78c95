"""The FPGA's adjustable clock of the FB family, driven through its registers.

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
from timecard.clock_setting import TICK_NS
from timecard.errors import ProtocolError, RefusedError
from timecard.pcie.snapshot_clock import ADJUST_OFFSET, ENABLE, SnapshotClock
from timecard.timescale import NS_PER_S

MAX_FREQUENCY_PPB: Final = 50_000_000.0
"""1 ns per tick, the core's limit."""
FRACTION_SINCE: Final = 2
"""Major version of the core from which on drift has a fraction register."""
MAX_INTERVAL_TICKS: Final = ALL_ONES // TICK_NS
_ADJUST_DRIFT: Final = 0x8


class RegisterClock(SnapshotClock):
    """``CardClock`` on the card's registers."""

    TICK_NS = TICK_NS
    CTRL_UNUSED = 0x3FFF_FEF0

    @property
    def max_frequency_ppb(self) -> float:
        """The core's limit, 5 %."""
        return MAX_FREQUENCY_PPB

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
        if self.source() != SOURCE_REGS:
            raise RefusedError(
                self.name,
                "steer",
                f"the clock follows {self.source_name()}, not the registers (take_control)",
            )
        ns, fraction, interval_ns = drift_words(frequency_ppb, self.version[0] >= FRACTION_SINCE)
        sign = -1 if frequency_ppb < 0 else 1
        # The sign has a bit of its own, as it also counts for the fraction.
        values = {"drift_ns": ns | (0x8000_0000 if sign < 0 else 0), "drift_interval": interval_ns}
        if self.version[0] >= FRACTION_SINCE:
            values["drift_fraction"] = fraction
        self._write(values)
        self._bus.write32(self._ctrl, ENABLE | _ADJUST_DRIFT)
        return sign * (ns + fraction / 65536) / interval_ns * NS_PER_S

    # --- source ---

    def source(self) -> int:
        """The source that the clock follows (``CLOCK_SOURCES``)."""
        return self._register("select") >> 16 & 0xFF

    def source_name(self) -> str:
        """The same by its name; a number where it has none."""
        source = self.source()
        return CLOCK_SOURCES.get(source, str(source))

    def select_source(self, name: str) -> None:
        """Follow the source of this name (``CLOCK_SOURCES``); raises ``RefusedError`` for an unknown one."""
        wanted = next((code for code, known in CLOCK_SOURCES.items() if known == name.upper()), None)
        if wanted is None:
            raise RefusedError(
                self.name, "select", f"no source {name!r}; there are {', '.join(CLOCK_SOURCES.values())}"
            )
        self._select(wanted)

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

    def _step_by_core(self, delta_ns: int) -> None:
        if delta_ns == 0:
            return
        # The core applies an offset at once when it is at least interval/20 ns; with interval = offset it is.
        self._adjust(
            {"offset_ns": to_signed_magnitude(delta_ns), "offset_interval": abs(delta_ns)}, ADJUST_OFFSET
        )

    def _adjust(self, values: dict[str, int], command: int) -> None:
        """Write registers and latch them; the present source is put back as the kernel driver does."""
        kept = self.source()
        if kept != SOURCE_REGS:
            self._bus.write32(self._at["select"], SOURCE_REGS)
        try:
            super()._adjust(values, command)
        finally:
            if kept != SOURCE_REGS:
                self._bus.write32(self._at["select"], kept)


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
