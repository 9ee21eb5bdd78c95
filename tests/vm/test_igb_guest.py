"""A NIC with a PHC in a guest: the appliance answers from igb's stamps, and not at all where one is missing.

QEMU's igb with Debian's driver, the stock ``ptp_ocp`` on an emulated card, core on both; in a namespace a
client on a second igb, with hardware stamps of its own. What of a packet this NIC stamps on receipt is told
in ``guest_scripts/igb_stamps.py``: here UDP over IPv6 with a flow label that begins with 2.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import pytest

from tests.vm.card import CardProcess, card_processes
from tests.vm.conftest import HERE
from tests.vm.fetch import Machine
from tests.vm.guest import CARD_MODULES, Guest
from tests.vm.kernels import KERNELS
from tests.vm.qemu import Hardware

CARD = ("--seed", "6", "--mac", "none")
CONFIG = """
[card]
pci = "0000:01:00.0"
[timescale]
topology = "C"
oscillator_model = "ocxo"
[ptp]
interfaces = ["eth0"]
timestamping = "hardware"
"""
CORE = "time-appliance core --config /tmp/appliance.toml --runtime-dir /tmp/run --state-dir /tmp/state"
SOCKET = "/tmp/run/core.sock"
NETWORK = """
set -e
ip netns add far; ip link set eth1 netns far
near() { "$@"; }; far() { ip netns exec far "$@"; }
for side in near far; do $side sysctl -qw net.ipv6.flowlabel_state_ranges=0; done
near ip address add fd00::1/64 dev eth0 nodad; near ip link set eth0 up
far ip address add fd00::2/64 dev eth1 nodad; far ip link set eth1 up
far hwstamp_ctl -i eth1 -t 1 -r 12
for i in $(seq 60); do far ping -c 1 -W 1 fd00::1 && exit; sleep 1; done; exit 1
"""
"""The second half of all flow labels would be for hashes: then none begins with 2."""
PTP_V2_EVENT = 12
"""HWTSTAMP_FILTER_PTP_V2_EVENT, what core asks of igb; see linux/net_tstamp.h."""
STAMPED, PLAIN = 2, 1
"""First digits of a request's flow label."""
LOCK_S = 400
SEARCHED = 150
"""Ports to try: each is right with 1/16, so that a search fails once in 16,000 runs."""
EXCHANGES = 20
MOST = 15
"""The NIC holds one stamp at a time, and a busy guest may come too late for it."""
FEW = 5
WIDEST_NS = 10_000_000
SAME_PLACE_NS = 100_000
"""Two NICs on one hub of QEMU: some microseconds unless QEMU was interrupted. Software stamps in an emulated
processor are further away."""

Answer = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Served:
    """A guest in which core is locked and serves by hardware stamps."""

    guest: Guest
    card: CardProcess
    nics: list[str]
    """PCI addresses of eth0, the server's, and of eth1."""
    clocks: list[str]
    """Device nodes of the card's clock and of eth1's."""

    def await_lock(self) -> dict[str, Any]:
        """What core says then."""
        script = (HERE / "guest_scripts/await_core.py").read_bytes()
        command = f'python3 - {SOCKET} \'"state":"locked"\' {LOCK_S}'
        done = self.guest.run(command, data=script, limit_s=LOCK_S + 60, check=False)
        log = self.guest.run("tail -20 /tmp/core.log").stdout
        assert done.status == 0, f"not locked but {done.stdout}\n{done.stderr}\n{log}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def ask(self, count: int, digit: int, searched: int = 0) -> tuple[list[Answer], dict[str, int]]:
        """Exchanges of the client, and what the server's counters grew by."""
        script = (HERE / "guest_scripts/sptp_hardware_client.py").read_bytes()
        command = f"ip netns exec far python3 - {count} {digit} {searched} {' '.join(self.clocks)} {SOCKET}"
        told = json.loads(self.guest.run(command, data=script, limit_s=500).stdout)
        before, after = told["before"], told["after"]
        grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        return told["answers"], grown

    @contextlib.contextmanager
    def stamping(self, nic: int) -> Iterator[None]:
        """Stamps on receipt; to be begun anew whenever the driver was told to stamp."""
        log = f"/tmp/stamps{nic}"
        pid = self.guest.spawn(f"exec python3 /tmp/igb_stamps.py {self.nics[nic]} udp6", log)
        try:
            self.guest.run(f"for i in $(seq 100); do grep -q ready {log} && exit; sleep 0.2; done; exit 1")
            yield
        finally:
            self.guest.run(f"kill {pid}", check=False)

    def transmit_stamps(self, on: bool) -> None:
        """Behind the server's back, as another program would."""
        self.guest.run(f"hwstamp_ctl -i eth0 -t {int(on)} -r {PTP_V2_EVENT}")

    def unstamped(self) -> int:
        """Packets that should have been stamped and were not, as igb counts."""
        return int(self.guest.run("ethtool -S eth0 | sed -n 's/.*tx_hwtstamp_skipped: //p'").stdout)


def dropped(grown: dict[str, int]) -> int:
    """Requests without an answer, whatever the reason."""
    return sum(count for name, count in grown.items() if name.startswith("dropped."))


@pytest.fixture(scope="module", params=list(KERNELS))
def served(machine: Machine, request: pytest.FixtureRequest) -> Iterator[Served]:
    with card_processes(CARD) as (card,):
        hardware = Hardware(cards=(card.path,), nics=2, append="iomem=relaxed no_timer_check")
        modules = (*CARD_MODULES, "igb")
        with Guest.boot(machine, request.param, hardware, modules=modules, limit_s=1800) as guest:
            here = "for n in eth0 eth1; do basename $(readlink /sys/class/net/$n/device); done"
            nics = guest.run(here).stdout.split()
            clocks = [
                guest.run(f"echo /dev/$(ls /sys/bus/pci/devices/{address}/ptp)").stdout.strip()
                for address in ("0000:01:00.0", nics[1])
            ]
            guest.run(NETWORK, limit_s=120)
            guest.write("/tmp/igb_stamps.py", (HERE / "guest_scripts/igb_stamps.py").read_bytes())
            guest.write("/tmp/appliance.toml", CONFIG.encode())
            guest.spawn(f"TIME_APPLIANCE_LOG=INFO {CORE}", "/tmp/core.log")
            found = Served(guest=guest, card=card, nics=nics, clocks=clocks)
            assert found.await_lock()["ptp"]["timestamping"] == {"eth0": "hardware"}
            with found.stamping(1):
                yield found


def test_times_on_the_wire_are_the_nics_stamps_on_the_cards_scale(served: Served) -> None:
    with served.stamping(0):
        answers, grown = served.ask(EXCHANGES, STAMPED, SEARCHED)
    asked = len(answers)
    assert grown["rx.delay_req"] == asked
    assert grown["rx.sptp"] == grown["tx.sync"] == sum(a["t4"] is not None for a in answers)
    assert grown["tx.announce"] == sum(a["t1"] is not None for a in answers)
    assert grown["rx.sptp"] + dropped(grown) == asked
    assert grown["tx.announce"] + grown.get("txts.missing", 0) == grown["tx.sync"]
    whole = [a for a in answers if None not in a.values()]
    assert len(whole) >= MOST
    error_ns = served.card.ask(do="truth")["card_error_ns"]
    paths, offsets = [], []
    for answer in whole:
        to_server_ns, to_client_ns = answer["t4"] - answer["t3"], answer["t2"] - answer["t1"]
        paths.append((to_server_ns + to_client_ns) / 2)
        offsets.append((to_server_ns - to_client_ns) / 2)
        # No packet arrives before it left: the server's clock is ahead by what both ways leave open.
        allowed_ns = paths[-1] + answer["half_ns"] + answer["port_ns"]
        assert allowed_ns < WIDEST_NS
        assert paths[-1] > 0
        assert abs(offsets[-1] + error_ns) <= allowed_ns, answer
    assert median(paths) < SAME_PLACE_NS


def test_a_request_without_a_stamp_is_counted_and_gets_no_answer(served: Served) -> None:
    with served.stamping(0):
        answers, grown = served.ask(FEW, PLAIN)
    assert all(answer["t1"] is None and answer["t4"] is None for answer in answers)
    # On a busy host the map may be too old for one or two, which is another reason.
    assert grown["rx.delay_req"] == dropped(grown) == FEW
    assert grown["dropped.no_stamp"] > 0
    assert not any(name.startswith("tx.") for name in grown)


def test_a_sync_without_a_stamp_is_counted_and_gets_no_announce(served: Served) -> None:
    skipped = served.unstamped()
    served.transmit_stamps(False)
    try:
        with served.stamping(0):
            answers, grown = served.ask(FEW, STAMPED)
    finally:
        served.transmit_stamps(True)
    assert all(answer["t1"] is None for answer in answers)
    sent = sum(answer["t4"] is not None for answer in answers)
    assert sent > 0
    assert grown["tx.sync"] == grown["txts.missing"] == served.unstamped() - skipped == sent
    assert "tx.announce" not in grown
    # The server was not restarted: it goes on as soon as there are stamps.
    with served.stamping(0):
        answers, grown = served.ask(FEW, STAMPED)
    assert sum(answer["t1"] is not None for answer in answers) == grown["tx.announce"] > 0


def test_core_does_not_fill_the_kernels_log(served: Served) -> None:
    """Each devlink request makes the driver look for an EEPROM that Debian's kernel has no bus driver for."""
    assert served.guest.kernel_log().count("could not read eeprom") <= FEW
