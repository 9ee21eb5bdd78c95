"""Runs in the guest: cards are removed and found again in a random order, and every link is followed.

Arguments: number of rounds, seed. Every node is told by the addresses that the kernel gives; clocks and, at
times, receivers also by the time they keep: each card lives in a world of its own, hours apart. Prints one
JSON object: wrong bindings, how many links were compared, and the events that a watcher told.
"""

import calendar
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pyudev._ctypeslib.utils
from pyubx2 import UBX_PROTOCOL, UBXReader

from tests.vm.guest_scripts.whose_node import wrong_links
from timecard.hotplug import CardWatcher
from timecard.udev import links

PCI = Path("/sys/bus/pci/devices")
HOUR_NS = 3_600_000_000_000
TAI_NS = 37_000_000_000
LIMIT_S = 60.0


def world_of(tai_ns: int) -> int:
    """Number of the card, by the hours between its clock and ours."""
    return round((tai_ns - time.clock_gettime_ns(time.CLOCK_REALTIME) - TAI_NS) / HOUR_NS)


def phc_ns(path: Path) -> int:
    with path.open("rb") as clock:
        return time.clock_gettime_ns((~clock.fileno() << 3) | 3)


def receiver_ns(path: Path) -> int:
    """Time of the first navigation solution that comes."""
    subprocess.run(["stty", "-F", str(path), "115200", "raw", "-echo"], check=True)
    with path.open("rb", buffering=0) as stream:
        for _, message in UBXReader(stream, protfilter=UBX_PROTOCOL, quitonerror=0):
            if message is not None and message.identity == "NAV-TIMEUTC":
                parts = [getattr(message, name) for name in ("year", "month", "day", "hour", "min", "sec")]
                utc = time.strptime(" ".join(map(str, parts)), "%Y %m %d %H %M %S")
                return calendar.timegm(utc) * 1_000_000_000 + TAI_NS
    raise RuntimeError(f"{path}: the receiver says nothing")


rounds, seed = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
# The guest has no cache of libraries to search.
pyudev._ctypeslib.utils.find_library = {"udev": "libudev.so.1"}.get
watcher = CardWatcher()
if not watcher.listening:
    raise RuntimeError("no announcements of the kernel")
truth = {card.address: world_of(phc_ns(Path("/dev") / links(card)["phc"])) for card in watcher.cards}
# Of the bus behind the port: a port's own "rescan" is about all ports beside it.
rescans = {address: next((PCI / address).resolve().parent.glob("pci_bus/*/rescan")) for address in truth}
wrong: list[str] = []
told = {"arrived": 0, "removed": 0}
orders, checked = set(), 0
for number in range(rounds):
    order = rng.sample(sorted(truth), len(truth))
    for address in sorted(truth):
        (PCI / address / "remove").write_text("1")
    events = watcher.look()
    for address in order:
        rescans[address].write_text("1")
        end = time.monotonic() + LIMIT_S
        while not list((PCI / address).glob("ptp/ptp*")) or not list((PCI / address).glob("timecard/*/ptp")):
            if time.monotonic() > end:
                raise RuntimeError(f"{address} did not come back")
            time.sleep(0.02)
    events += watcher.look()
    for event in events:
        told[event.change.value] = told.get(event.change.value, 0) + 1
    named = {card.address: links(card) for card in watcher.cards}
    orders.add(tuple(nodes["phc"] for nodes in named.values()))
    differing, compared = wrong_links(named)
    wrong += [f"round {number}: {text}" for text in differing]
    checked += compared
    for card in watcher.cards:
        nodes = {link: Path("/dev") / node for link, node in named[card.address].items()}
        # The driver sets a clock that is not in sync to our time, until the receiver tells its own.
        end = time.monotonic() + LIMIT_S
        while world_of(phc_ns(nodes["phc"])) != truth[card.address] and time.monotonic() < end:
            time.sleep(0.2)
        if world_of(phc_ns(nodes["phc"])) != truth[card.address]:
            wrong.append(f"round {number}: {nodes['phc']} is another card's clock")
        if number % 4 == 0 and world_of(receiver_ns(nodes["gnss"])) != truth[card.address]:
            wrong.append(f"round {number}: {nodes['gnss']} is another card's receiver")
print(json.dumps({"wrong": wrong, "told": told, "orders": len(orders), "worlds": truth, "checked": checked}))
