"""``make bench-spoofing``: how soon is a reference that is led away found out?

For each oscillator: ramps from just above what the part may do by itself to 100 ns/s, several worlds each,
with the true error of the clock when the ramp was found; and days of clean samples, none of which may be
called a ramp. Filter and watches are the product's own, on samples at 1 Hz, without a discipline around them
(the scenarios have that).

``python -m bench.spoofing --full`` takes three worlds of 30 days of an SA53 and one of each other part.
"""

from __future__ import annotations

import math
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Final, NamedTuple

import numpy as np

from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.transition import DAY_S
from bench.result import write
from tests.unit.timescale.fast_world import fast_world
from tests.unit.timescale.watched_filter import WatchedFilter

KINDS: Final = ("sa53", "sa55", "mro50", "csac", "ocxo", "tcxo")
SA53_RAMPS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
OF_JUMP: Final = (1.1, 1.2, 1.3, 1.5, 2.0, 3.0, 10.0)
"""Ramps in units of what the part may do by itself."""
LOCK_S: Final = 3_600
PATIENCE_S: Final = 3_000
WORLDS: Final = 2, 5
ERROR_NS: Final = 250.0
ACCURACY_NS: Final = 100.0
"""What an uncalibrated card announces while locked: a ramp that is found later made an untrue claim."""
CLEAN: Final = {"sa53": (0.5, 1), "ocxo": (0.25, 1), "csac": (0.25, 1)}
CLEAN_FULL: Final = {kind: (30.0, 3 if kind == "sa53" else 1) for kind in KINDS}
"""Days of one world, and worlds."""


class Found(NamedTuple):
    """A ramp, and how it ended."""

    seconds: float
    error_ns: float
    by: str


def play_ramp(job: tuple[str, float, int]) -> Found:
    """An hour of lock, then the ramp."""
    kind, ppb, seed = job
    oscillator, gnss = OSCILLATORS[kind], GNSS["f9t_dual"]
    rng = np.random.default_rng([seed, 2, *kind.encode(), round(ppb * 1e6)])
    end = LOCK_S + PATIENCE_S
    truth, pulse = fast_world(oscillator, gnss, end, rng)
    samples = truth + pulse + ppb * np.maximum(0, np.arange(end) - LOCK_S)
    watched = WatchedFilter(oscillator, gnss, float(samples[0]))
    worst_ns = 0.0
    for second in range(1, end):
        by = watched.sample(second, float(samples[second]))
        if second >= LOCK_S:
            worst_ns = max(worst_ns, abs(watched.phase_ns - float(truth[second])))
            if by is not None:
                return Found(float(second - LOCK_S), worst_ns, by)
        elif by is not None:
            return Found(-1.0, 0.0, f"falsely by {by}")
    return Found(math.inf, worst_ns, "not found")


def play_clean(job: tuple[str, float, int]) -> int:
    """1 when clean samples were accused; that ends them, as it ends a lock."""
    kind, days, seed = job
    oscillator, gnss = OSCILLATORS[kind], GNSS["f9t_dual"]
    rng = np.random.default_rng([seed, 3, *kind.encode()])
    truth, pulse = fast_world(oscillator, gnss, int(days * DAY_S), rng)
    samples = truth + pulse
    watched = WatchedFilter(oscillator, gnss, float(samples[0]))
    return int(any(watched.sample(k, float(samples[k])) is not None for k in range(1, len(samples))))


def main() -> int:
    """Run and write."""
    full = "--full" in sys.argv[1:]
    worlds = WORLDS[full]
    ramps = [
        (kind, ppb)
        for kind in KINDS
        for ppb in dict.fromkeys(
            (
                *(round(OSCILLATORS[kind].jump_ppb * f, 4) for f in OF_JUMP),
                *(SA53_RAMPS if kind == "sa53" else ()),
            )
        )
    ]
    clean = [
        (kind, days, seed)
        for kind, (days, count) in (CLEAN_FULL if full else CLEAN).items()
        for seed in range(count)
    ]
    with ProcessPoolExecutor(max_workers=2) as pool:
        accused = list(pool.map(play_clean, clean))
        jobs = [(kind, ppb, seed) for kind, ppb in ramps for seed in range(worlds)]
        found = dict(zip(jobs, pool.map(play_ramp, jobs, chunksize=2), strict=True))
    metrics: dict[str, float] = {
        "clean_days": round(sum(days for _, days, _ in clean), 2),
        "clean_sa53_days": round(sum(days for kind, days, _ in clean if kind == "sa53"), 2),
        "clean_accusations": sum(accused),
    }
    limits: dict[str, tuple[str, float]] = {"clean_accusations": ("<=", 0)}
    for kind, ppb in ramps:
        ends = [found[kind, ppb, seed] for seed in range(worlds)]
        key = f"{kind}_{ppb:g}ppb"
        metrics[f"{key}_worst_seconds"] = max(min(end.seconds, PATIENCE_S) for end in ends)
        metrics[f"{key}_worst_error_ns"] = round(max(end.error_ns for end in ends), 1)
        metrics[f"{key}_missed"] = sum(not 0.0 <= end.seconds <= PATIENCE_S for end in ends)
        if kind == "sa53" and ppb in SA53_RAMPS:
            limits[f"{key}_worst_error_ns"] = ("<=", ERROR_NS)
            limits[f"{key}_missed"] = ("<=", 0)
    for kind in KINDS:
        kept = [
            ppb
            for each, ppb in ramps
            if each == kind
            and not metrics[f"{kind}_{ppb:g}ppb_missed"]
            and metrics[f"{kind}_{ppb:g}ppb_worst_error_ns"] <= ACCURACY_NS
        ]
        metrics[f"{kind}_floor_ppb"] = min(kept, default=1_000.0 * OSCILLATORS[kind].jump_ppb)
        limits[f"{kind}_floor_ppb"] = ("<=", round(3.0 * OSCILLATORS[kind].jump_ppb, 4))
    path = write("spoofing-full" if full else "spoofing", metrics, limits)
    print(path.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
