"""What the innovations tell: whether the model's numbers are right and, of rejected samples, who moved."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from appliance.timescale.record_fields import number

WINDOW: Final = 15
REJECTED_OF_WINDOW: Final = 10
SUSPECT_REJECTED: Final = 4
RAMP_FROM_S: Final = 30.0
"""A ramp is one that began at zero at most this long before its first rejected sample."""
SHORT_N: Final = 32
HOLDS_NIS: Final = 5.0
LONG_N: Final = 1000
SCALE_FROM_NIS: Final = 1.0 + 2.6 * math.sqrt(2.0 / LONG_N)
"""Below this a mean of ``LONG_N`` white innovations says nothing against the model (99 %)."""
MAX_SCALE: Final = 5.0
_CREDIBLE_NIS: Final = 1e6
"""The gate lets nothing pass that would come near it."""


class Verdict(Enum):
    """Who moved."""

    UNDECIDED = "undecided"
    CLOCK = "clock"
    REFERENCE = "reference"


@dataclass(slots=True)
class _Rejected:
    at_s: float
    residual_ns: float


class RejectionWatch:
    """Rejected samples in a row must end in a decision: a gate that rejects for ever is as wrong as none.

    Without a second reference only the shape decides. A ramp from zero that is no steeper than the oscillator
    may jump is the clock's own. A step, or a steeper ramp, is the reference's: this clock cannot do that.
    """

    def __init__(self, jump_ppb: float, runaway_ppb: float) -> None:
        self._jump_ppb = jump_ppb
        self._runaway_ppb = runaway_ppb
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._rejected: deque[_Rejected] = deque(maxlen=WINDOW)
        self._accepted_at_s: float | None = None
        self._first_s: float | None = None
        self._own_fault_possible = False
        self.allowance = 1.0
        """Factor on what the oscillator may do by itself: large while it is not known yet."""

    @property
    def rejecting(self) -> bool:
        """The newest sample was rejected."""
        return bool(self._outcomes) and not self._outcomes[-1]

    def all_of_ns(self, count: int) -> float | None:
        """The newest residual when the last ``count`` samples were all rejected, else None."""
        newest = list(self._outcomes)[-count:]
        return self._rejected[-1].residual_ns if len(newest) == count and not any(newest) else None

    @property
    def first_rejected_s(self) -> float | None:
        """When the present run of rejections began."""
        return self._first_s

    def accepted(self, at_s: float) -> None:
        """A sample passed the gate."""
        self._outcomes.append(True)
        self._accepted_at_s = at_s
        self._own_fault_possible = False
        if sum(self._outcomes) >= 3:
            self._first_s = None
            self._rejected.clear()

    def rejected(self, at_s: float, residual_ns: float, *, clock_is_suspect: bool = False) -> Verdict:
        """A sample did not pass; ``residual_ns`` is against the free prediction.

        ``clock_is_suspect``: something else says that it is the clock (not settled yet, oscillator unlocked),
        so that a few rejections are enough to believe the reference.
        """
        if self._first_s is None:
            self._first_s = at_s
            since_s = 1.0 if self._accepted_at_s is None else max(1.0, at_s - self._accepted_at_s)
            self._own_fault_possible = abs(residual_ns) <= self._runaway_ppb * since_s
        self._outcomes.append(False)
        self._rejected.append(_Rejected(at_s, residual_ns))
        if clock_is_suspect:
            return Verdict.CLOCK if len(self._rejected) >= SUSPECT_REJECTED else Verdict.UNDECIDED
        if self._outcomes.count(False) < REJECTED_OF_WINDOW:
            return Verdict.UNDECIDED
        return self._decide()

    @property
    def suspect_rate_ppb(self) -> float:
        """How fast the clock runs off if the rejected samples are right and it is the clock that moves."""
        if not self._own_fault_possible or self._accepted_at_s is None:
            return 0.0
        newest = self._rejected[-1]
        return abs(newest.residual_ns) / max(1.0, newest.at_s - self._accepted_at_s)

    def suspect_ns(self, at_s: float) -> float:
        """How far off the clock may be at ``at_s`` in that case."""
        if not self._own_fault_possible:
            return 0.0
        newest = self._rejected[-1]
        return abs(newest.residual_ns) + self.suspect_rate_ppb * max(0.0, at_s - newest.at_s)

    @property
    def largest_ns(self) -> float:
        """Largest rejected residual of the present run."""
        return max((abs(r.residual_ns) for r in self._rejected), default=0.0)

    def slope_ppb(self) -> float:
        """Rate of the rejected residuals."""
        return self._line()[0]

    @property
    def from_zero(self) -> bool:
        """The rejected residuals are a ramp that began where the clock was."""
        slope_ppb, start_ns = self._line()
        return abs(slope_ppb) * RAMP_FROM_S >= abs(start_ns) and slope_ppb * start_ns >= 0.0

    def clear(self) -> None:
        """Forget: the decision has been acted on."""
        self._outcomes.clear()
        self._rejected.clear()
        self._first_s = None
        self._own_fault_possible = False

    def _line(self) -> tuple[float, float]:
        """Rate, and value at the first rejected sample."""
        if not self._rejected:
            return 0.0, 0.0
        first_s = self._rejected[0].at_s
        return line_through([(r.at_s - first_s, r.residual_ns) for r in self._rejected])

    def _decide(self) -> Verdict:
        possible = abs(self.slope_ppb()) <= self._jump_ppb * self.allowance
        return Verdict.CLOCK if self.from_zero and possible else Verdict.REFERENCE


@dataclass(frozen=True, slots=True)
class Bias:
    """Innovations that lean to one side."""

    mean_ns: float
    seconds: float

    @property
    def rate_ppb(self) -> float:
        """Rate that would have brought it about."""
        return 2.0 * abs(self.mean_ns) / self.seconds


class BiasWatch:
    """Two-sided CUSUM on the normalised innovation: small shifts that persist, far below the gate.

    The limit is high: one false alarm in years of white innovations. Rounding of stamps is not white, it can
    stand still for minutes; ``coarse_ns`` of each sample is therefore taken off first.
    """

    SLACK: Final = 0.5
    LIMIT: Final = 16.0

    def __init__(self) -> None:
        self._sums: list[float]
        self._residuals_ns: list[float]
        self._counts: list[int]
        self.clear()

    def note(self, residual_ns: float, sigma_ns: float, coarse_ns: float) -> Bias | None:
        """Take an accepted sample; a bias when one has been shown, which also starts the watch anew."""
        for side, sign in enumerate((1.0, -1.0)):
            step = (sign * residual_ns - coarse_ns) / sigma_ns - self.SLACK
            self._sums[side] = max(0.0, self._sums[side] + step)
            if self._sums[side] == 0.0:
                self._residuals_ns[side], self._counts[side] = 0.0, 0
                continue
            self._residuals_ns[side] += residual_ns
            self._counts[side] += 1
            if self._sums[side] > self.LIMIT:
                found = Bias(self._residuals_ns[side] / self._counts[side], float(self._counts[side]))
                self.clear()
                return found
        return None

    def clear(self) -> None:
        """Start anew."""
        self._sums, self._residuals_ns, self._counts = [0.0, 0.0], [0.0, 0.0], [0, 0]


class InnovationStatistics:
    """Running means of the normalised innovation squared (NIS), short and long."""

    def __init__(self) -> None:
        self._short = 1.0
        self._long = 1.0

    def note(self, nis: float) -> None:
        """Take one accepted sample's NIS."""
        # Started at 1, the value it should have: a few samples must not shout.
        self._short += (nis - self._short) / SHORT_N
        self._long += (nis - self._long) / LONG_N

    @property
    def holds(self) -> bool:
        """The last half minute fits the model, short of what a stuck rounding error of a stamp can do."""
        return self._short <= HOLDS_NIS

    @property
    def scale(self) -> float:
        """Factor on every sigma that is published: innovations larger than modelled widen the bound."""
        return min(MAX_SCALE, math.sqrt(self._long)) if self._long > SCALE_FROM_NIS else 1.0

    def to_record(self) -> dict[str, float]:
        """For the runtime record."""
        return {"short": self._short, "long": self._long}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> InnovationStatistics:
        """Rebuild; ``ValueError`` names the field that does not fit."""
        made = cls()
        made._short, made._long = (
            number(record, n, at_least=0.0, up_to=_CREDIBLE_NIS) for n in ("short", "long")
        )
        return made


class FrequencyWatch:
    """Sees a slow drag that no gate can see: the oscillator's frequency against its own history.

    One value a minute; the mean of the last ten minutes against that of half an hour to three hours ago. Only
    for oscillators that are quieter than the drag.
    """

    RECENT: Final = 10
    SKIP: Final = 30
    MEMORY: Final = 180
    SIGMAS: Final = 5.0

    def __init__(self, settled_ppb: float) -> None:
        self.settled(settled_ppb)
        self._minutes: deque[float] = deque(maxlen=self.MEMORY)
        self._next_s = 0.0

    def settled(self, settled_ppb: float) -> None:
        """What the oscillator's frequency is known to after a long lock."""
        self._limit_ppb = self.SIGMAS * settled_ppb

    def note(self, at_s: float, oscillator_ppb: float) -> None:
        """Take the estimate of now."""
        if at_s >= self._next_s:
            self._minutes.append(oscillator_ppb)
            self._next_s = at_s + 60.0

    def clear(self) -> None:
        """Forget: the oscillator itself is known to have moved."""
        self._minutes.clear()

    def shift_ppb(self) -> float | None:
        """The shift when it is larger than the oscillator's own wander explains, else None."""
        values = list(self._minutes)
        if len(values) < 2 * self.SKIP:
            return None
        recent = values[-self.RECENT :]
        before = values[: -self.SKIP]
        shift_ppb = sum(recent) / len(recent) - sum(before) / len(before)
        return shift_ppb if abs(shift_ppb) > self._limit_ppb else None


def line_through(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Least-squares slope, and value at abscissa 0."""
    n = len(points)
    if n == 0:
        return 0.0, 0.0
    mean_t, mean_v = math.fsum(t for t, _ in points) / n, math.fsum(v for _, v in points) / n
    spread = math.fsum((t - mean_t) ** 2 for t, _ in points)
    if spread == 0.0:
        return 0.0, mean_v
    slope = math.fsum((t - mean_t) * (v - mean_v) for t, v in points) / spread
    return slope, mean_v - slope * mean_t
