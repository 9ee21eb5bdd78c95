"""An alarm word in words."""

from __future__ import annotations

from collections.abc import Mapping

from timecard.mac.driver import AlarmBit


def names_of(alarms: int, bits: Mapping[int, AlarmBit]) -> tuple[str, ...]:
    """Meanings of the bits that are set; an undocumented one is named by its number."""
    return tuple(
        bits[bit].words if bit in bits else f"alarm bit {bit}"
        for bit in range(alarms.bit_length())
        if alarms >> bit & 1
    )
