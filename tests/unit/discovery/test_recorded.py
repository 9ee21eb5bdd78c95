"""Trees that stock kernels made, and the same with every number drawn anew: no node changes its card."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from timecard.boards import BOARDS, Role
from timecard.discovery import NO_SERIALS, list_cards
from timecard.udev import links

RECORDED = Path(__file__).resolve().parents[2] / "data" / "sysfs"
NUMBERED = re.compile(r"\b(ttyS|ptp|pps|ocp|i2c-)(\d+)\b|\b(\d+)-(00[0-9a-f]{2})\b")
READ = re.compile(
    r"/sys/bus/pci/devices/|/sys/class/(ptp|pps|tty|timecard|mtd)/"
    r"|/(vendor|device|resource|driver|subsystem|iomem_base|serialnum|name|ptp|pps|i2c|eeprom|config)$"
    r"|/tty/tty[A-Z]\w*$|/tty(GNSS|MAC|NMEA)\d?$"
)
"""What discovery looks at; the rest of a recorded tree would only cost time."""
PERMUTATIONS = 48
"""Of each tree, with and without readable EEPROMs."""


def tree_of(name: str) -> dict[str, dict[str, Any]]:
    recorded = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    return {path: entry for path, entry in recorded["tree"].items() if READ.search(path)}


def renumbered(tree: dict[str, dict[str, Any]], rng: random.Random) -> dict[str, dict[str, Any]]:
    """Every kind of number is permuted by itself, in paths, links and files alike."""
    numbers: dict[str, set[str]] = {}
    for path, entry in tree.items():
        for match in NUMBERED.finditer(" ".join((path, entry.get("link", ""), entry.get("file", "")))):
            kind, number = (match[1], match[2]) if match[1] else ("i2c-", match[3])
            numbers.setdefault(kind, set()).add(number)
    drawn = {}
    for kind, known in numbers.items():
        for old, new in zip(sorted(known), rng.sample(range(90), len(known)), strict=True):
            drawn[kind, old] = str(new)

    def anew(text: str) -> str:
        return NUMBERED.sub(
            lambda m: m[1] + drawn[m[1], m[2]] if m[1] else f"{drawn['i2c-', m[3]]}-{m[4]}", text
        )

    return {
        anew(path): {kind: anew(value) if isinstance(value, str) else value for kind, value in entry.items()}
        for path, entry in tree.items()
    }


def materialised(tree: dict[str, dict[str, Any]], root: Path, *, readable: bool = True) -> Path:
    """The tree as files and links; returns what stands for ``/sys``."""
    for path, entry in tree.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if "link" in entry:
            if not target.is_symlink():
                target.symlink_to(entry["link"])
        elif "file" in entry:
            blank = path.endswith("/serialnum") and not readable
            target.write_text(f"{NO_SERIALS[0]}\n" if blank else entry["file"], encoding="latin-1")
        elif "dir" in entry:
            target.mkdir(exist_ok=True)
    return root / "sys"


def truth(tree: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    """The nodes of each PCI device, from paths and physical addresses alone."""
    found: dict[str, dict[str, str]] = {}
    starts: dict[str, int] = {}
    boards: dict[str, dict[str, int]] = {}
    for path, entry in tree.items():
        device = re.search(r"/(0000:0[0-9a-f]:00\.0)/(vendor|device|resource)$", path)
        if device and device[2] == "resource":
            starts[device[1]] = int(entry["file"].split()[0], 16)
        elif device:
            boards.setdefault(device[1], {})[device[2]] = int(entry["file"], 16)
    for path, entry in tree.items():
        address = re.search(r"/(0000:0[0-9a-f]:00\.0)/", path)
        if not address or "/devices/pci" not in path or address[1] not in boards:
            continue
        ids = boards[address[1]]
        board = next((b for b in BOARDS.values() if (ids["vendor"], ids["device"]) in b.pci_ids), None)
        if board is None:
            continue
        nodes = found.setdefault(address[1], {})
        if match := re.search(r"/ptp/(ptp\d+)/", path):
            nodes["phc"] = match[1]
        elif match := re.search(r"/(i2c-\d+)/", path):
            nodes["i2c"] = match[1]
        elif match := re.search(r"/tty/(ttyS\d+)/iomem_base$", path):
            offset = int(entry["file"], 16) - starts[address[1]]
            role = next(r for r, p in board.serial_ports.items() if board.blocks[p.block].offset == offset)
            nodes[Role(role).value] = match[1]
    for path, entry in tree.items():
        source = re.search(r"/virtual/pps/(pps\d+)/name$", path)
        for nodes in found.values():
            if source and entry["file"].strip() == nodes.get("phc"):
                nodes["pps"] = source[1]
    return found


def seen(sysfs: Path) -> dict[str, dict[str, str]]:
    return {card.address: links(card, sysfs) for card in list_cards(sysfs=sysfs)}


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.json")))
def test_what_a_stock_kernel_shows_is_found(tmp_path: Path, name: str) -> None:
    tree = tree_of(name)
    expected = truth(tree)
    found = seen(materialised(tree, tmp_path))
    without_mtd = {a: {k: v for k, v in nodes.items() if k != "mtd"} for a, nodes in found.items()}
    assert without_mtd == expected
    assert all("phc" in nodes and "pps" in nodes for nodes in expected.values())
    single = "one-vector" in name
    assert all(("gnss" in nodes) != single for nodes in found.values())
    assert all(("mtd" in nodes) == ("built" in name) for nodes in found.values())


@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("name", ["three-6.12", "three-fb-6.12"])
def test_other_numbers_change_no_binding(tmp_path: Path, name: str, readable: bool) -> None:
    tree = tree_of(name)
    for seed in range(PERMUTATIONS):
        other = renumbered(tree, random.Random(seed))
        sysfs = materialised(other, tmp_path / str(seed), readable=readable)
        assert seen(sysfs) == truth(other), f"seed {seed}"
        ids = [card.id for card in list_cards(sysfs=sysfs)]
        assert len(set(ids)) == len(ids) == 3
