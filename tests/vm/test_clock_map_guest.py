"""The clock map in a guest: 10,000 comparisons through the stock driver against the card's own log.

Guest and host count the same processor cycles, so that their raw clocks differ by a rate and an origin, which
nobody tells. The claims hold if there is *one* rate and origin with which the truth lies inside all but one
in a thousand of them; the rate comes from the sharpest readings, the origin is where most intervals overlap.
"""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any

import pytest

from tests.vm.card import CardProcess, card_processes
from tests.vm.fetch import Machine
from tests.vm.guest import Guest
from tests.vm.qemu import Hardware

READS = 10_000
COVERED = 0.999
TIGHT_NS = 100.0
TIGHT_OF_BRACKET = 0.01
TIGHT_SHARE = 0.5
"""A guest that others compete with is not scheduled for long stretches."""
HALF_TICK_NS = 10
SHARPEST = 50
SCRIPT = f"""
import json, time
from appliance.clock_map import ClockMap
from timecard.card import open_card
from timecard.discovery import list_cards
from timecard.timebase import HostTimebase

(descriptor,) = list_cards()
clock_map, rows = ClockMap(), []
with open_card(descriptor, HostTimebase()) as card:
    card.clock.select_source("REGS")  # its servo would draw it in by milliseconds a second
    time.sleep(3)
    for _ in range({READS}):
        sample = card.clock.cross_timestamp()
        line = clock_map.add(sample)
        raw_ns = sample.mono_raw_ns
        rows.append([sample.card_tai_ns, raw_ns, sample.half_width_ns, line.tai_ns(raw_ns), line.error_ns,
                     line.half_width_ns])
print(json.dumps(rows))
"""


def latches(card: CardProcess) -> dict[int, int]:
    """The card's time to the host's raw clock, of every snapshot."""
    found: dict[int, int] = {}
    since = 0
    while page := card.ask(do="latches", since=since)["latches"]:
        found.update({row[4]: row[3] for row in page})
        since = page[-1][0] + 1
    return found


def most_overlapping(intervals: list[tuple[float, float]]) -> int:
    """How many intervals share a point, at the best point."""
    events = sorted([(low, -1) for low, _ in intervals] + [(high, 1) for _, high in intervals])
    return max(accumulate(-change for _, change in events))


def test_the_best_point_is_found() -> None:
    assert most_overlapping([(0, 2), (1, 3), (2, 2), (2.5, 9)]) == 3


def test_the_truth_is_inside_the_claims_and_the_claims_are_tight(machine: Machine, kernel: str) -> None:
    with (
        card_processes(("--seed", "3", "--no-ptm")) as (card,),
        Guest.boot(machine, kernel, Hardware(cards=(card.path,))) as guest,
    ):
        rows: list[list[Any]] = json.loads(guest.python(SCRIPT, limit_s=400).stdout)
        log = latches(card)
    assert len(rows) == READS
    truth = [(log[row[0] + HALF_TICK_NS], row[0]) for row in rows if row[0] + HALF_TICK_NS in log]
    assert len(truth) >= READS * 0.99, "the log no longer has the first readings"
    rows = rows[-len(truth) :]
    order = range(len(rows))
    parts = (order[: len(rows) // 4], order[-len(rows) // 4 :])
    first, last = (sorted(part, key=lambda i: rows[i][2])[:SHARPEST] for part in parts)

    def middle(chosen: list[int]) -> tuple[float, float]:
        host = sum(truth[i][0] - truth[0][0] for i in chosen) / len(chosen)
        return host, sum(rows[i][1] - rows[0][1] for i in chosen) / len(chosen)

    (host_a, raw_a), (host_b, raw_b) = middle(first), middle(last)
    rate = (raw_b - raw_a) / (host_b - host_a)
    intervals = []
    for (host_ns, card_ns), (_, raw_ns, _, claimed_ns, error_ns, _) in zip(truth, rows, strict=True):
        origin_ns = raw_ns - rows[0][1] - (host_ns - truth[0][0]) * rate - (claimed_ns - card_ns)
        intervals.append((origin_ns - error_ns, origin_ns + error_ns))
    assert most_overlapping(intervals) >= COVERED * len(intervals)
    # Once the slope is known. A guest that was not scheduled for a while is less sure, and says so.
    # Brackets are tens of us wide here, and what they scatter is the slope's doubt.
    excess_ns = sorted(row[4] - row[5] * (1 + TIGHT_OF_BRACKET) for row in rows[len(rows) // 2 :])
    assert excess_ns[int(len(excess_ns) * TIGHT_SHARE)] <= TIGHT_NS


@pytest.fixture(scope="module", params=["6.12", "7"])
def kernel(request: pytest.FixtureRequest) -> str:
    """The kernel whose correction of brackets is broken, and one where it is cured."""
    return str(request.param)
