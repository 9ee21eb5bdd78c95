"""Settings of a u-blox receiver of generation 8 (M8T), which takes CFG messages and no keys.

Messages are set one by one and cannot be set together: when one is refused or not acknowledged, those before
it are set back to what they were. What is in force can be read, what is stored cannot: CFG-CFG stores
everything that is in force, so it is sent only after something was written and read back right.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Final

from timecard.errors import DeviceTimeoutError, RefusedError
from timecard.gnss.intent import GnssIntent, Plan, Store, Survey
from timecard.gnss.ublox_baud import SET_S, switch_baud
from timecard.gnss.ublox_fields import BAUD, OFF, TIME_MODE
from timecard.gnss.ublox_legacy_messages import (
    CFG_CFG,
    PARTS,
    Source,
    is_answer,
    label,
    to_send,
    value_in,
    with_value,
)
from timecard.gnss.ublox_line import TRIES, Answer, UbloxLine
from timecard.gnss.ublox_planner import (
    CONFIGURE,
    FailedError,
    Planner,
    SettingsRefusedError,
    Wanted,
    listed,
)
from timecard.gnss.ublox_settings import keys_of
from timecard.gnss.ubx import encode

_READ: Final = "read GNSS receiver settings"
_SAVE_ALL: Final = 0xFFFF
_DEVICES: Final = {"battery": 0x01, "flash": 0x13}
"""Bits of CFG-CFG deviceMask: battery-backed RAM; flash, also one on SPI."""
_SCALED: Final = {name: part.scale for name, part in PARTS.items() if part.scale > 1}

Payloads = dict[Source, bytes]


class LegacySettings(Planner):
    """Plans, writes and takes back, by CFG messages."""

    def __init__(self, line: UbloxLine) -> None:
        super().__init__(line)
        self._refused: set[Source] = set()

    def answers(self) -> bool:
        """Whether the receiver takes these messages."""
        try:
            return bool(self._poll(PARTS["CFG_RATE_MEAS"].source))
        except DeviceTimeoutError:
            return False

    def label(self, key: str) -> str:
        """``CFG-TP5.antCableDelay`` for ``CFG_TP_ANT_CABLEDELAY``."""
        return label(key)

    def read(self, names: Iterable[str]) -> dict[str, int]:
        """Values in force, by key, of what this receiver has. Raises ``DeviceTimeoutError``."""
        return self._values(names, self._payloads(names))

    def _possible(
        self, wanted: Wanted, present: Mapping[str, int]
    ) -> tuple[dict[str, dict[str, int]], tuple[str, ...]]:
        # Whole centimetres and millimetres are all that CFG-TMODE2 takes.
        coarse = {
            field: {
                key: round(value / _SCALED[key]) * _SCALED[key] if key in _SCALED else value
                for key, value in keys.items()
                if not key.endswith("_HP")
            }
            for field, keys in wanted.items()
        }
        return super()._possible(coarse, present)

    # --- writing --------------------------------------------------------------------------------------------

    def apply(self, plan: Plan) -> None:
        """Write what a plan says, message by message, all or nothing, and verify; store all settings."""
        values, before = self._checked(plan, after=True), self._checked(plan, after=False)
        payloads = self._payloads(values)
        present = self._values(values, payloads)
        moved = [name for name in values if present.get(name) not in (before[name], values[name])]
        if moved:
            reason = f"{listed([label(name) for name in moved])} changed since the plan was made: plan again"
            raise SettingsRefusedError(self._name, [label(name) for name in moved], reason)
        if values:
            self._change(values, payloads, plan.store)

    def undo(self, plan: Plan) -> None:
        """Write the values that a plan found."""
        before = self._checked(plan, after=False)
        if before:
            self._change(before, self._payloads(before), plan.store)

    def survey_again(self, survey: Survey, store: Store) -> None:
        """Throw away the position and find it anew."""
        wanted = keys_of(GnssIntent(position=survey))["position"]
        payloads = self._payloads(wanted)
        if not payloads:
            raise SettingsRefusedError(self._name, [label(TIME_MODE)], "this receiver has no survey")
        self._change({TIME_MODE: OFF}, payloads, "ram")
        self._change(wanted, payloads, store)

    def _change(self, values: Mapping[str, int], before: Payloads, store: Store) -> None:
        """From what the messages say now to these values, or back to ``before``."""
        try:
            for source, payload in self._payloads(values).items():
                mine = {name: value for name, value in values.items() if PARTS[name].source == source}
                wanted = payload
                for name, value in mine.items():
                    wanted = wanted if name == BAUD else with_value(PARTS[name], wanted, value)
                if wanted != payload:
                    self._set(source, wanted, [label(name) for name in mine])
            if BAUD in values:
                self._switch(values[BAUD])
            present = self.read(values)
            wrong = [label(name) for name, value in values.items() if present.get(name) != value]
            if wrong:
                raise FailedError(wrong, f"read back otherwise: {listed(wrong)}")
            self._save(store)
        except FailedError as failure:
            raise self._taken_back(failure, before) from None
        except DeviceTimeoutError as error:
            unread = FailedError([], f"written, but not read again: {error.reason}", silent=True)
            raise self._taken_back(unread, before) from error
        except ValueError as error:
            raise SettingsRefusedError(self._name, [], str(error)) from error

    def _set(self, source: Source, payload: bytes, names: list[str]) -> None:
        answer = self._send(encode(source.key, to_send(source, payload)))
        if answer is Answer.REFUSED:
            raise FailedError(names, f"refused: {listed(names)}")
        if answer is Answer.SILENCE:
            raise FailedError(names, f"not acknowledged: {listed(names)}", silent=True)

    def _switch(self, new: int) -> None:
        part = PARTS[BAUD]
        payload = self._poll(part.source) or b""
        old = value_in(part, payload)
        if old is None or old == new:
            return
        problem = switch_baud(
            self._line,
            new,
            old,
            tell=lambda baud: self._line.set(encode(part.source.key, with_value(part, payload, baud)), SET_S),
            keep=lambda: self.read([BAUD]).get(BAUD) == new,
        )
        if problem is not None:
            raise FailedError([label(BAUD)], problem)

    def _save(self, store: Store) -> None:
        if store == "ram":
            return
        payload = struct.pack("<IIIB", 0, _SAVE_ALL, 0, _DEVICES[store] | _DEVICES["battery"])
        if self._send(encode(CFG_CFG, payload)) is not Answer.ACCEPTED:
            raise FailedError(["CFG-CFG"], f"could not be stored ({store}): CFG-CFG", silent=False)

    def _send(self, request: bytes) -> Answer:
        answer = Answer.SILENCE
        for _ in range(TRIES):
            answer = self._line.set(request)
            if answer is not Answer.SILENCE:
                break
        return answer

    def _taken_back(self, failure: FailedError, before: Payloads) -> RefusedError | DeviceTimeoutError:
        wrong: list[str] = []
        try:
            for source, payload in before.items():
                if self._poll(source) != payload:
                    self._send(encode(source.key, to_send(source, payload)))
                    if self._poll(source) != payload:
                        wrong += [label(name) for name, part in PARTS.items() if part.source == source]
        except DeviceTimeoutError:
            reason = f"{failure.reason}; the receiver no longer answers, so it is not known what is in force"
            return DeviceTimeoutError(self._name, CONFIGURE, reason)
        end = f"could not be restored: {listed(wrong)}" if wrong else "the old settings are in force"
        reason = f"{failure.reason}; {end}"
        if failure.silent:
            return DeviceTimeoutError(self._name, CONFIGURE, reason)
        return SettingsRefusedError(self._name, failure.keys, reason)

    # --- reading --------------------------------------------------------------------------------------------

    def _values(self, names: Iterable[str], payloads: Payloads) -> dict[str, int]:
        values = {}
        for name in names:
            part = PARTS.get(name)
            payload = payloads.get(part.source) if part else None
            if part is not None and payload is not None and (value := value_in(part, payload)) is not None:
                values[name] = value
        return values

    def _payloads(self, names: Iterable[str]) -> Payloads:
        """The messages that these keys are fields of, as they are now."""
        payloads: Payloads = {}
        for name in names:
            part = PARTS.get(name)
            if part is None or part.source in payloads or part.source in self._refused:
                continue
            payload = self._poll(part.source)
            if payload is None:
                self._refused.add(part.source)
            else:
                payloads[part.source] = payload
        return payloads

    def _poll(self, source: Source) -> bytes | None:
        """The payload of a message; None when the receiver refuses it."""
        return self._line.get(
            encode(source.key, source.poll),
            lambda frame: frame.payload if is_answer(source, frame.payload) else None,
            _READ,
        )
