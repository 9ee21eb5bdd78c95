"""An intent as keys and values of a u-blox receiver, and what is in force as an intent: pure, no I/O."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from timecard.gnss.intent import FixedPosition, GnssIntent, InForce, NotModelled, Store
from timecard.gnss.ublox_fields import (
    BAUD,
    DEFAULT_BAUD,
    READ_BY,
    SETTINGS,
    Context,
    Read,
    Values,
    epochs_per_s,
    read_position,
)

_EXACT_M = 0.00005
"""Half the resolution of the keys."""
_CONVERTED_M = 0.001
"""Through latitude and longitude."""


def field_keys(fields: Collection[str]) -> list[str]:
    """Keys that say something about these fields of an intent."""
    return [key for key, field in READ_BY.items() if field in fields]


def keys_of(
    intent: GnssIntent,
    *,
    known: Collection[str] | None = None,
    rate_hz: float = 1.0,
    baud: float = DEFAULT_BAUD,
) -> dict[str, dict[str, int]]:
    """Field to keys and values of everything that the intent asks for.

    ``known``: keys that this receiver has; what is asked of others is returned as well. ``rate_hz`` and
    ``baud``: epochs per second and rate of the line in force, in case that the intent does not say.
    """
    context = Context(known, intent.rate_hz or rate_hz, intent.baud or baud)
    asked = {field: getattr(intent, field) for field in SETTINGS}
    return {
        field: SETTINGS[field].encode(value, context) for field, value in asked.items() if value is not None
    }


def intent_of(values: Read, store: Store = "battery") -> InForce:
    """Settings in neutral words; a field whose values an intent cannot express stays None.

    A field is only filled if writing it would ask for exactly the values that are there.
    """
    fields: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    each: dict[str, str] = {}
    for field, setting in SETTINGS.items():
        try:
            found = setting.decode(values)
            one = replace(GnssIntent(), **{field: found})
        except KeyError:
            continue  # this receiver has no such setting
        except ValueError as error:
            reasons[field] = str(error)
            continue
        context = Context(values.keys(), epochs_per_s(values) or 1.0, values.get(BAUD, DEFAULT_BAUD))
        asked = setting.encode(getattr(one, field), context)
        wrong = [key for key, value in asked.items() if values.get(key, value) != value]
        if field == "position" and is_same_place(asked, values):
            wrong = []  # given as latitude and longitude, or split otherwise
        if wrong:
            reasons[field] = f"belongs to {field}, which is otherwise"
            each |= {key: f"{field} would be {asked[key]}" for key in wrong}
        else:
            fields[field] = found
    left = [
        NotModelled(
            key=key, value=value, reason=each.get(key) or reasons.get(READ_BY.get(key, ""), "not modelled")
        )
        for key, value in values.items()
        if READ_BY.get(key) not in fields
    ]
    return InForce(intent=GnssIntent(**fields, store=store), left_over=tuple(left))


def is_same_place(wanted: Values, values: Read) -> bool:
    """Whether the receiver is fixed where ``wanted`` says, though perhaps in other coordinates."""
    try:
        here, there = read_position(values), read_position(wanted)
    except (KeyError, ValueError):
        return False
    return (
        isinstance(here, FixedPosition)
        and isinstance(there, FixedPosition)
        and math.dist((here.x_m, here.y_m, here.z_m), (there.x_m, there.y_m, there.z_m))
        <= (_CONVERTED_M if values["CFG_TMODE_POS_TYPE"] else _EXACT_M)
        and values["CFG_TMODE_FIXED_POS_ACC"] == wanted["CFG_TMODE_FIXED_POS_ACC"]
    )
