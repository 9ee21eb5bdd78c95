"""``timecard eeprom`` against emulated cards behind their sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import answer_of, emulated
from timecard.emulator.control import request


@pytest.fixture(scope="module", params=["art", "fb"])
def card(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("card") / f"{request.param}.sock"
    with emulated("--vfio-user", path, "--board", request.param):
        yield path


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    return answer_of(capsys, "eeprom", *argv)


def test_show(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text, _ = run(capsys, "show", "--vfio-user", str(card))
    assert status == 0
    shown = dict(line.split(None, 1) for line in text.splitlines() if not line.startswith("board id"))
    status, out, _ = run(capsys, "show", "--vfio-user", str(card), "--json")
    facts = json.loads(out)
    assert status == 0
    assert facts["problems"] == []
    assert shown["serial"] == facts["serial"]
    assert (facts["parameters"] is None) == (card.stem == "fb")


def test_backup_edit_restore(
    card: Path, tmp_path: Path, own_state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "backup.json"
    assert run(capsys, "backup", str(file), "--vfio-user", str(card))[0] == 0
    if card.stem == "fb":
        status, _, error = run(capsys, "restore", str(file), "--vfio-user", str(card))
        assert status == 1
        assert "--identity" in error
        assert len(error.splitlines()) == 1
        return
    values = json.loads(file.read_text())
    values["parameters"]["temperature_table"][8] = 23_456
    del values["hex"]["disciplining_config"], values["hex"]["temperature_table"]
    file.write_text(json.dumps(values))
    unknown = tmp_path / "unknown.json"
    unknown.write_text(json.dumps(values | {"serial": None, "card": "another"}))
    status, _, error = run(capsys, "restore", str(unknown), "--vfio-user", str(card))
    assert status == 1 and "--same-card" in error
    argv = ("restore", str(unknown), "--same-card", "--vfio-user", str(card), "--json")
    status, out, error = run(capsys, *argv)
    assert (status, error) == (0, "")
    assert json.loads(out) == {"changed": ["temperature_table"], "converted": False}
    status, out, _ = run(capsys, "restore", str(file), "--vfio-user", str(card))
    assert "nothing was written" in out
    assert not list(own_state.rglob("*.json"))
    facts = json.loads(run(capsys, "show", "--vfio-user", str(card), "--json")[1])
    assert facts["parameters"]["temperature_table"][8] == 23_456


def test_what_cannot_be_read_is_told(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request(card, {"do": "inject", "fault": "eeprom-unreadable"})
    try:
        status, out, _ = run(capsys, "show", "--vfio-user", str(card))
        assert status == 0
        assert "nobody answers" in out
        assert run(capsys, "backup", str(card.with_suffix(".json")), "--vfio-user", str(card))[0] == 1
    finally:
        request(card, {"do": "clear", "fault": "eeprom-unreadable"})


@pytest.mark.parametrize("argv", [(), ("file", "--undo"), ("--resume", "--undo")])
def test_restore_wants_to_know_what(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    status, _, error = run(capsys, "restore", *argv)
    assert status == 2
    assert "--resume" in error
