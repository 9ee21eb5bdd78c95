"""``make bench-timescale``: a recorded GPS pulse disciplines a recorded OCXO through the whole stack.

The phase is a GPS receiver's 1PPS against a hydrogen maser, the frequency an OCXO against the same maser: the
true error of the disciplined clock is its difference from the maser. Beside it the PI servo whose gains would
have been best on this very recording.
"""

from __future__ import annotations

import sys

import numpy as np

from appliance.config import load_config
from appliance.simulate import build
from appliance.simulation_report import plot, write_json
from bench.result import OUT, ROOT, SHARED, write
from bench.rival_servos import best_pi

SERIES_S, SETTLED_S = 19_900, 3_600


def main() -> int:
    clocks = SHARED / "data" / "clocks"
    if not clocks.is_dir():
        print(f"bench-timescale: skipped, no recorded series at {clocks} (TIMECARD_SHARED)", file=sys.stderr)
        return 0
    simulation = build(
        load_config(ROOT / "docs" / "examples" / "recorded.toml"),
        gnss_phase=clocks / "gps_1pps_vs_hmaser_phase_s.txt.gz",
        oscillator=clocks / "ocxo_vs_hmaser_frequency_hz.txt.gz",
        gnss_capture=SHARED / "data" / "gnss" / "u-blox-m8t-time.log",
        mac="none",
    )
    simulation.run_s(SERIES_S)
    summary = simulation.recorder.summary(0)
    after = summary["after_first_hour"]
    OUT.mkdir(exist_ok=True)
    write_json(OUT / "timescale-series.json", {k: v for k, v in summary.items() if k != "log"})
    try:
        plot(OUT / "timescale.png", simulation.recorder, "recorded GPS pulse disciplining a recorded OCXO")
    except ImportError:
        print("bench-timescale: no picture, matplotlib is not installed", file=sys.stderr)
    rows = simulation.recorder.rows
    settled = next(index for index, row in enumerate(rows) if row.t_s >= SETTLED_S)
    free, gnss = (
        np.array([getattr(row, name) for row in rows]) for name in ("free_oscillator_ns", "gnss_error_ns")
    )
    kp, ki, best = best_pi(free, gnss - gnss[settled:].mean(), settled)
    metrics = {
        "recorded_std_over_raw_gnss_ratio": after["ratio"],
        "recorded_std_over_best_pi_ratio": after["disciplined_std_ns"] / float(best[settled:].std()),
        "recorded_best_pi_kp": kp,
        "recorded_best_pi_ki": ki,
        "recorded_std_ns": after["disciplined_std_ns"],
        "recorded_std_over_free_ocxo_ratio": after["disciplined_std_ns"]
        / after["free_oscillator_line_fit_std_ns"],
        "recorded_bound_violations": summary["bound"]["violations"],
    }
    limits: dict[str, tuple[str, float]] = {
        "recorded_std_over_raw_gnss_ratio": ("<=", 0.80),
        "recorded_std_over_best_pi_ratio": ("<=", 1.10),
        "recorded_std_over_free_ocxo_ratio": ("<=", 1.0),
        "recorded_bound_violations": ("<=", 0),
    }
    write("timescale", metrics, limits)
    print(f"disciplined {after['disciplined_std_ns']:.2f} ns, raw GNSS {after['raw_gnss_std_ns']:.2f} ns")
    return 0


if __name__ == "__main__":
    sys.exit(main())
