"""``timecard`` as a command: output, exit status, one line for every error."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.command_line import answer_of, emulated, wait_until_set
from timecard.cli import cards
from timecard.cli import main as cli
from timecard.emulator.control import request


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("card") / "card.sock"
    with emulated("--vfio-user", path):
        wait_until_set(path)
        yield path


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    return answer_of(capsys, *argv)


def test_list_names_the_sockets_cards(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "list", "--vfio-user", str(card))
    assert (status, err) == (0, "")
    assert f"vfio-user={card}" in out
    status, out, _ = run(capsys, "list", "--vfio-user", str(card), "--json")
    listed = json.loads(out)
    assert listed[-1]["access"] == "vfio-user"
    assert listed[-1]["address"] == str(card)


def test_list_without_cards_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "list_cards", lambda: [])
    assert run(capsys, "list", "--json") == (0, "[]\n", "")
    status, out, err = run(capsys, "list")
    assert (status, out) == (0, "")
    assert "no Time Card on the PCI bus" in err


def test_info_reads_the_card_through_the_drivers(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "info", "--vfio-user", str(card), "--json")
    assert (status, err) == (0, "")
    facts = json.loads(out)
    assert facts["image"] == "fw 0.28"
    assert facts["clock"]["core_version"] == "1.2.0"
    assert facts["clock"]["source"] == "PPS"
    assert facts["selector"]["clock_10mhz"] == "mac"
    found = facts["receiver"]
    assert (found["driver"], found["model"], found["firmware"]) == ("ublox", "ZED-F9T", "TIM 2.20")
    assert (found["protocol"], found["baud"]) == ("29.20", 115_200)
    assert facts["oscillator"]["family"] == "sa5x"
    assert facts["reasons"] == {}
    assert facts["identity"]["serial"] is not None
    assert [line.split()[0] for line in facts["sma"]] == ["sma1", "sma2", "sma3", "sma4"]
    true_ns = request(card, {"do": "truth"})["card_tai_ns"]
    assert 0 <= true_ns - int(facts["clock"]["time_tai_ns"]) < 30_000_000_000


def test_info_as_text(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "info", "--vfio-user", str(card))
    assert status == 0
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert rows["receiver"] == "ZED-F9T TIM 2.20 29.20"
    assert rows["clock"].split()[2] == "TAI,"
    assert rows["oscillator"].startswith("sa5x ")


def test_info_of_a_dead_card_is_one_line(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request(card, {"do": "inject", "fault": "dead-card"})
    try:
        status, out, err = run(capsys, "info", "--vfio-user", str(card))
    finally:
        request(card, {"do": "clear"})
    assert (status, out) == (1, "")
    assert err.startswith("timecard: ")
    assert "the card is gone" in err or "reads" in err
    assert err.count("\n") == 1


def test_info_changes_nothing_in_the_receiver(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = request(card, {"do": "status"})
    run(capsys, "info", "--vfio-user", str(card))
    after = request(card, {"do": "status"})
    assert after["steering_ppb"] == before["steering_ppb"]
    assert after["unmapped_accesses"] == before["unmapped_accesses"]


@pytest.mark.parametrize(
    ("argv", "status", "error"),
    [
        ([], 2, "Missing command."),
        (["frobnicate"], 2, "No such command 'frobnicate'."),
        (["list", "--colour"], 2, "No such option: --colour"),
        (["list", "extra"], 2, "unexpected extra argument"),
        (["list", "--vfio-user"], 2, "requires an argument"),
        (["list", "--vfio-user", "/nowhere"], 1, "/nowhere: list: no socket there"),
        (["info", "--vfio-user", "/nowhere"], 1, "/nowhere: info: no socket there"),
        (["info", "--vfio-user", "/x", "--pci", "1:0.0"], 2, "one of --id, --pci and --vfio-user"),
        (["info", "--pci", "ff:1f.7"], 1, "no such card"),
    ],
)
def test_errors(capsys: pytest.CaptureFixture[str], argv: Sequence[str], status: int, error: str) -> None:
    result, out, err = run(capsys, *argv)
    assert (result, out) == (status, "")
    assert err.startswith("timecard: ")
    assert error in err
    assert err.count("\n") == 1


def test_help_of_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--help"], ["list", "--help"], ["info", "--help"]):
        status, out, err = run(capsys, *argv)
        assert (status, err) == (0, "")
        assert "Usage" in out


def test_emulate_passes_its_arguments_on_and_returns_the_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    class Entry:
        name = "virtual"

        @staticmethod
        def load() -> object:
            def serve(argv: Sequence[str]) -> int:
                seen.append(list(argv))
                return 7

            return serve

    monkeypatch.setattr(cli, "entry_points", lambda group: [Entry()] if group == cli.EMULATORS else [])
    argv = ["--vfio-user", "x.sock", "--seed", "4", "--help"]
    assert run(capsys, "emulate", *argv)[0] == 7
    assert seen == [argv]


def test_without_an_emulator_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "entry_points", lambda group: [])
    status, out, err = run(capsys, "emulate", "--vfio-user", "x.sock")
    assert (status, out) == (1, "")
    assert "install timecard-toolkit" in err
    assert err.count("\n") == 1


def test_the_emulator_is_found_by_its_entry_point_only() -> None:
    entries = importlib.metadata.entry_points(group="timecard.emulators")
    assert {"virtual", "in-process"} <= {entry.name for entry in entries}
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, timecard.cli.main; print('timecard.emulator' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout == "False\n"
