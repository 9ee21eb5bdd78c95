"""The shared fault files against the discipline, and against the filter alone where there are figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from appliance.snapshot import ClockState
from appliance.timescale.estimator import Estimator
from appliance.timescale.models import GNSS, OSCILLATORS
from tests.scenario.discipline_worlds import errors, loop, names, untrue, violations
from tests.unit.timescale.clock_data import expected, folder, load_series, rms, world_of
from tests.unit.timescale.closed_loop import Row, Second

SETTLED_S = 900


def _play(
    shared_dir: Path, name: str, topology: str, stop_s: int | None = None, skip_s: int = 0
) -> list[Row]:
    whole = load_series(folder(shared_dir) / f"fault_{name}.csv.xz")
    series = {column: values[skip_s:stop_s] for column, values in whole.items()}
    made = world_of(series)
    missing, temperature = np.isnan(series["z_raw"]), series.get("temp")

    def script(second: int, now: Second) -> None:
        if missing[second]:
            now.pulse = now.fix_ok = False
            now.satellites = 0
        if temperature is not None:
            now.temperature_mdegc = round(1_000 * float(temperature[second]))

    # The stamps of topology C carry whole nanoseconds here, so that the file itself is what is tested.
    resolution_ns = 5.0 if topology == "B" else 1.0
    # A calibrated chain announces the best accuracy there is, which must be true all the same.
    played = loop(
        topology,
        "mro50",
        made,
        timestamper_resolution_ns=resolution_ns,
        calibrated=True,
        delay_uncertainty_ns=2.0,
    )
    return played.play(len(made) - 1, script)


def _after(rows: list[Row], shared_dir: Path, name: str) -> tuple[int, float]:
    fault = expected(shared_dir)["faults"][name]
    begin = fault.get("start_s", (fault.get("bad_samples") or [0])[0])
    return begin, float(np.abs(errors(rows)[begin:]).max())


@pytest.mark.parametrize("topology", ["B", "C"])
def test_glitch(shared_dir: Path, topology: str) -> None:
    rows = _play(shared_dir, "glitch", topology)
    _, worst_ns = _after(rows, shared_dir, "glitch")
    assert worst_ns < 5.0
    assert names(rows) == ["free-run", "acquiring", "locked"]
    assert rows[-1].snapshot.counters["samples_rejected"] == 4
    assert violations(rows) == []
    assert untrue(rows) == []


def test_pps_step(shared_dir: Path) -> None:
    rows = _play(shared_dir, "pps_step", "C")
    begin, worst_ns = _after(rows, shared_dir, "pps_step")
    assert worst_ns < 30.0
    assert names(rows[begin - 10 :]) == ["locked", "holdover"]
    assert violations(rows) == []
    assert untrue(rows) == []


@pytest.mark.parametrize("topology", ["B", "C"])
def test_spoof_ramp_is_not_followed(shared_dir: Path, topology: str) -> None:
    """Judged by the reported sigma: two hours of an mRO-50 after an hour of lock are 27 ns."""
    rows = _play(shared_dir, "spoof_ramp", topology)
    begin, worst_ns = _after(rows, shared_dir, "spoof_ramp")
    assert rows[begin - 1].state is ClockState.LOCKED
    assert {row.state for row in rows[begin + 60 :]} == {ClockState.HOLDOVER}
    sigma_ns = rows[-1].snapshot.offset_sigma_ns
    assert sigma_ns is not None
    assert sigma_ns < 35.0
    assert worst_ns < 3.0 * sigma_ns
    assert violations(rows) == []
    assert untrue(rows) == []


@pytest.mark.parametrize(
    ("skip_s", "stop_s"), [(4_800, 9_600), pytest.param(0, None, marks=pytest.mark.full)]
)
def test_a_ramp_below_the_detection_floor_is_followed(
    shared_dir: Path, skip_s: int, stop_s: int | None
) -> None:
    """1e-11: this part may do that by itself. What is announced is true until the ramp has done its work."""
    rows = _play(shared_dir, "slow_ramp", "C", stop_s, skip_s)
    fault = expected(shared_dir)["faults"]["slow_ramp"]
    assert names(rows) == ["free-run", "acquiring", "locked"]
    assert rows[-1].snapshot.counters.get("samples_rejected", 0) == 0
    assert np.abs(errors(rows)[600:]).max() < fault["reference"]["max_abs_error_after_gated_ns"] + 3.0
    assert untrue(rows[: fault["start_s"] - skip_s + 900]) == []


@pytest.mark.parametrize(("name", "limit_ns"), [("pps_step", 30.0), ("spoof_ramp", 30.0), ("glitch", 5.0)])
def test_filter_with_its_gate_alone(shared_dir: Path, name: str, limit_ns: float) -> None:
    """The reference figures: no rejection before the event, the first one when the table says."""
    series = load_series(folder(shared_dir) / f"fault_{name}.csv.xz")
    sample, truth = series["z_raw"] + series["qerr"], series["x_true"]
    fault = expected(shared_dir)["faults"][name]
    begin = fault.get("start_s", (fault.get("bad_samples") or [0])[0])
    estimator = Estimator(
        OSCILLATORS["mro50"],
        GNSS["f9t_dual"],
        phase_ns=float(sample[0]),
        phase_sigma_ns=50.0,
        frequency_sigma_ppb=0.2,
    )
    rejected, worst_ns = [], 0.0
    for k, value in enumerate(sample):
        if k:
            estimator.advance(1, 0.0)
        if not estimator.update(float(value), 0.09).accepted:
            rejected.append(k)
        if k >= begin:
            worst_ns = max(worst_ns, abs(estimator.phase_ns - truth[k]))
    assert rejected[0] - begin == fault["reference"]["first_rejection_after_event_s"]
    assert worst_ns < limit_ns


@pytest.mark.parametrize(("name", "topology"), [("temp_step", "C"), ("temp_step", "B"), ("freq_jump", "C")])
def test_the_oscillators_own_changes_are_ridden_through(shared_dir: Path, name: str, topology: str) -> None:
    rows = _play(shared_dir, name, topology, stop_s=14_400)
    begin, worst_ns = _after(rows, shared_dir, name)
    assert names(rows) == ["free-run", "acquiring", "locked"]
    assert rms(errors(rows)[SETTLED_S:begin]) < 1.5
    assert worst_ns < 10.0
    assert rows[-1].snapshot.counters.get("samples_rejected", 0) == 0
    assert violations(rows) == []
    assert untrue(rows) == []


@pytest.mark.parametrize(
    ("skip_s", "stop_s"),
    [(36_000, 72_000), pytest.param(0, None, marks=pytest.mark.full)],
)
def test_outage_stays_inside_three_sigma_all_the_time(
    shared_dir: Path, skip_s: int, stop_s: int | None
) -> None:
    rows = _play(shared_dir, "outage", "C", stop_s, skip_s)
    fault = expected(shared_dir)["faults"]["outage"]
    begin, end = fault["start_s"] - skip_s, fault["end_s"] - skip_s
    for row in rows[begin:end]:
        snapshot = row.snapshot
        assert snapshot.offset_ns is not None
        assert snapshot.offset_sigma_ns is not None
        assert abs(row.tick_error_ns - snapshot.offset_ns) < 3.0 * snapshot.offset_sigma_ns, row.second
    assert violations(rows) == []
    assert untrue(rows) == []
    for reference in fault["reference_holdover"]:
        if begin + reference["hours"] * 3600 > len(rows):
            continue
        sigma_ns = rows[begin + reference["hours"] * 3600 - 1].snapshot.offset_sigma_ns
        assert sigma_ns == pytest.approx(reference["predicted_sigma_ns"], rel=0.1)
    if stop_s is None:
        assert rows[-1].state is ClockState.LOCKED
        assert np.abs(errors(rows)[-3_600:]).max() < 6.0
