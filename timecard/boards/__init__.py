"""The boards that this toolkit knows: one file each, and this table."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from timecard.boards.adva import ADVA
from timecard.boards.adva_x1 import ADVA_X1
from timecard.boards.art import ART
from timecard.boards.board import Board, Role
from timecard.boards.celestica import CELESTICA
from timecard.boards.fb import FB
from timecard.boards.litepcie import LITEPCIE

BOARDS: Final = MappingProxyType(
    {board.name: board for board in (FB, LITEPCIE, CELESTICA, ART, ADVA, ADVA_X1)}
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
