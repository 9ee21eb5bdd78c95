"""The oscillators that this toolkit knows: one file per family, and this table.

Another package adds a family by an entry point of the group ``timecard.oscillators`` that names an
``OscillatorDriver`` (docs/adding-an-oscillator.md). One that cannot be used is logged and left out: it must
not keep the others away.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from timecard.entry_points import of_other_packages
from timecard.mac.driver import OscillatorDriver
from timecard.mac.oscillators import csac, mro50, quartz, rod2522, sa3xm, sa5x

ENTRY_POINTS: Final = "timecard.oscillators"
_OWN: Final = {module.DRIVER.family: module.DRIVER for module in (sa5x, csac, sa3xm, mro50, rod2522, quartz)}
OSCILLATORS: Final[Mapping[str, OscillatorDriver]] = MappingProxyType(
    _OWN | of_other_packages(ENTRY_POINTS, OscillatorDriver, lambda driver: driver.family, _OWN)
)
__all__ = ["ENTRY_POINTS", "OSCILLATORS"]
