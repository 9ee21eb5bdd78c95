"""The oscillators that this toolkit knows: one file per family, and this table.

Another package adds a family by an entry point of the group ``timecard.oscillators`` that names an
``OscillatorDriver`` (docs/adding-an-oscillator.md). One that cannot be used is logged and left out: it must
not keep the others away.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Final

from timecard.mac.driver import OscillatorDriver
from timecard.mac.oscillators import csac, mro50, quartz, rod2522, sa3xm, sa5x

ENTRY_POINTS: Final = "timecard.oscillators"
_LOG: Final = logging.getLogger(__name__)


def _with_others(own: tuple[OscillatorDriver, ...]) -> Mapping[str, OscillatorDriver]:
    """Our drivers, then those of other packages."""
    drivers = {driver.family: driver for driver in own}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            driver = entry.load()
        except Exception as error:  # noqa: BLE001 - whatever a foreign module raises
            _LOG.warning("oscillator %s (%s) cannot be loaded: %r", entry.name, entry.value, error)
            continue
        if not isinstance(driver, OscillatorDriver) or driver.family in drivers:
            _LOG.warning(
                "oscillator %s (%s) is no OscillatorDriver, or its name is taken", entry.name, entry.value
            )
            continue
        drivers[driver.family] = driver
    return MappingProxyType(drivers)


OSCILLATORS: Final = _with_others(
    (sa5x.DRIVER, csac.DRIVER, sa3xm.DRIVER, mro50.DRIVER, rod2522.DRIVER, quartz.DRIVER)
)
__all__ = ["ENTRY_POINTS", "OSCILLATORS"]
