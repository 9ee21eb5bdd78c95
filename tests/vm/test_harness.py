"""Parts of the harness that need no virtual machine."""

from __future__ import annotations

import itertools
import os
import struct
from pathlib import Path

import pytest

from tests.unit.discovery.test_recorded import materialised, tree_of
from tests.vm import packages
from tests.vm.cpio import Entry, write_cpio
from tests.vm.guest_scripts.whose_node import wrong_links
from tests.vm.modinfo import load_order, modinfo
from tests.vm.store import cache_dir, part, prune
from timecard.discovery import list_cards
from timecard.udev import links


def test_an_archive_is_what_the_kernel_reads() -> None:
    archive = write_cpio({"bin": Entry.folder(), "bin/a": Entry.file(b"12345", executable=True)})
    assert len(archive) % 4 == 0
    position, found = 0, {}
    while True:
        assert archive[position : position + 6] == b"070701"
        fields = [int(archive[position + 6 + 8 * i : position + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = archive[position + 110 : position + 110 + name_size - 1].decode()
        data_at = (position + 110 + name_size + 3) & ~3
        if name == "TRAILER!!!":
            break
        found[name] = (mode, archive[data_at : data_at + size])
        position = (data_at + size + 3) & ~3
    assert found == {"bin": (0o040755, b""), "bin/a": (0o100755, b"12345")}


def _module(info: bytes) -> bytes:
    """A least ELF file: header, strings, the section, the section table."""
    names = b"\0.modinfo\0.shstrtab\0"
    info_at, table_at = 64 + len(names), 64 + len(names) + len(info)
    sections = [(0, 0), (1, info_at), (10, 64)]
    sizes = [0, len(info), len(names)]
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 1, 62, 1, 0, 0, table_at, 0, 64, 0, 0, 64, 3, 2
    )
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, at, size, 0, 0, 1, 0)
        for (name, at), size in zip(sections, sizes, strict=True)
    )
    return header + names + info + table


def test_a_module_says_what_it_needs() -> None:
    image = _module(b"license=GPL\0depends=mtd,crc16\0name=ptp_ocp\0")
    assert modinfo(image) == {"license": "GPL", "depends": "mtd,crc16", "name": "ptp_ocp"}


@pytest.mark.parametrize("image", [b"", b"\x7fELF", bytes(200), _module(b"a=1\0")[:-100]])
def test_what_is_no_module_is_refused(image: bytes) -> None:
    with pytest.raises(ValueError, match=r"ELF|modinfo"):
        modinfo(image)


def test_modules_come_after_what_they_need() -> None:
    needs = {"ptp_ocp": ["crc16", "mtd"], "spi_nor": ["mtd"], "mtd": [], "crc16": []}
    assert load_order(["spi-nor", "ptp_ocp"], needs.__getitem__) == ["mtd", "spi_nor", "crc16", "ptp_ocp"]


def test_a_part_is_complete_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMECARD_VM_CACHE", str(tmp_path / "cache"))
    cache = cache_dir()

    def broken(into: Path) -> None:
        (into / "half").touch()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        part(cache, "kernel-1", broken)
    assert list(cache.iterdir()) == []
    made = part(cache, "kernel-1", lambda into: (into / "whole").touch())
    assert part(cache, "kernel-1", broken) == made
    assert (made / "whole").exists()
    newer = part(cache, "kernel-2", lambda into: None)
    prune(cache, "kernel-", 1)
    assert made.exists(), "it may be in use"
    os.utime(made, (1e9, 1e9))
    prune(cache, "kernel-", 1)
    assert list(cache.glob("kernel-*")) == [newer]


@pytest.mark.parametrize(
    ("text", "mirror"),
    [
        ("Types: deb\nURIs: http://mirror.example/debian\nSuites: x\n", "http://mirror.example/debian"),
        (
            "deb [arch=amd64] https://mirror.example/pub/debian trixie main\n",
            "https://mirror.example/pub/debian",
        ),
        ("deb http://archive.ubuntu.com/ubuntu noble main\n", packages.DEFAULT_MIRROR),
        ("# deb http://old.example/debian bookworm main\n", packages.DEFAULT_MIRROR),
    ],
)
def test_the_hosts_own_mirror_is_used(
    text: str, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sources.list").write_text(text)
    monkeypatch.setattr(packages, "SOURCES", (tmp_path / "sources.list", tmp_path / "absent"))
    assert packages.host_mirror() == mirror


def test_any_two_links_that_are_swapped_are_seen(tmp_path: Path) -> None:
    """What judges the enumerations in the guest, on a tree that was recorded in one."""
    sysfs = materialised(tree_of("three-fb-6.12"), tmp_path)
    named = {card.address: links(card, sysfs) for card in list_cards(sysfs=sysfs)}
    assert wrong_links(named, sysfs) == ([], 3 * 6)
    places = [(address, link) for address, nodes in named.items() for link in nodes]
    for (a, x), (b, y) in itertools.combinations(places, 2):
        swapped = {address: dict(nodes) for address, nodes in named.items()}
        swapped[a][x], swapped[b][y] = named[b][y], named[a][x]
        wrong, compared = wrong_links(swapped, sysfs)
        assert (len(wrong), compared) == (2, 3 * 6), (a, x, b, y)
    with pytest.raises(LookupError, match="ttyS0"):
        wrong_links({"0000:01:00.0": {"gnss": "ttyS0"}}, sysfs)
