"""One command starts the appliance; it locks, survives what may die, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.bound.layout import PAGE_NAME, Refusal
from appliance.bound.reader import Bound, BoundReader, BoundRefusedError
from appliance.ptp.sptp import measure
from tests.e2e.conftest import Appliance, program

Start = Callable[..., Appliance]

LOCK_S = 120
LATE = 2
"""Of 50 or 150 exchanges: answers that a busy machine did not hand over within the client's second."""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.timeout(400)
def test_it_locks_survives_its_own_processes_and_ends_clean(start: Start) -> None:
    appliance = start()
    appliance.wait_line("serving", 30)
    children = appliance.children()
    assert set(children) == {"emulate", "core", "api"}
    appliance.control(do="set-world", offset_ns=3_700_000)

    assert appliance.wait_for(lambda: appliance.state() == "locked", LOCK_S), "\n".join(appliance.lines)
    health = appliance.get("health")
    assert health.status_code == 200
    body = health.json()
    assert body["verdict"] == "serve"
    assert body["clock_class"] == 6
    assert body["bound"]["card_ns"] <= 100
    truth = appliance.control(do="truth")
    assert abs(truth["card_error_ns"]) <= body["bound"]["card_ns"]
    programs_are_told_the_truth(appliance)

    report = measure("127.0.0.1", count=50, interval_s=0.02, ports=appliance.ports)
    assert report.lost <= LATE

    # kill -9 of api: not one packet is missed
    os.kill(children["api"], signal.SIGKILL)
    report = measure("127.0.0.1", count=150, interval_s=0.02, ports=appliance.ports)
    assert report.lost <= LATE
    assert appliance.wait_for(lambda: appliance.state() is not None, 30), "api is started again"

    # kill -9 of core: the card lives on, the record is valid, the clock resumes in holdover
    os.kill(children["core"], signal.SIGKILL)
    appliance.wait_line("core ended", 10)
    resumed = appliance.wait_for(lambda: appliance.state() in ("holdover", "recovering"), 30)
    assert resumed, "\n".join(appliance.lines)
    health = appliance.get("health").json()
    assert health["clock_class"] in (6, 7)
    assert abs(appliance.control(do="truth")["card_error_ns"]) <= health["bound"]["card_ns"]
    an_operator_holds_and_lets_go(appliance)
    assert appliance.wait_for(lambda: appliance.state() == "locked", 180), "\n".join(appliance.lines)

    pids = list(appliance.children().values())
    appliance.stop()
    assert appliance.process.returncode == 0
    assert not [pid for pid in pids if alive(pid)]
    assert not list(appliance.runtime.glob("*.sock*"))
    with pytest.raises(BoundRefusedError) as refused:
        BoundReader(appliance.runtime / PAGE_NAME).now()
    assert refused.value.refusal is Refusal.ENDED


def an_operator_holds_and_lets_go(appliance: Appliance) -> None:
    """By the command; what it says it has seen in core's report."""

    def done(word: str) -> bool:
        command = program("api.main", "holdover", word, "--runtime-dir", str(appliance.runtime))
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0

    assert appliance.wait_for(lambda: done("enter"), 60)
    assert appliance.wait_for(lambda: appliance.state() == "holdover", 30)
    assert appliance.wait_for(lambda: done("leave"), 60)


def programs_are_told_the_truth(appliance: Appliance) -> None:
    """True TAI, which the emulator alone knows, lies in what any program reads; so says the command."""
    reader, inside, rounds = BoundReader(appliance.runtime / PAGE_NAME), 0, 50

    def read() -> tuple[Bound, dict[str, Any], Bound] | None:
        try:
            return reader.now(wide=True), appliance.control(do="truth"), reader.now(wide=True)
        except BoundRefusedError:
            return None  # on a busy machine a page may expire before the next one comes

    def shown() -> bool:
        command = program("api.main", "bound", "--runtime-dir", str(appliance.runtime))
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode == 0 and "locked, class 6" in done.stdout

    for _ in range(rounds):
        found = appliance.wait_for(read, 60)
        assert found, "no bound within a minute"
        before, truth, after = found
        share = (truth["mono_raw_ns"] - before.raw_ns) / (after.raw_ns - before.raw_ns)
        inside += between(before, after, share, truth["true_tai_ns"])
        assert before.width_ns < 100_000
    # The host may be interrupted between the two clocks that the emulated world is made of.
    assert inside >= 0.9 * rounds
    assert appliance.wait_for(shown, 60)


def between(before: Bound, after: Bound, share: float, tai_ns: int) -> bool:
    """Whether an instant lies in the interval that two others enclose, ``share`` of the way."""
    assert 0 <= share <= 1
    earliest_ns = before.earliest_tai_ns + round(share * (after.earliest_tai_ns - before.earliest_tai_ns))
    latest_ns = before.latest_tai_ns + round(share * (after.latest_tai_ns - before.latest_tai_ns))
    return earliest_ns <= tai_ns <= latest_ns


def test_a_second_appliance_in_the_same_place_is_refused(start: Start) -> None:
    first = start()
    first.wait_line("serving", 30)
    second = start(runtime=first.runtime)
    second.wait_line("already runs here", 10)
    assert second.process.wait(10) == 1
    assert first.state() is not None, "the first one is not disturbed"


def test_a_dying_emulator_ends_the_run_with_one_line(start: Start) -> None:
    appliance = start()
    appliance.wait_line("serving", 30)
    os.kill(appliance.children()["emulate"], signal.SIGKILL)
    appliance.wait_line("virtual card ended", 10)
    assert appliance.process.wait(10) == 1
    assert not list(appliance.runtime.glob("core.sock"))
    assert not any("Traceback" in line for line in appliance.lines)


def test_a_ptp_port_in_use_is_one_clear_line(start: Start) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        port = taken.getsockname()[1]
        appliance = start("--ports", f"{port},{port + 1 if port < 65535 else port - 1}")
        assert appliance.wait_for(lambda: appliance.process.poll() is not None, 30)
    assert appliance.process.returncode == 1
    text = "\n".join(appliance.lines)
    assert str(port) in text and "in use" in text
    assert "Traceback" not in text
    assert not list(appliance.runtime.glob("*.sock*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up the right to low ports")
def test_no_right_to_an_explicit_port_319_says_how_to_get_it(tmp_path: Path) -> None:
    config = tmp_path / "appliance.toml"
    config.write_text('[ptp]\nports = [319, 320]\n[paths]\nruntime = "/tmp/none"\n')
    tmp_path.chmod(0o755)
    command = program(
        "api.main", "run", "--virtual", "--config", str(config), "--runtime-dir", str(tmp_path / "r")
    )
    result = subprocess.run(
        ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    text = result.stdout + result.stderr
    assert result.returncode == 1
    assert "319" in text and "CAP_NET_BIND_SERVICE" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--config", "/nonexistent/appliance.toml"), ["/nonexistent/appliance.toml"]),
        (("--gnss-phase", "/nonexistent/phase"), ["/nonexistent/phase"]),
        (("--faults", "/nonexistent/faults"), ["/nonexistent/faults"]),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, arguments: tuple[str, ...], words: list[str]) -> None:
    started = time.monotonic()
    result = subprocess.run(
        program("api.main", "run", "--virtual", "--runtime-dir", str(tmp_path), *arguments),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode != 0
    assert time.monotonic() - started < 20
    text = result.stdout + result.stderr
    assert all(word in text for word in words)
    assert "Traceback" not in text


@pytest.mark.full
@pytest.mark.timeout(200)
def test_recorded_input_drives_it_live(start: Start, shared_dir: Path) -> None:
    data = shared_dir / "data"
    appliance = start(
        *("--config", str(Path(__file__).parents[2] / "docs" / "examples" / "recorded.toml")),
        *("--gnss-phase", str(data / "clocks" / "gps_1pps_vs_hmaser_phase_s.txt.gz")),
        *("--oscillator", str(data / "clocks" / "ocxo_vs_hmaser_frequency_hz.txt.gz")),
        *("--gnss-capture", str(data / "gnss" / "u-blox-m8t-time.log")),
    )
    appliance.wait_line("serving", 30)
    assert appliance.wait_for(lambda: appliance.state() == "locked", LOCK_S), "\n".join(appliance.lines)
    gnss, clock = appliance.get("gnss").json(), appliance.get("clock").json()
    assert "M8T" in gnss["model"] and gnss["survey_valid"]
    assert clock["topology"] == "C"
    truth = appliance.control(do="truth")
    assert abs(truth["card_error_ns"]) <= appliance.get("health").json()["bound"]["card_ns"]
