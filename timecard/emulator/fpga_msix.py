"""LitePCIe's MSI-X: vector enables, pending bits, and the table, all in BAR0.

A vector whose enable is off stays pending and is sent when it is switched on (LitePCIe's ``LitePCIeMSIX``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from timecard.boards.registers import LITEPCIE_MSI
from timecard.emulator.fpga_block import RegisterBlock

VECTORS: Final = 64
TABLE: Final = 0x2000
PENDING: Final = 0x1808
_ENTRY_BYTES: Final = 16
_AT: Final = {row.name: row.offset for row in LITEPCIE_MSI}
_HIGH, _LOW, _PBA = _AT["msi_enable_high"], _AT["msi_enable_low"], _AT["msi_pba"]


class MsixControl(RegisterBlock):
    """Enables and pending bits: two words each, vectors 63 to 32 first."""

    def __init__(self) -> None:
        super().__init__(LITEPCIE_MSI)
        self.words[_PBA + 4] = 0
        self.send: Callable[[int], None] | None = None

    def raised(self, vector: int) -> bool:
        """A source raised its vector; True when it is to be sent now."""
        enables, pending, bit = self._place(vector)
        if self.words[enables] & bit:
            return True
        self.words[pending] |= bit
        return False

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A word; what was pending is sent when it is enabled."""
        if reg not in (_HIGH, _LOW):
            return reg in self.words
        self.words[reg] = value
        pending = reg + _PBA - _HIGH
        due = self.words[pending] & value
        self.words[pending] &= ~value
        first = 32 if reg == _HIGH else 0
        for bit in range(32):
            if due >> bit & 1 and self.send is not None:
                self.send(first + bit)
        return True

    @staticmethod
    def _place(vector: int) -> tuple[int, int, int]:
        word = _HIGH if vector >= 32 else _LOW
        return word, word + _PBA - _HIGH, 1 << vector % 32


class MsixTable:
    """The table. A virtual machine keeps its own; for others it is storage."""

    def __init__(self) -> None:
        # Masked, as after reset.
        self._words = {offset: int(offset % 16 == 12) for offset in range(0, VECTORS * _ENTRY_BYTES, 4)}

    def read(self, reg: int, t_ns: int) -> int | None:
        """A word."""
        return self._words.get(reg)

    def write(self, reg: int, value: int, t_ns: int) -> bool:
        """A word."""
        if reg not in self._words:
            return False
        self._words[reg] = value
        return True
