"""The boards that this toolkit knows: one file each, and this table.

Another package adds a board by an entry point of the group ``timecard.boards`` that names a ``Board``
(docs/adding-a-board.md). One that cannot be used is logged and left out: it must not keep the others away.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from timecard.boards.adva import ADVA
from timecard.boards.adva_x1 import ADVA_X1
from timecard.boards.art import ART
from timecard.boards.board import Board, Role
from timecard.boards.celestica import CELESTICA
from timecard.boards.fb import FB
from timecard.boards.litepcie import LITEPCIE
from timecard.entry_points import of_other_packages

ENTRY_POINTS: Final = "timecard.boards"
_OWN: Final = {board.name: board for board in (FB, LITEPCIE, CELESTICA, ART, ADVA, ADVA_X1)}
BOARDS: Final[Mapping[str, Board]] = MappingProxyType(
    _OWN | of_other_packages(ENTRY_POINTS, Board, lambda board: board.name, _OWN)
)
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
