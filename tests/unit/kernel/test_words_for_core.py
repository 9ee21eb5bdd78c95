"""What core asks the kernel driver besides clock and edges: the oscillator's words, leap seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.sources import card_leap_word
from tests.unit.kernel.driver_tree import Tree
from timecard.boards import ART
from timecard.bringup.oscillator import not_serial
from timecard.errors import DeviceAbsentError
from timecard.kernel.kernel_card import KernelCard
from timecard.timebase import HostTimebase


@pytest.fixture
def art(tmp_path: Path) -> Iterator[tuple[Tree, KernelCard]]:
    tree = Tree(root=tmp_path, board=ART)
    with tree.open() as card:
        yield tree, card


def test_the_vendors_driver_has_a_device_for_the_oscillator(art: tuple[Tree, KernelCard]) -> None:
    tree, card = art
    assert not_serial(card, HostTimebase()) is None, "the mainline driver has none: its serial port is asked"
    (tree.device / "misc/mro50.3").mkdir(parents=True)
    with pytest.raises(DeviceAbsentError, match=r"/dev/mro50\.3"):
        not_serial(card, HostTimebase())  # on this machine there is none


def test_leap_seconds_of_the_time_of_day_as_far_as_the_driver_shows_them(
    tmp_path: Path, art: tuple[Tree, KernelCard]
) -> None:
    with Tree(root=tmp_path / "fb").open() as card:
        assert card_leap_word(card)() == 37
    hidden = Tree(root=tmp_path / "hidden", debugfs=False)
    with hidden.open() as card:
        read = card_leap_word(card)
        assert read() is None
        hidden.write(hidden.sysfs / "kernel/debug/timecard/ocp0/tod_status", "nonsense")
        assert read() is None, "asked once"
    damaged = Tree(root=tmp_path / "damaged")
    damaged.write(damaged.sysfs / "kernel/debug/timecard/ocp0/tod_status", "nonsense")
    with damaged.open() as card:
        assert card_leap_word(card)() is None
    assert card_leap_word(art[1])() is None, "an ART card has no such block"
