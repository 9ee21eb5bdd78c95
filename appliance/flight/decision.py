"""What the discipline decided, once a second, and everything else that a flight record may hold."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, fields
from operator import attrgetter
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from appliance.events import Action, Event
from appliance.flight.shape_parser import Vocabulary
from appliance.leap.decision import LeapJudgement
from appliance.leap.words import LeapWord
from appliance.printable import MAX_TEXT, shortened
from appliance.snapshot import ClockSnapshot, ClockState

MAX_TEXTS: Final = 256
"""Reasons or alarms of a decision, each of ``MAX_TEXT`` characters at most."""


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
    """Of all else in a snapshot: the forecast as doubles; counters, promises and leap seconds as text."""

    @classmethod
    def of(cls, snapshot: ClockSnapshot) -> Decision:
        """What is recorded of a snapshot."""
        forecast = struct.pack(f"<{len(snapshot.limits)}d", *(limit.seconds for limit in snapshot.limits))
        others = repr((_OTHERS(snapshot), _leap(snapshot.leap))).encode("utf-8", "surrogatepass")
        said: dict[str, Any] = dict(zip(_NAMES, _SHOWN(snapshot), strict=True))
        for name in _TEXTS:
            if not _few_and_short(said[name]):
                said[name] = tuple(shortened(text) for text in said[name][:MAX_TEXTS])
        return cls(**said, others_crc32=zlib.crc32(others, zlib.crc32(forecast)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What is announced to clients from the decision before it on (IEEE 1588-2019, 7.6 and 13.5).

    Not decided again by a replay: it depends on comparisons with the host's clock, which are not recorded.
    """

    clock_class: int
    clock_accuracy: int
    offset_scaled_log_variance: int
    flags: int
    utc_offset_s: int
    time_source: int


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The last word of a file that was closed and not cut."""

    reason: str


def wrong_field(decision: Decision) -> str | None:
    """The first field that cannot be: of what a file says neither type nor size is checked by making it."""
    for (name, types), value in zip(_TYPES, _ALL(decision), strict=True):
        if not isinstance(value, types):
            return name
    return next((name for name in _TEXTS if not _few_and_short(getattr(decision, name))), None)


def _leap(judgement: LeapJudgement) -> tuple[Any, ...]:
    """All that is in it, as plain tuples: Python writes them in a fraction of the time."""
    return *_JUDGED(judgement), *((_WORD(item.word), item.verdict, item.why) for item in judgement.sources)


def _few_and_short(texts: tuple[Any, ...]) -> bool:
    return len(texts) <= MAX_TEXTS and all(isinstance(text, str) and len(text) <= MAX_TEXT for text in texts)


def _types(hint: Any) -> tuple[type, ...]:
    if isinstance(hint, UnionType):
        return tuple(kind for inner in get_args(hint) for kind in _types(inner))
    origin = get_origin(hint) or hint
    return (float, int) if origin is float else (origin,)


_TYPES: Final = tuple((name, _types(hint)) for name, hint in get_type_hints(Decision).items())
_TEXTS: Final = tuple(name for name, types in _TYPES if types == (tuple,))
_ALL: Final = attrgetter(*(name for name, _ in _TYPES))
_NAMES: Final = tuple(field.name for field in fields(Decision) if field.name != "others_crc32")
_SHOWN: Final = attrgetter(*_NAMES)
_OTHERS: Final = attrgetter(
    *(field.name for field in fields(ClockSnapshot) if field.name not in (*_NAMES, "limits", "leap"))
)
_JUDGED: Final = attrgetter(*(field.name for field in fields(LeapJudgement) if field.name != "sources"))
_WORD: Final = attrgetter(*(field.name for field in fields(LeapWord)))

EVENTS: Final[tuple[type, ...]] = get_args(Event)
ACTIONS: Final[tuple[type, ...]] = get_args(Action)
VOCABULARY: Final = Vocabulary((*EVENTS, *ACTIONS, Decision, Announcement, End))
