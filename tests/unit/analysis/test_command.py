"""time-appliance analyse: what it prints and returns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.main import app
from appliance.simulation_report import Row, write_series
from appliance.snapshot import ClockState
from tests.unit.analysis.worlds import noise, written

QUIET = "x_ns\n" + "".join(f"{value:.4f}\n" for value in noise(600, 1, 0.1))
LOUD = "x_ns\n" + "".join(f"{value:.4f}\n" for value in noise(600, 1, 30.0))


def invoke(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["analyse", *map(str, arguments)], input=stdin)


def complaint(result: Result) -> str:
    assert isinstance(result.exception, SystemExit), result.exception
    (line,) = result.stderr.splitlines()
    assert line.startswith("time-appliance: ")
    return line


def test_the_exit_status_is_the_verdict(tmp_path: Path) -> None:
    quiet, loud = written(tmp_path, QUIET, "quiet.csv"), written(tmp_path, LOUD, "loud.csv")
    assert invoke(loud).exit_code == 0
    passed = invoke(quiet, "--mask", "PRTC-A", "--mask", "eprtc")
    assert (passed.exit_code, passed.stderr) == (0, "")
    assert "ePRTC (ITU-T G.8272.1; figures of one public source): pass" in passed.stdout
    failed = invoke(loud, "--mask", "PRTC-A", "--json")
    assert failed.exit_code == 1
    document = json.loads(failed.stdout)
    assert document["passed"] is False
    assert document["masks"][0]["mask"] == "PRTC-A"


def test_standard_input_and_every_option(tmp_path: Path) -> None:
    rows = "".join(f"{10 * k};{1e7 * (1 + 1e-9 * y):.9f}\n" for k, y in enumerate(noise(300)))
    result = invoke(
        "-", "--data", "frequency", "--unit", "Hz", "--nominal", "1e7", "--tau", "10,20,50", "--gaps", "pool",
        "--statistics", "adev,hdev,totdev", "--detrend", "drift", "--remove-outliers", "--skip-bad",
        "--confidence", "0.95", "--column", "2", "--time-column", "1", "--time-unit", "s", "--json",
        "--from", "1m", "--to", "49m",
        stdin=rows,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["name"] == "standard input"
    assert (document["kind"], document["interval_s"], document["confidence"]) == ("frequency", 10.0, 0.95)
    assert document["samples"] == (49 * 60 - 60) // 10 + 1
    assert [row["tau_s"] for row in document["stability"]] == [10, 20, 50]
    assert set(document["stability"][0]) == {
        "tau_s", "quotable", "noise", "adev", "hdev", "totdev", "mtie_ns",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["none.txt"], 2, "none.txt: No such file"),
        (["x.csv", "--unit", "furlong"], 2, "'furlong' is no unit"),
        (
            ["x.csv", "--data", "frequency"],
            2,
            "--data frequency does not go with unit ns (name of the column)",
        ),
        (["x.csv", "--plot", "x.gif"], 2, "a picture ends in .png"),
        (["x.csv", "--plot", "no/x.png"], 64, "there is no directory"),
        (["x.csv", "--tau", "sometimes"], 64, "--tau sometimes: write octave, decade, many"),
        (["x.csv", "--tau", "1,nan"], 64, "--tau 1,nan"),
        (["x.csv", "--tau", "0.5"], 2, "tau = 0.5 s is no multiple"),
        (["x.csv", "--mask", "PRTC-C"], 64, "--mask PRTC-C: there is PRTC-A, PRTC-B, ePRTC, PRC"),
        (["x.csv", "--statistics", "sdev"], 64, "--statistics sdev: there is oadev"),
        (["x.csv", "--rate", "-1"], 64, "--rate"),
        (["x.csv", "--detrend", "all"], 64, "--detrend"),
        ([], 64, "FILE"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, QUIET, "x.csv")
    result = invoke(*arguments)
    assert result.exit_code == status
    assert told in complaint(result)


def test_a_mask_that_cannot_be_tested_is_no_pass(tmp_path: Path) -> None:
    slow = "".join(f"{k * 1e8:.0f},{k % 2}e-9\n" for k in range(9))
    result = invoke(written(tmp_path, slow), "--data", "phase", "--mask", "PRC")
    assert result.exit_code == 2
    assert "too short to test a mask" in complaint(result)


def test_a_picture_is_made_and_titled_by_the_file(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = invoke(written(tmp_path, QUIET, "quiet.csv"), "--plot", tmp_path / "q.svg")
    assert result.exit_code == 0, result.stderr
    assert "quiet.csv, x_ns" in (tmp_path / "q.svg").read_text(encoding="utf-8")


def test_the_seconds_of_a_run_can_be_analysed(tmp_path: Path) -> None:
    rows = [
        Row(
            t_s=k + 0.5,
            state=ClockState.LOCKED,
            clock_class=6,
            error_ns=float(x),
            bound_ns=None if k < 3 else 50.0,
            steering_ppb=0.0,
            gnss_error_ns=None,
            free_oscillator_ns=0.0,
        )
        for k, x in enumerate(noise(200))
    ]
    write_series(tmp_path / "run.csv", rows)
    result = invoke(tmp_path / "run.csv", "--column", "error_ns", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["samples"], document["interval_s"], document["gaps"]) == (200, 1.0, [])
    assert document["time_error"]["std_ns"] == pytest.approx(noise(200).std(), abs=1e-3)


def test_a_recording_of_a_receiver_can_be_analysed(tmp_path: Path) -> None:
    row = '{{"tai_ns": "{}000000000", "qerr_ns": {}, "pulse_locked": true, "time_accuracy_ns": null}}\n'
    rows = "".join(row.format(1_700_000_000 + k, x) for k, x in enumerate(noise(64)))
    early = '{"tai_ns": null, "qerr_ns": 1.0, "pulse_locked": true, "time_accuracy_ns": null}\n'
    path = written(tmp_path, early + rows)
    assert "which column? choose with --column: qerr_ns, time_accuracy_ns" in complaint(invoke(path))
    result = invoke(path, "--column", "qerr_ns")
    assert result.exit_code == 0, result.stderr
    assert "left out, without a time: 1" in result.stdout
    assert "64 samples at 1 Hz" in result.stdout


def test_other_commands_do_not_wait_for_it() -> None:
    heavy = "{'allantools', 'scipy', 'matplotlib', 'appliance.analysis.analysis'} & sys.modules.keys()"
    program = f"import sys, api.main; sys.exit(str({heavy}) if {heavy} else 0)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
