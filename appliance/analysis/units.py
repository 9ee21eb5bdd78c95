"""Units of values and times, as files and users write them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from appliance.analysis.errors import AnalysisError


class Kind(StrEnum):
    """What a series is of."""

    PHASE = "phase"
    FREQUENCY = "frequency"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as it was written, and what one of it is."""

    text: str
    kind: Kind
    scale: float
    """In ns for phase, as a fraction for frequency; for Hz in Hz."""
    hertz: bool = False


SECONDS: Final = Unit("s", Kind.PHASE, 1e9)
MAX_NAME: Final = 80
FRACTIONAL: Final = Unit("1", Kind.FREQUENCY, 1.0)

_NS: Final = {"s": 1e9, "ms": 1e6, "us": 1e3, "µs": 1e3, "μs": 1e3, "ns": 1.0, "ps": 1e-3, "fs": 1e-6}
_FRACTION: Final = {"ppm": 1e-6, "ppb": 1e-9, "ppt": 1e-12, "fractional": 1.0}
_HERTZ: Final = {"hz": 1.0, "khz": 1e3, "mhz": 1e6}
_WORDS: Final = {
    "sec": "s",
    "second": "s",
    "millisecond": "ms",
    "microsecond": "us",
    "nanosecond": "ns",
    "picosecond": "ps",
    "femtosecond": "fs",
    "hertz": "hz",
}
_UNIT: Final = re.compile(r"(?P<factor>\d+(?:\.\d+)?(?:e[+-]?\d+)?)?\s*(?P<word>[a-zµμ]*)", re.ASCII)
_NAME_WITH_UNIT: Final = re.compile(r"(?P<base>.*?)(?:[_\s]*[\[(]|[_\s]+)(?P<unit>[^\[\]()_\s]+)[\])]?")
_TIME_NAME: Final = re.compile(
    r"(.*[_\s])?(t|time|timestamp|date|datetime|epoch|elapsed|unix|utc|tai|gps|mono|mjd|seconds)"
)


def parse_unit(text: str) -> Unit:
    """``ns``, ``10ps``, ``ppb``, ``MHz``, or a bare number such as ``1e-16``, of which a frequency has many.

    Raises ``AnalysisError`` for what is no unit.
    """
    match = _UNIT.fullmatch(text.strip().lower())
    factor = 0.0 if match is None or not text.strip() else float(match["factor"] or 1)
    if match is not None and 0.0 < factor < math.inf:
        word = match["word"].removesuffix("s") if len(match["word"]) > 2 else match["word"]
        word = _WORDS.get(word, match["word"])
        if word in _NS:
            return Unit(text.strip(), Kind.PHASE, factor * _NS[word])
        if word in _FRACTION or not word:
            return Unit(text.strip(), Kind.FREQUENCY, factor * _FRACTION.get(word, 1.0))
        if word in _HERTZ:
            return Unit(text.strip(), Kind.FREQUENCY, factor * _HERTZ[word], hertz=True)
    raise AnalysisError(f"{text!r} is no unit; use s, ms, us, ns, ps, fs, ppm, ppb, ppt, Hz, or a number")


def split_name(name: str) -> tuple[str, Unit | None]:
    """Name of a column without its unit, and the unit: ``offset_ns``, ``x [10ps]`` or ``offset (ns)``."""
    name = name.strip().lower()
    match = _NAME_WITH_UNIT.fullmatch(name) if len(name) <= MAX_NAME else None
    if match is None or not match["unit"][-1].isalpha():
        return name, None
    try:
        return match["base"].strip(), parse_unit(match["unit"])
    except AnalysisError:
        return name, None


def is_time_name(name: str) -> bool:
    """Whether a column of this name tells when a sample was taken."""
    return len(name) <= MAX_NAME and _TIME_NAME.fullmatch(split_name(name)[0]) is not None
