"""Commit wait: two nodes with errors of their own, and no two events that are told in the wrong order."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass, field

from appliance.bound.reader import Bound, evaluate, is_before
from appliance.bound.writer import page_data
from appliance.clock_map import ClockMap
from appliance.core_report import CoreReport
from tests.unit.bound.pages import TAI0, S, report_at
from timecard.values import CrossTimestamp

RUN_S = 60.0
PAIRS = 100_000
BIAS_NS, SIGMA_NS = 50.0, 8.0
GAP_NS = 3_000.0


@dataclass
class Node:
    """A card that is off by bias and noise, a host whose crystal wanders, and the pages of a minute."""

    source: random.Random
    bias_ns: float
    crystal_ppb: float = field(init=False)
    noise_ns: list[float] = field(init=False)
    starts_ns: list[int] = field(default_factory=list)
    """When each page was written, true time."""
    pages: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.crystal_ppb = self.source.uniform(-50_000, 50_000)
        self.noise_ns = [self.source.gauss(0, SIGMA_NS) for _ in range(int(RUN_S) + 2)]
        clock_map = ClockMap()
        for tenth in range(int(RUN_S * 10)):
            true_ns = tenth * S // 10 + self.source.randrange(S // 100)
            state = clock_map.add(self._compared(true_ns))
            self.starts_ns.append(true_ns)
            self.pages.append(page_data(self._report(state.anchor_raw_ns), state).pack())

    def raw_ns(self, true_ns: int) -> int:
        """The host's raw clock: its rate moves by 20 ppb within half a minute."""
        wander_ns = 20.0 * 5 * math.sin(true_ns / S / 5)
        return 1000 * S + true_ns + round(true_ns * self.crystal_ppb * 1e-9 + wander_ns)

    def _card_error_ns(self, true_ns: int) -> float:
        second, share = divmod(true_ns / S, 1)
        before, after = self.noise_ns[int(second) : int(second) + 2]
        return self.bias_ns + before + (after - before) * share

    def _compared(self, true_ns: int) -> CrossTimestamp:
        half_ns = 30 + self.source.expovariate(1 / 40)
        off_ns = self.source.uniform(-half_ns, half_ns)
        return CrossTimestamp(
            card_tai_ns=TAI0 + true_ns + round(self._card_error_ns(true_ns)),
            mono_raw_ns=self.raw_ns(true_ns + round(off_ns)),
            half_width_ns=half_ns + 1,
            method="bracket",
        )

    def _report(self, mono_ns: int) -> CoreReport:
        # The noise moves by some sigma within a second.
        wide_ns = BIAS_NS + 5 * SIGMA_NS
        return report_at(mono_ns, bound_ns=wide_ns, bound_wide_ns=wide_ns, drift_ppb=5 * SIGMA_NS)

    def at(self, true_ns: int) -> Bound:
        """What a program on this node reads then."""
        page = self.pages[bisect_right(self.starts_ns, true_ns) - 1]
        return evaluate(page, self.raw_ns(true_ns), wide=True)


@dataclass
class Told:
    """What was told of the pairs."""

    before: int = 0
    wrong: int = 0


def tell(nodes: tuple[Node, Node], pairs: int) -> Told:
    source, told = random.Random(11), Told()
    for _ in range(pairs):
        first_ns = source.randrange(2 * S, int((RUN_S - 2) * S))
        second_ns = first_ns + 1 + int(source.expovariate(1 / GAP_NS))
        one, other = source.sample(nodes, 2)
        first, second = one.at(first_ns), other.at(second_ns)
        told.before += is_before(first, second)
        told.wrong += is_before(second, first)
    return told


def test_no_pair_of_events_is_told_in_the_wrong_order() -> None:
    told = tell((Node(random.Random(1), BIAS_NS), Node(random.Random(2), -BIAS_NS)), PAIRS)
    assert told.wrong == 0
    assert told.before > PAIRS / 2, "and most pairs some us apart are told"


def test_the_pairs_would_show_a_bound_that_is_too_small() -> None:
    """The same with a node that is off by far more than it says."""
    assert tell((Node(random.Random(1), 2000.0), Node(random.Random(2), BIAS_NS)), PAIRS // 10).wrong > 0
