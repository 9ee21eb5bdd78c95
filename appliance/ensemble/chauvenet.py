"""The published two-stage scheme: Chauvenet's test per clock against its own past, then inverse variance.

After the ensemble section of Meta's article on Simple Precision Time Protocol (2024). Stage 1 keeps the last
400 samples of each clock; a sample further than ``d_max`` standard deviations from their mean is rejected and
counts against the clock, which is out when the count passes a limit. Stage 2 weights the valid clocks by the
inverse of their reported variance.

It is offered because fleets know it. It compares each clock with nothing but its own past: a step is taken
for the new normal after some 36 samples unless the count is reached before, a steady ramp is never seen, a
common error of all clocks is agreed on. ``interval`` is the default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Final

import numpy as np

from appliance.ensemble.member import ABSENT_NS
from appliance.ensemble.values import Doubt, Estimate, MemberView, Reading, Source, Standing

WINDOW: Final = 400
COUNT_LIMIT: Final = 20.0
COUNT_LEAK: Final = 0.02
"""Per good sample. A count that never decays expels every healthy clock in some hours, since half a reject
per window is expected by design."""
K: Final = 4.0


def d_max(samples: int) -> float:
    """Chauvenet's cut-off in standard deviations: half a sample of ``samples`` is expected further out."""
    if samples < 1:
        raise ValueError(f"Chauvenet's criterion of {samples} samples")
    return NormalDist().inv_cdf(1.0 - 1.0 / (4.0 * samples))


D_MAX: Final = d_max(WINDOW)


class ChauvenetWindow:
    """Stage 1 of one clock. Rejected samples enter the window, as every sample does."""

    def __init__(self, samples: int = WINDOW) -> None:
        self._limit = d_max(samples)
        self._ring = np.zeros(samples)
        self._count = 0

    @property
    def full(self) -> bool:
        """Enough samples for a judgement."""
        return self._count >= len(self._ring)

    def accepts(self, value: float) -> bool | None:
        """Judge a sample by those before it, then keep it; None while the window is not full."""
        verdict: bool | None = None
        if self.full:
            verdict = bool(abs(value - self._ring.mean()) <= self._limit * self._ring.std(ddof=1))
        self._ring[self._count % len(self._ring)] = value
        self._count += 1
        return verdict

    def stepped(self, delta: float) -> None:
        """All values move."""
        self._ring += delta


class ChauvenetScheme:
    """Both stages."""

    def __init__(
        self, sources: Sequence[Source], *, limit: float = COUNT_LIMIT, leak: float = COUNT_LEAK
    ) -> None:
        self.held_out: str | None = None
        self._sources = {source.name: source for source in sources}
        self._windows = {name: ChauvenetWindow() for name in self._sources}
        self._counts = dict.fromkeys(self._sources, 0.0)
        self._out: dict[str, str] = {}
        self._heard_ns: dict[str, int] = {}
        self._limit, self._leak = limit, leak

    def stepped(self, delta_ns: float) -> None:
        """Our clock was stepped."""
        for window in self._windows.values():
            window.stepped(delta_ns)

    def settle(self) -> None:
        """Nothing: a window forgets by itself."""

    def update(
        self, mono_ns: int, readings: Mapping[str, Reading], *, steady_ppb: float | None = None
    ) -> Estimate:
        """Take one second's readings; our own rate plays no part in this scheme."""
        del steady_ppb
        for name in readings:
            if mono_ns - self._heard_ns.get(name, mono_ns) > ABSENT_NS:  # its past is another one's
                self._windows[name] = ChauvenetWindow()
            self._heard_ns[name] = mono_ns
        valid = [name for name in self._sources if name in readings and self._judge(name, readings[name])]
        for name in [name for name in self._out if self._sources[name].trusted and name in readings]:
            if not any(_contradict(readings[name], readings[other]) for other in valid):
                del self._out[name]
                self._counts[name] = 0.0
        inverse = {name: 1.0 / max(readings[name].sigma_ns, 1e-6) ** 2 for name in valid}
        total = sum(inverse.values())
        weights = {name: value / total for name, value in inverse.items()}
        offset_ns = sum(weights[name] * readings[name].offset_ns for name in valid) if valid else None
        half_ns = None
        if valid:
            bias_ns = max(readings[name].bias_ns for name in valid)
            half_ns = bias_ns + K / math.sqrt(total)
        return Estimate(
            offset_ns=offset_ns,
            half_width_ns=half_ns,
            reason=None if valid else "no clock has a full window of 400 samples and is valid",
            members={
                name: self._view(source, readings.get(name), weights.get(name, 0.0))
                for name, source in self._sources.items()
            },
            doubts={
                name: Doubt(phase_ns=abs(readings[name].offset_ns - (offset_ns or 0.0)))
                for name in self._out
                if name in readings
            },
        )

    def _judge(self, name: str, reading: Reading) -> bool:
        accepted = self._windows[name].accepts(reading.offset_ns)
        if accepted is None:
            return False
        count = self._counts[name]
        self._counts[name] = max(0.0, count - self._leak) if accepted else count + 1.0
        if self._counts[name] >= self._limit and name not in self._out:
            self._out[name] = (
                f"{self._limit:g} samples in excess of Chauvenet's {D_MAX:.4f} standard deviations"
            )
        return accepted and name not in self._out

    def _view(self, source: Source, reading: Reading | None, weight: float) -> MemberView:
        standing = Standing.MEMBER if self._windows[source.name].full else Standing.JOINING
        if reading is None:
            standing = Standing.ABSENT
        if source.name in self._out:
            standing = Standing.EVICTED
        return MemberView(
            name=source.name,
            group=source.group,
            standing=standing,
            offset_ns=reading.offset_ns if reading else None,
            sigma_ns=reading.sigma_ns if reading else None,
            half_width_ns=None if reading is None else reading.bias_ns + K * reading.sigma_ns,
            rate_ppb=None,
            weight=weight,
            evidence=self._out.get(source.name),
        )


def _contradict(one: Reading, other: Reading) -> bool:
    """By more than both claim: a change of scatter or of our own clock is no case against a reference."""
    reach_ns = one.bias_ns + other.bias_ns + K * (one.sigma_ns + other.sigma_ns)
    return abs(one.offset_ns - other.offset_ns) > reach_ns
