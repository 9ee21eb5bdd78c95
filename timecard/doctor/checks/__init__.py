"""The checks: pure functions from facts to what was seen, and the table of all findings.

The order of the groups, and of the entries within one, is the order in which findings of one severity are
listed: what lies deeper comes first.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from timecard.doctor.checks import (
    board_data,
    clock,
    driver,
    errata,
    kernel_parts,
    limits,
    oscillator,
    pci,
    ports,
    pulses,
    receiver,
    signals,
)
from timecard.doctor.findings import Entry, Group

GROUPS: Final[tuple[Group, ...]] = (
    pci.GROUP,
    driver.GROUP,
    kernel_parts.GROUP,
    board_data.GROUP,
    ports.GROUP,
    errata.GROUP,
    receiver.GROUP,
    oscillator.GROUP,
    pulses.GROUP,
    clock.GROUP,
    signals.GROUP,
    limits.GROUP,
)
CATALOGUE: Final = MappingProxyType(
    {finding: entry for group in GROUPS for finding, entry in group.entries.items()}
)
"""Every finding that there is."""
RANKS: Final = MappingProxyType({finding: rank for rank, finding in enumerate(CATALOGUE)})

__all__ = ["CATALOGUE", "GROUPS", "RANKS", "Entry", "Group"]
