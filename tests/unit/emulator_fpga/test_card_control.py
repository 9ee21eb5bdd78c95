"""What the control socket answers about the card: snapshots, power cycle, accesses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from timecard.boards import BOARDS
from timecard.emulator.card_control import control_handler
from timecard.emulator.control import answer
from timecard.emulator.faults import FaultError
from timecard.emulator.fpga_latches import MAX_PAGE
from timecard.emulator.virtual_card import InProcessCard, build_in_process

Ask = Callable[..., dict[str, Any]]


def asked(**options: Any) -> tuple[InProcessCard, Ask]:
    card = build_in_process(**options)
    handle = control_handler(card.card)

    def ask(**request: Any) -> dict[str, Any]:
        reply = json.loads(answer(json.dumps(request).encode(), handle))
        if not reply.pop("ok"):
            raise FaultError(reply["error"])
        return dict(reply)

    return card, ask


def snapshots(card: InProcessCard, count: int) -> None:
    ctrl = card.bus.board.at("reg", "ctrl")
    for _ in range(count):
        card.timebase.sleep_s(0.001)
        card.bus.write32(ctrl, 0x4000_0001)


def test_latches_come_in_pages() -> None:
    card, ask = asked()
    snapshots(card, MAX_PAGE + 50)
    first = ask(do="latches")
    assert first["fields"] == ["sequence", "kind", "true_tai_ns", "mono_raw_ns", "card_tai_ns"]
    assert len(first["latches"]) == MAX_PAGE
    rest = ask(do="latches", since=first["latches"][-1][0] + 1)
    assert [latch[0] for latch in rest["latches"]] == list(range(MAX_PAGE, MAX_PAGE + 50))
    assert rest["next"] == MAX_PAGE + 50
    assert len(ask(do="latches", since=3, limit=2)["latches"]) == 2
    times = [latch[2] for latch in first["latches"]]
    assert times == sorted(times)


@pytest.mark.parametrize("wrong", [{"since": -1}, {"since": "0"}, {"limit": 1.5}, {"since": True}, {"to": 1}])
def test_latches_refuse_nonsense(wrong: dict[str, Any]) -> None:
    with pytest.raises(FaultError, match=next(iter(wrong))):
        asked()[1](do="latches", **wrong)


@pytest.mark.parametrize("board", list(BOARDS))
def test_status_names_board_image_and_accesses(board: str) -> None:
    card, ask = asked(board=board, strict=True, seed=0x123456)
    card.bus.read32(0x0150_0000 if board != "litepcie" else 0x10)
    status = ask(do="status")
    assert (status["board"], status["loader"]) == (board, False)
    assert status["image"] & 0x7FFF > 0
    assert status["eui48"] == "02:ac:cd:12:34:56"
    assert status["unmapped_accesses"] == 1
    assert status["narrow_accesses"] == 0
    assert [violation["why"] for violation in status["violations"]] == ["unmapped"]


def test_a_power_cycle_says_what_runs_afterwards() -> None:
    card, ask = asked(loader=True)
    assert ask(do="status")["loader"]
    assert ask(do="power-cycle") == {"image": 28, "loader": False}
    assert card.bus.read32(card.bus.board.at("image", "version")) == 28


def test_faults_of_the_card_are_offered_by_board() -> None:
    supported = asked(board="art")[1](do="status")["supported_faults"]
    assert "clock-stopped" in supported
    assert "tod-errors" not in supported
