"""``make bench-timescale_series``: the filter on the made series, against the optimum on the same file.

Phase figures are rms over the file from hour 6. ``python -m bench.timescale_series --full`` takes all five
oscillators instead of two.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import allantools
import numpy as np

from appliance.timescale.estimator import Estimator
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.transition import PHASE, transition
from bench.result import write
from tests.scenario.discipline_worlds import loop, world
from tests.unit.timescale.clock_data import expected, filter_alone, folder, load_series, rms

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("TIMECARD_SHARED", ROOT.parent / "shared"))
SETTLED_S = 21_600
SHORT, FULL = ("sa53", "ocxo"), ("sa53", "mro50", "csac", "ocxo", "tcxo")


def series_metrics(name: str) -> dict[str, float]:
    """One made series: steered phase with and without qErr, short-term stability, pseudo-outages."""
    series = load_series(folder(SHARED) / f"series_{name}.csv.xz")
    golden = expected(SHARED)["series"][name]
    metrics: dict[str, float] = {}
    for label, with_qerr, field in (
        ("qerr", True, "optimal_predict_before_sample"),
        ("no_qerr", False, "no_qerr_optimal_predict"),
    ):
        began = time.perf_counter()
        steered, _, nis = filter_alone(series, OSCILLATORS[name], GNSS["f9t_dual"], with_qerr=with_qerr)
        spent = time.perf_counter() - began
        phase_ns = rms(steered[SETTLED_S:])
        metrics[f"{name}_{label}_phase_rms_ns"] = round(phase_ns, 4)
        metrics[f"{name}_{label}_phase_ratio"] = round(phase_ns / golden["this_file_rms_ns"][field], 4)
        metrics[f"{name}_{label}_mean_nis"] = round(float(np.nanmean(nis)), 4)
        metrics[f"{name}_{label}_filter_us_per_second"] = round(1e6 * spent / len(steered), 1)
        if with_qerr:
            settled_s = steered[SETTLED_S:] * 1e-9
            _, tdev, _, _ = allantools.tdev(settled_s, rate=1.0, data_type="phase", taus=[10])
            optimum_ns = golden["golden"]["optimal_output_error"]["tdev"]["10"]
            metrics[f"{name}_tdev_10s_ratio"] = round(float(tdev[0]) * 1e9 / optimum_ns, 3)
    return metrics | pseudo_outages(series, name, golden["pseudo_outage_rms_ns"])


def pseudo_outages(series: dict[str, Any], name: str, golden: dict[str, Any]) -> dict[str, float]:
    """Prediction errors from every ten minutes of the file, as if GNSS had ended there."""
    sample, truth = series["z_raw"] + series["qerr"], series["x_true"]
    estimator = Estimator(
        OSCILLATORS[name],
        GNSS["f9t_dual"],
        phase_ns=float(sample[0]),
        phase_sigma_ns=50.0,
        frequency_sigma_ppb=1.0,
    )
    variance = estimator.sample_variance_ns2(sawtooth_removed=True, resolution_ns=0.0)
    rows = {h: transition(OSCILLATORS[name], GNSS["f9t_dual"], float(h))[0][PHASE] for h in (3_600, 14_400)}
    misses: dict[int, list[float]] = {h: [] for h in rows}
    for k in range(len(sample)):
        if k:
            estimator.advance(1, 0.0)
        estimator.update(float(sample[k]), variance)
        if k >= SETTLED_S and k % 600 == 0:
            mean = estimator.save().mean
            for horizon, row in rows.items():
                if k + horizon < len(truth):
                    misses[horizon].append(float(row @ mean) - truth[k + horizon])
    return {
        f"{name}_outage_{h // 3600}h_ratio": round(rms(np.array(values)) / golden[str(h)]["optimal"], 3)
        for h, values in misses.items()
    }


def discipline_us() -> float:
    """CPU per second of the whole discipline in lock, its snapshot included, without the world around it."""
    played = loop("B", "sa53", world("sa53", 3_100, y0_ppb=3.0))
    played.play(600)
    spent = 0.0

    def timed(call: Any) -> Any:
        def wrapper(argument: Any) -> Any:
            nonlocal spent
            began = time.perf_counter()
            result = call(argument)
            spent += time.perf_counter() - began
            return result

        return wrapper

    played.discipline.handle = timed(played.discipline.handle)  # type: ignore[method-assign]
    played.discipline.snapshot = timed(played.discipline.snapshot)  # type: ignore[method-assign]
    played.play(2_400)
    return round(1e6 * spent / 2_400, 1)


def main() -> int:
    """Run and write."""
    if not folder(SHARED).is_dir():
        print(f"bench-timescale_series: skipped, no series at {folder(SHARED)} (TIMECARD_SHARED)")
        return 0
    names = FULL if "--full" in sys.argv[1:] else SHORT
    metrics: dict[str, float] = {"discipline_us_per_second": discipline_us()}
    limits: dict[str, tuple[str, float]] = {}
    for name in names:
        metrics |= series_metrics(name)
        limits[f"{name}_qerr_phase_ratio"] = ("<=", 1.10)
        limits[f"{name}_no_qerr_phase_ratio"] = ("<=", 1.15)
        limits[f"{name}_outage_1h_ratio"] = ("<=", 1.30 if name == "csac" else 1.20)
        limits[f"{name}_outage_4h_ratio"] = ("<=", 1.70 if name == "csac" else 1.25)
        if name in ("sa53", "mro50", "ocxo"):
            limits[f"{name}_tdev_10s_ratio"] = ("<=", 1.5)
    path = write("timescale_series", metrics, limits)
    print(path.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
