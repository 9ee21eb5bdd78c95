"""``make bench-emulator``: how fast the whole stack runs in virtual time, and what it finds on the way."""

from __future__ import annotations

import statistics
import sys
import time

from appliance.config import Config
from appliance.simulate import build
from bench.result import write

SECONDS = 1800
RUNS = 5
SETTLE_S = 60


def main() -> int:
    speeds = []
    for seed in range(1, RUNS + 1):
        simulation = build(Config(), seed=seed, y0=1e-8)
        simulation.run_s(SETTLE_S)
        started = time.process_time()
        simulation.run_s(SECONDS)
        speeds.append(SECONDS / (time.process_time() - started))
    summary = simulation.recorder.summary(0)
    metrics = {
        "speed_median_ratio": statistics.median(speeds),
        "speed_worst_ratio": min(speeds),
        "locked_after_s": summary["locked_after_s"],
        "locked_error_std_ns": summary["locked"]["std_ns"],
        "bound_violations": summary["bound"]["violations"],
        "bound_max_locked_ns": summary["bound"]["max_locked_ns"],
    }
    write(
        "emulator",
        metrics,
        {
            "speed_median_ratio": (">=", 500),
            "locked_after_s": ("<=", 120),
            "bound_violations": ("<=", 0),
            "bound_max_locked_ns": ("<=", 100),
        },
    )
    print(f"full stack, topology {simulation.assembly.topology}: {statistics.median(speeds):.0f} x real time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
