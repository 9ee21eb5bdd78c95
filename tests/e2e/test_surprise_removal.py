"""A card that is pulled out of a running appliance, and put back, again and again.

Its process is killed: for the appliance the link is dead at once, and what comes back is a card after
power-on, its clock in 1970.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Appliance
from tests.vm.card import CardProcess

GONE_S = 15.0
BACK_S = 90.0
LOCK_S = 240.0
LOOSE_FILES = 12
"""Descriptors that come and go with requests and logs."""


def said(appliance: Appliance) -> str:
    return "; ".join(appliance.get("health").json()["reasons"])


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.full
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("times", [90])
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
            body = appliance.get("health").json()
            assert (body["verdict"], body["bound"]["card_ns"]) == ("do_not_serve", None)
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
