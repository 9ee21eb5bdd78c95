"""The report of a fast run counts what happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from appliance.simulation_report import Recorder, Row, plot
from appliance.snapshot import ClockSnapshot, ClockState

S = ClockState
SNAPSHOT = cast(ClockSnapshot, SimpleNamespace(reasons=("because",), tai_minus_utc_s=None))


def recorder(rows: list[tuple[ClockState, float, float | None]]) -> Recorder:
    made = Recorder()
    for t, (state, error_ns, bound_ns) in enumerate(rows):
        made.add(
            Row(
                t_s=float(t),
                state=state,
                clock_class=6,
                error_ns=error_ns,
                bound_ns=bound_ns,
                steering_ppb=0.0,
                gnss_error_ns=1.0,
                free_oscillator_ns=0.0,
            ),
            SNAPSHOT,
        )
    return made


def test_a_violated_bound_is_counted() -> None:
    summary = recorder(
        [(S.FREE_RUN, 1e9, None), (S.LOCKED, 10.0, 50.0), (S.LOCKED, -51.0, 50.0), (S.HOLDOVER, 60.0, 60.0)]
    ).summary(2.0)
    assert summary["bound"] == {
        "claimed_s": 3,
        "violations": 1,
        "max_locked_ns": 50.0,
        "max_error_over_bound": pytest.approx(1.02),
    }
    assert summary["locked_after_s"] == 1.0
    assert summary["speed"] == 2.0
    assert [i["state"] for i in summary["states"]] == ["free-run", "locked", "holdover"]
    assert summary["holdovers"] == [
        {"from_s": 3.0, "max_error_ns": 60.0, "final_bound_ns": 60.0, "to_s": 3.0}
    ]


def test_lost_readiness_is_counted() -> None:
    made = recorder([(S.LOCKED, 1.0, 50.0)] * 6)
    assert made.summary(1.0)["holdover_ready"] == {"after_s": None, "lost_s": 0, "losses": 0}
    for t in (1, 2, 4):
        made.rows[t] = replace(made.rows[t], ready=True)
    assert made.summary(1.0)["holdover_ready"] == {"after_s": 1.0, "lost_s": 2, "losses": 2}


def test_a_run_that_never_locked_says_so() -> None:
    summary = recorder([(S.FREE_RUN, 1.0, None)] * 3).summary(1.0)
    assert summary["locked_after_s"] is None
    assert summary["locked"]["std_ns"] is None
    assert summary["bound"]["max_locked_ns"] is None


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    made = recorder([(S.ACQUIRING, 5.0, None)] * 5 + [(S.LOCKED, 1.0, 60.0)] * 20)
    plot(tmp_path / "run.png", made, "a title")
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
