"""Each erratum that shows in sysfs is found where it is, with its evidence, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.kernel.driver_tree import FB_TEXTS, Tree
from timecard.boards import ART, FB
from timecard.kernel.errata import ERRATA, find_errata, kernel_version

ALWAYS = {"E6", "E8", "E21"}
"""Of every FB card on a current kernel, and dealt with."""
VENDOR = {"E10", "E28", "E29", "E30", "E31", "E32"}


def ids(tree: Tree) -> dict[str, str]:
    with tree.open() as card:
        return {found.id: found.evidence for found in find_errata(card)}


def healthy(root: Path, **changes: Any) -> Tree:
    texts = {"ts_window_adjust": "267\n", **changes.pop("texts", {})}
    return Tree(root=root, **{"release": "7.3.4+deb13-amd64", "i2c": 1, "mtd": 0, "texts": texts, **changes})


def test_the_table_is_complete_and_says_what_to_do(shared_dir: Path) -> None:
    text = (shared_dir / "reference/time-card.md").read_text()
    numbers = set(re.findall(r"^\| (E\d+) \|", text, re.MULTILINE))
    assert numbers == {row.id for row in ERRATA} - {"E1-large"}
    assert len(ERRATA) == len({row.id for row in ERRATA})
    assert all(row.title and row.action for row in ERRATA)


def test_a_healthy_card_has_only_what_every_card_has(tmp_path: Path) -> None:
    tree = healthy(tmp_path)
    assert set(ids(tree)) == ALWAYS
    with tree.open() as card:
        assert all(found.handled for found in find_errata(card))


@pytest.mark.parametrize(
    ("changes", "found", "evidence"),
    [
        ({"texts": {"ts_window_adjust": "-3\n"}}, {"E1"}, "ts_window_adjust is -3"),
        ({"texts": {"ts_window_adjust": "10425\n"}}, {"E1-large"}, "10425 ns"),
        ({"vectors": 1}, {"E2", "E3"}, "1 of 17"),
        ({"vectors": 1, "mtd": None}, {"E2", "E3", "E4"}, "1 of 17"),
        ({"vectors": 16}, {"E2", "E19"}, "16 of 17"),
        ({"tty_form": "none", "release": "6.9.1"}, {"E5", "E29"}, "found by its address"),
        ({"release": "6.12.24"}, {"E29"}, "6.12.24"),
        ({"release": "6.12.107"}, set(), ""),
        ({"texts": {"utc_tai_offset": "0\n"}}, {"E14"}, "TAI"),
        ({"texts": {"holdover": "0\n"}}, VENDOR | {"E24"}, "vendor"),
        ({"texts": {"tod_baud_rate": "19200\n"}}, VENDOR - {"E10"} | {"E13", "E24"}, "19200"),
        ({"modules": ("ptp_ocp", "at24", "spi-nor"), "i2c": None, "mtd": None}, {"E33"}, "i2c-xiic"),
    ],
)
def test_each_is_found(tmp_path: Path, changes: dict[str, Any], found: set[str], evidence: str) -> None:
    seen = ids(healthy(tmp_path, **changes))
    assert set(seen) - ALWAYS == found
    assert not found or any(evidence in seen[id_] for id_ in found)


def test_text_in_the_place_of_an_art_serial(tmp_path: Path) -> None:
    text_serial = {"serialnum": "41:52:54:2d:30:31\n"}
    assert "ART-01" in ids(healthy(tmp_path / "text", board=ART, texts=text_serial))["E23"]
    digits = {"serialnum": "39:35:39:37:34:35\n"}
    assert "E23" not in ids(healthy(tmp_path / "good", board=ART, texts=digits))


def test_a_flash_of_a_200t_card(tmp_path: Path) -> None:
    tree = healthy(tmp_path)
    tree.write(tree.device / "xilinx_spi.512/spi_master/spi0/spi0.0/mtd/mtd0/size", f"{32 << 20}\n")
    assert "32 MiB" in ids(tree)["E18"]


@pytest.mark.parametrize("data", [b"", b"\xff", b"-", b"x" * 9000])
def test_unreadable_attributes_prove_nothing(tmp_path: Path, data: bytes) -> None:
    tree = healthy(tmp_path)
    for name in FB_TEXTS:
        (tree.ocp / name).write_bytes(data)
    assert set(ids(tree)) <= ALWAYS


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.12.107+deb13-amd64", (6, 12, 107)), ("7.3-rc1", (7, 3, 0)), ("", (0, 0, 0)), ("x.y", (0, 0, 0))],
)
def test_kernel_versions(release: str, version: tuple[int, int, int]) -> None:
    assert kernel_version(release) == version


def test_every_board_of_the_table_can_be_examined(tmp_path: Path) -> None:
    assert "E6" not in ids(healthy(tmp_path / "art", board=ART))
    assert "E6" in ids(healthy(tmp_path / "fb", board=FB))
