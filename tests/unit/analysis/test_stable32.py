"""Stable32, the reference program of the trade, printed these figures for these files; so do we."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from appliance.analysis.deviations import STATISTICS, Deviation, Statistic, deviation
from appliance.analysis.noise import Noise, Origin, identify
from appliance.analysis.recording import Array
from appliance.analysis.units import Kind
from tests.unit.analysis.worlds import read

FUNCTIONS = {
    "ADEV": "adev", "OADEV": "oadev", "MDEV": "mdev", "TDEV": "tdev", "HDEV": "hdev", "OHDEV": "ohdev",
    "TOTDEV": "totdev",
}  # fmt: skip
CONFIDENCE = 0.683
INTERVAL_RELATIVE = 5e-4
"""Stable32 inverts chi-squared by an approximation of its own."""


@dataclass(frozen=True)
class Row:
    factor: int
    terms: int
    alpha: int
    low: float
    sigma: str
    high: float


def printed(path: Path) -> list[Row]:
    rows = []
    for line in path.read_text(encoding="ascii").splitlines():
        if line.strip() and not line.startswith("#"):
            factor, _, terms, alpha, low, sigma, high = line.split()
            rows.append(Row(int(factor), int(terms), int(alpha), float(low), sigma, float(high)))
    return rows


def computed(statistic: Statistic, phase_ns: Array, factor: int, noise: Noise | None) -> Deviation:
    found = deviation(statistic, [phase_ns], factor, 1.0, noise, CONFIDENCE)
    assert found is not None
    return found


def seconds(statistic: Statistic, value: float) -> float:
    """As Stable32 prints it: TDEV in seconds."""
    return value * 1e-9 if statistic.unit == "ns" else value


def as_printed(statistic: Statistic, found: Deviation) -> set[str]:
    """Five digits; just between two of them, rounding errors of the sums may take either."""
    value = seconds(statistic, found.value)
    return {f"{value * (1 + error):.4e}" for error in (-1e-7, 0.0, 1e-7)}


@pytest.fixture(scope="module")
def gps_ns(shared_dir: Path) -> Array:
    (phase_ns,) = read(shared_dir / "data" / "clocks" / "gps_1pps_vs_hmaser_phase_s.txt.gz").phase_ns()
    return phase_ns


@pytest.fixture(scope="module")
def gps_noise(gps_ns: Array) -> dict[int, Noise | None]:
    decades = (digit * 10**power for power in range(5) for digit in (1, 2, 4))
    return identify(gps_ns, sorted({*decades, *(1 << power for power in range(17))}))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gps_against_a_maser(
    shared_dir: Path, gps_ns: Array, gps_noise: dict[int, Noise | None], name: str
) -> None:
    folder = shared_dir / "data" / "clocks"
    statistic = STATISTICS[FUNCTIONS[name]]
    (path,) = (folder / "gps_stable32").glob(f"stable32_{name}_*.txt")
    rows = printed(path)
    assert len(rows) >= 15
    for row in rows:
        noise = gps_noise[row.factor]
        assert noise is not None
        if statistic.interval:
            assert noise.alpha == row.alpha, row
        found = computed(statistic, gps_ns, row.factor, noise)
        assert row.sigma in as_printed(statistic, found), row
        assert found.terms == row.terms, row
        if statistic.interval:
            assert found.low is not None
            assert found.high is not None
            assert seconds(statistic, found.low) == pytest.approx(row.low, rel=INTERVAL_RELATIVE)
            assert seconds(statistic, found.high) == pytest.approx(row.high, rel=INTERVAL_RELATIVE)


@pytest.mark.parametrize("name", ["adev", "oadev", "mdev", "tdev"])
def test_an_ocxo_in_hz_against_a_maser(shared_dir: Path, name: str) -> None:
    folder = shared_dir / "data" / "clocks"
    series = read(folder / "ocxo_vs_hmaser_frequency_hz.txt.gz", nominal_hz=10e6)
    assert series.kind is Kind.FREQUENCY
    frequency = series.pieces[0].values
    # Stable32 was given the readings as a fraction of their mean.
    mean = frequency.mean()
    (phase_ns,) = series.mapped(lambda piece: (piece.values - mean) / (1 + mean)).phase_ns()
    statistic = STATISTICS[name]
    rows = printed(folder / "ocxo_stable32" / f"stable32_{name}_alltau.txt")
    assert len(rows) > 250
    for row in rows:
        found = computed(statistic, phase_ns, row.factor, None)
        assert row.sigma in as_printed(statistic, found), row
        assert found.terms == row.terms, row


def test_the_head_of_the_listing_agrees(shared_dir: Path, gps_ns: Array) -> None:
    path = shared_dir / "data" / "clocks" / "gps_stable32" / "stable32_OADEV_octave.txt"
    values_s, text = gps_ns * 1e-9, path.read_text(encoding="ascii")
    for word, figure in (
        ("Maximum", values_s.max()),
        ("Minimum", values_s.min()),
        ("Average", values_s.mean()),
    ):
        match = re.search(rf"{word} = (\S+)", text)
        assert match is not None
        assert f"{figure:.6e}" == match[1]


def test_noise_of_known_kind_is_named() -> None:
    rng = np.random.default_rng(5)
    white = rng.normal(size=50_000)
    for power, made in ((2, white), (0, np.cumsum(white)), (-2, np.cumsum(np.cumsum(white)))):
        found = identify(made, [1, 8, 64, 512, 4096, 20_000])
        assert {kind.alpha for factor, kind in found.items() if kind and factor <= 512} == {power}
        assert found[20_000] is not None
        assert found[20_000].origin is Origin.SHORTER
    assert identify(np.zeros(1000), [1, 2]) == {1: None, 2: None}
