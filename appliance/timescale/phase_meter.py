"""The oscillator module's own phase meter, tied to the timestamper.

The meter compares the module's pulse with the GNSS pulse in fine steps (an SA5X in 0.45 ns,
a CSAC in 1 ns); the timestamper compares the
card's clock with the same pulse in 5 ns steps. The clock counts the module's 10 MHz, so the two differ by a
constant, which is learnt slowly. Both see the same sawtooth; it cancels in the difference.
"""

from __future__ import annotations

import math
from typing import Final

LEARN_N: Final = 30
MEMORY_N: Final = 1000
AGREE_NS: Final = 12.0
"""Two rounding errors of the timestamper and what its noise may add."""
MAX_SCATTER_NS: Final = 2.6
"""5 ns steps scatter by 1.44 ns; more means that meter and stamp are not of the same pulse."""
DISAGREE_N: Final = 5


class PhaseMeter:
    """Turns a meter reading into what the timestamper would have shown with finer steps."""

    def __init__(self) -> None:
        self._n = 0
        self._constant_ns = 0.0
        self._variance_ns2 = 1.0
        self._bad_run = 0
        self._good_run = 0
        self.disagrees = False

    def forget(self) -> None:
        """The clock or the module's pulse was moved: the constant is another."""
        self._n = 0
        self._bad_run = self._good_run = 0

    @property
    def usable(self) -> bool:
        """The constant is known and meter and timestamper agree."""
        return self._n >= LEARN_N and not self.disagrees

    @property
    def constant_ns(self) -> float:
        """What the timestamper shows more than the meter."""
        return self._constant_ns

    @property
    def constant_sigma_ns(self) -> float:
        """Uncertainty of the learnt constant."""
        return math.sqrt(self._variance_ns2 / max(1, self._n))

    def refine(self, stamped_ns: float, phase_ns: float) -> float | None:
        """One pulse seen by both: the finer value, or None while the meter is not to be used."""
        difference_ns = stamped_ns - phase_ns
        if self._n == 0:
            self._n, self._constant_ns, self._variance_ns2 = 1, difference_ns, 1.0
            return None
        residual_ns = difference_ns - self._constant_ns
        self._judge(abs(residual_ns) <= AGREE_NS)
        if self._bad_run:
            return None
        self._n += 1
        weight = 1.0 / min(self._n, MEMORY_N)
        self._constant_ns += weight * residual_ns
        self._variance_ns2 += (residual_ns * residual_ns - self._variance_ns2) * max(weight, 1.0 / 200.0)
        if self._n >= LEARN_N and math.sqrt(self._variance_ns2) > MAX_SCATTER_NS:
            self.disagrees = True
        return phase_ns + self._constant_ns if self.usable else None

    def _judge(self, agrees: bool) -> None:
        if agrees:
            self._bad_run = 0
            self._good_run += 1
            if self.disagrees and self._good_run >= 2 * LEARN_N:
                self.disagrees = math.sqrt(self._variance_ns2) > MAX_SCATTER_NS
            return
        self._good_run = 0
        self._bad_run += 1
        if self._bad_run == DISAGREE_N:
            self.disagrees = True
            self._n = 0  # learn anew: the relation itself has changed
