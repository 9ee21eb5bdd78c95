"""Every routing of every connector on every board: refused with a reason, or done and read back."""

from __future__ import annotations

import pytest

from tests.bringup_world import BOARD_NAMES, make_rig
from timecard.boards import BOARDS
from timecard.bringup.step_sma import refuse_impossible, taken_by_others
from timecard.card_values import SmaConnector
from timecard.errors import RefusedError, UnsupportedError

NAMES = sorted(
    {name for board in BOARDS.values() for table in (board.sma.inputs, board.sma.outputs) for name in table}
)


@pytest.mark.parametrize("board", BOARD_NAMES)
def test_what_is_foreseen_as_possible_is_possible_and_nothing_else(board: str) -> None:
    rig = make_rig(board)
    card, table = rig.card, BOARDS[board].sma
    done = refused = 0
    for number in (1, 2, 3, 4):
        for direction in ("in", "out"):
            for name in NAMES:
                if table.can_switch_off:
                    for other in (1, 2, 3, 4):  # so that no other connector stands in the way
                        card.sma.set(other, "off", [])
                try:
                    refuse_impossible(card, number, direction, [name])
                except UnsupportedError as error:
                    assert error.reason
                    refused += 1
                    with pytest.raises((RefusedError, UnsupportedError)):
                        card.sma.set(number, direction, [name])
                    continue
                card.sma.set(number, direction, [name])
                found = card.sma.read()[number - 1]
                assert (found.direction, found.functions) == (direction, (name,))
                done += 1
    assert done >= 8
    assert refused >= 8


def test_inputs_that_others_hold() -> None:
    connectors = (
        SmaConnector(1, "in", ("TS1", "PPS1")),
        SmaConnector(2, "out", ("PHC",)),
        SmaConnector(3, "in", ("FREQ1",)),
    )
    assert taken_by_others(connectors, 2, "in", ["PPS1", "FREQ1"]) == [(1, "PPS1"), (3, "FREQ1")]
    assert taken_by_others(connectors, 1, "in", ["PPS1"]) == []
    assert taken_by_others(connectors, 1, "out", ["PHC"]) == []
