"""``make bench-timescale_worlds``: is what is promised about holdover true? Many worlds, a day of lock each.

Every world begins with the noise figures that all oscillators begin with, learns its own from windows of six
hours, loses GNSS after a day and is compared with the truth 1, 4 and 24 h later. In the worlds with a daily
wave of temperature, +-2 degrees, there are four days of lock. Learning, filter and forecast are the product's
own. The filter is given every 30th sample (every 120th in the long ones): a filter for such samples is exact,
knows a little less, and says so; the noise figures are learnt from all of them.

``python -m bench.timescale_worlds --full`` takes 2,004 worlds of a day and 120 of five days.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from appliance.timescale import spectrum
from appliance.timescale.estimator import Estimator
from appliance.timescale.holdover import BoundForecast
from appliance.timescale.learning import NoiseLearner
from appliance.timescale.models import GNSS, OSCILLATORS, GnssModel, OscillatorModel
from appliance.timescale.noise_fit import common_start
from appliance.timescale.transition import DAY_S, NS_PER_UNIT_S, PHASE, TEMPCO, Array, PhaseGrowth, transition
from bench.result import write
from tests.unit.timescale.clock_data import rms
from tests.unit.timescale.fast_world import fast_world

KINDS = ("sa53", "sa55", "mro50", "csac", "ocxo", "tcxo")
DAY = int(DAY_S)
HORIZONS_S = (3_600, 14_400, DAY)
LIMITS_NS, PROBABILITIES = (100.0, 1_000.0), (0.5, 0.9, 0.99)
GRID_S = 60
SHORT, FULL = (180, 12), (2_004, 120)
K99, BAND_K = 2.5758, 2.5758
WAVE_DEGC = 2.0


@dataclass
class Forecast:
    """One forecast of a time to a limit, and what came."""

    limit_ns: float
    p: float
    time_ratio: float
    """Against the filter with the true figures."""
    outside: bool | None
    """The error was above the limit at the "at" time; None when that is beyond the world."""
    crossed: bool | None
    """It had been above by the "up to" time."""


@dataclass
class Outcome:
    """One world."""

    kind: str
    errors_ns: Array
    sigmas_ns: Array
    ideal_sigmas_ns: Array
    """Of the filter with the true figures, without temperature."""
    forecasts: list[Forecast] = field(default_factory=list)


class Lock:
    """A filter that follows samples of a world."""

    def __init__(self, oscillator: OscillatorModel, gnss: GnssModel, first_ns: float, step_s: int) -> None:
        self.estimator = Estimator(
            oscillator, gnss, phase_ns=first_ns, phase_sigma_ns=50.0, frequency_sigma_ppb=0.5, step_s=step_s
        )
        self._step_s = step_s

    def follow(self, samples: Array, begin: int, end: int, degc: Array | None) -> None:
        """The samples of these seconds, every so many."""
        for k in range(begin, end, self._step_s):
            if k:
                middle = 0.0 if degc is None else float(degc[k - self._step_s // 2])
                self.estimator.advance(float(self._step_s), 0.0, middle)
            variance_ns2 = self.estimator.sample_variance_ns2(sawtooth_removed=True, resolution_ns=0.0)
            self.estimator.update(float(samples[k]), variance_ns2)


def learn_and_lock(kind: str, samples: Array, step_s: int, degc: Array | None) -> Estimator:
    """Self-taught, from the common start."""
    oscillator, gnss = OSCILLATORS[kind], GNSS["f9t_dual"]
    start = common_start(oscillator.aging_per_day, gnss, 0.0)
    lock = Lock(*start.models(oscillator, gnss), float(samples[0]), step_s)
    learner = NoiseLearner(oscillator.aging_per_day, gnss)
    window, begin = spectrum.WINDOW_S - spectrum.WINDOW_S % step_s, 0
    warmth = None if degc is None else NS_PER_UNIT_S * np.cumsum(degc)
    while begin < len(samples):
        end = min(begin + window, len(samples))
        lock.follow(samples, begin, end, degc)
        if begin + spectrum.WINDOW_S <= len(samples):
            part = slice(begin, begin + spectrum.WINDOW_S)
            slope = 0.0 if warmth is None else lock.estimator.known(TEMPCO)[0]
            free = samples[part] if warmth is None else samples[part] - slope * warmth[part]
            figures = learner.window(free, 0.0)
            lock.estimator.adopt(*figures.models(oscillator, gnss))
        begin = end
    return lock.estimator


def play(job: tuple[str, int]) -> Outcome:
    """A day of lock at constant temperature, and a day without GNSS."""
    kind, seed = job
    oscillator, gnss, step_s = OSCILLATORS[kind], GNSS["f9t_dual"], 30
    rng = np.random.default_rng([seed, *kind.encode()])
    truth, pulse = fast_world(oscillator, gnss, 2 * DAY + 1, rng)
    samples = truth[:DAY] + pulse[:DAY]
    estimator = learn_and_lock(kind, samples, step_s, None)
    ideal = Lock(oscillator, gnss, float(samples[0]), step_s)
    ideal.follow(samples, 0, DAY, None)
    coming = truth[DAY - step_s :]
    foretold = np.arange(0, len(coming), GRID_S)
    mean = estimator.save().mean
    rows = [transition(estimator.oscillator, estimator.gnss, float(t))[0][PHASE] for t in foretold[::10]]
    path = [float(row @ mean) for row in rows]
    errors = np.interp(foretold, foretold[::10], path) - coming[foretold]
    ahead = np.array(HORIZONS_S, dtype=np.float64)
    sigmas, ideal_sigmas = (
        np.sqrt(PhaseGrowth(f.oscillator, ahead).variance_ns2(f.covariance))
        for f in (estimator, ideal.estimator)
    )
    at = [h // GRID_S for h in HORIZONS_S]
    return Outcome(
        kind, errors[at], sigmas, ideal_sigmas, _forecasts(estimator, ideal.estimator, np.abs(errors))
    )


def _forecasts(estimator: Estimator, ideal: Estimator, errors: Array) -> list[Forecast]:
    mine, best = (
        {
            (limit.limit_ns, limit.p, limit.kind): limit.seconds
            for limit in BoundForecast(f.oscillator, PROBABILITIES[-1]).limits(
                f.covariance, phase_ns=0.0, bias_ns=0.0, limits_ns=LIMITS_NS
            )
        }
        for f in (estimator, ideal)
    )
    end_s = (len(errors) - 1) * GRID_S
    found = []
    for limit_ns in LIMITS_NS:
        for p in PROBABILITIES:
            at_s, till_s = (mine[limit_ns, p, kind] for kind in ("at", "up_to"))
            found.append(
                Forecast(
                    limit_ns,
                    p,
                    at_s / best[limit_ns, p, "at"],
                    bool(errors[int(at_s / GRID_S)] > limit_ns) if at_s < end_s else None,
                    bool((errors[: int(till_s / GRID_S) + 1] > limit_ns).any()) if till_s < end_s else None,
                )
            )
    return found


def play_warm(job: tuple[str, int]) -> Outcome:
    """Four days of lock under a daily wave of temperature, and a day without GNSS."""
    kind, seed = job
    oscillator, gnss, step_s, lock_s = OSCILLATORS[kind], GNSS["f9t_dual"], 120, 4 * DAY
    rng = np.random.default_rng([seed, 1, *kind.encode()])
    truth, pulse = fast_world(oscillator, gnss, lock_s + DAY + step_s, rng)
    angle = 2.0 * math.pi * np.arange(len(truth)) / DAY_S + rng.uniform(0.0, 2.0 * math.pi)
    degc = WAVE_DEGC * np.sin(angle)
    slope = oscillator.tempco_per_degc * 1e9 * rng.choice([-1.0, 1.0])
    truth[1:] += slope * np.cumsum(degc)[:-1]
    estimator = learn_and_lock(kind, truth[:lock_s] + pulse[:lock_s], step_s, degc)
    last = lock_s - step_s
    for k in range(last + step_s, last + DAY + 1, step_s):
        estimator.advance(float(step_s), 0.0, float(degc[k - step_s // 2]))
    error_ns = estimator.phase_ns - float(truth[last + DAY])
    ideal = Lock(oscillator, gnss, 0.0, 30)
    ideal.follow(np.zeros(DAY), 0, DAY, None)  # its covariance does not depend on what it sees
    variance = PhaseGrowth(oscillator, np.array([DAY_S])).variance_ns2(ideal.estimator.covariance)
    return Outcome(kind, np.array([error_ns]), np.array([estimator.phase_sigma_ns]), np.sqrt(variance))


def band(share: float, n: int) -> float:
    """Half the width of the 99 % band of a share among n."""
    return BAND_K * math.sqrt(share * (1.0 - share) / n)


def calm_metrics(found: Sequence[Outcome]) -> tuple[dict[str, float], dict[str, tuple[str, float]]]:
    """Coverage over all worlds, tightness and forecasts."""
    metrics: dict[str, float] = {"worlds": len(found)}
    limits: dict[str, tuple[str, float]] = {}
    normal = np.array([o.errors_ns / o.sigmas_ns for o in found])
    n = len(found)
    for index, hours in enumerate((1, 4, 24)):
        values = np.abs(normal[:, index])
        metrics[f"nees_{hours}h"] = round(float(np.mean(values**2)), 3)
        for name, k, share in (("2sigma", 2.0, 0.9545), ("p99", K99, 0.99)):
            key = f"inside_{name}_{hours}h"
            metrics[key] = round(float(np.mean(values <= k)), 4)
            metrics[f"{key}_off_band"] = round(abs(metrics[key] - share) / band(share, n), 3)
            limits[f"{key}_off_band"] = ("<=", 1.0)
        pooled = rms(np.array([o.errors_ns[index] / o.ideal_sigmas_ns[index] for o in found]))
        metrics[f"error_{hours}h_ratio"] = round(pooled, 3)
        limits[f"error_{hours}h_ratio"] = ("<=", 1.2)
        key = f"outside_p999_{hours}h"
        metrics[key] = round(float(np.mean(values > 3.2905)), 5)
        limits[key] = ("<=", round(0.001 + band(0.001, n) + 0.5 / n, 5))
        for kind in KINDS:
            mine = [o for o in found if o.kind == kind]
            ratio = np.median([o.sigmas_ns[index] / o.ideal_sigmas_ns[index] for o in mine])
            metrics[f"{kind}_median_bound_{hours}h_ratio"] = round(float(ratio), 3)
            limits[f"{kind}_median_bound_{hours}h_ratio"] = ("<=", 1.25)
            within = np.mean([abs(o.errors_ns[index]) <= 2.0 * o.sigmas_ns[index] for o in mine])
            metrics[f"{kind}_inside_2sigma_{hours}h"] = round(float(within), 4)
            error_ns = rms(np.array([o.errors_ns[index] for o in mine]))
            ideal_ns = float(np.median([o.ideal_sigmas_ns[index] for o in mine]))
            metrics[f"{kind}_error_{hours}h_ratio"] = round(error_ns / ideal_ns, 3)
    for limit_ns in LIMITS_NS:
        for p in PROBABILITIES:
            part = [f for o in found for f in o.forecasts if (f.limit_ns, f.p) == (limit_ns, p)]
            key = f"forecast_{limit_ns:.0f}ns_p{p * 100:.0f}"
            at = [f.outside for f in part if f.outside is not None]
            till = [f.crossed for f in part if f.crossed is not None]
            off = abs(float(np.mean(at)) - (1.0 - p)) / band(p, len(at))
            metrics[f"{key}_outside_at_time"] = round(float(np.mean(at)), 4)
            metrics[f"{key}_off_band"] = round(off, 3)
            limits[f"{key}_off_band"] = ("<=", 1.0)
            metrics[f"{key}_crossed_up_to_time"] = round(float(np.mean(till)), 4)
            limits[f"{key}_crossed_up_to_time"] = ("<=", round(1.0 - p + band(p, len(till)), 4))
            ratios = [f.time_ratio for f in part if math.isfinite(f.time_ratio)]
            metrics[f"{key}_median_time_ratio"] = round(float(np.median(ratios)), 3)
            metrics[f"{key}_time_off"] = round(abs(float(np.median(ratios)) - 1.0), 3)
            limits[f"{key}_time_off"] = ("<=", 0.2)
    return metrics, limits


def warm_metrics(found: Sequence[Outcome]) -> tuple[dict[str, float], dict[str, tuple[str, float]]]:
    """Holdover of a day under the wave against that of a day of lock at constant temperature."""
    metrics: dict[str, float] = {"warm_worlds": len(found)}
    for kind in KINDS:
        mine = [o for o in found if o.kind == kind]
        error_ns = rms(np.array([o.errors_ns[0] for o in mine]))
        metrics[f"{kind}_warm_error_24h_ratio"] = round(error_ns / float(mine[0].ideal_sigmas_ns[0]), 3)
    pooled = rms(np.array([o.errors_ns[0] / o.ideal_sigmas_ns[0] for o in found]))
    metrics["warm_error_24h_ratio"] = round(pooled, 3)
    inside = float(np.mean([abs(o.errors_ns[0]) <= K99 * o.sigmas_ns[0] for o in found]))
    metrics["warm_inside_p99_24h"] = round(inside, 4)
    return metrics, {"warm_error_24h_ratio": ("<=", 1.3)}


def main() -> int:
    """Run and write."""
    full = "--full" in sys.argv[1:]
    calm, warm = FULL if full else SHORT
    with ProcessPoolExecutor(max_workers=2) as pool:
        jobs = [(KINDS[index % len(KINDS)], index // len(KINDS)) for index in range(calm)]
        warm_jobs = [(KINDS[index % len(KINDS)], index // len(KINDS)) for index in range(warm)]
        found = list(pool.map(play, jobs, chunksize=6))
        warm_found = list(pool.map(play_warm, warm_jobs))
    metrics, limits = calm_metrics(found)
    warm_figures, warm_limits = warm_metrics(warm_found)
    path = write(
        "timescale_worlds-full" if full else "timescale_worlds", metrics | warm_figures, limits | warm_limits
    )
    print(path.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
