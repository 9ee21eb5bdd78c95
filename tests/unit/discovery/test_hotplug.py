"""Cards that come, go and change while somebody watches."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.command_line import COMMAND, LIMIT_S, answer_of
from tests.sysfs_tree import FakeCard, add_card, expected_links, remove_card
from timecard.cli.cards import watched
from timecard.hotplug import CardChange, CardWatcher, describe

FIRST = FakeCard(address="0000:01:00.0", eui48="02:00:00:00:00:01")
SECOND = FakeCard(address="0000:02:00.0", ocp=1, ptp=1, pps=1, first_tty=5)


def test_arrival_change_and_removal_are_told_once(tmp_path: Path) -> None:
    add_card(tmp_path, FIRST)
    with CardWatcher(tmp_path, use_netlink=False) as watcher:
        assert watcher.look() == []
        own = add_card(tmp_path, SECOND)
        (arrived,) = watcher.look()
        assert (arrived.change, arrived.card.id) == (CardChange.ARRIVED, "pci-0000:02:00.0")
        assert dict(arrived.nodes) == expected_links(SECOND)
        (own / "timecard/ocp1/serialnum").write_text("02:00:00:00:00:02\n", encoding="ascii")
        (changed,) = watcher.look()
        assert changed.before is not None
        assert (changed.change, changed.before.id) == (CardChange.CHANGED, "pci-0000:02:00.0")
        assert describe(changed) == "card 02:00:00:00:00:02 (0000:02:00.0) changed, was pci-0000:02:00.0"
        remove_card(tmp_path, SECOND)
        (removed,) = watcher.look()
        assert (removed.change, removed.card.id) == (CardChange.REMOVED, "02:00:00:00:00:02")
        assert [card.address for card in watcher.cards] == [FIRST.address]
        assert watcher.look() == []


def test_another_card_in_the_same_slot_is_a_change(tmp_path: Path) -> None:
    add_card(tmp_path, FIRST)
    with CardWatcher(tmp_path, use_netlink=False) as watcher:
        remove_card(tmp_path, FIRST)
        add_card(tmp_path, dataclasses.replace(FIRST, eui48="02:00:00:00:00:09"))
        (event,) = watcher.look()
        assert (event.change, event.card.id) == (CardChange.CHANGED, "02:00:00:00:00:09")


def test_waiting_ends_with_an_event_or_in_time(tmp_path: Path) -> None:
    with CardWatcher(tmp_path, use_netlink=False) as watcher:
        assert watcher.wait(0.05) == []
        timer = threading.Timer(0.1, add_card, (tmp_path, FIRST))
        timer.start()
        seen: list[CardChange] = []
        end = time.monotonic() + 10
        while not seen and time.monotonic() < end:
            seen += [event.change for event in watcher.wait(0.1)]
        timer.join()
        assert seen == [CardChange.ARRIVED]


def test_the_kernels_announcements_can_be_listened_to(tmp_path: Path) -> None:
    with CardWatcher(tmp_path) as watcher:
        if not watcher.listening:
            pytest.skip("no libudev here")
        add_card(tmp_path, FIRST)
        assert [event.change for event in watcher.wait(0.05)] == [CardChange.ARRIVED]


def test_the_list_goes_on_with_what_happens(tmp_path: Path) -> None:
    add_card(tmp_path, FIRST)
    with CardWatcher(tmp_path, use_netlink=False) as watcher:
        lines = watched(watcher)
        facts, line = next(lines)
        assert (facts["change"], facts["card"]["id"]) == ("present", FIRST.eui48)
        assert line == "card 02:00:00:00:00:01 (0000:01:00.0) present"
        remove_card(tmp_path, FIRST)
        add_card(tmp_path, SECOND)
        (gone, _), (came, line) = next(lines), next(lines)
        assert (gone["change"], gone["card"]["id"]) == ("removed", FIRST.eui48)
        assert (came["change"], came["card"]["address"]) == ("arrived", SECOND.address)
        assert line == "card pci-0000:02:00.0 (0000:02:00.0) arrived"
        remove_card(tmp_path, SECOND)
        add_card(tmp_path, dataclasses.replace(SECOND, eui48="02:00:00:00:00:02"))
        changed, line = next(lines)
        assert (changed["change"], changed["before"]["id"]) == ("changed", "pci-0000:02:00.0")
        assert line.endswith("changed, was pci-0000:02:00.0")
        json.dumps([gone, came, changed])


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_list_that_goes_on_ends_when_told(ending: signal.Signals) -> None:
    process = subprocess.Popen(
        [*COMMAND, "list", "--watch", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert "Ctrl-C" in process.stderr.readline()
    process.send_signal(ending)
    out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, err) == (0, "")
    assert all(json.loads(line)["change"] == "present" for line in out.splitlines())


def test_a_socket_is_not_watched(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = answer_of(capsys, "list", "--watch", "--vfio-user", "/nowhere")
    assert status == 2 and "--watch is about the PCI bus" in err
