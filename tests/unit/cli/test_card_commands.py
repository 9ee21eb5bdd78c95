"""`timecard sma | output | counter | delay | phc | registers | bringup` on an emulated card by its socket."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Answer, answer_of, emulated, facts_of, wait_until_set
from timecard.cli import main as cli
from timecard.emulator.control import request


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("card") / "card.sock"
    with emulated("--vfio-user", path):
        wait_until_set(path)
        yield path


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("art") / "card.sock"
    with emulated("--vfio-user", path, "--board", "art"):
        yield path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(path: Path, *argv: str) -> Answer:
        return answer_of(capsys, *argv, "--vfio-user", path)

    return call


def test_sma_is_routed_and_shown(card: Path, run: Any) -> None:
    facts = facts_of(run(card, "sma", "set", "3", "out", "gnss1", "--json"))
    assert facts["connectors"][2] == {"number": 3, "direction": "out", "functions": ["GNSS1"]}
    assert facts_of(run(card, "sma", "show", "--json")) == facts
    text = run(card, "sma", "show")[1]
    assert "sma3  out  GNSS1" in text


REFUSED = [
    (("2", "in", "PSP1"), "no input PSP1; there are 10MHz, PPS1"),
    (("2", "in", "10MHz"), "only sma1 leads to the 10 MHz input"),
    (("4", "out", "PHC", "MAC"), "an output has one function"),
    (("4", "off", "PHC"), "off has no function"),
    (("4", "in"), "name a function"),
]


@pytest.mark.parametrize(("argv", "reason"), REFUSED)
def test_refused_routings_say_why(card: Path, run: Any, argv: tuple[str, ...], reason: str) -> None:
    before = facts_of(run(card, "sma", "show", "--json"))
    status, out, err = run(card, "sma", "set", *argv)
    assert (status, out) == (1, "")
    assert reason in err
    assert err.count("\n") == 1
    assert facts_of(run(card, "sma", "show", "--json")) == before


def test_an_input_that_is_taken_is_refused(card: Path, run: Any) -> None:
    facts_of(run(card, "sma", "set", "1", "in", "TS3", "--json"))
    status, _, err = run(card, "sma", "set", "2", "in", "TS3")
    assert status == 1
    assert "already comes from sma1" in err


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (("1", "off"), "always has a function"),
        (("3", "in", "10MHz"), "cannot do in 10MHz; it can do in PPS1, out PHC, out GNSS1"),
        (("1", "in", "TS1"), "no input TS1; there are PPS1, 10MHz"),
        (("1", "in", "PPS1", "10MHz"), "one function"),
    ],
)
def test_what_art_refuses(art: Path, run: Any, argv: tuple[str, ...], reason: str) -> None:
    status, _, err = run(art, "sma", "set", *argv)
    assert status == 1
    assert reason in err


def test_info_has_the_same_keys_on_every_board(card: Path, art: Path, run: Any) -> None:
    one, other = (facts_of(run(path, "info", "--json")) for path in (card, art))
    assert one.keys() == other.keys()
    assert one["clock"].keys() == other["clock"].keys()
    assert other["selector"] is None
    assert "no such block" in other["reasons"]["selector"]


def test_generators_start_show_stop(card: Path, run: Any) -> None:
    started = facts_of(run(card, "output", "start", "2", "--frequency", "10", "--duty", "20", "--json"))
    assert (started["running"], started["period_ns"], started["pulse_ns"]) == (True, 100_000_000, 20_000_000)
    shown = facts_of(run(card, "output", "show", "--json"))["generators"]
    assert [row["number"] for row in shown] == [1, 2, 3, 4]
    assert shown[1]["state"]["running"] is True
    assert "stopped" in run(card, "output", "stop", "2")[1]
    pulse = facts_of(run(card, "phc", "pulse", "--generator", "2", "--json"))
    assert (pulse["period_ns"], pulse["pulse_ns"]) == (1_000_000_000, 100_000_000)
    assert facts_of(run(card, "phc", "pulse", "--generator", "2", "--off", "--json"))["running"] is False


@pytest.mark.parametrize(
    ("argv", "status", "reason"),
    [
        (("--frequency", "3"), 2, "--period-ns 333333333"),
        (("--frequency", "1", "--period-ns", "5"), 2, "one of --frequency and --period-ns"),
        (("--duty", "10", "--pulse-ns", "5"), 2, "one of --duty and --pulse-ns"),
        (("--start-tai-ns", "5", "--phase-ns", "5"), 2, "one of --start-tai-ns and --phase-ns"),
        (("--start-tai-ns", "5"), 1, "ahead of the card's clock"),
        (("--period-ns", "100", "--pulse-ns", "100"), 1, "does not fit a period"),
    ],
)
def test_impossible_outputs(card: Path, run: Any, argv: tuple[str, ...], status: int, reason: str) -> None:
    found, _, err = run(card, "output", "start", "1", *argv)
    assert found == status
    assert reason in err


def test_a_board_without_generators_says_so_for_each(art: Path, run: Any) -> None:
    rows = facts_of(run(art, "output", "show", "--json"))["generators"]
    assert all(row["state"] is None and "has none" in row["reason"] for row in rows)
    rows = facts_of(run(art, "counter", "show", "--json"))["counters"]
    assert all(row["state"] is None for row in rows)


def test_counters(card: Path, run: Any) -> None:
    assert facts_of(run(card, "counter", "start", "3", "--gate", "2", "--json"))["gate_s"] == 2
    assert "gate 2 s" in run(card, "counter", "show")[1]
    assert "off" in run(card, "counter", "stop", "3")[1]


def test_delays_are_set_shown_and_doubles_named(card: Path, run: Any, tmp_path: Path) -> None:
    facts_of(run(card, "delay", "set", "timestamper", "42", "--json"))
    ledger = tmp_path / "delays.toml"
    row = (
        '[[delays]]\nsegment = "antenna-cable"\nvalue_ns = 251.4\nuncertainty_ns = 3\n'
        'origin = "measured"\ncompensated_by = "pps-slave"\n'
    )
    ledger.write_text(row)
    facts = facts_of(run(card, "delay", "show", str(ledger), "--json"))
    assert any("timestamper: 42 ns are taken out there" in problem for problem in facts["problems"])
    assert any("pps-slave: 0 ns are in force, the ledger says 251 ns" in line for line in facts["problems"])
    applied = facts_of(run(card, "delay", "apply", str(ledger), "--json"))
    assert [row["in_force_ns"] for row in applied["registers"]] == [0, 251]
    assert applied["problems"] == []
    assert applied["ledger"]["planes"]["card"]["software_ns"] == pytest.approx(0.4)
    facts_of(run(card, "delay", "set", "pps-slave", "0", "--json"))
    ledger.write_text(row + row)
    status, _, err = run(card, "delay", "show", str(ledger))
    assert status == 2
    assert "exactly one place" in err


def test_delays_of_art_have_no_register(art: Path, run: Any) -> None:
    facts = facts_of(run(art, "delay", "show", "--json"))
    assert all(row["in_force_ns"] is None and row["reason"] for row in facts["registers"])


def test_phc_reads_compares_watches_and_steps(card: Path, run: Any) -> None:
    facts_of(run(card, "phc", "source", "regs", "--json"))
    before = int(facts_of(run(card, "phc", "read", "--json"))["time_tai_ns"])
    stepped = facts_of(run(card, "phc", "step", "-500000000000", "--json"))
    assert stepped["stepped_ns"] == -500_000_000_000
    assert int(stepped["time_tai_ns"]) < before
    assert facts_of(run(card, "phc", "steer", "-7.5", "--json"))["frequency_ppb"] == pytest.approx(
        -7.5, abs=0.01
    )
    facts_of(run(card, "phc", "steer", "0", "--json"))
    facts_of(run(card, "phc", "set", "2026-10-02T12:00:00", "--json"))
    assert "2026-10-02 12:0" in run(card, "phc", "read")[1]
    facts_of(run(card, "phc", "set", "host", "--json"))
    compared = facts_of(run(card, "phc", "compare", "--count", "2", "--interval", "0", "--json"))
    assert len(compared["samples"]) == 2
    assert abs(compared["samples"][0]["minus_host_ns"]) < 60e9
    status, out, _ = run(card, "phc", "watch-edges", "--channel", "ts5", "--count", "2", "--json")
    edges = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    apart_ns = int(edges[1]["card_tai_ns"]) - int(edges[0]["card_tai_ns"])
    seconds = round(apart_ns / 1e9)
    assert seconds >= 1, "more than one where a busy machine read too late"
    assert apart_ns == pytest.approx(seconds * 1e9, abs=1e4)
    facts_of(run(card, "phc", "source", "PPS", "--json"))


@pytest.mark.parametrize(
    ("argv", "status", "reason"),
    [
        (("phc", "set", "yesterday"), 2, "neither"),
        (("phc", "set", "2026-02-30T00:00:00"), 2, "neither"),
        (("phc", "set", "9" * 5_000), 2, "neither"),
        (("phc", "source", "SUN"), 1, "SUN"),
        (("phc", "steer", "1e12"), 1, "beyond"),
        (("phc", "watch-edges", "--channel", "ts9"), 1, "no such channel"),
        (("phc", "watch-edges", "--channel", "ts4", "--timeout", "0.2"), 1, "no edge in 0.2 s"),
        (("registers", "read", "reg.nonsense"), 1, "block reg has ctrl, status"),
        (("registers", "read", "0x1000000"), 1, "only documented registers"),
        (("registers", "read", "port[GNSS].LSR"), 2, "changes something"),
        (("registers", "read", "gpio_rgb.gpio"), 2, "not every image"),
        (("registers", "write", "reg.time_ns", "1"), 2, "read-only"),
        (("registers", "write", "spi_flash.CR", "1"), 2, "timecard flash"),
        (("registers", "write", "reg.select", "0x1ffffffff"), 2, "no 32-bit number"),
        (("registers", "dump", "nonsense"), 2, "no block"),
    ],
)
def test_refused_commands(card: Path, run: Any, argv: tuple[str, ...], status: int, reason: str) -> None:
    found, out, err = run(card, *argv)
    assert (found, out) == (status, "")
    assert reason in err
    assert err.count("\n") == 1


def test_registers_are_dumped_without_an_unmapped_access(card: Path, art: Path, run: Any) -> None:
    for path in (card, art):
        before = request(path, {"do": "status"})["unmapped_accesses"]
        rows = facts_of(run(path, "registers", "dump", "--json"))["registers"]
        assert request(path, {"do": "status"})["unmapped_accesses"] == before
        assert all((row["value"] is None) != (row["reason"] is None) for row in rows)
        assert sum(row["value"] is not None for row in rows) > 40
    facts = facts_of(run(card, "registers", "write", "ts4.cable_delay", "0x11", "--json"))
    assert facts["value"] == "0x00000011"
    assert "clears a bit" in run(card, "registers", "write", "ts4.error", "1")[1]


def test_bringup_exit_status_and_json(card: Path, run: Any, tmp_path: Path) -> None:
    intent = tmp_path / "intent.toml"
    intent.write_text("[[sma]]\nconnector = 4\ndirection = 'out'\nfunctions = 'VCC'\n")
    options = ("--no-doctor", "--json", "--state-dir", str(tmp_path / "state"))
    status, out, err = run(card, "bringup", str(intent), "--check", *options)
    assert (status, err) == (3, "")
    assert json.loads(out)["changes"] == 1
    status, out, _ = run(card, "bringup", str(intent), *options)
    assert (status, json.loads(out)["verdict"]) == (0, "done")
    assert len(list((tmp_path / "state").iterdir())) == 1
    status, out, _ = run(card, "bringup", str(intent), "--check", *options)
    assert (status, json.loads(out)["changes"]) == (0, 0)
    intent.write_text("[[sma]]\nconnector = 9\n[proof]\nsecond = 4\n")
    status, out, err = run(card, "bringup", str(intent))
    assert (status, out) == (2, "")
    assert err.count("\n") == 3
    assert all(line.startswith(f"timecard: {intent}: ") for line in err.splitlines())


def test_bringup_takes_the_card_from_the_file_and_tells_a_lack(
    art: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    intent = tmp_path / "intent.toml"
    intent.write_text(f"[card]\nvfio_user = '{art}'\n[[counters]]\ncounter = 1\nrequired = true\n")
    status = cli.main(["bringup", str(intent), "--no-doctor", "--state-dir", str(tmp_path / "s")])
    out = capsys.readouterr().out
    assert status == 1
    assert "counter 1: failed" in out
    assert "it is required" in out


def test_the_example_program_runs_on_both_boards(card: Path, art: Path) -> None:
    program = Path(__file__).parents[3] / "examples" / "bringup.py"
    for path, board in ((card, "fb"), (art, "art")):
        done = subprocess.run(
            [sys.executable, str(program), "--vfio-user", str(path), "--check", "--json"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.stderr == ""
        assert json.loads(done.stdout)["board"] == board
        assert done.returncode in (0, 3)
