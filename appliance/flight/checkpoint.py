"""The whole state of a discipline as JSON, and back: so a file that was begun in mid-flight stands alone.

Objects are followed and numbered, so what is shared stays shared; doubles are written as Python writes them,
which is exact, and arrays byte for byte. Only classes of the discipline itself are written or made, never by
importing anything: what a file says can fill an object with nonsense, but runs no code. Nor may it be small
and stand for a lot: what is shared counts as often as it is there, since whoever writes or compares a value
goes through all of it.
"""

from __future__ import annotations

import base64
import binascii
import sys
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final

import numpy as np

from appliance.flight.errors import FlightError
from appliance.printable import shortened, shown

PACKAGES: Final = ("appliance.timescale.", "appliance.leap.", "appliance.ensemble.")
MODULES: Final = (
    "appliance.events",
    "appliance.rehearsal_view",
    "appliance.snapshot",
    "timecard.values",
    "timecard.leap_list",
    "timecard.gnss.sawtooth",
)
MAX_NODES: Final = 1_000_000
MAX_ARRAY_BYTES: Final = 64 << 20
MAX_EXPANDED: Final = 200_000
"""Items and letters of a value as it would be written."""
MAX_KEY: Final = 100
MAX_DEPTH: Final = 32
_DTYPES: Final = ("<f8", "<i8", "|b1")
_PLAIN: Final = (str, int, float, bool)
_OPAQUE: Final[object] = object.__repr__
_NONSENSE: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
)


def capture(root: object, leave_out: Iterable[str] = ()) -> list[Any]:
    """JSON-able state of ``root`` without the attributes named; ``TypeError`` says what cannot be written."""
    return _Capture(root, frozenset(leave_out)).nodes


def restore(root: object, nodes: object) -> None:
    """Put a captured state into ``root``, a fresh object of the same class. Raises ``FlightError``."""
    try:
        if not isinstance(nodes, list) or not 0 < len(nodes) <= MAX_NODES:
            raise ValueError("no list of nodes")
        _Restore(root, nodes)
    except _NONSENSE as error:
        reason = shortened(str(error))
        raise FlightError(f"the state recorded at the start does not fit this version ({reason})") from error


def _attributes(value: object) -> dict[str, Any]:
    """Of an object with a dictionary, with slots, or with both."""
    found = dict(getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        for name in getattr(cls, "__slots__", ()):
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def _allowed(module: str) -> bool:
    return module in MODULES or module.startswith(PACKAGES)


class _Capture:
    def __init__(self, root: object, leave_out: frozenset[str]) -> None:
        self.nodes: list[Any] = [None]
        self._numbers: dict[int, int] = {id(root): 0}
        self._alive: list[object] = [root]  # an id is only good while its object lives
        self._memory: set[int] = set()
        self.nodes[0] = {
            name: self._reference(value, name)
            for name, value in _attributes(root).items()
            if name not in leave_out
        }

    def _reference(self, value: object, where: str) -> Any:
        if value is None or type(value) in _PLAIN:
            return value
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self.nodes)
            self._alive.append(value)
            self.nodes.append(None)
            self.nodes[number] = self._node(value, where)
        return [number]

    def _node(self, value: Any, where: str) -> list[Any]:
        kind = type(value)
        if isinstance(value, Enum):
            return ["enum", f"{kind.__module__}:{kind.__qualname__}", value.name]
        if kind is Counter or kind is dict:
            pairs = [[self._reference(k, where), self._reference(v, where)] for k, v in value.items()]
            return [kind.__name__, pairs]
        if kind in (list, tuple):
            return [kind.__name__, [self._reference(item, where) for item in value]]
        if kind is deque:
            return ["deque", [self._reference(item, where) for item in value], value.maxlen]
        if kind is np.ndarray and value.dtype.str in _DTYPES and value.flags.forc:
            owner = id(value if value.base is None else value.base)
            if owner in self._memory:
                raise TypeError(f"{where}: an array shares its memory with another one")
            self._memory.add(owner)
            # The layout stays too: a product of matrices rounds differently in another one.
            order = "C" if value.flags.c_contiguous else "F"
            data = base64.b64encode(value.tobytes(order)).decode("ascii")
            return ["array", value.dtype.str, list(value.shape), order, data]
        if isinstance(value, np.generic) and value.dtype.str in _DTYPES:
            return ["scalar", value.dtype.str, value.item()]
        if isinstance(value, tuple) and _allowed(kind.__module__):
            items = [self._reference(item, where) for item in value]
            return ["named", f"{kind.__module__}:{kind.__qualname__}", items]
        if _allowed(kind.__module__):
            inner = {name: self._reference(item, name) for name, item in _attributes(value).items()}
            return ["object", f"{kind.__module__}:{kind.__qualname__}", inner]
        raise TypeError(f"{where}: {kind.__module__}.{kind.__qualname__} has no place in a checkpoint")


class _Restore:
    def __init__(self, root: object, nodes: list[Any]) -> None:
        self._nodes = nodes
        self._made: dict[int, Any] = {0: root}
        self._sizes: dict[int, int] = {0: 1}
        """Of what is made, written out; an object that would not be written out counts as one."""
        self._size = self._depth = 0
        """Of the value that is being made, so far; and how many there are around it."""
        self._fill(root, nodes[0])

    def _value(self, reference: Any) -> Any:
        if reference is None or type(reference) in _PLAIN:
            self._size += len(reference) if isinstance(reference, str) else 1
            return reference
        (number,) = reference
        if number not in self._made:
            if not isinstance(number, int) or not 0 <= number < len(self._nodes):
                raise ValueError(f"no node {shown(number)}")
            self._made[number] = self._limited(number)
        if number not in self._sizes:
            raise ValueError("a value is part of itself")
        self._size += self._sizes[number]
        return self._made[number]

    def _limited(self, number: int) -> Any:
        around, self._size = self._size, 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError("values are nested too deeply")
        made = self._make(number, *self._nodes[number])
        self._depth -= 1
        size, self._size = self._size, around
        if self._sizes.setdefault(number, size) > MAX_EXPANDED:
            raise ValueError("a value is too large")
        return made

    def _make(self, number: int, kind: str, *rest: Any) -> Any:
        match kind, rest:
            case "object", (str(path), dict(attributes)):
                cls = _class_of(path)
                made = self._made[number] = object.__new__(cls)
                if cls.__repr__ is _OPAQUE:
                    self._sizes[number] = 1
                self._fill(made, attributes)
                return made
            case "enum", (str(path), str(name)):
                cls = _class_of(path)
                if not issubclass(cls, Enum):
                    raise ValueError(f"{path} is no enumeration")
                return cls[name]
            case "named", (str(path), list(items)):
                cls = _class_of(path)
                if not issubclass(cls, tuple):
                    raise ValueError(f"{path} is no tuple")
                return cls(*[self._value(item) for item in items])
            case "tuple", (list(items),):
                return tuple([self._value(item) for item in items])
            case "list", (list(items),):
                made = self._made[number] = []
                made.extend([self._value(item) for item in items])
                return made
            case "deque", (list(items), maxlen):
                made = self._made[number] = deque(maxlen=maxlen)
                made.extend([self._value(item) for item in items])
                return made
            case (("dict" | "Counter"), (list(pairs),)):
                made = self._made[number] = {} if kind == "dict" else Counter()
                for key, value in pairs:
                    before = self._size
                    found = self._value(key)
                    if self._size - before > MAX_KEY and not isinstance(found, str):
                        raise ValueError("a key is too large")
                    made[found] = self._value(value)
                return made
            case "array", (str(dtype), list(shape), ("C" | "F") as order, str(data)):
                array = _array(dtype, shape, order, data)
                self._size += array.size
                return array
            case "scalar", (str(dtype), value) if dtype in _DTYPES:
                return np.dtype(dtype).type(value)
        raise ValueError(f"unknown node {kind!r}")

    def _fill(self, made: object, attributes: Mapping[str, Any]) -> None:
        for name, reference in attributes.items():
            if not name.isidentifier() or name.startswith("__"):
                raise ValueError(f"{name!r} is no attribute")
            object.__setattr__(made, name, self._value(reference))


def _class_of(path: str) -> type[Any]:
    """A class that is there already; its module is never imported because a file says so."""
    module, _, qualified = path.partition(":")
    found: Any = sys.modules.get(module) if _allowed(module) else None
    found = getattr(found, qualified, None) if qualified.isidentifier() else None
    if not isinstance(found, type) or found.__module__ != module:
        raise ValueError(f"no class {path!r}")
    return found


def _array(dtype: str, shape: list[Any], order: str, data: str) -> Any:
    if dtype not in _DTYPES or len(data) > MAX_ARRAY_BYTES:
        raise ValueError(f"array of {dtype!r}")
    try:
        flat = np.frombuffer(base64.b64decode(data, validate=True), dtype=dtype)
    except binascii.Error as error:
        raise ValueError(f"array: {error}") from error
    return flat.reshape(tuple(shape), order="C" if order == "C" else "F").copy(order="K")
