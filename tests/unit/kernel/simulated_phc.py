"""A PTP hardware clock with the brackets of ``ptp_ocp``, faults included, whose truth is known."""

from __future__ import annotations

from timecard.errors import RefusedError
from timecard.kernel.phc_values import Bracket, PhcCapabilities

START_NS = 1_795_315_036_000_000_000
RAW_AHEAD_NS = 1_795_000_000_000_000_000
"""CLOCK_REALTIME minus CLOCK_MONOTONIC_RAW of the simulated host."""


class SimulatedPhc:
    """A clock whose driver reads as ``ptp_ocp`` does: request, poll, correction of the trailing stamp."""

    name = "/dev/simulated"

    def __init__(
        self, window_adjust_ns: int, widths_ns: list[int], share: float, kernel: tuple[int, int]
    ) -> None:
        self.window_adjust_ns = window_adjust_ns
        self.widths_ns = widths_ns
        self.share = share
        self.kernel = kernel
        self.raw_ns = 10_000_000_000
        self.cross = False
        self.ptm_is_on = True
        self.precise_calls = 0

    def capabilities(self) -> PhcCapabilities:
        return PhcCapabilities(
            max_frequency_ppb=0, alarms=0, extts_channels=6, perout_channels=5, pps=True, pins=4,
            cross_timestamping=self.cross, adjust_phase=False,
        )  # fmt: skip

    def clock_ns(self, raw_ns: int) -> int:
        return START_NS + raw_ns

    def brackets(self, samples: int, clock: int = 0) -> list[Bracket]:
        if clock and self.kernel < (6, 12):
            raise RefusedError(self.name, "compare", "Invalid argument")
        ahead_ns = 0 if clock else RAW_AHEAD_NS
        found = []
        for width_ns in self.widths_ns[:samples]:
            before_ns, self.raw_ns = self.raw_ns, self.raw_ns + width_ns + 1000
            after_ns = before_ns + width_ns - self.window_adjust_ns % (1 << 32)
            latched_ns = before_ns + round(width_ns * self.share)
            found.append(Bracket(before_ns + ahead_ns, self.clock_ns(latched_ns), after_ns + ahead_ns))
        return found

    def plain_brackets(self, samples: int) -> list[Bracket]:
        raise AssertionError("not needed")

    def precise(self) -> tuple[int, int, int]:
        self.precise_calls += 1
        if not self.ptm_is_on:
            return 0, 0, 0
        return self.clock_ns(self.raw_ns), self.raw_ns + RAW_AHEAD_NS, self.raw_ns
