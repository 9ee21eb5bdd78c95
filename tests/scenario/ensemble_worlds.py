"""Clocks that go wrong in the ways of the shared scenario files: the files themselves and fresh worlds."""

from __future__ import annotations

import csv
import io
import lzma
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.ensemble.values import Reading, Scheme, Source
from timecard.timescale import NS_PER_S

Array = NDArray[np.float64]

SCENARIOS = (
    "healthy", "step", "slow_drift", "noise_increase", "two_collude", "two_collude_slow", "small_sigma_liar",
)  # fmt: skip
ONSET_S = 1800
OFFSET_NS = 2.0
"""Each clock has a constant offset within this: its honest bias."""
GUILTY: Mapping[str, frozenset[str]] = {
    "healthy": frozenset(),
    "step": frozenset({"c1"}),
    "slow_drift": frozenset({"c1"}),
    "noise_increase": frozenset({"c1"}),
    "two_collude": frozenset({"c0", "c1"}),
    "two_collude_slow": frozenset({"c0", "c1"}),
    "small_sigma_liar": frozenset({"c4"}),
}
SIGMA_K = 5.0
ALARM_WITHIN_S = 60
START_NS = 7_000 * NS_PER_S


@dataclass
class ClockWorld:
    """Readings of the clocks (ns against true time), and what they claim."""

    scenario: str
    readings_ns: Array
    claimed_ns: Array
    onset_s: int
    five_sigma_s: float
    """When the error of the guilty has passed five of their sigmas; inf where nobody errs."""

    @property
    def names(self) -> list[str]:
        """Of the clocks."""
        return [f"c{i}" for i in range(self.readings_ns.shape[1])]


@dataclass
class Played:
    """What a scheme made of a world."""

    offset_ns: Array
    """NaN where there was no answer."""
    alarms: dict[str, int] = field(default_factory=dict)
    """First second in which each clock was named."""
    evicted: dict[str, int] = field(default_factory=dict)

    def after(self, onset_s: int) -> Array:
        """Errors from the onset on, where there was an answer."""
        part = self.offset_ns[onset_s:]
        return part[~np.isnan(part)]


def read_world(folder: Path, scenario: str) -> ClockWorld:
    """A scenario file of the shared clock data."""
    text = lzma.decompress((folder / f"ensemble_{scenario}.csv.xz").read_bytes()).decode("ascii")
    rows = list(csv.reader(io.StringIO(text)))
    table = np.array(rows[1:], dtype=np.float64) / 100.0
    clocks = table.shape[1] // 2
    five_sigma_s = {
        "healthy": math.inf,
        "slow_drift": ONSET_S + SIGMA_K * 3.0 / 0.05,
        "two_collude_slow": ONSET_S + SIGMA_K * 3.0 / 0.05,
    }.get(scenario, float(ONSET_S))
    return ClockWorld(scenario, table[:, :clocks], table[:, clocks:], ONSET_S, five_sigma_s)


def fresh_world(scenario: str, seed: int) -> ClockWorld:
    """A world of the same kind with other sigmas, another onset and another size of the fault."""
    rng = np.random.default_rng((SCENARIOS.index(scenario), seed))
    seconds, onset_s = 3600, int(rng.integers(1500, 2100))
    sigma = np.array([3.0, 3.0, 5.0, 5.0, 8.0]) * rng.uniform(0.7, 1.3, 5)
    size, t = rng.uniform(0.7, 1.5), np.arange(seconds, dtype=np.float64)
    late = np.clip(t - onset_s, 0.0, None)
    after = t >= onset_s
    readings = rng.standard_normal((seconds, 5)) * sigma + rng.uniform(-OFFSET_NS, OFFSET_NS, 5)
    claimed = np.tile(sigma, (seconds, 1))
    five_sigma_s = math.inf if scenario == "healthy" else float(onset_s)
    if scenario == "step":
        readings[:, 1] += 200.0 * size * after
    elif scenario == "slow_drift":
        readings[:, 1] += 0.05 * size * late
        five_sigma_s = onset_s + SIGMA_K * sigma[1] / (0.05 * size)
    elif scenario == "noise_increase":
        readings[:, 1] += rng.standard_normal(seconds) * sigma[1] * 10.0 * size * after
    elif scenario == "two_collude":
        readings[:, :2] += (150.0 * size * after)[:, None]
    elif scenario == "two_collude_slow":
        readings[:, :2] += np.minimum(0.05 * size * late, 150.0)[:, None]
        five_sigma_s = onset_s + SIGMA_K * float(sigma[:2].max()) / (0.05 * size)
    elif scenario == "small_sigma_liar":
        readings[:, 4] += 60.0 * size * after
        claimed[:, 4] = 0.3
    return ClockWorld(scenario, readings, claimed, onset_s, five_sigma_s)


def sources(names: list[str]) -> list[Source]:
    """Independent clocks with white noise only."""
    return [Source(name=name, group=name) for name in names]


def play(scheme: Scheme, world: ClockWorld) -> Played:
    """Let a scheme see a world second by second."""
    played = Played(np.full(len(world.readings_ns), np.nan))
    for second, (offsets, sigmas) in enumerate(zip(world.readings_ns, world.claimed_ns, strict=True)):
        estimate = scheme.update(
            START_NS + second * NS_PER_S,
            {
                name: Reading(offset_ns=float(offset), sigma_ns=float(sigma), bias_ns=OFFSET_NS)
                for name, offset, sigma in zip(world.names, offsets, sigmas, strict=True)
            },
        )
        if estimate.offset_ns is not None:
            played.offset_ns[second] = estimate.offset_ns
        for name in estimate.alarms:
            played.alarms.setdefault(name, second)
        for name in estimate.evicted:
            played.evicted.setdefault(name, second)
    return played


def rms(values: Array) -> float:
    """Root mean square; NaN for none."""
    return float(np.sqrt(np.mean(values**2))) if len(values) else math.nan
