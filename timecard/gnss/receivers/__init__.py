"""The receivers that this toolkit drives: one file per family, and this table.

Another package adds a family by an entry point of the group ``timecard.receivers`` that names a
``ReceiverDriver`` (docs/adding-a-receiver.md). One that cannot be used is logged and left out: it must not
keep the others away.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import entry_points
from typing import Final

from timecard.gnss.driver import ReceiverDriver

ENTRY_POINTS: Final = "timecard.receivers"
_OWN: Final[Mapping[str, str]] = {
    "ublox": "timecard.gnss.receivers.ublox:UBLOX",
    "ublox-legacy": "timecard.gnss.receivers.ublox:UBLOX_LEGACY",
    "septentrio": "timecard.gnss.receivers.septentrio_dialogue:SEPTENTRIO",
    "nmea": "timecard.gnss.receivers.nmea_reader:NMEA",
}
"""In the order in which they are asked: the one that only listens comes last."""
OWN: Final = frozenset(_OWN)
"""Names of the drivers of this package."""
_LISTENER: Final = "nmea"
_LOG: Final = logging.getLogger(__name__)


class _Drivers(Mapping[str, ReceiverDriver]):
    """Loaded when it is first looked at: the decoders of all families need other packages."""

    @cached_property
    def _table(self) -> dict[str, ReceiverDriver]:
        own = {name: _load(target) for name, target in _OWN.items()}
        listener = own.pop(_LISTENER)
        return own | _others({*own, _LISTENER}) | {_LISTENER: listener}

    def __getitem__(self, name: str) -> ReceiverDriver:
        return self._table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


def _load(target: str) -> ReceiverDriver:
    module, _, name = target.partition(":")
    driver = getattr(importlib.import_module(module), name)
    assert isinstance(driver, ReceiverDriver)
    return driver


def _others(taken: set[str]) -> dict[str, ReceiverDriver]:
    drivers: dict[str, ReceiverDriver] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            driver = entry.load()
        except Exception as error:  # noqa: BLE001 - whatever a foreign module raises
            _LOG.warning("receiver %s (%s) cannot be loaded: %r", entry.name, entry.value, error)
            continue
        if not isinstance(driver, ReceiverDriver) or driver.name in {*taken, *drivers}:
            _LOG.warning(
                "receiver %s (%s) is no ReceiverDriver, or its name is taken", entry.name, entry.value
            )
            continue
        drivers[driver.name] = driver
    return drivers


RECEIVERS: Final[Mapping[str, ReceiverDriver]] = _Drivers()
