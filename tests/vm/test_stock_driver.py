"""Debian's own ``ptp_ocp`` binds to the virtual card, and what it shows is what the card does.

One boot for each stock kernel. The driver was written for the hardware and knows nothing of us: where it and
the virtual card agree, the virtual card is right about the hardware.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise

import pytest
from pyubx2 import UBXReader

from tests.vm.card import CardProcess, card_processes
from tests.vm.conftest import HERE
from tests.vm.fetch import Machine
from tests.vm.guest import Guest
from tests.vm.qemu import Hardware

OCP = "/sys/class/timecard/ocp0"
TAI_MINUS_UTC_S = 37
NS_PER_S = 1_000_000_000
EDGES_S = 4
SLEW_NS = 20_000_000
"""How far the clock may be drawn between two looks at it, while it has just been set."""
SETTLE_LIMIT_S = 90
EXTTS_GNSS, EXTTS_PHC = 0, 5
SMAS = ("sma1", "sma2", "sma3", "sma4")
NAMES = ("clock_source", "gnss_sync", "serialnum", "utc_tai_offset", "ts_window_adjust", *SMAS)
SCRIPTS = HERE / "guest_scripts"


@pytest.fixture(scope="module")
def pair(machine: Machine, kernel: str) -> Iterator[tuple[Guest, CardProcess]]:
    """A guest and its only card."""
    with card_processes(()) as (card,), Guest.boot(machine, kernel, Hardware(cards=(card.path,))) as guest:
        yield guest, card


def settle(card: CardProcess) -> None:
    """Wait until the card counts the right second; from then on it is only drawn in."""
    good, deadline = 0, time.monotonic() + SETTLE_LIMIT_S
    while good < 3:
        assert time.monotonic() < deadline, f"the clock did not settle: {card.ask(do='truth')}"
        good = good + 1 if abs(card.ask(do="truth")["card_error_ns"]) < NS_PER_S / 2 else 0
        time.sleep(0.7)


def _error_ns_after(card: CardProcess, pause_s: float) -> float:
    time.sleep(pause_s)
    return float(card.ask(do="truth")["card_error_ns"])


def test_the_driver_binds_without_complaint(pair: tuple[Guest, CardProcess], kernel: str) -> None:
    guest, _ = pair
    assert guest.release.startswith(f"{kernel}.")
    assert guest.run("readlink /sys/bus/pci/devices/0000:01:00.0/driver").stdout.endswith("/ptp_ocp\n")
    said = [line for line in guest.kernel_log().splitlines() if "ptp_ocp 0000:01:00.0" in line]
    assert any("device ptp0" in line for line in said), said
    assert not [line for line in said if "out of range" in line or "fail" in line or "error" in line], said


def test_the_attributes_are_readable_and_plausible(pair: tuple[Guest, CardProcess], kernel: str) -> None:
    guest, _ = pair
    guest.run(f"for i in $(seq 60); do grep -q SYNC {OCP}/gnss_sync && exit; sleep 1; done; exit 1")
    # One command: a read of any attribute that fails would end it.
    text = guest.run(f"set -e; cd {OCP}; for f in {' '.join(NAMES)}; do v=$(cat $f); echo $f=$v; done").stdout
    values = dict(line.split("=", 1) for line in text.splitlines())
    assert set(values) == set(NAMES)
    assert values["clock_source"] == "PPS"
    assert values["gnss_sync"].split()[0] in ("SYNC", "LOST")  # which comes and goes on a busy host
    assert values["utc_tai_offset"] == str(TAI_MINUS_UTC_S)
    assert values["sma1"].startswith("IN:")
    assert values["sma3"].startswith("OUT:")
    # 6.12 starts from an unsigned minimum: every extended cross timestamp is 4.29 s wide.
    if kernel == "6.12":
        assert values["ts_window_adjust"] == "-3"
    else:
        assert 0 < int(values["ts_window_adjust"]) < NS_PER_S


def test_the_phc_shows_tai(pair: tuple[Guest, CardProcess]) -> None:
    guest, card = pair
    settle(card)
    before_s = time.time() + TAI_MINUS_UTC_S
    said = guest.run("phc_ctl /dev/ptp0 get").stdout
    after_s = time.time() + TAI_MINUS_UTC_S
    phc_s = float(re.findall(r"clock time is (\d+\.\d+)", said)[0])
    # The driver has set the clock by the guest's, which has whole seconds; the card then draws it in.
    error_s = card.ask(do="truth")["card_error_ns"] / NS_PER_S
    assert abs(error_s) < 0.5
    assert before_s - 0.2 < phc_s - error_s < after_s + 0.2


def test_edges_are_stamped_by_the_card(pair: tuple[Guest, CardProcess]) -> None:
    guest, card = pair
    settle(card)
    guest.write("/tmp/extts.py", (SCRIPTS / "extts.py").read_bytes())
    guest.spawn(f"python3 /tmp/extts.py {EXTTS_GNSS},{EXTTS_PHC} {EDGES_S}; echo end", "/tmp/extts")
    errors_ns = []
    lines: list[str] = []
    while "end" not in lines:
        errors_ns += [_error_ns_after(card, 0.1) for _ in range(10)]
        lines = guest.read("/tmp/extts").decode().split("\n")
    stamps: dict[int, list[int]] = {EXTTS_GNSS: [], EXTTS_PHC: []}
    for second, nanosecond, channel in (map(int, line.split()) for line in lines[: lines.index("end")]):
        stamps[channel].append(second * NS_PER_S + nanosecond)
    assert all(len(found) >= EDGES_S - 2 for found in stamps.values()), lines
    # The pulse that the clock makes at its own second
    for stamp in stamps[EXTTS_PHC]:
        assert stamp % NS_PER_S < 50
    assert {round((later - earlier) / NS_PER_S) for earlier, later in pairwise(stamps[EXTTS_PHC])} == {1}
    # The receiver's pulse comes at the true second: the stamp is the clock's error.
    for stamp in stamps[EXTTS_GNSS]:
        away = (stamp + NS_PER_S // 2) % NS_PER_S - NS_PER_S // 2
        assert min(errors_ns) - SLEW_NS <= away <= max(errors_ns) + SLEW_NS


def test_the_receiver_and_the_oscillator_talk_on_their_ttys(pair: tuple[Guest, CardProcess]) -> None:
    guest, _ = pair
    ttys = guest.run(f"cd {OCP}/tty; for t in ttyGNSS ttyMAC; do echo $t $(cat $t); done").stdout.split()
    port = dict(zip(ttys[::2], ttys[1::2], strict=True))
    heard = guest.run(
        f"stty -F /dev/{port['ttyGNSS']} 115200 raw -echo; timeout 3 cat /dev/{port['ttyGNSS']}; :"
    ).output
    messages = [message.identity for _, message in UBXReader(BytesIO(heard)) if message is not None]
    assert "NAV-TIMEUTC" in messages or "NAV-STATUS" in messages, messages
    answer = guest.run(
        f"mac=/dev/{port['ttyMAC']}; stty -F $mac 57600 raw -echo; timeout 3 head -n 1 $mac >/tmp/mac & "
        "sleep 0.5; printf '{get,Locked}' >$mac; wait; cat /tmp/mac"
    ).stdout
    assert answer == "[=1]\r\n"


def test_settings_reach_the_card(pair: tuple[Guest, CardProcess]) -> None:
    guest, _ = pair
    said = guest.run(
        f"cd {OCP}; echo IN: TS1 >sma1; cat sma1; echo OUT: GNSS1 >sma3; cat sma3; echo PPS >clock_source; "
        "cat clock_source"
    ).stdout.splitlines()
    assert said == ["IN: TS1", "OUT: GNSS1", "PPS"]


def test_the_clock_takes_a_step_and_refuses_a_frequency(pair: tuple[Guest, CardProcess]) -> None:
    guest, _ = pair
    assert "adjusted clock by" in guest.run("phc_ctl /dev/ptp0 adj 0.001").stdout
    assert "Operation not supported" in guest.run("phc_ctl /dev/ptp0 freq 10", check=False).stderr


def test_the_toolkit_runs_in_the_guest(pair: tuple[Guest, CardProcess]) -> None:
    guest, _ = pair
    listed = json.loads(guest.run("timecard list --json", limit_s=120).stdout)
    assert [(card["address"], card["driver"]) for card in listed] == [("0000:01:00.0", "ptp_ocp")]


def test_unbind_and_bind_and_rescan(pair: tuple[Guest, CardProcess]) -> None:
    guest, _ = pair
    driver, device = "/sys/bus/pci/drivers/ptp_ocp", "/sys/bus/pci/devices/0000:01:00.0"
    guest.run(f"echo 0000:01:00.0 >{driver}/unbind && test ! -e {OCP}")
    guest.run(f"echo 0000:01:00.0 >{driver}/bind && test -e {OCP}")
    guest.run(f"echo 1 >{device}/remove && test ! -e {OCP}")
    guest.run(f"echo 1 >/sys/bus/pci/rescan && test -e {OCP}")
