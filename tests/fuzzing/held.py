"""How much an object keeps: bytes, characters and items of everything of ours that it leads to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

OURS = ("timecard.", "appliance.", "tests.")


def held(root: object) -> int:
    """Bytes, characters and container items below ``root``; what belongs to other packages is not entered."""
    total, seen, open_ = 0, set[int](), [root]
    while open_:
        each = open_.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, bytes | bytearray | str):
            total += len(each)
        elif isinstance(each, Mapping):
            total += len(each)
            open_ += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple | set | frozenset | deque):
            total += len(each)
            open_ += each
        elif type(each).__module__.startswith(OURS):
            open_ += _attributes(each)
    return total


def _attributes(each: object) -> Iterator[Any]:
    yield from getattr(each, "__dict__", {}).values()
    for kind in type(each).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(each, name):
                yield getattr(each, name)
