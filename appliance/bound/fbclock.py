"""The bound in the layouts of fbclock (facebook/time, ``fbclock/fbclock.h``), for programs that read those.

Version 1 has the card's clock, which its readers read themselves (``/dev/ptpN``); version 2 has it as a line
over CLOCK_MONOTONIC_RAW. The bound is the wide one (k = 5). While nothing is claimed the bound is larger than
readers accept, and their call fails. Version 1 knows no expiry, and version 2 one of ten seconds: whoever
must know of a dead daemon sooner reads the bound page itself.
"""

from __future__ import annotations

import math
import struct
import time
from pathlib import Path
from typing import Final

from appliance.bound.layout import Line, PageData, Refusal, UtcWords
from timecard.timescale import NS_PER_S

# crc u64 (the writer's), ingress_time_ns i64, error_bound_ns u32, holdover_multiplier u32, smear_start_s u64,
# smear_end_s u64, utc_offset_pre_s i32, utc_offset_post_s i32
V1: Final = struct.Struct("=8xqIIQQii")
# seq u64 (the writer's), ingress_time_ns i64, error_bound_ns u32, holdover_multiplier u32, smear_start_s u64,
# utc_offset_pre_s i16, utc_offset_post_s i16, clockId u32, phc_time_ns i64, sysclock_time_ns i64,
# coef_ppb i64
V2: Final = struct.Struct("=8xqIIQhhIqqq")
V2_SECTIONS: Final = 2
TOO_BIG: Final = 0xFFFF_FFFF
MULTIPLIER_PER_NS: Final = 65_536
SMEAR_S: Final = 62_500
ROUNDED_PPB: Final = 0.5
"""coef_ppb is a whole number."""
ROUNDED_NS: Final = 2
"""Readers cut off the fraction of what the coefficient gives, and of the bound."""


def version_of(path: Path) -> int:
    """As fbclock's readers choose: by the end of the name."""
    return 2 if path.name.endswith("_v2") else 1


def file_size(version: int) -> int:
    """Bytes of the whole file."""
    return V1.size if version == 1 else V2_SECTIONS * V2.size


def pack(version: int, data: PageData, leap: UtcWords | None) -> bytes:
    """The page (1) or its first section (2); ``leap`` is the newest leap second, also one that is over."""
    line = data.card if version == 1 else data.host
    pre_s, post_s, start_s = _smear(data.utc, leap)
    if isinstance(line, Refusal):
        ingress_ns = bound_ns = multiplier = TOO_BIG
        clock = (0, 0, 0)
    else:
        ingress_ns = line.anchor_tai_ns
        bound_ns, multiplier = _bound(line, 0.0 if version == 1 else ROUNDED_PPB)
        clock = (line.anchor_tai_ns, line.anchor_raw_ns, round(line.rate_ppb))
    if version == 1:
        end_s = start_s and start_s + SMEAR_S
        return V1.pack(ingress_ns, bound_ns, multiplier, start_s, end_s, pre_s, post_s)
    return V2.pack(ingress_ns, bound_ns, multiplier, start_s, pre_s, post_s, time.CLOCK_MONOTONIC_RAW, *clock)


def _bound(line: Line, more_ns_per_s: float) -> tuple[int, int]:
    """Bound and growth, rounded up; a reader refuses what does not fit."""
    growth = (line.growth_ns_per_s + more_ns_per_s) * MULTIPLIER_PER_NS
    return min(math.ceil(line.error_wide_ns) + ROUNDED_NS, TOO_BIG), min(math.ceil(growth), TOO_BIG)


def _smear(utc: UtcWords, leap: UtcWords | None) -> tuple[int, int, int]:
    """UTC offsets before and after, and TAI of the midnight by the former: where readers begin to smear.

    With equal offsets they subtract just that; two zeros (not known) make them take 37 s.
    """
    if leap is not None and leap.offset_s is not None:
        after_s = leap.offset_s + leap.change_s
        if utc == leap or utc.offset_s == after_s:  # to come, or over; else it was taken back
            return leap.offset_s, after_s, leap.at_tai_ns // NS_PER_S - leap.change_s
    return utc.offset_s or 0, utc.offset_s or 0, 0
