"""What differs between an intent and a u-blox receiver, whichever way it is configured.

Settings are named by the keys of the configuration interface throughout; for a receiver of generation 8 they
are translated. Planning only reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from timecard.errors import RefusedError
from timecard.gnss import ublox_messages as ubx
from timecard.gnss.intent import Change, GnssIntent, InForce, Plan, Store, Survey
from timecard.gnss.ublox_fields import (
    BAUD,
    DEFAULT_BAUD,
    FIELD_OF,
    FIXED,
    READ_KEYS,
    SURVEY_IN,
    TIME_MODE,
    Values,
    epochs_per_s,
)
from timecard.gnss.ublox_line import UbloxLine
from timecard.gnss.ublox_settings import field_keys, intent_of, is_same_place, keys_of
from timecard.gnss.ublox_slave import GUARD_KEYS, taken_from_slave
from timecard.protocols import RateStream

CONFIGURE: Final = "configure GNSS receiver"
LAYERS: Final = {"ram": 1, "battery": 3, "flash": 7}
"""Layers that are written for each ``Store``: bit 0 RAM, 1 battery-backed, 2 flash."""
_PLAN: Final = "plan GNSS configuration"
_SURVEY_S: Final = 1.5
_SHOWN: Final = 6

Wanted = Mapping[str, Mapping[str, int]]
"""Field of an intent to keys and values."""


class SettingsRefusedError(RefusedError):
    """Keys that the receiver refused, or that did not read back as written; the old values are in force."""

    def __init__(self, device: str, keys: Sequence[str], reason: str) -> None:
        super().__init__(device, CONFIGURE, reason)
        self.keys = tuple(keys)


class FailedError(Exception):
    """A write that did not come to its end."""

    def __init__(self, keys: Sequence[str], reason: str, *, silent: bool = False) -> None:
        super().__init__(reason)
        self.keys = tuple(keys)
        self.reason = reason
        self.silent = silent
        self.undiagnosed = False


class Stored(NamedTuple):
    """What a receiver keeps."""

    by_layer: Mapping[str, Mapping[str, int]]
    """``battery`` and ``flash``, as far as they are asked for: what they hold."""
    after_restart: Sequence[Mapping[str, int]]
    """Values after a restart, as many kinds of restart as what is asked for has to survive."""


class Planner(ABC):
    """Reads a receiver and says what differs; how it is read is the business of those who inherit."""

    def __init__(self, line: UbloxLine) -> None:
        self._line = line
        self._name = line.name

    @abstractmethod
    def read(self, names: Iterable[str]) -> dict[str, int]:
        """Values in force, of the keys that this receiver has. Raises ``DeviceTimeoutError``."""

    def label(self, key: str) -> str:
        """What this receiver calls a key."""
        return key

    def _stored(self, values: Values, present: Values, layers: int) -> Stored | None:
        """What is stored of the keys of ``values``; None when it cannot be read, or is not of interest."""
        return None

    def in_force(self) -> InForce:
        """Settings in neutral words. Raises ``DeviceTimeoutError``."""
        return intent_of(self.read(READ_KEYS))

    # --- what differs ---------------------------------------------------------------------------------------

    def plan(self, intent: GnssIntent) -> Plan:
        """What differs from an intent; raises ``RefusedError`` for one that would silence the FPGA."""
        fields = [field for field in keys_of(intent)]
        present = self._read_for(field_keys(fields))
        rate_hz = intent.rate_hz or epochs_per_s(present) or 1.0
        if intent.messages and rate_hz != int(rate_hz):
            reason = f"messages: there are {rate_hz:g} epochs a second now; ask for rate_hz = 1 too"
            raise RefusedError(self._name, _PLAN, reason)
        baud = present.get(BAUD, DEFAULT_BAUD)
        wanted = keys_of(intent, known=present.keys(), rate_hz=rate_hz, baud=baud)
        return self._plan_from(present, wanted, LAYERS[intent.store], intent.store)

    def plan_keys(self, wanted: Wanted, layers: int) -> Plan:
        """What differs from keys and values, given by field; ``layers`` as ``LAYERS``."""
        present = self._read_for([name for keys in wanted.values() for name in keys])
        return self._plan_from(present, wanted, layers, "battery")

    def plan_survey(self, survey: Survey, store: Store) -> Plan:
        """What ``survey_again`` writes over, to be kept for an undo: also where there is a position."""
        wanted = keys_of(GnssIntent(position=survey))["position"]
        present = self._read_for(wanted)
        values = {name: value for name, value in wanted.items() if name in present}
        return self._differences(present, values, LAYERS[store], store)

    def _read_for(self, names: Iterable[str]) -> dict[str, int]:
        present = self.read([*names, TIME_MODE, *GUARD_KEYS])
        if present.get(TIME_MODE) == FIXED:
            present |= self.read(field_keys(["position"]))
        return present

    def _plan_from(self, present: Mapping[str, int], wanted: Wanted, layers: int, store: Store) -> Plan:
        fields, unsupported = self._possible(wanted, present)
        values = {name: value for keys in fields.values() for name, value in keys.items()}
        reasons = taken_from_slave(present, {**present, **values})
        if BAUD in values and values[BAUD] != present[BAUD] and not isinstance(self._line.stream, RateStream):
            reasons = (*reasons, "baud: the rate of this line cannot be changed from here")
        if reasons:
            raise RefusedError(self._name, _PLAN, "; ".join(reasons))
        return self._differences(present, values, layers, store, unsupported)

    def _differences(
        self, present: Values, values: Values, layers: int, store: Store, unsupported: tuple[str, ...] = ()
    ) -> Plan:
        stored = self._stored(values, present, layers)
        later = stored.after_restart if stored else []
        changes = []
        for name, value in values.items():
            lost = next((kept[name] for kept in later if kept.get(name, value) != value), None)
            if present[name] != value or lost is not None:
                change = Change(
                    setting=FIELD_OF[name],
                    key=self.label(name),
                    before=present[name],
                    after=value,
                    stored=lost if present[name] == value else None,
                )
                changes.append(change)
        keys = {change.key for change in changes}
        return Plan(
            changes=tuple(changes),
            unsupported=unsupported,
            store=store,
            stored=stored
            and {
                name: {key: value for key, value in held.items() if key in keys}
                for name, held in stored.by_layer.items()
            },
        )

    def _possible(
        self, wanted: Wanted, present: Mapping[str, int]
    ) -> tuple[dict[str, dict[str, int]], tuple[str, ...]]:
        """What this receiver can do of what is wanted, and the rest in words."""
        fields, unsupported = {}, []
        for field, keys in wanted.items():
            if TIME_MODE in keys and TIME_MODE not in present:
                unsupported.append(f"{field}: this receiver has neither survey nor fixed position")
                continue
            if TIME_MODE in keys and self._has_position(keys, present):
                continue
            fields[field] = {name: value for name, value in keys.items() if name in present}
            missing = [name for name in keys if name not in present]
            if missing:
                unsupported.append(f"{field}: firmware does not know {', '.join(missing)}")
        return fields, tuple(unsupported)

    def _has_position(self, wanted: Mapping[str, int], present: Mapping[str, int]) -> bool:
        """Whether there is a position already, which a new survey would throw away."""
        if wanted[TIME_MODE] == FIXED:
            return is_same_place(wanted, present)
        if present[TIME_MODE] == FIXED:
            return True
        if present[TIME_MODE] == SURVEY_IN and any(present[name] != value for name, value in wanted.items()):
            survey = self._line.fetch(ubx.TIM_SVIN, _SURVEY_S)
            return survey is not None and bool(survey.valid) and not survey.active
        return False

    def _checked(self, plan: Plan, *, after: bool) -> dict[str, int]:
        """Keys and values of a plan, which may come from a file."""
        keys = {self.label(key): key for key in FIELD_OF}
        values: dict[str, int] = {}
        for change in plan.changes:
            value = change.after if after else change.before
            if change.key not in keys or not isinstance(value, int):
                raise SettingsRefusedError(
                    self._name, [change.key], f"{change.key}={value!r}: not a setting that is ever written"
                )
            values[keys[change.key]] = value
        return values


def listed(names: Sequence[str]) -> str:
    """The first few names."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
