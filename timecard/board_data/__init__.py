"""Board data of a card, whatever way leads to it: backed up, and restored in spite of power cuts."""

from timecard.board_data.areas import Area, Kind, areas_of
from timecard.board_data.backup import Backup, load_backup, save_backup, take_backup
from timecard.board_data.restore import Restored, pending, restore, resume, undo, write_protected

__all__ = [
    "Area",
    "Backup",
    "Kind",
    "Restored",
    "areas_of",
    "load_backup",
    "pending",
    "restore",
    "resume",
    "save_backup",
    "take_backup",
    "undo",
    "write_protected",
]
