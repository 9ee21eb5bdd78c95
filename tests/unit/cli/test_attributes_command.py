"""``timecard attributes``: through the kernel driver, typed, verified; refused everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import Answer, answer_of, emulated, facts_of
from tests.unit.kernel.driver_tree import Tree
from timecard.card_protocols import Card
from timecard.cli import common
from timecard.cli.attributes import set_attribute, shown_attributes
from timecard.errors import RefusedError

Run = Callable[..., Answer]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(root=tmp_path)


@pytest.fixture
def run(tree: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Commands whose only card is the tree's."""

    def open_card(*_given: object, **_more: object) -> Card:
        return tree.open()

    monkeypatch.setattr(common, "open_card", open_card)
    return lambda *argv: answer_of(capsys, "attributes", *argv)


def test_all_that_there_is_with_unit_and_range(tree: Tree, run: Run) -> None:
    tree.write(tree.ocp / "gnss_sync", "LOST @ 2026-11-22T01:02:03\n")
    tree.write(tree.ocp / "gen1/start", "1795313478.5\n")
    found = {each["name"]: each for each in facts_of(run("show", "--json"))["attributes"]}
    assert {"utc_tai_offset", "sma4", "gen3/duty", "freq4/seconds", "tty/ttyGNSS"} <= found.keys()
    assert "tod_baud_rate" not in found, "the mainline driver has none"
    window = found["ts_window_adjust"]
    assert (window["unit"], window["low"], window["high"], window["writable"]) == ("ns", 0, 0x7FFF_FFFF, True)
    assert found["clock_status_drift"]["writable"] is False
    assert found["gnss_sync"]["value"] == {"synced": False, "lost_since_utc": "2026-11-22T01:02:03+00:00"}
    assert found["gen1/start"]["value"] == "1795313478000000005"
    assert all((each["value"] is None) == (each["reason"] is not None) for each in found.values())
    status, out, _ = run("show", "irig_b_mode", "tod_baud_rate", "clock_status_offset")
    assert status == 0
    mode, rate, offset = out.splitlines()
    assert mode.endswith("0  (takes 0 to 7)") and offset.endswith("372797211 ns")
    assert "no such attribute" in rate


@pytest.mark.parametrize(
    ("name", "value", "file", "text"),
    [
        ("utc_tai_offset", "38", "utc_tai_offset", "38"),
        ("irig_b_mode", "3", "irig_b_mode", "3"),
        ("tod_correction", "-619315200", "tod_correction", "-619315200"),
        ("freq2/seconds", "10", "freq2/seconds", "10"),
        ("clock_source", "PPS", "clock_source", "PPS"),
    ],
)
def test_what_is_set_is_read_back(tree: Tree, run: Run, name: str, value: str, file: str, text: str) -> None:
    facts = facts_of(run("set", name, value, "--json"))
    assert (facts["name"], str(facts["value"])) == (name, value)
    assert (tree.ocp / file).read_text() == text


@pytest.mark.parametrize(
    ("argv", "status", "reason"),
    [
        (("irig_b_mode", "8"), 1, "8 is outside 0 to 7"),
        (("irig_b_mode", "fast"), 2, "not a decimal number; it takes 0 to 7"),
        (("irig_mode", "1"), 2, "did you mean irig_b_mode?"),
        (("freq/seconds", "1"), 2, "did you mean freq"),
        (("gnss_sync", "SYNC"), 1, "read-only"),
        (("clock_source", "PPSX"), 1, "no source 'PPSX'"),
        (("sma1", "OUT: PHC"), 1, "`timecard sma set`"),
        (("gen1/signal", "1000"), 1, "`timecard output start`"),
        (("tod_baud_rate", "9600"), 1, "no such attribute"),
    ],
)
def test_refused_values(tree: Tree, run: Run, argv: tuple[str, str], status: int, reason: str) -> None:
    before = {path: path.read_text() for path in tree.ocp.iterdir() if path.is_file()}
    answer = run("set", *argv)
    assert answer[0] == status and reason in answer[2], answer
    assert {path: path.read_text() for path in tree.ocp.iterdir() if path.is_file()} == before


def test_nothing_of_a_generator_is_touched_where_that_could_crash_the_kernel(
    tmp_path: Path,
) -> None:
    few = Tree(root=tmp_path / "few", vectors=1)
    with few.open() as card:
        assert card.unsafe is not None
        found = {row["name"]: row for row in shown_attributes(card, ())}
        with pytest.raises(RefusedError, match="null pointer"):
            set_attribute(card, "gen1/duty", "10")
    assert found["gen1/duty"]["value"] is None and "null pointer" in found["gen1/duty"]["reason"]
    assert found["gen1/start"]["value"] is None
    assert found["freq1/seconds"]["value"] == 0


def test_a_driver_that_keeps_its_own_value_is_told(tree: Tree, run: Run) -> None:
    tod = tree.ocp / "tod_correction"
    tod.unlink()
    tod.symlink_to("/dev/full")
    status, _, err = run("set", "tod_correction", "5")
    assert status == 1 and "write tod_correction" in err
    tod.unlink()
    tod.symlink_to("/dev/null")
    status, _, err = run("set", "tod_correction", "5")
    assert status == 1 and "5 was written, afterwards it shows" in err


def test_other_ways_to_a_card_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with emulated("--vfio-user", tmp_path / "card.sock"):
        for words in (("show",), ("set", "irig_b_mode", "1")):
            status, _, err = answer_of(capsys, "attributes", *words, "--vfio-user", tmp_path / "card.sock")
            assert status == 1 and "timecard registers" in err
