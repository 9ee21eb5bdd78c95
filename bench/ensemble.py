"""``make bench-ensemble``: the interval scheme beside three plain ones, on files and fresh worlds.

``python -m bench.ensemble --full`` takes 20 fresh worlds of each scenario instead of two; errors are pooled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import numpy as np

from appliance.ensemble.chauvenet import ChauvenetScheme
from appliance.ensemble.interval import IntervalScheme
from bench.result import SHARED, write
from tests.scenario.ensemble_worlds import (
    GUILTY,
    SCENARIOS,
    Array,
    ClockWorld,
    Played,
    fresh_world,
    play,
    read_world,
    rms,
    sources,
)
from tests.unit.timescale.clock_data import folder

PLAIN_K = 4.0
RMS_NS, COLLUDING_RMS_NS, MAX_NS, ALARM_S = 5.0, 12.0, 25.0, 60.0


def _median(world: ClockWorld) -> Played:
    return Played(np.median(world.readings_ns, axis=1))


def _plain_interval(world: ClockWorld) -> Played:
    """Largest set of overlapping intervals of 4 reported sigmas, if a majority; without memory."""
    half = PLAIN_K * world.claimed_ns
    low, high = world.readings_ns - half, world.readings_ns + half
    out = np.full(len(low), np.nan)
    for second, (lows, highs) in enumerate(zip(low, high, strict=True)):
        cover = (lows[None, :] <= lows[:, None]) & (highs[None, :] >= lows[:, None])
        best = int(np.argmax(cover.sum(axis=1)))
        if 2 * cover[best].sum() > len(lows):
            weight = cover[best] / world.claimed_ns[second] ** 2
            out[second] = weight @ world.readings_ns[second] / weight.sum()
    return Played(out)


ALGORITHMS: Mapping[str, Callable[[ClockWorld], Played]] = {
    "ours": lambda world: play(IntervalScheme(sources(world.names)), world),
    "chauvenet": lambda world: play(ChauvenetScheme(sources(world.names)), world),
    "median": _median,
    "plain_interval": _plain_interval,
}


def _errors(played: list[Played], worlds: list[ClockWorld]) -> Array:
    return np.concatenate([p.after(w.onset_s) for p, w in zip(played, worlds, strict=True)])


def _alarms(played: list[Played], worlds: list[ClockWorld]) -> tuple[int, float]:
    """Worlds in which not exactly the guilty were named, and the latest alarm after five sigma (s)."""
    wrong, latest = 0, -float("inf")
    for one, world in zip(played, worlds, strict=True):
        wrong += one.alarms.keys() != GUILTY[world.scenario]
        latest = max([latest, *(second - world.five_sigma_s for second in one.alarms.values())])
    return wrong, latest


def main(arguments: list[str]) -> int:
    if not folder(SHARED).is_dir():
        print(f"bench-ensemble: skipped, no clock data at {SHARED} (TIMECARD_SHARED)", file=sys.stderr)
        return 0
    seeds = range(20 if "--full" in arguments else 2)
    metrics: dict[str, float] = {}
    limits: dict[str, tuple[str, float]] = {}
    print(f"{'rms / max ns after the onset':28}" + "".join(f"{name:>18}" for name in ALGORITHMS))
    for label, pick in (("", False), ("fresh_", True)):
        for scenario in SCENARIOS:
            worlds = (
                [fresh_world(scenario, seed) for seed in seeds]
                if pick
                else [read_world(folder(SHARED), scenario)]
            )
            row = f"{label}{scenario}"
            line = f"{row:28}"
            for name, algorithm in ALGORITHMS.items():
                played = [algorithm(world) for world in worlds]
                errors = _errors(played, worlds)
                worst = float(np.abs(errors).max())
                line += f"{rms(errors):>10.2f} /{worst:6.1f}"
                metrics[f"{row}_{name}_rms_ns"] = round(rms(errors), 3)
                metrics[f"{row}_{name}_max_ns"] = round(worst, 2)
                if name != "ours":
                    continue
                colluding = scenario == "two_collude_slow"
                limits[f"{row}_ours_rms_ns"] = ("<=", COLLUDING_RMS_NS if colluding else RMS_NS)
                if not colluding:
                    limits[f"{row}_ours_max_ns"] = ("<=", MAX_NS)
                wrong, latest = _alarms(played, worlds)
                metrics[f"{row}_wrong_alarms"] = wrong
                limits[f"{row}_wrong_alarms"] = ("<=", 0)
                if scenario != "healthy":
                    metrics[f"{row}_latest_alarm_s"] = round(latest, 1)
                    limits[f"{row}_latest_alarm_s"] = ("<=", ALARM_S)
            print(line)
    write("ensemble", metrics, limits)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
