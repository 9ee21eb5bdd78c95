"""Settings of u-blox receivers of generation 9 and later: written all together, verified, taken back.

Nothing here resets a receiver. A write is verified by reading; when it was refused, is not acknowledged, or
reads back otherwise, the layers are made to hold what they held, and the error says whether that worked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from timecard.errors import DeviceTimeoutError, RefusedError
from timecard.gnss.intent import GnssIntent, Plan, Store, Survey
from timecard.gnss.ublox_baud import SET_S, switch_baud
from timecard.gnss.ublox_fields import BAUD, OFF, TIME_MODE, Values
from timecard.gnss.ublox_key_codec import BBR, FLASH, RAM, valset
from timecard.gnss.ublox_key_store import KeyStore, State
from timecard.gnss.ublox_line import Answer, UbloxLine
from timecard.gnss.ublox_planner import (
    CONFIGURE,
    LAYERS,
    FailedError,
    Planner,
    SettingsRefusedError,
    Stored,
    listed,
)  # fmt: skip
from timecard.gnss.ublox_settings import keys_of

_LASTING = {BBR: "battery", FLASH: "flash"}


class KeySettings(Planner):
    """Plans, writes and takes back."""

    def __init__(self, line: UbloxLine) -> None:
        super().__init__(line)
        self.store = KeyStore(line)

    def read(self, names: Iterable[str]) -> dict[str, int]:
        """Values in force, of the keys that this receiver has. Raises ``DeviceTimeoutError``."""
        return self.store.read(names)

    def _stored(self, values: Values, present: Values, layers: int) -> Stored | None:
        if not values or not layers & (BBR | FLASH):
            return None
        asked = self.store.state(list(values), layers & (BBR | FLASH))
        # What is not in force will be written anyway; of the rest, what comes back after a restart counts.
        settled = [name for name, value in values.items() if present[name] == value]
        lower = (
            asked
            if layers & FLASH
            else self.store.state([name for name in settled if name not in asked[BBR]], FLASH)
        )
        flash = lower[FLASH]
        bare = [name for name in settled if name not in flash and (layers & FLASH or name not in asked[BBR])]
        cold = self.store.defaults(bare) | flash
        warm = cold | asked.get(BBR, {})
        return Stored(
            by_layer={_LASTING[layer]: held for layer, held in asked.items()},
            after_restart=[warm, cold] if layers & FLASH else [warm],
        )

    # --- writing --------------------------------------------------------------------------------------------

    def apply(self, plan: Plan, layers: int | None = None) -> None:
        """Write what a plan says, all or nothing, and verify."""
        layers = LAYERS[plan.store] if layers is None else layers | RAM
        values, before = self._checked(plan, after=True), self._checked(plan, after=False)
        if not values:
            return
        state = self.store.state(list(values), layers)
        present = state[RAM]
        if unknown := [name for name in values if name not in present]:
            raise SettingsRefusedError(self._name, unknown, f"firmware does not know {', '.join(unknown)}")
        if moved := [name for name in values if present[name] not in (before[name], values[name])]:
            reason = f"{listed(moved)} changed since the plan was made: plan again"
            raise SettingsRefusedError(self._name, moved, reason)
        only_stored = {change.key for change in plan.changes if change.stored is not None}
        todo = {
            name: value for name, value in values.items() if present[name] != value or name in only_stored
        }
        with self._all_or_nothing(state, todo, layers):
            self._write({name: value for name, value in todo.items() if name != BAUD}, layers)
            self._verify({name: value for name, value in values.items() if name != BAUD}, layers)
            if BAUD in todo:
                self._switch(todo[BAUD], present[BAUD], layers)

    def undo(self, plan: Plan) -> None:
        """Make the layers hold what a plan found."""
        before = self._checked(plan, after=False)
        layers = LAYERS[plan.store]
        target: State = {RAM: before}
        for layer, store in _LASTING.items():
            if layers & layer:
                held = before if plan.stored is None else plan.stored.get(store, {})
                target[layer] = {name: int(value) for name, value in held.items() if name in before}
        state = self.store.state(list(before), layers)
        baud = target[RAM].get(BAUD)
        with self._all_or_nothing(state, {}, layers):
            if baud is not None and BAUD not in state[RAM]:
                raise FailedError([BAUD], "its present value cannot be read")
            if baud is not None and state[RAM][BAUD] != baud:
                self._switch(baud, state[RAM][BAUD], RAM)
            wrong = self.store.put_back(target, all_or_nothing=True)
            if wrong:
                raise FailedError(wrong, f"{listed(wrong)} could not be put back")

    def survey_again(self, survey: Survey, store: Store) -> None:
        """Throw away the position and find it anew."""
        wanted = keys_of(GnssIntent(position=survey))["position"]
        present, layers = self.store.read(wanted), LAYERS[store]
        if TIME_MODE not in present:
            raise SettingsRefusedError(self._name, [TIME_MODE], "this receiver has no survey")
        with self._all_or_nothing(self.store.state(list(present), layers), wanted, layers):
            self._write({TIME_MODE: OFF}, RAM)
            self._write(wanted, layers)
            self._verify(wanted, layers)

    @contextmanager
    def _all_or_nothing(self, state: State, todo: Mapping[str, int], layers: int) -> Iterator[None]:
        """Put ``state`` back when what is done inside does not come to its end."""
        try:
            yield
        except FailedError as failure:
            raise self._taken_back(failure, state, todo, layers) from None
        except DeviceTimeoutError as error:
            unread = FailedError(list(todo), f"written, but not read again: {error.reason}", silent=True)
            raise self._taken_back(unread, state, todo, layers) from error

    def _write(self, values: Mapping[str, int], layers: int) -> None:
        answer = self.store.write(values, layers)
        if answer is Answer.REFUSED:
            failure = FailedError(list(values), "refused")
            failure.undiagnosed = True
            raise failure
        if answer is Answer.SILENCE:
            raise FailedError(list(values), "CFG-VALSET was not acknowledged (068A): no answer", silent=True)

    def _verify(self, values: Mapping[str, int], layers: int) -> None:
        if not values:
            return
        state = self.store.state(list(values), layers)
        wrong = [name for name in values if any(held.get(name) != values[name] for held in state.values())]
        if wrong:
            texts = [f"{name}={state[RAM].get(name)} instead of {values[name]}" for name in wrong]
            raise FailedError(wrong, f"read back otherwise: {listed(texts)}")

    def _switch(self, new: int, old: int, layers: int) -> None:
        def keep() -> bool:
            if layers & ~RAM:
                self._line.set(valset(layers & ~RAM, {BAUD: new}))
            state = self.store.state([BAUD], layers | RAM)
            return all(held.get(BAUD) == new for held in state.values())

        problem = switch_baud(
            self._line,
            new,
            old,
            tell=lambda baud: self._line.set(valset(RAM, {BAUD: baud}), SET_S),
            keep=keep,
        )
        if problem is not None:
            raise FailedError([BAUD], problem)

    def _taken_back(
        self, failure: FailedError, state: State, todo: Mapping[str, int], layers: int
    ) -> RefusedError | DeviceTimeoutError:
        """Restore, and the error that says how that went."""
        keys, reason = failure.keys, failure.reason
        try:
            wrong = self.store.put_back(state)
            if failure.undiagnosed:
                asked = {name: value for name, value in todo.items() if name in failure.keys}
                keys = tuple(self.store.refused_by(asked, layers, state[RAM]))
                reason = f"{self._why(asked, keys, layers, state[RAM])}: {listed(keys)}"
        except DeviceTimeoutError:
            names = listed(list(todo or state[RAM]))
            reason = f"{reason}; the receiver no longer answers, so it is not known whether {names} changed"
            return DeviceTimeoutError(self._name, CONFIGURE, reason)
        if wrong:
            reason = f"{reason}; could not be restored: {listed(wrong)}"
        else:
            reason = f"{reason}; the old settings are in force ({listed(list(todo or state[RAM]))})"
        if failure.silent:
            return DeviceTimeoutError(self._name, CONFIGURE, reason)
        return SettingsRefusedError(self._name, keys, reason)

    def _why(
        self, asked: Mapping[str, int], keys: Sequence[str], layers: int, present: Mapping[str, int]
    ) -> str:
        if self.store.locked():
            return "the configuration is locked (CFG_SEC_CFG_LOCK)"
        if layers & ~RAM and len(keys) == len(asked) and self.store.takes(asked, RAM, present):
            return "refused for good, though not for RAM alone: another store may do"
        return "refused"


def without(plan: Plan, keys: Sequence[str]) -> Plan:
    """A plan that leaves these keys alone."""
    return replace(plan, changes=tuple(change for change in plan.changes if change.key not in keys))
