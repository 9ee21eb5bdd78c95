"""Reads the clock series and their golden figures from the shared folder."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np

from appliance.timescale.models import GnssModel, OscillatorModel
from tests.unit.timescale.closed_loop import Array, World


def folder(shared_dir: Path) -> Path:
    """Where the made series are."""
    return shared_dir / "reference" / "clock-data"


def expected(shared_dir: Path) -> dict[str, Any]:
    """Golden figures of the series."""
    document: dict[str, Any] = json.loads((folder(shared_dir) / "expected.json").read_text(encoding="utf-8"))
    return document


def load_series(path: Path) -> dict[str, Array]:
    """Columns in ns (degrees for temperature); missing values are NaN."""
    with lzma.open(path, "rt", encoding="ascii") as stream:
        names = stream.readline().strip().split(",")
        rows = np.genfromtxt(stream, delimiter=",", filling_values=np.nan)
    columns: dict[str, Array] = {}
    for index, name in enumerate(names):
        for suffix, unit in (("_10ps", 0.01), ("_mdegC", 1e-3)):
            if name.endswith(suffix):
                columns[name.removesuffix(suffix)] = rows[:, index] * unit
    return columns


def world_of(series: dict[str, Array]) -> World:
    """A series as a world for the closed loop; missing pulses are 0 there."""
    sawtooth = np.nan_to_num(series["qerr"])
    pulse = np.nan_to_num(series["z_raw"] + sawtooth - series["x_true"])
    return World(series["x_true"].copy(), pulse, sawtooth)


def filter_alone(
    series: dict[str, Array], oscillator: OscillatorModel, gnss: GnssModel, *, with_qerr: bool = True
) -> tuple[Array, Array, Array]:
    """Estimator and regulator without a discipline around them, ideal actuator, 1 Hz.

    Returns the steered clock's error just before each pulse, the estimate's error there, and the NIS.
    """
    from appliance.timescale.estimator import Estimator

    sample = series["z_raw"] + (series["qerr"] if with_qerr else 0.0)
    truth, n = series["x_true"], len(series["x_true"])
    estimator = Estimator(
        oscillator, gnss, phase_ns=float(sample[0]), phase_sigma_ns=50.0, frequency_sigma_ppb=1.0
    )
    variance = estimator.sample_variance_ns2(sawtooth_removed=with_qerr, resolution_ns=0.0)
    steering = correction = 0.0
    steered, estimate, nis = np.empty(n), np.empty(n), np.full(n, np.nan)
    for k in range(n):
        if k:
            estimator.advance(1, steering)
            correction += steering
        steered[k] = truth[k] + correction
        estimate[k] = estimator.phase_ns - steered[k]
        if not np.isnan(sample[k]):
            innovation = estimator.update(float(sample[k]) + correction, variance)
            nis[k] = innovation.normalised_squared
        steering = -(estimator.oscillator_ppb() + estimator.phase_ns / oscillator.steering_time_s)
    return steered, estimate, nis


def rms(values: Array) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))
