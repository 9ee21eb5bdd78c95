"""Reading and writing keys of a u-blox receiver, layer by layer: what is written is written together or not.

u-blox F9 interface description, "Configuration interface": one CFG-VALSET applies as a whole or is refused
as a whole; more than 64 keys go into a transaction, which applies at its end. An acknowledgement can get
lost, so what is in force is never concluded from one but read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from timecard.gnss import ublox_key_codec as codec
from timecard.gnss.ublox_key_codec import BBR, FLASH, RAM
from timecard.gnss.ublox_line import TRIES, Answer, UbloxLine

LOCK: Final = "CFG_SEC_CFG_LOCK"
_MESSAGE_GROUP: Final = 0x091
"""Too many keys to ask for all of them."""
_WILDCARD: Final = 0xFFFF
_MAX_PAGES: Final = 8
"""No group that is asked for as a whole has more keys."""
_READ: Final = "read GNSS receiver settings"

State = dict[int, dict[str, int]]
"""Layer to the keys that it holds."""


class KeyStore:
    """The keys of one receiver."""

    def __init__(self, line: UbloxLine) -> None:
        self._line = line
        self._unknown: set[str] = set()
        self._defaults: dict[str, int] = {}
        self.last: dict[str, int] = {}
        """Values in force when they were read last."""

    # --- reading --------------------------------------------------------------------------------------------

    def read(self, names: Iterable[str]) -> dict[str, int]:
        """Values in force of the keys that this receiver has. Raises ``DeviceTimeoutError``."""
        asked = sorted({name for name in names if name not in self._unknown}, key=codec.key_id)
        found: dict[str, int] = {}
        for chunk in codec.in_messages(asked):
            found |= self._read_known(chunk)
        self._unknown.update(name for name in asked if name not in found)
        self.last |= found
        return found

    def state(self, names: Sequence[str], layers: int) -> State:
        """What the layers hold of keys that the receiver has."""
        return {layer: self._read_layer(names, layer) for layer in (RAM, BBR, FLASH) if layers & layer}

    def defaults(self, names: Sequence[str]) -> dict[str, int]:
        """What the receiver has where nothing is stored; that never changes, so it is asked for once."""
        for chunk in codec.in_messages([name for name in names if name not in self._defaults]):
            self._defaults |= self._ask(codec.POLL_DEFAULTS, chunk) or {}
        return {name: self._defaults[name] for name in names if name in self._defaults}

    def forget(self) -> None:
        """The receiver was restarted, or is about to be asked anew: what it refused is no longer known."""
        self._unknown.clear()

    def locked(self) -> bool:
        """Whether the receiver's configuration cannot be changed at all."""
        return bool(self.read([LOCK]).get(LOCK))

    def _read_known(self, names: Sequence[str]) -> dict[str, int]:
        """One unknown key refuses a request, so that is asked again in parts."""
        found = self._ask(codec.POLL_LAYER[RAM], names)
        if found is not None or len(names) < 2:
            return found or {}
        groups: dict[int, list[str]] = {}
        for name in names:
            groups.setdefault(codec.key_id(name) >> 16 & 0xFFF, []).append(name)
        if len(groups) > 1:
            parts: Iterable[Sequence[str]] = groups.values()
        elif _MESSAGE_GROUP in groups or (whole := self._read_group(names)) is None:
            parts = (names[: len(names) // 2], names[len(names) // 2 :])
        else:
            return whole
        values: dict[str, int] = {}
        for part in parts:
            values |= self._read_known(part)
        return values

    def _read_group(self, names: Sequence[str]) -> dict[str, int] | None:
        """All keys of a group by its wildcard; None when the receiver does not take that."""
        wildcard = codec.key_id(names[0]) & 0x0FFF_0000 | _WILDCARD
        values: dict[str, int] = {}
        for number in range(_MAX_PAGES):
            page = self._ask(codec.POLL_LAYER[RAM], [wildcard], position=number * codec.MAX_PAIRS)
            if page is None:
                return None
            values |= page
            if len(page) < codec.MAX_PAIRS:
                return {name: values[name] for name in names if name in values}
        return None

    def _read_layer(self, names: Sequence[str], layer: int) -> dict[str, int]:
        values: dict[str, int] = {}
        for chunk in codec.in_messages(names):
            found = self._ask(codec.POLL_LAYER[layer], chunk)
            if found is None and self._ask(codec.POLL_LAYER[layer], [codec.EVERYTHING]) is None:
                return {}  # an empty layer refuses whatever it is asked for
            values |= self._one_by_one(chunk, layer) if found is None else found
        if layer == RAM:
            self.last |= values
        return values

    def _one_by_one(self, names: Sequence[str], layer: int) -> dict[str, int]:
        values: dict[str, int] = {}
        for name in names:
            values |= self._ask(codec.POLL_LAYER[layer], [name]) or {}
        return values

    def _ask(self, poll_layer: int, keys: Sequence[str | int], position: int = 0) -> dict[str, int] | None:
        """One CFG-VALGET; None when it was refused."""
        names = {key for key in keys if isinstance(key, str)}

        def accept(payload: bytes) -> dict[str, int] | None:
            found = codec.valget_reply(payload, poll_layer, position)
            if found is None or (names and not names.issuperset(found)):
                return None  # an earlier request, answered late
            if names and poll_layer == codec.POLL_LAYER[RAM] and names != found.keys():
                return None
            # No key in use is a float; a group that is read as a whole may hold some.
            return {name: value if isinstance(value, int) else 0 for name, value in found.items()}

        request = codec.valget(poll_layer, keys, position)
        return self._line.get(request, lambda frame: accept(frame.payload), _READ)

    # --- writing --------------------------------------------------------------------------------------------

    def write(self, values: Mapping[str, int], layers: int) -> Answer:
        """Write keys together, trying again after silence. What the answer says may still not be so."""
        answer = Answer.ACCEPTED
        for _ in range(TRIES if values else 0):
            answer = self._write_once(values, layers)
            if answer is not Answer.SILENCE:
                break
        return answer

    def refused_by(self, values: Mapping[str, int], layers: int, unchanged: Mapping[str, int]) -> list[str]:
        """Which keys a refused write was refused for; all of them when that does not show.

        Asked by transactions that are begun and never ended, so that nothing comes into force; the last
        message, which ends that, writes a value that is there already (one of ``unchanged``).
        """
        names = list(values)
        culprits = names if self.locked() else self._refused(names, values, layers)
        self._end_transaction(unchanged)
        return culprits or names

    def takes(self, values: Mapping[str, int], layers: int, unchanged: Mapping[str, int]) -> bool:
        """Whether none of these is refused in these layers; asked as in ``refused_by``."""
        refused = self._refused(list(values), values, layers)
        self._end_transaction(unchanged)
        return not refused

    def _end_transaction(self, unchanged: Mapping[str, int]) -> None:
        name = next(iter(unchanged), None)
        if name is not None:
            self._line.set(codec.valset(RAM, {name: unchanged[name]}))

    def put_back(self, state: State, *, all_or_nothing: bool = False) -> list[str]:
        """Make the layers hold what they held; keys that do not. Raises ``DeviceTimeoutError``.

        ``all_or_nothing``: end at the first refusal, before anything is deleted; else get as far as possible.
        """
        names = list(state[RAM])
        present = {layer: self._read_layer(names, layer) for layer in state}
        for layer, held in state.items():
            changed = {name: value for name, value in held.items() if present[layer].get(name) != value}
            if self.write(changed, layer) is not Answer.REFUSED:
                continue
            if all_or_nothing:
                return self.refused_by(changed, layer, present[RAM])
            for name, value in changed.items():
                self.write({name: value}, layer)
        for layer, held in state.items():
            for chunk in codec.in_messages([name for name in present[layer] if name not in held]):
                if self._line.set(codec.valdel(layer, chunk)) is Answer.SILENCE:
                    self._line.set(codec.valdel(layer, chunk))
        now = {layer: self._read_layer(names, layer) for layer in state}
        return [
            name
            for name in names
            if any(held.get(name) != now[layer].get(name) for layer, held in state.items())
        ]

    def _write_once(self, values: Mapping[str, int], layers: int) -> Answer:
        chunks = codec.in_messages(list(values))
        for at, chunk in enumerate(chunks):
            step = "none"
            if len(chunks) > 1:
                step = "begin" if at == 0 else "end" if at == len(chunks) - 1 else "continue"
            answer = self._line.set(codec.valset(layers, {name: values[name] for name in chunk}, step))
            if answer is not Answer.ACCEPTED:
                return answer
        return Answer.ACCEPTED

    def _refused(self, names: Sequence[str], values: Mapping[str, int], layers: int) -> list[str]:
        refused: list[str] = []
        for chunk in codec.in_messages(names):
            part = {name: values[name] for name in chunk}
            answer = self._line.set(codec.valset(layers, part, "begin"))
            if answer is Answer.SILENCE:
                return list(names)
            if answer is Answer.REFUSED and len(chunk) == 1:
                refused += chunk
            elif answer is Answer.REFUSED:
                middle = len(chunk) // 2
                for half in (chunk[:middle], chunk[middle:]):
                    refused += self._refused(half, values, layers)
        return refused
