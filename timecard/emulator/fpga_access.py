"""Which accesses reached BAR0 that a driver of this card must not make: counted, and kept when asked to."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

KEPT: Final = 1000
SHOWN: Final = 50


class Violation(NamedTuple):
    """One such access."""

    kind: str
    """``read`` or ``write``."""
    offset: int
    size: int
    why: str
    """``unmapped``, or ``narrow`` for anything but an aligned word."""


class AccessLog:
    """Counts always; a strict one also keeps the newest ``KEPT``."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.unmapped = 0
        """Accesses that nothing decoded."""
        self.narrow = 0
        """Accesses that were no aligned 32-bit word, answered or not."""
        self.violations: deque[Violation] = deque(maxlen=KEPT)

    def note_unmapped(self, kind: str, offset: int, size: int) -> None:
        """Nothing decoded an access of up to a word."""
        self.unmapped += 1
        if offset & 3 and size == 4:
            self.note_narrow(kind, offset, size)
        elif self.strict:
            self.violations.append(Violation(kind, offset, size, "unmapped"))

    def note_narrow(self, kind: str, offset: int, size: int) -> None:
        """An access that is no aligned word."""
        self.narrow += 1
        if self.strict:
            self.violations.append(Violation(kind, offset, size, "narrow"))

    def newest(self, limit: int = SHOWN) -> list[Violation]:
        """The newest violations, the oldest of them first."""
        return list(self.violations)[-limit:]
