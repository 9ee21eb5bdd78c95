"""What drivers of parts that take no orders have in common."""

from __future__ import annotations

from timecard.errors import UnsupportedError
from timecard.mac.driver import OscillatorCapability, SelfDiscipline


class WatchedPart:
    """The orders of ``Oscillator`` for a part that can only be watched: each raises ``UnsupportedError``."""

    capabilities: frozenset[OscillatorCapability] = frozenset()
    max_frequency_ppb = 0.0
    frequency_resolution_ppb = 0.0

    def __init__(self, name: str, reason: str) -> None:
        """``reason``: why it takes none, and what to do instead."""
        self.name = name
        self._reason = reason

    def set_frequency_ppb(self, frequency_ppb: float) -> float:
        """Not possible."""
        raise self._unsupported("steer")

    def begin_software_steering(self) -> None:
        """Not possible."""
        raise self._unsupported("begin software steering")

    def begin_self_disciplining(self, settings: SelfDiscipline) -> None:
        """Not possible."""
        raise self._unsupported("begin self-disciplining")

    def sync_pulse(self) -> None:
        """Not possible."""
        raise self._unsupported("sync")

    def latch(self) -> None:
        """Not possible."""
        raise self._unsupported("latch")

    def store(self) -> None:
        """Not possible."""
        raise self._unsupported("store")

    def _unsupported(self, operation: str) -> UnsupportedError:
        return UnsupportedError(self.name, operation, self._reason)
