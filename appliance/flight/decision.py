"""What the discipline decided, once a second, and everything else that a flight record may hold."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields
from operator import attrgetter
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from appliance.events import Action, Event
from appliance.flight.shapes import Vocabulary
from appliance.snapshot import ClockSnapshot, ClockState


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A snapshot's figures; what is long and follows from them is told by a checksum only."""

    as_of_mono_ns: int
    as_of_tai_ns: int | None
    state: ClockState
    since_mono_ns: int
    reasons: tuple[str, ...]
    alarms: tuple[str, ...]
    epoch: int
    offset_ns: float | None
    offset_sigma_ns: float | None
    last_sample_ns: float | None
    frequency_ppb: float
    oscillator_ppb: float | None
    oscillator_sigma_ppb: float | None
    bound_ns: float | None
    bound_wide_ns: float | None
    bias_ns: float
    drift_ppb: float
    holdover_since_mono_ns: int | None
    holdover_ready: bool
    not_ready_reasons: tuple[str, ...]
    tai_minus_utc_s: int | None
    leap_change_s: int
    others_crc32: int
    """Of the snapshot's other fields, as Python writes them: forecast, counters, promises."""

    @classmethod
    def of(cls, snapshot: ClockSnapshot) -> Decision:
        """What is recorded of a snapshot."""
        forecast = [limit.seconds for limit in snapshot.limits]
        others = repr((forecast, _OTHERS(snapshot))).encode("utf-8", "surrogatepass")
        return cls(**dict(zip(_NAMES, _SHOWN(snapshot), strict=True)), others_crc32=zlib.crc32(others))


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The last word of a file that was closed and not cut."""

    reason: str


def wrong_field(decision: Decision) -> str | None:
    """The first field that is of no type it may be of: what a file says is not checked by making it."""
    values = _ALL(decision)
    return next(
        (name for (name, types), v in zip(_TYPES, values, strict=True) if not isinstance(v, types)), None
    )


def _types(hint: Any) -> tuple[type, ...]:
    if isinstance(hint, UnionType):
        return tuple(kind for inner in get_args(hint) for kind in _types(inner))
    origin = get_origin(hint) or hint
    return (float, int) if origin is float else (origin,)


_TYPES: Final = tuple((name, _types(hint)) for name, hint in get_type_hints(Decision).items())
_ALL: Final = attrgetter(*(name for name, _ in _TYPES))
_NAMES: Final = tuple(field.name for field in fields(Decision) if field.name != "others_crc32")
_SHOWN: Final = attrgetter(*_NAMES)
_OTHERS: Final = attrgetter(
    *(field.name for field in fields(ClockSnapshot) if field.name not in (*_NAMES, "limits"))
)

EVENTS: Final[tuple[type, ...]] = get_args(Event)
ACTIONS: Final[tuple[type, ...]] = get_args(Action)
VOCABULARY: Final = Vocabulary((*EVENTS, *ACTIONS, Decision, End))
