"""The made series give the figures that were published with them, by the way that a user's file takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.analysis.analysis import Settings, analyse
from appliance.analysis.masks import MASKS, judge
from appliance.analysis.recording import Array
from appliance.analysis.series import Series
from tests.unit.analysis.worlds import phase, read

OTHERS = ("sa53", "ocxo", "csac", "tcxo", "mro50_single_band")
SERIES = ["mro50", *(pytest.param(name, marks=pytest.mark.full) for name in OTHERS)]
CURVES = {"oadev": 1.0, "mdev": 1.0, "ohdev": 1.0, "tdev": 1.0}
RELATIVE = 1e-4


def column(shared_dir: Path, series: str, name: str) -> Series:
    path = shared_dir / "reference" / "clock-data" / f"series_{series}.csv.xz"
    return read(path, column=f"{name}_10ps", rate_hz=1.0)


def golden(shared_dir: Path, series: str) -> dict[str, Any]:
    path = shared_dir / "reference" / "clock-data" / "expected.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["series"][series]
    return found


def agrees(series: Series, wanted: dict[str, Any]) -> None:
    """Every curve, at every tau of the golden values."""
    analysis = analyse(series, Settings(taus=tuple(map(float, wanted["tau_s"]))))
    seen = {round(row.tau_s): row for row in analysis.rows}
    for name in CURVES:
        for tau, value in wanted[name].items():
            found = seen[int(tau)].deviations[name]
            assert found is not None, (name, tau)
            assert found.value == pytest.approx(value, rel=RELATIVE), (name, tau)
    for tau, value in wanted["mtie"].items():
        assert seen[int(tau)].mtie_ns == pytest.approx(value, rel=RELATIVE), ("mtie", tau)


@pytest.mark.parametrize("name", SERIES)
def test_the_golden_values_are_met(shared_dir: Path, name: str) -> None:
    wanted = golden(shared_dir, name)
    truth, pulse, sawtooth = (column(shared_dir, name, each) for each in ("x_true", "z_raw", "qerr"))
    agrees(truth, wanted["golden"]["x_true"])
    raw: Array = pulse.pieces[0].values - truth.pieces[0].values
    agrees(phase(raw), wanted["golden"]["gnss_raw_error"])
    agrees(phase(raw + sawtooth.pieces[0].values), wanted["golden"]["gnss_corrected_error"])

    expected = wanted["mask_pass"]["gnss_raw_error"]
    curves = wanted["golden"]["gnss_raw_error"]
    # Judged at more points, nothing passes that failed at few.
    denser = analyse(
        phase(raw), Settings(taus=(1.0,), masks=tuple(MASKS[name] for name in expected))
    ).verdicts
    for verdict, (mask_name, results) in zip(denser, expected.items(), strict=True):
        at_these = judge(
            MASKS[mask_name],
            max_abs_te_ns=float(np.max(np.abs(raw))),
            mtie_ns={float(tau): value for tau, value in curves["mtie"].items()},
            tdev_ns={float(tau): value for tau, value in curves["tdev"].items()},
        )
        assert [part.passed for part in at_these.parts] == results, mask_name
        assert all(few or not many.passed for few, many in zip(results, verdict.parts, strict=True))
