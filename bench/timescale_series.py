"""``make bench-timescale_series``: the estimator that learns, on the made series, against the optimum there.

Phase figures are rms over the file from hour 6, with the sawtooth removed (``qerr``), with it (``no_qerr``),
and both with stamps in steps of 5 ns (``_5ns``; the optimum beside them is still that without steps). Beside
it linuxptp's servo, the PI that would have been best on this very file, and the staged rule of
``rival_servos``. Pseudo-outages of 4 h rest on few independent starts in one file: fresh worlds are pooled.
``python -m bench.timescale_series --full`` pools more of them.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor

import allantools
import numpy as np

from appliance.timescale.estimator import Estimator, FilterState
from appliance.timescale.models import GNSS, OSCILLATORS
from appliance.timescale.transition import PHASE, Array, transition
from bench.result import SHARED, write
from bench.rival_servos import LINUXPTP, best_pi, pi_servo, staged_rule
from bench.self_taught import Run, run
from tests.unit.timescale.clock_data import expected, folder, load_series, rms
from tests.unit.timescale.fast_world import fast_world

NAMES = ("sa53", "mro50", "csac", "ocxo", "tcxo")
STABLE = ("sa53", "mro50", "ocxo")
SETTLED_S, EVERY_S, HORIZONS_S = 21_604, 600, (3_600, 14_400)
WORLD_S = 86_400
SHORT_WORLDS, FULL_WORLDS = 3, 20


class Outages:
    """What the filter foretold every ten minutes, against what came."""

    def __init__(self) -> None:
        self._states: list[tuple[int, Estimator, FilterState, tuple[Array, ...]]] = []

    def note(self, second: int, estimator: Estimator, state: FilterState) -> None:
        """Remember the state and what it foretells."""
        if second >= SETTLED_S:
            rows = tuple(
                transition(estimator.oscillator, estimator.gnss, float(h))[0][PHASE] for h in HORIZONS_S
            )
            self._states.append((second, estimator, state, rows))

    def misses_ns(self, truth_ns: Array, steered_ns: Array) -> tuple[Array, ...]:
        """Errors of the forecasts for each horizon; the steering up to each start is known."""
        misses: tuple[list[float], ...] = tuple([] for _ in HORIZONS_S)
        for second, _, state, rows in self._states:
            correction_ns = steered_ns[second] - truth_ns[second]
            for horizon_s, row, found in zip(HORIZONS_S, rows, misses, strict=True):
                if second + horizon_s < len(truth_ns):
                    truth = truth_ns[second + horizon_s] + correction_ns
                    found.append(float(row @ state.mean) - truth)
        return tuple(np.array(found) for found in misses)


def tdev_10s_ns(steered_ns: Array) -> float:
    """Time deviation over 10 s."""
    return float(allantools.tdev(steered_ns * 1e-9, rate=1.0, data_type="phase", taus=[10])[1][0]) * 1e9


def rounded(raw_ns: Array) -> Array:
    """As the timestampers give it."""
    return np.asarray((np.floor(raw_ns / 5.0) + 0.5) * 5.0)


SINGLE_BAND = "mro50_single_band"
"""A trap: its daily wave goes through any filter; what is asked is that learning makes nothing worse."""


def series_metrics(name: str) -> dict[str, float]:
    """One made series, in all four forms, with the rivals."""
    oscillator = name.partition("_")[0]
    gnss_model = "f9t_single" if name == SINGLE_BAND else "f9t_dual"
    series = load_series(folder(SHARED) / f"series_{name}.csv.xz")
    golden = expected(SHARED)["series"][name]
    raw, qerr, truth = series["z_raw"], series["qerr"], series["x_true"]
    metrics: dict[str, float] = {}
    for label, removed, step_ns in (
        ("qerr", True, 0.0),
        ("no_qerr", False, 0.0),
        ("qerr_5ns", True, 5.0),
        ("no_qerr_5ns", False, 5.0),
    ):
        seen = (rounded(raw) if step_ns else raw) + (qerr if removed else 0.0)
        outages = Outages()
        ran: Run = run(
            oscillator,
            seen,
            truth,
            sawtooth_removed=removed,
            resolution_ns=step_ns,
            on_state=outages.note,
            every_s=EVERY_S,
            gnss_model=gnss_model,
        )
        settled = ran.steered_ns[SETTLED_S:]
        field = "optimal_predict_before_sample" if removed else "no_qerr_optimal_predict"
        optimum_ns = golden["this_file_rms_ns"][field]
        key = f"{name}_{label}"
        metrics[f"{key}_phase_rms_ns"] = round(rms(settled), 4)
        metrics[f"{key}_phase_ratio"] = round(rms(settled) / optimum_ns, 4)
        metrics[f"{key}_mean_nis"] = round(float(np.nanmean(ran.nis[SETTLED_S:])), 3)
        tdev_optimum_ns = golden["golden"]["optimal_output_error"]["tdev"]["10"]
        metrics[f"{key}_tdev_10s_ratio"] = round(tdev_10s_ns(settled) / tdev_optimum_ns, 3)
        for horizon_s, missed in zip(HORIZONS_S, outages.misses_ns(truth, ran.steered_ns), strict=True):
            best_ns = golden["pseudo_outage_rms_ns"][str(horizon_s)]["optimal"]
            metrics[f"{key}_outage_{horizon_s // 3600}h_ratio"] = round(rms(missed) / best_ns, 3)
        gnss = seen - truth
        kp, ki, best = best_pi(truth, gnss, SETTLED_S)
        metrics[f"{key}_best_pi_kp"], metrics[f"{key}_best_pi_ki"] = float(f"{kp:.3g}"), float(f"{ki:.3g}")
        for rival, out in (
            ("linuxptp", pi_servo(truth, gnss, *LINUXPTP)),
            ("best_pi", best),
            ("staged", staged_rule(truth, gnss)),
        ):
            metrics[f"{key}_{rival}_phase_ratio"] = round(rms(out[SETTLED_S:]) / optimum_ns, 3)
    return metrics


def world_misses(job: tuple[str, int]) -> tuple[str, tuple[float, ...]]:
    """A fresh world: sums of squares of the self-taught and of the optimal filter's outages."""
    name, seed = job
    oscillator, gnss = OSCILLATORS[name], GNSS["f9t_dual"]
    truth, pulse = fast_world(oscillator, gnss, WORLD_S, np.random.default_rng([seed, *name.encode()]))
    outages = Outages()
    ran = run(name, truth + pulse, truth, on_state=outages.note, every_s=EVERY_S)
    best = Outages()
    estimator = Estimator(
        oscillator, gnss, phase_ns=float(truth[0] + pulse[0]), phase_sigma_ns=50.0, frequency_sigma_ppb=1.0
    )
    variance = estimator.sample_variance_ns2(sawtooth_removed=True, resolution_ns=0.0)
    for k in range(WORLD_S):
        if k:
            estimator.advance(1, 0.0)
        estimator.update(float(truth[k] + pulse[k]), variance)
        if k % EVERY_S == 0:
            best.note(k, estimator, estimator.save())
    mine, optimal = outages.misses_ns(truth, ran.steered_ns), best.misses_ns(truth, truth)
    return name, tuple(float(np.mean(np.square(v))) for v in (*mine, *optimal))


def pooled_metrics(found: list[tuple[str, tuple[float, ...]]]) -> dict[str, float]:
    """Ratios of root mean squares over all fresh worlds of an oscillator."""
    metrics: dict[str, float] = {}
    for name in NAMES:
        sums = np.sum([squares for kind, squares in found if kind == name], axis=0)
        for index, horizon_s in enumerate(HORIZONS_S):
            ratio = float(np.sqrt(sums[index] / sums[index + len(HORIZONS_S)]))
            metrics[f"{name}_pooled_outage_{horizon_s // 3600}h_ratio"] = round(ratio, 3)
    return metrics


def main() -> int:
    """Run and write."""
    if not folder(SHARED).is_dir():
        print(f"bench-timescale_series: skipped, no series at {folder(SHARED)} (TIMECARD_SHARED)")
        return 0
    full = "--full" in sys.argv[1:]
    worlds = FULL_WORLDS if full else SHORT_WORLDS
    jobs = [(name, seed) for seed in range(worlds) for name in NAMES]
    metrics: dict[str, float] = {"fresh_worlds_per_oscillator": worlds}
    with ProcessPoolExecutor(max_workers=2) as pool:
        found = pool.map(series_metrics, (*NAMES, SINGLE_BAND))
        fresh = pool.map(world_misses, jobs)
        for part in found:
            metrics |= part
        metrics |= pooled_metrics(list(fresh))
    limits: dict[str, tuple[str, float]] = {}
    for label in ("qerr", "no_qerr"):
        ratios = [metrics[f"{name}_{label}_phase_ratio"] for name in NAMES]
        metrics[f"mean_{label}_phase_ratio"] = round(float(np.mean(ratios)), 4)
        for name in (*NAMES, SINGLE_BAND):
            limits[f"{name}_{label}_phase_ratio"] = ("<=", 1.08 if label == "qerr" else 1.12)
    limits["mean_qerr_phase_ratio"] = ("<=", 1.04)
    for name in NAMES:
        limits[f"{name}_qerr_outage_1h_ratio"] = ("<=", 1.10)
        limits[f"{name}_pooled_outage_1h_ratio"] = ("<=", 1.10)
        limits[f"{name}_pooled_outage_4h_ratio"] = ("<=", 1.20)
        if name in STABLE:
            limits[f"{name}_qerr_tdev_10s_ratio"] = ("<=", 1.5)
    path = write("timescale_series-full" if full else "timescale_series", metrics, limits)
    print(path.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
