"""The emulator as a process: ready line, control requests, world, signals, sockets left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from timecard.card import card_on_bus
from timecard.emulator.control import control_path, request
from timecard.emulator.faults import FaultError
from timecard.emulator.main import serve
from timecard.errors import DeviceLostError
from timecard.pcie.vfio_user import VfioUserBus
from timecard.timebase import HostTimebase

S = 1_000_000_000
COMMAND = (sys.executable, "-m", "timecard.cli", "emulate")
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "card.sock"


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Start an emulator at ``path`` and wait for its ready line."""
    running: list[subprocess.Popen[str]] = []

    def run(*options: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, "--vfio-user", str(path), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == f"ready vfio-user={path} control={path}.ctl\n", _rest(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def _rest(process: subprocess.Popen[str]) -> str:
    process.kill()
    return "".join(process.communicate())


def ask(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--vfio-user", str(path), *options],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def truth(path: Path) -> dict[str, Any]:
    return request(path, {"do": "truth"})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_removes_the_sockets(start: Start, path: Path, number: signal.Signals) -> None:
    process = start()
    assert path.is_socket()
    assert control_path(path).is_socket()
    bus = VfioUserBus(path)
    process.send_signal(number)
    assert process.wait(timeout=20) == 0
    assert not path.exists()
    assert not control_path(path).exists()
    with pytest.raises(DeviceLostError):
        bus.read32(0x0100_000C)
    bus.close()


def test_true_time_is_the_hosts_with_the_scripted_offset(start: Start, path: Path) -> None:
    start("--world-offset-ns", "3000000", "--world-rate-ppb", "50000")
    before = time.clock_gettime_ns(time.CLOCK_REALTIME)
    first = truth(path)
    after = time.clock_gettime_ns(time.CLOCK_REALTIME)
    assert before <= first["host_realtime_ns"] <= after
    assert first["true_tai_ns"] - first["host_realtime_ns"] == 37 * S - first["host_offset_ns"]
    assert first["host_offset_ns"] <= -3_000_000
    time.sleep(0.3)
    second = truth(path)
    elapsed = second["mono_raw_ns"] - first["mono_raw_ns"]
    grown = first["host_offset_ns"] - second["host_offset_ns"]
    assert grown == pytest.approx(elapsed * 50_000e-9, abs=2)
    assert request(path, {"do": "set-world", "offset_ns": 3_100_000, "rate_ppb": 0})["slews_for_s"] > 0
    with pytest.raises(FaultError, match="start the emulator with this offset"):
        request(path, {"do": "set-world", "offset_ns": 5 * S})


def test_the_card_goes_by_true_time_and_not_by_the_hosts(start: Start, path: Path) -> None:
    start("--world-offset-ns", "250000000", "--mac", "none")
    card = card_on_bus(VfioUserBus(path), HostTimebase())
    try:
        deadline = time.monotonic() + 20
        while abs(truth(path)["card_error_ns"]) > 50e6 and time.monotonic() < deadline:
            time.sleep(0.2)
        # The time of day came from the receiver. Stop the servo, which is still pulling the rest in.
        card.clock.select_source("REGS")
        time.sleep(0.7)
        cross = card.clock.cross_timestamp()
        host_tai_ns = time.clock_gettime_ns(time.CLOCK_REALTIME) + 37 * S
        host_tai_ns -= HostTimebase().mono_ns() - cross.mono_raw_ns
        error_ns = cross.card_tai_ns - host_tai_ns - 250_000_000
        assert abs(error_ns) < 100e6
        assert error_ns == pytest.approx(truth(path)["card_error_ns"], abs=1e6)
    finally:
        card.close()


def test_cross_timestamps_agree_with_the_truth(start: Start, path: Path) -> None:
    start("--seed", "3")
    card = card_on_bus(VfioUserBus(path), HostTimebase())
    try:
        card.clock.select_source("REGS")
        for _ in range(5):
            cross = card.clock.cross_timestamp()
            now = truth(path)
            elapsed_ns = now["mono_raw_ns"] - cross.mono_raw_ns
            predicted_ns = cross.card_tai_ns + elapsed_ns
            # The host's clock may be slewed against CLOCK_MONOTONIC_RAW, and true time follows it.
            tolerance_ns = cross.half_width_ns + 2_000 + elapsed_ns * 600e-6
            assert abs(predicted_ns - now["card_tai_ns"]) < tolerance_ns
    finally:
        card.close()


def test_inject_and_truth_by_command_line(start: Start, path: Path) -> None:
    start()
    done = ask(path, "--inject", "jam,seconds=60,drop_db=25", "--inject", "pps-stop", "--status")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout.splitlines()[-1])
    assert status["faults"] == {"jam": {"drop_db": 25}, "pps-stop": {}}
    assert json.loads(ask(path, "--clear", "jam").stdout) == {"faults": {"pps-stop": {}}}
    assert json.loads(ask(path, "--clear").stdout) == {"faults": {}}
    shown = json.loads(ask(path, "--truth").stdout)
    assert {"true_tai_ns", "card_tai_ns", "card_error_ns", "host_realtime_ns"} <= set(shown)


def test_a_fault_ends_by_itself_in_a_live_card(start: Start, path: Path) -> None:
    start()
    bus = VfioUserBus(path)
    try:
        request(path, {"do": "inject", "fault": "dead-card", "seconds": 0.5})
        assert bus.read32(0x0100_000C) == 0xFFFF_FFFF
        deadline = time.monotonic() + 5
        while bus.read32(0x0100_000C) == 0xFFFF_FFFF and time.monotonic() < deadline:
            time.sleep(0.05)
        assert bus.read32(0x0100_000C) == 0x0102_0000
        assert request(path, {"do": "status"})["faults"] == {}
    finally:
        bus.close()


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"do": "dance"}, "do='dance': must be one of truth, status, inject, clear, set-world"),
        ({}, "do: is missing"),
        ({"do": "inject"}, "fault: is missing"),
        ({"do": "inject", "fault": "jam", "drop_db": [1]}, "drop_db: must be a number"),
        ({"do": "clear", "name": "jam"}, "'name': unknown"),
        ({"do": "set-world", "offset_ns": 1.5}, "offset_ns: must be a whole number"),
        ({"do": "set-world", "rate_ppb": "fast"}, "rate_ppb: must be a number"),
        ({"do": "set-world", "rate_ppb": 1e300}, "rate_ppb=1e+300: must be between"),
    ],
)
def test_bad_requests_leave_the_emulator_running(
    running_card: Path, message: dict[str, Any], error: str
) -> None:
    with pytest.raises(FaultError) as refused:
        request(running_card, message)
    assert error in str(refused.value)
    assert request(running_card, {"do": "status"})["faults"] == {}


@pytest.fixture(scope="module")
def running_card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One emulator for the tests that only ask."""
    path = tmp_path_factory.mktemp("emulator") / "card.sock"
    process = subprocess.Popen([*COMMAND, "--vfio-user", str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready ")
    yield path
    process.terminate()
    process.communicate(timeout=5)


def test_a_second_emulator_at_the_same_path_is_refused(running_card: Path) -> None:
    done = ask(running_card)
    assert done.returncode == 1
    assert "another process serves this socket" in done.stderr
    assert done.stderr.count("\n") == 1
    assert request(running_card, {"do": "status"})["faults"] == {}


def test_sockets_of_a_killed_emulator_are_replaced(start: Start, path: Path) -> None:
    process = start()
    process.kill()
    process.wait(timeout=5)
    assert path.is_socket()
    start()
    assert request(path, {"do": "status"})["board"] == "fb"


def test_a_series_that_ends_ends_the_emulator(start: Start, path: Path, tmp_path: Path) -> None:
    series = tmp_path / "phase.txt"
    series.write_text("1e-9\n1e-9\n", encoding="utf-8")
    process = start("--gnss-phase", str(series), "--end-series")
    assert process.wait(timeout=10) == 0
    assert process.stderr is not None
    assert process.stderr.read() == "timecard emulate: the recorded series has ended\n"
    assert not path.exists()


def test_a_schedule_runs_in_a_live_card(start: Start, path: Path, tmp_path: Path) -> None:
    schedule = tmp_path / "faults.toml"
    schedule.write_text('[[fault]]\nat_s = 0.3\nfault = "pps-stop"\n', encoding="utf-8")
    start("--faults", str(schedule))
    deadline = time.monotonic() + 5
    while not request(path, {"do": "status"})["faults"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert request(path, {"do": "status"})["faults"] == {"pps-stop": {}}


@pytest.mark.parametrize(
    ("options", "status", "error"),
    [
        (["--board", "moon"], 2, "board='moon': must be one of fb, litepcie, celestica, art, adva, adva-x1"),
        (["--seed", "many"], 2, "argument --seed: invalid int value: 'many'"),
        (["--oscillator", "maser"], 2, "oscillator='maser': neither a model"),
        (["--frobnicate"], 2, "unrecognized arguments: --frobnicate"),
        (["--truth", "--seed", "3"], 2, "--seed belongs to the start of an emulator"),
        (["--inject", "jam,loud"], 2, "--inject: 'loud' is not KEY=VALUE"),
        (["--inject", "jam,drop_db=loud"], 2, "drop_db='loud': must be a number"),
        (["--gnss-phase", "/nowhere/phase.txt"], 1, "/nowhere/phase.txt: cannot read: No such file"),
        (["--faults", "/nowhere/faults.toml"], 1, "/nowhere/faults.toml: cannot read: No such file"),
        (["--truth"], 1, "card.sock.ctl: no emulator answers there"),
    ],
)
def test_errors_are_one_line_that_names_the_cause(
    path: Path, capsys: pytest.CaptureFixture[str], options: list[str], status: int, error: str
) -> None:
    assert serve(["--vfio-user", str(path), *options]) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("timecard emulate: ")
    assert error in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("precious", "there is a file that is no socket"),
        ("absent/card.sock", "No such file"),
        ("x" * 150, "AF_UNIX path too long"),
    ],
)
def test_a_path_that_cannot_be_bound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, error: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data", encoding="utf-8")
    assert serve(["--vfio-user", str(tmp_path / name)]) == 1
    shown = capsys.readouterr()
    assert error in shown.err
    assert shown.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [precious]
    assert precious.read_text(encoding="utf-8") == "data"
