"""Cards that come, go and change while somebody watches."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

import pytest

from tests.sysfs_tree import FakeCard, add_card, expected_links, remove_card
from timecard.hotplug import CardWatcher, Change, describe

FIRST = FakeCard(address="0000:01:00.0", eui48="02:00:00:00:00:01")
SECOND = FakeCard(address="0000:02:00.0", ocp=1, ptp=1, pps=1, first_tty=5)


def test_arrival_change_and_removal_are_told_once(tmp_path: Path) -> None:
    add_card(tmp_path, FIRST)
    with CardWatcher(tmp_path, use_netlink=False) as watcher:
        assert watcher.look() == []
        own = add_card(tmp_path, SECOND)
        (arrived,) = watcher.look()
        assert (arrived.change, arrived.card.id) == (Change.ARRIVED, "pci-0000:02:00.0")
        assert dict(arrived.nodes) == expected_links(SECOND)
        (own / "timecard/ocp1/serialnum").write_text("02:00:00:00:00:02\n", encoding="ascii")
        (changed,) = watcher.look()
        assert changed.before is not None
        assert (changed.change, changed.before.id) == (Change.CHANGED, "pci-0000:02:00.0")
        assert describe([changed]) == ["card 02:00:00:00:00:02 (0000:02:00.0) changed, was pci-0000:02:00.0"]
        remove_card(tmp_path, SECOND)
        (removed,) = watcher.look()
        assert (removed.change, removed.card.id) == (Change.REMOVED, "02:00:00:00:00:02")
        assert [card.address for card in watcher.cards] == [FIRST.address]
        assert watcher.look() == []


def test_another_card_in_the_same_slot_is_a_change(tmp_path: Path) -> None:
    add_card(tmp_path, FIRST)
    with CardWatcher(tmp_path, use_netlink=False) as watcher:
        remove_card(tmp_path, FIRST)
        add_card(tmp_path, dataclasses.replace(FIRST, eui48="02:00:00:00:00:09"))
        (event,) = watcher.look()
        assert (event.change, event.card.id) == (Change.CHANGED, "02:00:00:00:00:09")


def test_waiting_ends_with_an_event_or_in_time(tmp_path: Path) -> None:
    with CardWatcher(tmp_path, use_netlink=False) as watcher:
        assert watcher.wait(0.05) == []
        timer = threading.Timer(0.1, add_card, (tmp_path, FIRST))
        timer.start()
        seen: list[Change] = []
        end = time.monotonic() + 10
        while not seen and time.monotonic() < end:
            seen += [event.change for event in watcher.wait(0.1)]
        timer.join()
        assert seen == [Change.ARRIVED]


def test_the_kernels_announcements_can_be_listened_to(tmp_path: Path) -> None:
    with CardWatcher(tmp_path) as watcher:
        if not watcher.listening:
            pytest.skip("no libudev here")
        add_card(tmp_path, FIRST)
        assert [event.change for event in watcher.wait(0.05)] == [Change.ARRIVED]
