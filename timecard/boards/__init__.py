"""The boards that this toolkit knows: one file each, and this table.

Another package adds a board by an entry point of the group ``timecard.boards`` that names a ``Board``
(docs/adding-a-board.md). One that cannot be used is logged and left out: it must not keep the others away.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Final

from timecard.boards.adva import ADVA
from timecard.boards.adva_x1 import ADVA_X1
from timecard.boards.art import ART
from timecard.boards.board import Board, Role
from timecard.boards.celestica import CELESTICA
from timecard.boards.fb import FB
from timecard.boards.litepcie import LITEPCIE

ENTRY_POINTS: Final = "timecard.boards"
_LOG: Final = logging.getLogger(__name__)


def _with_others(own: tuple[Board, ...]) -> Mapping[str, Board]:
    """Our boards, then those of other packages."""
    boards = {board.name: board for board in own}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            board = entry.load()
        except Exception as error:  # noqa: BLE001 - whatever a foreign module raises
            _LOG.warning("board %s (%s) cannot be loaded: %r", entry.name, entry.value, error)
            continue
        if not isinstance(board, Board) or board.name in boards:
            _LOG.warning("board %s (%s) is no Board, or its name is taken", entry.name, entry.value)
            continue
        boards[board.name] = board
    return MappingProxyType(boards)


BOARDS: Final = _with_others((FB, LITEPCIE, CELESTICA, ART, ADVA, ADVA_X1))
PCI_IDS: Final = frozenset(pci_id for board in BOARDS.values() for pci_id in board.pci_ids)


def board_for(pci_id: tuple[int, int], bar0_size: int | None = None) -> Board | None:
    """The board with this PCI id; where images share one, the size of BAR0 (bytes) decides.

    None for a device that is no Time Card. Without a size the first of the table is taken.
    """
    candidates = [board for board in BOARDS.values() if pci_id in board.pci_ids]
    fitting = [board for board in candidates if board.bar0_size == bar0_size]
    return next(iter(fitting or candidates), None)


__all__ = [
    "ADVA",
    "ADVA_X1",
    "ART",
    "BOARDS",
    "CELESTICA",
    "FB",
    "LITEPCIE",
    "PCI_IDS",
    "Board",
    "Role",
    "board_for",
]
