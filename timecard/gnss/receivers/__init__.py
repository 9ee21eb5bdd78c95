"""The receivers that this toolkit drives: one file per family, and this table.

Another package adds a family by an entry point of the group ``timecard.receivers`` that names a
``ReceiverDriver`` (docs/adding-a-receiver.md). One that cannot be used is logged and left out: it must not
keep the others away.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Final

from timecard.entry_points import of_other_packages
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


class _Drivers(Mapping[str, ReceiverDriver]):
    """Loaded when it is first looked at: the decoders of all families need other packages."""

    @cached_property
    def _table(self) -> dict[str, ReceiverDriver]:
        own = {name: _load(target) for name, target in _OWN.items()}
        others = of_other_packages(ENTRY_POINTS, ReceiverDriver, lambda driver: driver.name, own)
        listener = own.pop(_LISTENER)
        return own | others | {_LISTENER: listener}

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


RECEIVERS: Final[Mapping[str, ReceiverDriver]] = _Drivers()
