"""Boards and drivers of other packages, by their entry points."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from importlib.metadata import entry_points
from typing import Final, TypeVar

T = TypeVar("T")
_LOG: Final = logging.getLogger(__name__)


def of_other_packages(
    group: str, kind: type[T], name_of: Callable[[T], str], taken: Collection[str]
) -> dict[str, T]:
    """What the entry points of a group name, by its own name.

    One that cannot be loaded, is no ``kind`` or has a name that is ``taken`` is logged and left out: it must
    not keep the others away.
    """
    found: dict[str, T] = {}
    for entry in entry_points(group=group):
        where = f"{group} {entry.name} ({entry.value})"
        try:
            value = entry.load()
        except Exception as error:  # noqa: BLE001 - whatever a foreign module raises
            _LOG.warning("%s cannot be loaded: %r", where, error)
            continue
        if not isinstance(value, kind) or name_of(value) in {*taken, *found}:
            _LOG.warning("%s is no %s, or its name is taken", where, kind.__name__)
            continue
        found[name_of(value)] = value
    return found
