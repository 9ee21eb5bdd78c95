"""time-appliance: what it prints, what it returns, and that no mistake ends in a traceback."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from api.cli_status import print_holdover
from api.main import app
from api.views import status as status_view
from appliance.config import Config
from appliance.core_report import CoreReport
from appliance.leap.decision import LeapJudgement
from appliance.run_options import RunOptions
from appliance.snapshot import ClockState
from tests.api.conftest import NOW_NS, TAI_NS
from tests.api.publishing import Publishing

FIVE_S = 5_000_000_000


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def complaint(result: Result) -> str:
    """The one line on standard error."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code != 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("time-appliance: ")
    return line


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({}, 0, "serve"),
        ({"state": ClockState.HOLDOVER}, 1, "degraded"),
        ({"state": ClockState.FREE_RUN, "bound_ns": None, "bound_wide_ns": None}, 2, "do_not_serve"),
    ],
)
def test_status_shows_the_verdict_and_returns_it(
    tmp_path: Path, published: Publishing, changes: dict[str, Any], status: int, word: str
) -> None:
    published.changes = changes
    result = invoke("status", "--runtime-dir", tmp_path)
    assert result.exit_code == status
    assert word in result.stdout
    for part in ("SA53", "ZED-F9T", "0001c0112233", "319/320"):
        assert part in result.stdout
    assert "the API is not running" in result.stderr and "asked core directly" in result.stderr


def test_status_as_json_is_the_resource(tmp_path: Path, published: Publishing) -> None:
    result = invoke("status", "--runtime-dir", tmp_path, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["health"]["verdict"] == "serve"
    assert document["clock"]["as_of_tai_ns"] == "1795310242000000123"


def test_holdover_shows_the_forecast(tmp_path: Path, published: Publishing) -> None:
    result = invoke("holdover", "--runtime-dir", tmp_path)
    assert result.exit_code == 0
    for part in ("ready", "250 ns", "11 h 6 min", "frequency jumps above 0.05 ppb"):
        assert part in result.stdout
    document = json.loads(invoke("holdover", "--runtime-dir", tmp_path, "--json").stdout)
    assert document["limits"][0]["limit_ns"] == 250.0


@pytest.mark.parametrize(
    ("offset_s", "valid", "shown"),
    [(37, True, "2026-11-22 01:16:45 UTC"), (38, True, "01:16:44 UTC"), (37, False, "01:17:22 TAI")],
)
def test_the_beginning_of_holdover_is_shown_by_the_difference_that_is_reported(
    report_of: Callable[..., CoreReport], offset_s: int, valid: bool, shown: str
) -> None:
    leap = LeapJudgement(tai_minus_utc_s=offset_s, valid=valid, coming=None, why="test")
    report = report_of(leap=leap, leap_tai_s=TAI_NS // 10**9, holdover_since_mono_ns=NOW_NS)
    console = Console(file=io.StringIO(), width=100)
    print_holdover(status_view(report, NOW_NS), console)
    assert shown in console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO from above


@pytest.mark.parametrize("command", ["status", "holdover"])
def test_a_stalled_core_is_not_served(tmp_path: Path, published: Publishing, command: str) -> None:
    published.age_ns = 65_000_000_000
    result = invoke(command, "--runtime-dir", tmp_path)
    assert result.exit_code == 2
    assert "do not serve: core's report expired 60" in complaint(result)


@pytest.mark.parametrize("command", ["status", "holdover"])
def test_nobody_there_is_told_in_one_line(tmp_path: Path, command: str) -> None:
    result = invoke(command, "--runtime-dir", tmp_path)
    assert result.exit_code == 3
    assert "the API is not running" in complaint(result)
    assert "core is not running" in complaint(result)
    as_json = invoke(command, "--runtime-dir", tmp_path, "--json")
    assert as_json.exit_code == 3
    assert json.loads(as_json.stdout)["verdict"] == "do_not_serve"


def test_an_unusable_configuration_does_not_look_like_a_verdict(tmp_path: Path) -> None:
    result = invoke("status", "--config", tmp_path / "none.toml")
    assert result.exit_code == 3
    assert "no such file" in complaint(result)


def test_check_config_tells_all_errors(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text("[timescale]\nlock_limt_ns = 1\n[ptp]\ndomain = 999\n", encoding="utf-8")
    result = invoke("check-config", "--config", file)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 2
    document = json.loads(invoke("check-config", "--config", file, "--json").stdout)
    assert document["ok"] is False and len(document["errors"]) == 2


def test_check_config_accepts_and_notes_the_uncalibrated_antenna(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text("[ptp]\ndomain = 4\n", encoding="utf-8")
    result = invoke("check-config", "--config", file)
    assert result.exit_code == 0
    assert f"configuration is valid ({file})" in result.stdout
    assert "50 ns of bias" in result.stdout


WRONG = {
    "unknown command": (["stat"], "No such command 'stat'"),
    "unknown option": (["status", "--bogus"], "No such option: --bogus"),
    "missing argument": (["sptp"], "Missing argument"),
    "one port": (["core", "--ports", "319"], "'319' is no pair of UDP ports; write for example 10319,10320"),
    "ports out of range": (["run", "--ports", "319,99999"], "is no pair of UDP ports"),
    "equal ports": (["run", "--ports", "319,319"], "need two different ports"),
    "api port out of range": (["api", "--api-port", "0"], "--api-port"),
    "no duration": (["run", "--duration", "soon"], "'soon' is no duration; write for example 90s"),
    "zero duration": (["run", "--duration", "0s"], "is no duration"),
    "fast without an emulated card": (["run", "--fast"], "add --virtual"),
    "faults without an emulated card": (["run", "--faults", "/dev/null"], "add --virtual"),
    "report of a live run": (["run", "--virtual", "--report", "/tmp/x"], "add --virtual --fast"),
    "missing series": (["run", "--virtual", "--oscillator", "/none"], "--oscillator /none: No such file"),
    "report into nowhere": (["run", "--virtual", "--fast", "--report", "/none/x"], "there is no directory"),
    "count of zero": (["sptp", "127.0.0.1", "--count", "0"], "--count"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_command_line_is_one_line_and_64(name: str) -> None:
    arguments, expected = WRONG[name]
    result = invoke(*arguments)
    assert expected in complaint(result)
    assert result.exit_code == 64
    assert "--help`" in result.stderr


def test_a_wrong_log_level_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIME_APPLIANCE_LOG", "loud")
    assert "is no log level; use DEBUG" in complaint(invoke("core"))


@pytest.mark.parametrize("command", ["run", "core", "api"])
def test_a_wrong_configuration_stops_before_anything_starts(tmp_path: Path, command: str) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text("[ptp]\nports = 319\n", encoding="utf-8")
    result = invoke(command, "--config", file)
    assert result.exit_code == 1
    assert "ptp.ports: got 319, expected a list of 2" in complaint(result)


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = invoke("api", "--runtime-dir", tmp_path, "--api-port", str(port))
    assert result.exit_code == 1
    assert f"TCP port {port} of 127.0.0.1 is in use by another program" in complaint(result)


def test_a_disabled_api_does_not_run(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text("[api]\nenable = false\n", encoding="utf-8")
    assert "set api.enable = true" in complaint(invoke("api", "--config", file))


def test_an_sptp_server_that_is_not_there_is_one_line() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    result = invoke("sptp", "127.0.0.1", "--ports", f"{port},{port - 1}", "--count", "1")
    assert result.exit_code == 1
    assert "no SPTP measurement of 127.0.0.1" in complaint(result)


def stand_in(monkeypatch: pytest.MonkeyPatch, module: str, name: str, status: int) -> list[Any]:
    """Replace a module whose program would run for ever; returns what it is called with."""
    seen: list[Any] = []

    def called(argument: Any) -> int:
        seen.append(argument)
        return status

    replacement = types.ModuleType(module)
    setattr(replacement, name, called)
    monkeypatch.setitem(sys.modules, module, replacement)
    return seen


def test_core_gets_the_configuration_and_its_status_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = stand_in(monkeypatch, "appliance.daemon", "main", 7)
    result = invoke(
        "core",
        "--runtime-dir",
        tmp_path,
        "--ports",
        "10319,10320",
        "--vfio-user",
        tmp_path / "c.sock",
        "--cold",
    )
    assert result.exit_code == 7
    (config,) = seen
    assert isinstance(config, Config)
    assert config.ptp.ports == (10319, 10320)
    assert config.card.vfio_user == tmp_path / "c.sock"
    assert config.timescale.resume is False


def test_run_gets_every_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = stand_in(monkeypatch, "appliance.supervisor", "run", 0)
    series = tmp_path / "series.csv"
    series.touch()
    result = invoke(
        "run", "--virtual", "--fast", "--duration", "2h", "--oscillator", series, "--gnss-phase", series,
        "--faults", series, "--seed", "5", "--report", tmp_path / "r.json", "--plot", tmp_path / "p.png",
        "--state-dir", tmp_path, "--api-port", "9000", "--cold", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    (options,) = seen
    assert isinstance(options, RunOptions)
    assert (options.virtual, options.fast, options.duration_s, options.seed) == (True, True, 7200.0, 5)
    assert options.oscillator == options.gnss_phase == options.faults == series
    assert (options.report, options.plot) == (tmp_path / "r.json", tmp_path / "p.png")
    assert (options.overrides.api_port, options.overrides.cold, options.json) == (9000, True, True)


def test_sptp_hands_its_options_on_and_prints_the_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Report:
        def summary(self) -> dict[str, Any]:
            return {"exchanges": 3, "offset_ns": {"median": -12.5}}

    def measure(server: str, **options: Any) -> Report:
        seen.update(options, server=server)
        return Report()

    replacement = types.ModuleType("appliance.ptp.sptp")
    replacement.measure = measure  # type: ignore[attr-defined]  # a module made for the test
    monkeypatch.setitem(sys.modules, "appliance.ptp.sptp", replacement)
    result = invoke(
        "sptp",
        "::1",
        "--count",
        "3",
        "--interval",
        "0.5",
        "--ports",
        "10319,10320",
        "--mode",
        "standard",
        "--json",
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["offset_ns"]["median"] == -12.5
    assert seen == {
        "server": "::1",
        "count": 3,
        "interval_s": 0.5,
        "ports": (10319, 10320),
        "mode": "standard",
        "timeout_s": 0.1,
        "domain": 0,
    }


def test_without_a_command_the_help_is_shown() -> None:
    result = invoke()
    assert result.exit_code == 64
    assert "check-config" in result.stdout


def test_help_and_version_are_no_errors() -> None:
    assert invoke("--help").exit_code == 0
    assert invoke("run", "--help").exit_code == 0
    assert invoke("--version").stdout.strip()


def test_the_sockets_directory_is_the_users_own_and_then_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    from api.client import runtime_directories

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    own, system = Path("/run/user/1000/time-appliance"), Path("/run/time-appliance")
    assert runtime_directories(Config()) == (own, system)
    assert runtime_directories(Config.model_validate({"paths": {"runtime": "/run/x"}})) == (Path("/run/x"),)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert runtime_directories(Config()) == (system,)
