"""Where a series of readings lies, and how far it has moved from there lately."""

from __future__ import annotations

from typing import Final

NEAR_S: Final = 60.0
LONG_S: Final = 1800.0
KNOWN_AFTER: Final = 600
"""Readings before a place is known."""


class Place:
    """A fast and a slow mean, one reading a second."""

    def __init__(self) -> None:
        self.near_ns = 0.0
        """Mean of the last minute."""
        self._long_ns = 0.0
        self._count = 0

    @property
    def known(self) -> bool:
        """Long enough watched to tell that it has moved."""
        return self._count >= KNOWN_AFTER

    @property
    def moved_ns(self) -> float:
        """The last minute against the last half hour."""
        return self.near_ns - self._long_ns

    def follow(self, value_ns: float) -> None:
        """Another reading."""
        self._count += 1
        self.near_ns += max(1.0 / self._count, 1.0 / NEAR_S) * (value_ns - self.near_ns)
        self._long_ns += max(1.0 / self._count, 1.0 / LONG_S) * (value_ns - self._long_ns)

    def shift(self, delta_ns: float) -> None:
        """What it is measured against was moved on purpose."""
        self.near_ns += delta_ns
        self._long_ns += delta_ns

    def settle(self) -> None:
        """It is at home where it is now."""
        self._long_ns = self.near_ns
        self._count = min(self._count, round(NEAR_S))
