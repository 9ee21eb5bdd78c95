"""Three cards whose nodes get other numbers every time: no link ever leads to the wrong card.

Debian's udev carries out our rules; the EEPROMs cannot be read, as the stock kernel lacks the I2C driver, so
that the cards are told apart by where they are plugged in.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.vm.card import CardProcess, card_processes
from tests.vm.conftest import HERE
from tests.vm.fetch import Machine
from tests.vm.guest import Guest
from tests.vm.qemu import Hardware

NS_PER_S = 1_000_000_000
HOUR_NS = 3_600_000_000_000
WORLDS = (0, 5, 11)
ROUNDS = 10
START_UDEV = """
set -e
mkdir -p /etc/udev/rules.d
python3 -c "from timecard.udev import rules
print(rules('/usr/bin/env PYTHONPATH=$PYTHONPATH python3'))" > /etc/udev/rules.d/60-timecard.rules
echo timecard:x:990: >> /etc/group
udevadm verify /etc/udev/rules.d/60-timecard.rules
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=change
udevadm settle --timeout=150
"""
COME_BACK = """
set -e
echo 1 > /sys/bus/pci/devices/0000:02:00.0/remove
udevadm settle --timeout=60
test $(ls /dev/timecard | wc -l) = 2
echo 1 > /sys/bus/pci/rescan
udevadm settle --timeout=120
"""
LINKS = """
from timecard.discovery import list_cards
from timecard.udev import links
for card in list_cards():
    for link, node in links(card).items():
        print(f"{card.id}/{link} /dev/{node}")
"""
LOCK_LIMIT_S = 120


@pytest.fixture(scope="module")
def three(machine: Machine) -> Iterator[tuple[Guest, list[CardProcess]]]:
    """Three cards, each in a world of its own time."""
    options = [("--seed", str(n), "--world-offset-ns", str(n * HOUR_NS)) for n in WORLDS]
    with card_processes(*options) as cards:
        hardware = Hardware(cards=tuple(card.path for card in cards))
        with Guest.boot(machine, "6.12", hardware) as guest:
            wait_for_time(cards)
            yield guest, cards


def wait_for_time(cards: list[CardProcess]) -> None:
    """The driver gave every clock the guest's time; wait until the cards have their own seconds again.

    Within a second their clocks follow the oscillator's pulse, which nobody has set.
    """
    end = time.monotonic() + LOCK_LIMIT_S
    while any(abs(card.ask(do="truth")["card_error_ns"]) > NS_PER_S for card in cards):
        assert time.monotonic() < end, "a card's clock did not take the receiver's time"
        time.sleep(1.0)


def test_rescans_in_any_order_bind_every_node_to_its_card(
    three: tuple[Guest, list[CardProcess]],
) -> None:
    guest, _ = three
    # The script imports its neighbour by the path that it has in the tree.
    guest.run("mkdir -p /tmp/tests/vm/guest_scripts")
    for name in ("whose_node.py", "enumeration.py"):
        guest.write(f"/tmp/tests/vm/guest_scripts/{name}", (HERE / "guest_scripts" / name).read_bytes())
    command = f"python3 /tmp/tests/vm/guest_scripts/enumeration.py {ROUNDS} 1"
    done = guest.run(f"PYTHONPATH=/tmp:$PYTHONPATH {command}", limit_s=600)
    result = json.loads(done.stdout)
    assert sorted(result["worlds"].values()) == sorted(WORLDS)
    assert result["wrong"] == []
    assert result["told"]["removed"] == result["told"]["arrived"] == 3 * ROUNDS
    assert result["checked"] == 3 * 6 * ROUNDS, "clock, pulse and four ports of each card, every time"
    assert result["orders"] >= 2


def test_udev_names_the_nodes_of_a_card_that_comes_and_gives_them_to_the_group(
    three: tuple[Guest, list[CardProcess]],
) -> None:
    guest, _ = three
    guest.run(START_UDEV, limit_s=200)
    guest.run(COME_BACK, limit_s=200)
    named = {tuple(line.split()) for line in guest.python(LINKS).stdout.splitlines()}
    made = guest.run("cd /dev/timecard; for l in */*; do echo $l $(readlink -f $l); done").stdout
    assert {tuple(line.split()) for line in made.splitlines()} == named
    assert len(named) == 18
    listed = guest.run("stat -L -c '%G %a' /dev/timecard/*/*").stdout.split("\n")
    assert set(filter(None, listed)) == {"timecard 660"}
