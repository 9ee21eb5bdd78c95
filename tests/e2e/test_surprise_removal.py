"""A card that is pulled out of a running appliance, and put back, again and again.

A card that was pulled comes back after power-on, its clock in 1970: there is no time to hold over, and the
appliance acquires anew. A card whose link alone was lost has kept its time, and is resumed in holdover
(``docs/decisions/0006-a-lost-card-is-waited-for.md``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Appliance
from tests.e2e.link import Link
from tests.vm.card import CardProcess

GONE_S = 15.0
BACK_S = 90.0
LOCK_S = 240.0
RESUMED = ("holdover", "recovering", "locked")
LOOSE_FILES = 12
"""Descriptors that come and go with requests and logs."""


def said(appliance: Appliance) -> str:
    return "; ".join(appliance.get("health").json()["reasons"])


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def assert_not_served(appliance: Appliance) -> None:
    """What is told while the card is away."""
    body = appliance.get("health").json()
    assert (body["state"], body["verdict"], body["bound"]["card_ns"]) == ("free-run", "do_not_serve", None)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("times", [2, pytest.param(90, marks=pytest.mark.full)])
def test_a_card_comes_and_goes_while_the_appliance_runs(
    start: Callable[..., Appliance], tmp_path: Path, times: int
) -> None:
    card = CardProcess(tmp_path, "card", "--seed", "4", "--world-offset-ns", "5000000")
    card.start()
    try:
        appliance = start("--vfio-user", str(card.path), virtual=False)
        appliance.wait_line("serving", 30)
        assert appliance.wait_for(lambda: appliance.state() == "acquiring", LOCK_S), "\n".join(
            appliance.lines
        )
        core = appliance.children()["core"]
        files = open_files(core)
        for number in range(times):
            card.kill()
            gone = appliance.wait_for(lambda: "card lost" in said(appliance), GONE_S)
            assert gone, f"removal {number} not told: {said(appliance)}"
            assert_not_served(appliance)
            card.start()
            back = appliance.wait_for(lambda: "acquiring" in str(appliance.state()), BACK_S)
            assert back, f"return {number} not taken up: {appliance.get('health').json()}"
            if number % 30 == 29:
                assert appliance.wait_for(lambda: appliance.state() == "locked", LOCK_S), (
                    f"after return {number}"
                )
                bound_ns = appliance.get("health").json()["bound"]["card_ns"]
                assert abs(card.ask(do="truth")["card_error_ns"]) <= bound_ns
        assert appliance.children()["core"] == core, "core was started anew"
        assert open_files(core) <= files + LOOSE_FILES, "descriptors of cards that are gone are left"
        appliance.stop()
    finally:
        card.kill()


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_card_that_kept_its_clock_is_resumed_in_holdover_and_recovers(
    start: Callable[..., Appliance], tmp_path: Path
) -> None:
    card = CardProcess(tmp_path, "card", "--seed", "4", "--world-offset-ns", "5000000")
    card.start()
    link = Link(tmp_path / "link.sock", card.path)
    link.plug()
    try:
        appliance = start("--vfio-user", str(link.path), virtual=False)
        locked = appliance.wait_for(lambda: appliance.state() == "locked", LOCK_S)
        assert locked, "\n".join(appliance.lines)
        core = appliance.children()["core"]
        for number in range(2):
            link.pull()
            gone = appliance.wait_for(lambda: "card lost" in said(appliance), GONE_S)
            assert gone, f"removal {number} not told: {said(appliance)}"
            assert_not_served(appliance)
            link.plug()
            back = appliance.wait_for(lambda: appliance.state() != "free-run", BACK_S)
            body = appliance.get("health").json()
            assert back and body["state"] in RESUMED, f"return {number}: {body}"
            assert abs(card.ask(do="truth")["card_error_ns"]) <= body["bound"]["card_ns"]
        assert appliance.wait_for(lambda: appliance.state() == "locked", 2 * LOCK_S), "not recovered"
        assert appliance.children()["core"] == core, "core was started anew"
        appliance.stop()
    finally:
        link.pull()
        card.kill()
