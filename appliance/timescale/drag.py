"""Slow drag-off: a reference that is led away from where the clock alone would be.

No gate sees it, for the filter follows. So the pulses of ten seconds are compared with what copies of the
filter, from a quarter of a minute to three quarters of an hour old, predict for now without a reference. The
oscillator may have moved by itself: a shift counts when no jump of its frequency that the part can make
explains it. What is slower than that cannot be told from the oscillator by one card alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from appliance.timescale.models import GnssModel, OscillatorModel
from appliance.timescale.past import Past
from appliance.timescale.transition import PhaseGrowth
from timecard.timescale import NS_PER_S

BLOCK: Final = 10
"""Pulses that are compared at a time."""
BLOCK_S: Final = 15.0
WINDOWS_S: Final = (15, 30, 60, 120, 240, 480, 960, 1_920, 2_700)
SIGMAS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Drag:
    """The reference is led away."""

    shift_ns: float
    """Of the clock against the reference, beyond the clock's own course."""
    window_s: float
    before_ns: int
    """At this time of the monotonic clock it had not begun."""


class Block(NamedTuple):
    """Samples, or their mean."""

    at_s: float
    free_ns: float
    """Clock minus reference without what steering did."""
    degc_s: float
    """Integral of temperature until then."""
    coarse_ns: float
    """What rounding may amount to."""


class DragWatch:
    """Compares pulses with predictions that are older than they are."""

    def __init__(self) -> None:
        self._samples: list[Block] = []

    def clear(self) -> None:
        """Begin another block."""
        self._samples.clear()

    def note(self, sample: Block) -> Block | None:
        """Take an accepted sample; the mean of a block when one is full."""
        if self._samples and sample.at_s - self._samples[0].at_s > BLOCK_S:
            self._samples.clear()
        self._samples.append(sample)
        if len(self._samples) < BLOCK:
            return None
        mean = Block(*(math.fsum(column) / BLOCK for column in zip(*self._samples, strict=True)))
        self._samples.clear()
        return mean


def look_for_drag(
    block: Block, past: Past, oscillator: OscillatorModel, gnss: GnssModel, scale: float
) -> Drag | None:
    """Compare a block with the past, newest copies first; ``scale`` is for what the filter calls sigma."""
    at_ns = round(block.at_s * NS_PER_S)
    for window_s in WINDOWS_S:
        copy = past.before(at_ns - window_s * NS_PER_S, beyond_change=True)
        if copy is None:
            return None
        age_s = (at_ns - copy.mono_ns) / NS_PER_S
        degc = (block.degc_s - copy.degc_s) / age_s
        growth = PhaseGrowth(oscillator, np.array([age_s]))
        variance_ns2 = growth.variance_ns2(copy.state.covariance, degc).item() + gnss.sigma_ns**2
        predicted_ns = growth.phase_ns(copy.state.mean, degc).item() - copy.steered_ns
        shift_ns = block.free_ns - predicted_ns
        by_itself_ns = copy.own_ppb * age_s + block.coarse_ns + SIGMAS * scale * math.sqrt(variance_ns2)
        if abs(shift_ns) > by_itself_ns:
            return Drag(shift_ns, age_s, at_ns - round(age_s * NS_PER_S))
    return None
