"""How good the timescale is on recorded and made series: figures as JSON.

    python bench/timescale_series.py [--full] [--out bench/out/timescale_series.json]

The phase figures are rms over the file from hour 6, as a ratio to the optimal filter's on the same file. The
short form takes two oscillators and the real series, the full one all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import allantools
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from appliance.estimator import Estimator  # noqa: E402
from appliance.models import GNSS, OSCILLATORS  # noqa: E402
from appliance.transition import PHASE, transition  # noqa: E402
from tests.scenario.discipline_worlds import errors, loop, violations, world  # noqa: E402
from tests.unit.timescale.clock_data import expected, filter_alone, folder, load_series, rms  # noqa: E402
from tests.unit.timescale.closed_loop import World  # noqa: E402

SETTLED_S = 21_600
SHORT, FULL = ("sa53", "ocxo"), ("sa53", "mro50", "csac", "ocxo", "tcxo")


def shared() -> Path:
    """The shared folder, or an error that says how to name it."""
    path = Path(os.environ.get("TIMECARD_SHARED", ROOT.parent / "shared"))
    if not (path / "data").is_dir():
        raise SystemExit(f"shared data not found at {path}; TIMECARD_SHARED names another place")
    return path


def series_figures(name: str) -> dict[str, Any]:
    """One made series: steered phase with and without qErr, short-term stability, pseudo-outages."""
    series = load_series(folder(shared()) / f"series_{name}.csv.xz")
    golden = expected(shared())["series"][name]
    figures: dict[str, Any] = {}
    for label, with_qerr, field in (
        ("qerr", True, "optimal_predict_before_sample"),
        ("no_qerr", False, "no_qerr_optimal_predict"),
    ):
        began = time.perf_counter()
        steered, _, nis = filter_alone(series, OSCILLATORS[name], GNSS["f9t_dual"], with_qerr=with_qerr)
        spent = time.perf_counter() - began
        phase = rms(steered[SETTLED_S:])
        optimum = golden["this_file_rms_ns"][field]
        _, tdev, _, _ = allantools.tdev(steered[SETTLED_S:] * 1e-9, rate=1.0, data_type="phase", taus=[10])
        figures[label] = {
            "phase_rms_ns": round(phase, 4),
            "ratio_to_optimum": round(phase / optimum, 4),
            "mean_nis": round(float(np.nanmean(nis)), 4),
            "tdev_10s_ns": round(float(tdev[0]) * 1e9, 4),
            "filter_us_per_second": round(1e6 * spent / len(steered), 1),
        }
    optimum_tdev = golden["golden"]["optimal_output_error"]["tdev"]["10"]
    figures["qerr"]["tdev_10s_ratio"] = round(figures["qerr"]["tdev_10s_ns"] / optimum_tdev, 3)
    figures["pseudo_outage"] = pseudo_outages(series, name, golden["pseudo_outage_rms_ns"])
    return figures


def pseudo_outages(series: dict[str, Any], name: str, golden: dict[str, Any]) -> dict[str, Any]:
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
        f"{h // 3600}_h": {
            "rms_ns": round(rms(np.array(values)), 3),
            "ratio_to_optimum": round(rms(np.array(values)) / golden[str(h)]["optimal"], 3),
        }
        for h, values in misses.items()
    }


def real_series() -> dict[str, Any]:
    """The GPS pulse disciplines the OCXO, both against hydrogen masers; after the first hour, means removed."""
    clocks = shared() / "data" / "clocks"
    frequency_hz = np.loadtxt(clocks / "ocxo_vs_hmaser_frequency_hz.txt.gz")
    free = np.concatenate(([0.0], np.cumsum((frequency_hz - 1e7) / 1e7 * 1e9)))
    pulse = np.loadtxt(clocks / "gps_1pps_vs_hmaser_phase_s.txt.gz")[: len(free)] * 1e9
    played = loop(
        "C",
        "ocxo",
        World(free, pulse, np.zeros(len(free))),
        gnss_model="single_legacy",
        delay_ns=276.0,
        actuator_max_ppb=1_000.0,
        loop_with_qerr=False,
        loop_clock_error_ns=3e6,
    )
    rows = played.play(len(free) - 2)
    clock, raw, alone = errors(rows)[3_600:], pulse[3_600 : len(rows)], free[3_600 : len(rows)]
    t = np.arange(len(alone))
    line = np.polyval(np.polyfit(t, alone, 1), t)
    return {
        "disciplined_std_ns": round(float(np.std(clock)), 3),
        "raw_gnss_std_ns": round(float(np.std(raw)), 3),
        "ratio": round(float(np.std(clock) / np.std(raw)), 4),
        "free_oscillator_after_line_fit_std_ns": round(float(np.std(alone - line)), 2),
        "bound_violations": len(violations(rows)),
    }


def discipline_cost() -> dict[str, Any]:
    """CPU per second of the whole discipline in lock, its snapshot included, without the world around it."""
    played = loop("B", "sa53", world("sa53", 3_100, y0_ppb=3.0))
    played.play(600)
    spent = 0.0
    handle, snapshot = played.discipline.handle, played.discipline.snapshot

    def timed(call: Any) -> Any:
        def wrapper(argument: Any) -> Any:
            nonlocal spent
            began = time.perf_counter()
            result = call(argument)
            spent += time.perf_counter() - began
            return result

        return wrapper

    played.discipline.handle = timed(handle)  # type: ignore[method-assign]
    played.discipline.snapshot = timed(snapshot)  # type: ignore[method-assign]
    played.play(2_400)
    return {"discipline_us_per_second": round(1e6 * spent / 2_400, 1)}


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="all oscillators")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "out" / "timescale_series.json")
    arguments = parser.parse_args()
    result = {
        "real_series": real_series(),
        "cost": discipline_cost(),
        "series": {name: series_figures(name) for name in (FULL if arguments.full else SHORT)},
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
