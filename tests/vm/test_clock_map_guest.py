"""The clock map in a guest: 10,000 comparisons through the stock driver against the card's own log.

Guest and host count the same processor cycles, so that their raw clocks differ by a rate and an origin, which
nobody tells. Both are tied down before and after the comparisons by brackets of this test's own, around a
single register write with no driver bound: the log has the host's time of each. Only within what they leave
open, about the width of the narrowest, may an origin be chosen with which the claims hold: a constant bias,
such as a wrong correction of the driver's brackets, has nowhere to hide.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import pytest

from tests.vm.card import CardProcess, card_processes
from tests.vm.fetch import Machine
from tests.vm.guest import Guest
from tests.vm.qemu import Hardware

ADDRESS = "0000:01:00.0"
READS = 10_000
TIES = 2_000
"""Before, and as many after."""
COVERED = 0.999
SETTLED = READS * 3 // 4
"""A slope takes the map's window, a minute, to be known."""
TIGHT_NS = 100.0
TIGHT_SHARE = 0.75
"""A guest that others compete with is not scheduled for long stretches."""
HALF_TICK_NS = 10
SHARPEST = 50
TIE = f"""
import json, mmap, time
BLOCK, READ, DONE = 0x0100_0000, 0x4000_0001, 0x8000_0000
raw = lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
rows = []
with open("/sys/bus/pci/devices/{ADDRESS}/resource0", "r+b") as file:
    words = memoryview(mmap.mmap(file.fileno(), 4096, offset=BLOCK)).cast("I")
for _ in range({TIES}):
    before = raw()
    words[0] = READ
    done = words[0]
    after = raw()
    assert done & DONE
    rows.append([before, after, words[5] * 10**9 + words[4]])
print(json.dumps(rows))
"""
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
Interval = tuple[float, float]


@dataclass(frozen=True)
class Seen:
    """What one guest and its card said."""

    ties: list[list[tuple[int, int, int]]]
    """Before and after: guest's raw time before and after the write, host's raw time of the snapshot."""
    rows: list[tuple[int, int, float, int, float, float]]
    """Card's and guest's raw time of a comparison, half-width; what the map says of it: TAI, error, bias."""
    truth: dict[int, int]
    """The card's time of every snapshot to the host's raw clock."""


def latches(card: CardProcess, since: int) -> tuple[dict[int, int], int]:
    """The card's time to the host's raw clock, of every snapshot from ``since`` on; where it ends."""
    found: dict[int, int] = {}
    while page := card.ask(do="latches", since=since)["latches"]:
        found.update({row[4]: row[3] for row in page})
        since = page[-1][0] + 1
    return found, since


def observe(machine: Machine, kernel: str) -> Seen:
    """Tie, compare 10,000 times through the driver, tie again."""
    ties = []
    with (
        card_processes(("--seed", "3", "--no-ptm")) as (card,),
        Guest.boot(machine, kernel, Hardware(cards=(card.path,)), modules=()) as guest,
    ):

        def tie(since: int) -> int:
            guest.run(f"echo 1 > /sys/bus/pci/devices/{ADDRESS}/enable")
            rows = json.loads(guest.python(TIE, limit_s=200).stdout)
            log, end = latches(card, since)
            ties.append([(before, after, log[tai]) for before, after, tai in rows])
            guest.run(f"echo 0 > /sys/bus/pci/devices/{ADDRESS}/enable")
            return end

        end = tie(0)
        guest.load("ptp_ocp")
        rows = json.loads(guest.python(SCRIPT, limit_s=400).stdout)
        truth, end = latches(card, end)
        guest.run(f"echo {ADDRESS} > /sys/bus/pci/drivers/ptp_ocp/unbind")
        tie(end)
    return Seen(ties, [tuple(row) for row in rows], truth)


def tied(ties: Sequence[Sequence[tuple[int, int, int]]]) -> tuple[float, Interval]:
    """Rate of the guest's raw clock against the host's, and where its origin lies, counted from the first."""
    guest_0, _, host_0 = ties[0][0]
    middles = []
    for part in ties:
        sharpest = sorted(part, key=lambda row: row[1] - row[0])[:SHARPEST]
        host = sum(row[2] - host_0 for row in sharpest) / SHARPEST
        middles.append((host, sum((row[0] + row[1]) / 2 - guest_0 for row in sharpest) / SHARPEST))
    (host_a, guest_a), (host_b, guest_b) = middles
    rate = (guest_b - guest_a) / (host_b - host_a)
    lows, highs = [], []
    for before, after, host in (row for part in ties for row in part):
        here = (host - host_0) * rate
        lows.append(before - guest_0 - here)
        highs.append(after - guest_0 - here)
    left_out = round(len(lows) * (1 - COVERED))
    return rate, (sorted(lows)[-1 - left_out], sorted(highs)[left_out])


def origins(seen: Seen, rate: float) -> list[Interval]:
    """Where the origin has to lie for each claim to hold."""
    guest_0, _, host_0 = seen.ties[0][0]
    found = []
    for card_ns, raw_ns, _, claimed_ns, error_ns, _ in seen.rows:
        host_ns = seen.truth[card_ns + HALF_TICK_NS]
        middle = raw_ns - guest_0 - (host_ns - host_0) * rate - (claimed_ns - card_ns)
        found.append((middle - error_ns, middle + error_ns))
    return found


def covered(intervals: Sequence[Interval], within: Interval, bias_ns: float = 0.0) -> float:
    """Share of the intervals, all moved by ``bias_ns``, that share a point ``within``, at the best point."""
    cut = [(max(low + bias_ns, within[0]), min(high + bias_ns, within[1])) for low, high in intervals]
    left = [(low, high) for low, high in cut if low <= high]
    events = sorted([(low, -1) for low, _ in left] + [(high, 1) for _, high in left])
    return max(accumulate((-change for _, change in events), initial=0)) / len(intervals)


def test_the_best_point_is_found() -> None:
    intervals = [(0.0, 2.0), (1.0, 3.0), (2.0, 2.0), (2.5, 9.0)]
    assert covered(intervals, (0.0, 9.0)) == 0.75
    assert covered(intervals, (2.2, 9.0)) == 0.5
    assert covered(intervals, (2.2, 9.0), bias_ns=8.0) == 0.5
    assert covered(intervals, (9.5, 10.0)) == 0.0


@pytest.fixture(scope="module", params=["6.12", "7"])
def seen(request: pytest.FixtureRequest, machine: Machine) -> Seen:
    """The kernel whose correction of brackets is broken, and one where it is cured."""
    return observe(machine, str(request.param))


def test_the_truth_is_inside_the_claims_and_nowhere_else(seen: Seen) -> None:
    rate, origin = tied(seen.ties)
    claims = origins(seen, rate)
    assert len(claims) == READS
    assert covered(claims, origin) >= COVERED
    # The tie is worth something: with the smallest bias that it must see, the claims do not hold.
    seen_ns = origin[1] - origin[0] + 2 * max(row[4] for row in seen.rows[READS // 2 :])
    for bias_ns in (-seen_ns, seen_ns):
        assert covered(claims, origin, bias_ns) < COVERED


def test_the_claims_are_tight(seen: Seen) -> None:
    excess_ns = sorted(row[4] - row[5] for row in seen.rows[SETTLED:])
    assert excess_ns[int(len(excess_ns) * TIGHT_SHARE)] <= TIGHT_NS
