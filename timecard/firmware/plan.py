"""What an update would do, and what it did."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an apply would do."""

    card: str
    board: str
    flash: str
    running: str | None
    image: str
    sha256: str
    version: str | None
    """That the card will report after the next power cycle; None without a pin."""
    hardware_revision: int
    offset: int
    size: int
    sectors: int
    sectors_to_write: int
    seconds: float
    """Estimate, by how fast the flash was just read."""
    resumes: bool
    """An apply of this image was cut, and goes on."""
    refusals: tuple[str, ...]
    """Why it must not be done; empty: it may."""

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self) | {"refusals": list(self.refusals)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was done."""

    action: str
    sectors_written: int
    version: str | None
    """That the card reports from its next power cycle on; None when that is not known."""
    resumed: bool
