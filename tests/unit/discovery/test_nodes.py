"""Which nodes belong to which card, in every order in which a kernel may number them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sysfs_tree import FakeCard, add_card, expected_links, remove_card
from timecard.boards import ADVA, ART, BOARDS, FB, Role
from timecard.discovery import list_cards
from timecard.kernel.nodes import find_nodes
from timecard.udev import links, properties, rules


@pytest.mark.parametrize("tty_form", ["file", "link", "none"])
@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_every_generation_of_links_leads_to_the_ports(tmp_path: Path, board: object, tty_form: str) -> None:
    assert isinstance(board, type(FB))
    card = FakeCard(
        address="0000:01:00.0", board=board, tty_form=tty_form, i2c=3, mtd=1, shuffle=(2, 0, 3, 1)
    )
    nodes = find_nodes(add_card(tmp_path, card), board, tmp_path)
    assert nodes.ttys == {Role(k): v for k, v in expected_links(card).items() if v.startswith("tty")}
    assert (nodes.phc, nodes.pps, nodes.i2c, nodes.mtd) == ("ptp0", "pps0", "i2c-3", "mtd1")
    assert set(nodes.eeproms) == {chip.address for chip in board.i2c.chips}


def enumeration(seed: int, *, readable: bool) -> list[FakeCard]:
    """Three cards with numbers drawn at random, none of them shared."""
    rng = random.Random(seed)
    ocps, ptps, ppss = (rng.sample(range(9), 3) for _ in range(3))
    ttys = rng.sample([1, 5, 9, 13, 17, 21], 3)
    i2cs, mtds = rng.sample(range(20), 3), rng.sample(range(9), 3)
    bars = rng.sample([0xF000_0000, 0xF400_0000, 0xF800_0000, 0xFA00_0000], 3)
    buses = rng.sample(range(1, 200), 3)
    return [
        FakeCard(
            address=f"0000:{buses[n]:02x}:00.0",
            board=board,
            ocp=ocps[n],
            ptp=ptps[n],
            pps=ppss[n],
            first_tty=ttys[n],
            i2c=i2cs[n],
            mtd=mtds[n] if rng.random() < 0.7 else None,
            eui48=f"02:00:00:00:00:{n:02x}" if readable else "00:00:00:00:00:00",
            tty_form=rng.choice(["file", "link", "none"]),
            bar0=bars[n],
            shuffle=tuple(rng.sample(range(4), 4)),
        )
        for n, board in enumerate((FB, ART, ADVA))
    ]


@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_no_enumeration_binds_a_node_to_the_wrong_card(tmp_path: Path, seed: int, readable: bool) -> None:
    for attempt in range(5):
        sysfs = tmp_path / str(attempt)
        fakes = enumeration(100 * attempt + seed, readable=readable)
        for fake in random.Random(seed).sample(fakes, 3):
            add_card(sysfs, fake)
        found = {card.address: card for card in list_cards(sysfs=sysfs)}
        assert len(found) == 3
        for n, fake in enumerate(fakes):
            card = found[fake.address]
            assert card.id == (f"02:00:00:00:00:{n:02x}" if readable else f"pci-{fake.address}")
            assert links(card, sysfs) == expected_links(fake)
            for name, node in expected_links(fake).items():
                assert properties(f"/devices/anything/{node}", sysfs) == {
                    "TIMECARD_ID": card.id,
                    "TIMECARD_DEVICE": str((sysfs / "bus/pci/devices" / fake.address).resolve()),
                    "TIMECARD_LINK": f"timecard/{card.id}/{name}",
                }


def test_a_serial_number_that_two_cards_share_names_neither(tmp_path: Path) -> None:
    first = FakeCard(address="0000:01:00.0", eui48="02:00:00:00:00:07")
    second = FakeCard(address="0000:02:00.0", eui48="02:00:00:00:00:07", ocp=1, ptp=1, pps=1, first_tty=5)
    add_card(tmp_path, first)
    assert [card.id for card in list_cards(sysfs=tmp_path)] == ["02:00:00:00:00:07"]
    add_card(tmp_path, second)
    assert [card.id for card in list_cards(sysfs=tmp_path)] == ["pci-0000:01:00.0", "pci-0000:02:00.0"]
    remove_card(tmp_path, first)
    assert [card.id for card in list_cards(sysfs=tmp_path)] == ["02:00:00:00:00:07"]


@pytest.mark.parametrize("text", ["ff:ff:ff:ff:ff:ff", "../../etc", "02:00", "x" * 10_000])
def test_a_serial_number_that_is_none_is_not_taken(tmp_path: Path, text: str) -> None:
    add_card(tmp_path, FakeCard(address="0000:01:00.0", eui48=text))
    assert [card.id for card in list_cards(sysfs=tmp_path)] == ["pci-0000:01:00.0"]


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300), which=st.integers(0, 4))
def test_whatever_a_file_of_sysfs_holds_is_survived(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, which: int
) -> None:
    sysfs = tmp_path_factory.mktemp("sysfs")
    own = add_card(sysfs, FakeCard(address="0000:01:00.0"))
    names = ("resource", "timecard/ocp0/serialnum", "timecard/ocp0/tty/ttyGNSS", "vendor", "device")
    (own / names[which]).write_bytes(data)
    for card in list_cards(sysfs=sysfs):
        assert "/" not in card.id
        for node in links(card, sysfs).values():
            assert "/" not in node


def test_a_node_of_nobody_has_no_properties(tmp_path: Path) -> None:
    add_card(tmp_path, FakeCard(address="0000:01:00.0"))
    assert properties("/devices/virtual/tty/ttyS99", tmp_path) == {}
    below = properties("/devices/pci0000:00/0000:01:00.0/i2c-3/3-0058/nvmem/3-00580", tmp_path)
    assert set(below) == {"TIMECARD_ID", "TIMECARD_DEVICE"}


def in_group(sysfs: Path, address: str, group: str, driver: str) -> None:
    """A device of an IOMMU group and the driver that has it."""
    device = sysfs / "devices/pci0000:00" / address
    device.mkdir(parents=True, exist_ok=True)
    devices = sysfs / "kernel/iommu_groups" / group / "devices"
    devices.mkdir(parents=True, exist_ok=True)
    (devices / address).symlink_to(device)
    (device / "iommu_group").symlink_to(devices.parent)
    if not (device / "driver").exists():
        (sysfs / "bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
        (device / "driver").symlink_to(sysfs / "bus/pci/drivers" / driver)


@pytest.mark.parametrize(
    ("driver", "other", "link"),
    [
        ("vfio-pci", None, True),
        ("vfio-pci", "pcieport", True),
        ("vfio-pci", "vfio-pci", False),
        ("ptp_ocp", None, False),
    ],
)
def test_the_iommu_group_of_a_card_alone_is_the_cards_node(
    tmp_path: Path, driver: str, other: str | None, link: bool
) -> None:
    fake = FakeCard(address="0000:01:00.0", driver=driver)
    add_card(tmp_path, fake)
    in_group(tmp_path, fake.address, "12", driver)
    if other is not None:
        in_group(tmp_path, "0000:00:1c.0", "12", other)
    (card,) = list_cards(sysfs=tmp_path)
    assert (links(card, tmp_path).get("vfio") == "12") == link
    found = properties("/devices/virtual/vfio/12", tmp_path)
    assert found.get("TIMECARD_LINK") == (f"timecard/{card.id}/vfio" if link else None)


def test_the_rules_call_this_interpreter() -> None:
    assert 'IMPORT{program}="/opt/python -m timecard.udev %p"' in rules("/opt/python")
    assert "@" not in rules("/opt/python")
