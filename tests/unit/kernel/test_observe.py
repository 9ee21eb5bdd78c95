"""When a card may be observed as a follower of GNSS."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.kernel.driver_tree import SUMMARY, Tree
from timecard.boards import ART
from timecard.errors import DeviceLostError
from timecard.kernel.observe import observe


def tree_with(root: Path, source: str, **texts: str) -> Tree:
    tree = Tree(root=root, texts=texts)
    summary = SUMMARY.replace("MAC via PPS1", f"{source} via PPS1")
    tree.write(tree.sysfs / "kernel/debug/timecard/ocp0/summary", summary)
    return tree


def test_only_where_the_selector_shows_gnss(tmp_path: Path) -> None:
    with tree_with(tmp_path, "GNSS1").open() as card:
        seen = observe(card)
        assert seen.usable
        assert (seen.source, seen.free_run_ppb) == ("PPS", 20_000.0)


@pytest.mark.parametrize(
    ("source", "texts", "why"),
    [
        ("MAC", {}, "shows MAC, not GNSS"),
        ("sma1", {}, "shows SMA, not GNSS"),
        ("----", {}, "shows nothing, not GNSS"),
        ("GNSS1", {"clock_source": "REGS\n"}, "follows REGS"),
        ("GNSS1", {"gnss_sync": "LOST @ 2026-11-22T02:10:38\n"}, "no pulse"),
    ],
)
def test_else_the_reason_is_told(tmp_path: Path, source: str, texts: dict[str, str], why: str) -> None:
    with tree_with(tmp_path, source, **texts).open() as card:
        seen = observe(card)
        assert not seen.usable
        assert why in seen.reason


def test_without_debugfs_nothing_is_promised(tmp_path: Path) -> None:
    with Tree(root=tmp_path, debugfs=False).open() as card:
        assert "debugfs" in observe(card).reason


def test_art_has_no_servo_to_watch(tmp_path: Path) -> None:
    with Tree(root=tmp_path, board=ART).open() as card:
        assert not observe(card).usable


def test_a_lost_card_is_an_error(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path)
    with tree.open() as card:
        tree.ocp.rename(tmp_path / "away")
        with pytest.raises(DeviceLostError):
            observe(card)
